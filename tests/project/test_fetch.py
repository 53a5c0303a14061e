# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The cache of public test data."""

import subprocess
import zipfile
from pathlib import Path

import fetch
import pytest


def test_a_folder_is_fetched_once_and_complete(tmp_path: Path) -> None:
    scratch_folders = []

    def write(scratch: Path) -> Path:
        scratch_folders.append(scratch)
        (scratch / "new").mkdir()
        (scratch / "new" / "file").write_text("content")
        return scratch / "new"

    for _ in range(2):
        target = fetch.fetch_once(tmp_path / "cache" / "target", write)
        assert (target / "file").read_text() == "content"
    assert len(scratch_folders) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["target"]


def test_nothing_remains_of_a_failed_download(tmp_path: Path) -> None:
    def fail(scratch: Path) -> Path:
        (scratch / "half").mkdir()
        raise subprocess.CalledProcessError(1, "pip")

    with pytest.raises(subprocess.CalledProcessError):
        fetch.fetch_once(tmp_path / "target", fail)
    assert not list(tmp_path.iterdir())


def test_only_the_fixtures_leave_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def download(command: list[str], check: bool) -> None:
        commands.append(command)
        with zipfile.ZipFile(tmp_path / "allennlp-0.9.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("allennlp/tests/fixtures/elmo/options.json", "{}")
            wheel.writestr("allennlp/tests/fixtures/other/file", "")
            wheel.writestr("allennlp/__init__.py", "raise SystemExit")

    monkeypatch.setattr(subprocess, "run", download)
    folder = fetch.fetch_allennlp(tmp_path)
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()] == [
        "elmo/options.json"
    ]
    assert not (tmp_path / "allennlp" / "__init__.py").exists()
    assert "--require-hashes" in commands[0]
    assert "--hash=sha256:" in (tmp_path / "requirements.txt").read_text()
