# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Handlers of the `elmo` commands. The top-level module `elmo_cli` has the parsers and calls `run`."""

import argparse
import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from .conversion.commands import run_convert, run_export, run_publish, run_verify
from .device import check_device
from .embed.command import run_embed
from .interrupts import raise_on_signals
from .training.commands import run_perplexity, run_substitutes, run_train, run_vocabulary

HANDLERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "embed": run_embed,
    "vocabulary": run_vocabulary,
    "train": run_train,
    "perplexity": run_perplexity,
    "substitutes": run_substitutes,
    "convert": run_convert,
    "export": run_export,
    "verify": run_verify,
    "publish": run_publish,
}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_BYTES = 1 << 20  # a disk with less free space is considered full


def run(arguments: argparse.Namespace) -> int:
    """Run the command of parsed arguments and return the exit code."""
    if getattr(arguments, "device", None) is not None:
        check_device(arguments.device)
    output = getattr(arguments, "output", None)
    with raise_on_signals(), _named_full_disk(None if output is None else Path(output)):
        return HANDLERS[arguments.command](arguments)


@contextlib.contextmanager
def _named_full_disk(output: Path | None) -> Iterator[None]:
    """Convert the exceptions of all libraries for a full disk to an OSError that names the place."""
    try:
        yield
    except Exception as error:
        if output is None or getattr(error, "filename", None) is not None or not _is_disk_full(error, output):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(_newest_path(output))) from error


def _is_disk_full(error: Exception, output: Path) -> bool:
    """Return whether an error reports a full disk. safetensors and torch raise errors without `errno`."""
    if getattr(error, "errno", None) in _FULL or os.strerror(errno.ENOSPC) in str(error):
        return True
    is_write_error = isinstance(error, (OSError, RuntimeError)) and "inline_container" in str(error)  # of `torch.save`
    folder = next(path for path in (output, *output.absolute().parents) if path.is_dir())
    return is_write_error and shutil.disk_usage(folder).free < _FULL_BYTES


def _newest_path(output: Path) -> Path:
    """Return the file or folder below `output` that changed last. A library may have removed the incomplete file."""
    try:
        return max([output, *output.rglob("*")], key=lambda path: path.stat().st_mtime_ns)
    except OSError:
        return output
