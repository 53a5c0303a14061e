# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Spark NLP's saved ElmoEmbeddings: `metadata/part-*` and `elmo_tensorflow`, a zip with TF Hub's variables."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..mapping.tensor_ops import Array
from ..source.archives import is_archive, unpacked
from ..source.fetch import SourceFile
from . import tensorflow_bundle as bundles
from . import tfhub
from .base import Opened
from .tensorflow_bundle import Bundle

NAME = "Spark NLP model"
_CLASS = ".ElmoEmbeddings"
_INNER = "elmo_tensorflow"
_LONGEST = 1 << 20  # bytes of the metadata, one short line


def _metadata_class(path: Path) -> str | None:
    """The class that a saved stage of Spark says it is; None where it says none."""
    for part in sorted((path / "metadata").glob("part-*")):
        try:
            with part.open("rb") as file:
                metadata = json.loads(file.readline(_LONGEST))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(metadata, dict) and isinstance(metadata.get("class"), str):
            return str(metadata["class"])
    return None


def matches(path: Path) -> bool:
    """Whether a folder is a saved ElmoEmbeddings of Spark NLP."""
    try:
        name = _metadata_class(path)
        return (path / _INNER).is_file() and (name.endswith(_CLASS) if name else is_archive(path / _INNER))
    except OSError:
        return False


@contextmanager
def _bundle(archive: Path) -> Iterator[Bundle]:
    """The checkpoint inside the inner zip, as long as it lies unpacked."""
    with unpacked(archive) as folder:
        inside = folder / "variables"
        found = bundles.find(inside) or bundles.find(folder)
        if len(found) != 1:
            raise ValueError(f"{archive} must have one TensorFlow checkpoint inside; got {len(found)}.")
        yield bundles.open_bundle(found[0])


def open_checkpoint(path: Path, options: SourceFile | None = None, vocab: SourceFile | None = None) -> Opened:
    """Open a model.

    The inner zip is unpacked again for each call of `read`, so that nothing is left behind.

    Args:
        path: its folder.
        options: keys of bilm-tf's `options.json` in place of what is inferred, see `tfhub`.
        vocab: has no use here.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or these are not the variables of ELMo.
        ImportError: tensorflow is not installed.
    """
    archive = path / _INNER
    if not archive.is_file():
        raise FileNotFoundError(f"a Spark NLP model must have the file {_INNER}; {path} has none.")
    with _bundle(archive) as bundle:
        found = tfhub.opened(bundle, options, NAME)

    def read(wanted: Iterable[str]) -> dict[str, Array]:
        with _bundle(archive) as bundle:
            return tfhub.opened(bundle, options, NAME).read(wanted)

    files = {"weights": SourceFile(archive, archive.name)}
    for part in sorted((path / "metadata").glob("part-*"))[:1]:
        files["metadata"] = SourceFile(part, f"metadata/{part.name}")
    if options is not None:
        files["options"] = options
    return replace(found, read=read, files=files)
