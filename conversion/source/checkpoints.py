# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Known checkpoints and published reference vectors, as listed in `checkpoints.toml`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILES = ("options", "weights", "softmax", "vocab")


@dataclass(frozen=True)
class Checkpoint:
    """A known checkpoint. Unknown values are None. `checkpoints.toml` describes the fields."""

    name: str
    aliases: tuple[str, ...] = ()
    language: str | None = None
    preset: str | None = None
    options: str | None = None
    weights: str | None = None
    softmax: str | None = None
    vocab: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    license: str | None = None
    page: str | None = None
    base_model: str | None = None
    note: str | None = None

    def url(self, file: str) -> str | None:
        """Return the URL of `"options"`, `"weights"`, `"softmax"`, or `"vocab"`.

        Raises:
            ValueError: If `file` is another name.
        """
        if file not in FILES:
            raise ValueError(f"Expected `file` to be one of {', '.join(map(repr, FILES))}, got {file!r}.")
        return getattr(self, file)


@dataclass(frozen=True)
class ReferenceVectors:
    """First and last values of published vectors. `checkpoints.toml` describes the fields."""

    checkpoints: Sequence[str]
    source: str
    words: Sequence[str]
    layer: str
    first: Sequence[Sequence[float]]
    last: Sequence[Sequence[float]] = ()


def _checkpoint(row: Mapping[str, Any], base: str) -> Checkpoint:
    urls = {key: row[key] if "://" in row[key] else base + row[key] for key in FILES if key in row}
    return Checkpoint(**{**row, **urls, "aliases": tuple(row.get("aliases", ()))})


@cache
def _document() -> Mapping[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("checkpoints.toml").read_text(encoding="utf-8"))


@cache
def checkpoints() -> tuple[Checkpoint, ...]:
    """Return all known checkpoints in the order of the file."""
    document = _document()
    return tuple(_checkpoint(row, document["base"]) for row in document["checkpoint"])


def reference_vectors(name: str | None = None) -> list[ReferenceVectors]:
    """Return the published vectors of the checkpoint with this name or alias, or of all checkpoints."""
    references = [ReferenceVectors(**row) for row in _document()["reference_vectors"]]
    if name is None:
        return references
    checkpoint = find_checkpoint(name)
    return [each for each in references if checkpoint is not None and checkpoint.name in each.checkpoints]


def canonical_url(url: str) -> str:
    """Return `url` with the canonical spelling of its host."""
    for spelling, canonical in _document()["hosts"]:
        if url.startswith(spelling):
            return canonical + url[len(spelling) :]
    return url


def find_checkpoint(name_or_url: str) -> Checkpoint | None:
    """Return the checkpoint with this name, alias, or file URL, or None. Any known spelling of the host matches."""
    if "://" in name_or_url:
        url = canonical_url(name_or_url)
        return next((known for known in checkpoints() if url in (known.url(file) for file in FILES)), None)
    name = name_or_url.lower()
    return next((known for known in checkpoints() if name in (known.name, *known.aliases)), None)
