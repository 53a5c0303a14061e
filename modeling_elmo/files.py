# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Atomic writing: files and folders that are either complete or absent, whenever the process is killed."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file atomically: temporary name, `fsync`, rename. Leftovers of an earlier attempt are overwritten."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, on POSIX systems."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically."""
    with atomic_file(path) as file:
        file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def check_output_folder(output: Path, overwrite: bool, marker: str) -> None:
    """Check that a folder can be written.

    Args:
        output: Folder to write.
        overwrite: Whether to replace a folder that is not empty.
        marker: File that a folder must contain to be replaced, so that a mistyped name destroys nothing else.

    Raises:
        FileExistsError: If `output` exists and may not be replaced.
    """
    if not os.path.lexists(output):
        return
    if not output.is_dir() or output.is_symlink():
        raise FileExistsError(f"Expected a new or empty output folder, got {output}, which is not a plain folder.")
    if not any(output.iterdir()):
        return
    if not overwrite:
        raise FileExistsError(f"Output folder {output} is not empty. Choose another folder or pass --overwrite.")
    if not (output / marker).is_file():
        raise FileExistsError(f"Cannot overwrite {output}: it does not contain {marker}. Choose another folder.")


@contextlib.contextmanager
def atomic_folder(output: Path, overwrite: bool, marker: str) -> Iterator[Path]:
    """Yield a temporary folder that replaces `output` at the end, or disappears on any error.

    Args:
        output: See `check_output_folder`.
        overwrite: See `check_output_folder`.
        marker: See `check_output_folder`.

    Raises:
        FileExistsError: If `output` exists and may not be replaced.
    """
    check_output_folder(output, overwrite, marker)
    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        new = work / "new"
        new.mkdir()  # unlike the folder of `mkdtemp`, it has the usual permissions
        yield new
        check_output_folder(output, overwrite, marker)
        if output.exists():
            output.rename(work / "old")
        try:
            new.rename(output)
        except OSError:
            if (work / "old").exists():
                (work / "old").rename(output)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
