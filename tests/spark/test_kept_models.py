# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Files that a Spark transformer keeps, so that its model outlives the model folder. These tests need no Java."""

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from helpers.run_python import run
from helpers.small_models import tiny_model

from modeling_elmo import ElmoTokenizer

pytest.importorskip("pyspark", reason="needs the extra `spark`")

from modeling_elmo.spark import model as spark_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    tiny_model().save_pretrained(path)
    ElmoTokenizer().save_pretrained(path)
    return path


def contents(folder: Path | str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(folder).iterdir() if file.is_file()}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def refuse_to_link(source: Any, target: Any) -> None:
    raise OSError(errno.EXDEV, "Invalid cross-device link")


@pytest.mark.parametrize("can_link", [True, False])
@pytest.mark.parametrize("is_snapshot", [True, False])
def test_the_files_outlive_the_folder(
    can_link: bool, is_snapshot: bool, folder: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_link:
        monkeypatch.setattr(os, "link", refuse_to_link)
    source = folder
    if is_snapshot:  # as in the Hub's cache
        source = folder.with_name("snapshot")
        source.mkdir()
        for file in spark_model.list_model_files(folder):
            (source / file.name).symlink_to(file)
    expected = contents(source)
    kept = spark_model.keep_model(str(source))
    weights = Path(kept.folder, "model.safetensors")
    assert weights.samefile(folder / "model.safetensors") is can_link
    assert kept.is_unchanged()
    shutil.rmtree(folder)
    shutil.rmtree(source, ignore_errors=True)
    assert contents(kept.folder) == expected
    assert not kept.is_unchanged()


def test_the_same_files_are_kept_once(folder: Path, temporary: Path) -> None:
    first, second = (spark_model.keep_model(str(folder)) for _ in range(2))
    assert first == second
    assert len(list(temporary.iterdir())) == 1
    os.utime(folder / "model.safetensors", (1, 1))
    changed = spark_model.keep_model(str(folder))
    assert changed.folder != first.folder
    assert (first.is_unchanged(), changed.is_unchanged()) == (False, True)
    shutil.rmtree(changed.folder)  # by a system that deletes old temporary files
    assert contents(spark_model.keep_model(str(folder)).folder) == contents(folder)


def test_a_full_disk_is_reported(folder: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(source: Any, target: Any) -> None:
        Path(target).write_bytes(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse_to_link)
    monkeypatch.setattr(shutil, "copyfile", fill)
    message = rf"^Cannot keep the model {re.escape(repr(str(folder)))} in .*No space left on device.*\. Set TMPDIR to"
    with pytest.raises(OSError, match=message):
        spark_model.keep_model(str(folder))
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_temporary_files_are_removed_at_exit(folder: Path, temporary: Path) -> None:
    """A child process that exits before does not remove those of its parent."""
    code = f"""
import os, sys
from modeling_elmo.spark import model
kept = model.keep_model({str(folder)!r})
child = os.fork()
if not child:
    sys.exit()
os.waitpid(child, 0)
result = [kept.folder, sorted(os.listdir(kept.folder))]
"""
    kept, names = run(code, {"TMPDIR": str(temporary)})
    assert Path(kept).parent == temporary
    assert names == sorted(contents(folder))
    assert list(temporary.iterdir()) == []
    assert (folder / "model.safetensors").is_file()
