# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Checkpoint formats, and detection of the format of a source by content and not by file name."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from modeling_elmo.messages import format_names

from ..source.archives import extract_archive, is_archive
from ..source.fetch import Source, SourceFile
from . import allennlp_archive, hdf5_checkpoint, many_langs, spark_nlp, tensorflow_checkpoint, tfhub
from .base import Format, OpenCheckpoint

# The first format that matches is used.
FORMATS: tuple[Format, ...] = (
    many_langs,
    allennlp_archive,
    spark_nlp,
    tfhub,
    hdf5_checkpoint,
    tensorflow_checkpoint,
)


def _detect_format(path: Path) -> Format | None:
    return next((format for format in FORMATS if format.matches(path)), None)


def _find_checkpoint(path: Path) -> tuple[Format, Path] | None:
    """Return format and path of a checkpoint: `path` itself, or the only entry of the folder that has a format."""
    if (format := _detect_format(path)) is not None:
        return format, path
    if not path.is_dir():
        return None
    entries = [(format, entry) for entry in sorted(path.iterdir()) if (format := _detect_format(entry)) is not None]
    return entries[0] if len(entries) == 1 else None


def _unknown_format_error(path: Path, origin: str) -> Exception:
    names = ", ".join(format.NAME for format in FORMATS)
    if not path.is_dir():
        return ValueError(f"Expected {origin} to be one of {names}, got another file.")
    entries = sorted(entry.name for entry in path.iterdir())
    content = format_names(entries) if entries else "no file"
    return FileNotFoundError(f"Expected {origin} to be one of {names}, got a folder with {content}.")


@contextmanager
def open_source(source: Source) -> Iterator[OpenCheckpoint]:
    """Open a checkpoint of any known format. An archive is extracted until the context ends.

    Raises:
        FileNotFoundError, ValueError: If no format matches, or the files are incomplete or invalid.
        ImportError: If the package that reads the format is not installed.
    """
    with ExitStack() as stack:
        path = source.path.path
        files: dict[str, SourceFile] = {}
        if path.is_file() and is_archive(path):
            files["archive"] = source.path
            path = stack.enter_context(extract_archive(path))
        checkpoint = _find_checkpoint(path)
        if checkpoint is None:
            raise _unknown_format_error(path, source.path.origin)
        format, location = checkpoint
        opened = format.open_checkpoint(location, source.options, source.vocab, source.softmax)
        files |= opened.files
        if files.get("weights", source.path).path == source.path.path:
            files["weights"] = source.path  # record the URL of a download
        yield replace(opened, files=files)
