# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Saved ElmoEmbeddings of Spark NLP: `metadata/part-*` and `elmo_tensorflow`, a zip file with TF Hub's variables."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..mapping.tensor_ops import Array
from ..source.archives import extract_archive, is_archive
from ..source.fetch import SourceFile
from . import tensorflow_bundle as bundles
from . import tfhub
from .base import OpenCheckpoint, check_no_softmax
from .tensorflow_bundle import Bundle

NAME = "Spark NLP model"
_CLASS = ".ElmoEmbeddings"
_ARCHIVE = "elmo_tensorflow"
_MAX_METADATA_BYTES = 1 << 20


def _metadata_files(path: Path) -> list[Path]:
    return sorted(part for part in (path / "metadata").glob("part-*") if part.is_file())


def _metadata_class(path: Path) -> str | None:
    """Return the class name in the metadata of a saved Spark stage, or None."""
    for part in _metadata_files(path):
        try:
            with part.open("rb") as file:
                metadata = json.loads(file.readline(_MAX_METADATA_BYTES))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(metadata, dict) and isinstance(metadata.get("class"), str):
            return str(metadata["class"])
    return None


def matches(path: Path) -> bool:
    """Return whether a folder is a saved ElmoEmbeddings of Spark NLP."""
    try:
        name = _metadata_class(path)
        return (path / _ARCHIVE).is_file() and (name.endswith(_CLASS) if name else is_archive(path / _ARCHIVE))
    except OSError:
        return False


@contextmanager
def _open_archive(archive: Path) -> Iterator[Bundle]:
    """Extract the inner zip file and open the checkpoint in it, until the context ends."""
    with extract_archive(archive) as folder:
        prefixes = bundles.find_bundles(folder / "variables") or bundles.find_bundles(folder)
        if len(prefixes) != 1:
            raise ValueError(f"Expected one TensorFlow checkpoint in {archive}, got {len(prefixes)}.")
        yield bundles.open_bundle(prefixes[0])


def open_checkpoint(
    path: Path,
    options: SourceFile | None = None,
    vocab: SourceFile | None = None,
    softmax: SourceFile | None = None,
) -> OpenCheckpoint:
    """Open a saved model. Each call of `read` extracts the inner zip file again, so that no files are left.

    Args:
        path: Folder of the saved model.
        options: File with keys of bilm-tf's `options.json` that replace the inferred ones; see `tfhub`.
        vocab: Ignored.
        softmax: Must be None.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is corrupt, or the variables are not those of an ELMo.
        ImportError: If tensorflow is not installed.
    """
    check_no_softmax(softmax, NAME)
    archive = path / _ARCHIVE
    if not archive.is_file():
        raise FileNotFoundError(f"Expected the file {_ARCHIVE} in {path}, but it is missing.")
    with _open_archive(archive) as bundle:
        checkpoint = tfhub.open_variables(bundle, options, NAME)

    def read(names: Iterable[str]) -> dict[str, Array]:
        with _open_archive(archive) as bundle:
            return tfhub.open_variables(bundle, options, NAME).read(names)

    files = {"weights": SourceFile(archive, archive.name)}
    for part in _metadata_files(path)[:1]:
        files["metadata"] = SourceFile(part, f"metadata/{part.name}")
    if options is not None:
        files["options"] = options
    return replace(checkpoint, read=read, files=files)
