# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Atomic writing: files and folders are either complete or absent, even if the process is killed."""

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO


@contextlib.contextmanager
def atomic_file(path: Path, concurrent: bool = False) -> Iterator[BinaryIO]:
    """Write a file atomically: temporary name, `fsync`, rename.

    Args:
        path: File to write.
        concurrent: Whether several processes may write the file at the same time. The temporary name is then unique.
            Otherwise it is fixed, so that leftovers of an earlier attempt are overwritten.

    Yields:
        Binary file, open for reading and writing.
    """
    suffix = secrets.token_hex(8) if concurrent else "tmp"
    temporary = path.with_name(f".{path.name}.{suffix}")
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
    """Flush the directory entries of a folder to the disk. Has an effect on POSIX systems only."""
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
        marker: File that a folder must contain to be replaced, so that a mistyped name deletes nothing else.

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
    """Yield a temporary folder that replaces `output` at the end and is deleted on any error.

    Args:
        output: See `check_output_folder`.
        overwrite: See `check_output_folder`.
        marker: See `check_output_folder`.

    Yields:
        Empty folder to write to.

    Raises:
        FileExistsError: If `output` exists and may not be replaced.
    """
    check_output_folder(output, overwrite, marker)
    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        new = work / "new"
        new.mkdir()  # with default permissions, unlike the folder of `mkdtemp`
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
