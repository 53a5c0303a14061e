# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Atomic writing of files and folders."""

from pathlib import Path

import pytest

from modeling_elmo.files import OutputKind, atomic_file, atomic_folder

MARKED = OutputKind(True, lambda folder: None if (folder / "marker").exists() else "it does not contain marker")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail_to_write_file(path: Path, concurrent: bool) -> None:
    with atomic_file(path, concurrent) as file:
        file.write(b"two")
        raise KeyError


def fail_to_write_folder(output: Path) -> None:
    with atomic_folder(output, MARKED, overwrite=True) as folder:
        (folder / "other").touch()
        raise KeyError


@pytest.mark.parametrize("concurrent", [False, True])
def test_a_file_is_complete_or_unchanged(concurrent: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_file(path, concurrent) as file:
        file.write(b"one")
        assert not path.exists()
    with pytest.raises(KeyError):
        fail_to_write_file(path, concurrent)
    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["file"]


def test_concurrent_writers_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_file(path, concurrent=True) as first:
        first.write(b"first")
        with atomic_file(path, concurrent=True) as second:
            second.write(b"2")
        assert path.read_bytes() == b"2"
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_leftovers_of_a_killed_process_are_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".file.tmp").write_bytes(b"a longer leftover")
    with atomic_file(tmp_path / "file") as file:
        file.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_a_folder_is_replaced_only_without_an_error(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with atomic_folder(output, MARKED, overwrite=False) as folder:
        (folder / "marker").touch()
    with pytest.raises(KeyError):
        fail_to_write_folder(output)
    assert names(output) == ["marker"]
    with atomic_folder(output, MARKED, overwrite=True) as folder:
        (folder / "other").touch()
    assert names(output) == ["other"]
    with (
        pytest.raises(FileExistsError, match="it does not contain marker"),
        atomic_folder(output, MARKED, overwrite=True),
    ):
        pass
    assert names(tmp_path) == ["output"]
