# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""A folder that appears complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_output(output: Path, overwrite: bool, marker: str) -> None:
    """Raise FileExistsError if `output` is in the way and may not be replaced.

    Args:
        output: the folder to be written.
        overwrite: whether a folder that is not empty may be replaced.
        marker: the file that a folder must have to be replaced, so that a mistyped name destroys nothing else.
    """
    if not os.path.lexists(output):
        return
    if not output.is_dir() or output.is_symlink():
        raise FileExistsError(f"the output must be a new or empty folder; {output} is no plain folder.")
    if not any(output.iterdir()):
        return
    if not overwrite:
        raise FileExistsError(f"the output must be a new or empty folder; {output} is not empty (see overwrite).")
    if not (output / marker).is_file():
        raise FileExistsError(f"a folder to overwrite must have {marker}; {output} has other files.")


@contextmanager
def new_folder(output: Path, overwrite: bool, marker: str) -> Iterator[Path]:
    """A temporary folder beside `output` that takes its name at the end, or vanishes on any error.

    The arguments and the FileExistsError are those of `check_output`.
    """
    check_output(output, overwrite, marker)
    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        new = work / "new"
        new.mkdir()  # unlike mkdtemp's own folder, it has the usual permissions
        yield new
        check_output(output, overwrite, marker)
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
