# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The formats of old checkpoints, and which of them a source has: by its contents, whatever its files are called."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..source.archives import is_archive, unpacked
from ..source.fetch import Source, SourceFile
from . import allennlp_archive, hdf5_checkpoint, many_langs, spark_nlp, tensorflow_checkpoint, tfhub
from .base import Opened

# Each has NAME, `matches(path)` and `open_checkpoint(path, options, vocab)`; the first that matches is taken.
FORMATS: tuple[Any, ...] = (
    many_langs,
    allennlp_archive,
    spark_nlp,
    tfhub,
    hdf5_checkpoint,
    tensorflow_checkpoint,
)


def _format_of(path: Path) -> Any:
    return next((each for each in FORMATS if each.matches(path)), None)


def _find(path: Path) -> tuple[Any, Path] | None:
    """The format of a path, or of the only thing in it that has one."""
    if (found := _format_of(path)) is not None:
        return found, path
    if not path.is_dir():
        return None
    inside = [(each, folder) for folder in sorted(path.iterdir()) if (each := _format_of(folder)) is not None]
    return inside[0] if len(inside) == 1 else None


@contextmanager
def open_source(source: Source) -> Iterator[Opened]:
    """Open a checkpoint of any known format; an archive is unpacked as long as the context lasts.

    Raises:
        FileNotFoundError, ValueError: no format fits, or its reader refuses the files.
        ImportError: what reads the format is not installed.
    """
    with ExitStack() as stack:
        path = source.path.path
        files: dict[str, SourceFile] = {}
        if path.is_file() and is_archive(path):
            files["archive"] = source.path
            path = stack.enter_context(unpacked(path))
        found = _find(path)
        if found is None:
            names = ", ".join(each.NAME for each in FORMATS)
            inside = sorted(item.name for item in path.iterdir()) if path.is_dir() else []
            got = f"{source.path.origin} with {', '.join(inside[:8]) or 'nothing in it'}" if path.is_dir() else "none"
            error = FileNotFoundError if path.is_dir() else ValueError
            raise error(f"{source.path.origin} must be one of {names}; got {got}.")
        reader, place = found
        extra = {"softmax": source.softmax} if source.softmax is not None else {}
        if extra and reader is not hdf5_checkpoint:
            raise ValueError(f"softmax must come with weights in {hdf5_checkpoint.NAME}; got {reader.NAME}.")
        opened: Opened = reader.open_checkpoint(place, source.options, source.vocab, **extra)
        files |= opened.files
        if files.get("weights", source.path).path == source.path.path:
            files["weights"] = source.path  # by its address, if it was downloaded
        yield replace(opened, files=files)
