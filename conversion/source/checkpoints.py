# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The published checkpoints that `checkpoints.toml` lists, by name and by address."""

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
    """A published checkpoint; None where the list does not know. The fields are explained in `checkpoints.toml`."""

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
    licence: str | None = None
    page: str | None = None
    base_model: str | None = None
    note: str | None = None

    def url(self, file: str) -> str | None:
        """The address of `"options"`, `"weights"`, `"softmax"` or `"vocab"`."""
        if file not in FILES:
            raise ValueError(f"file must be one of {', '.join(map(repr, FILES))}; got {file!r}.")
        return getattr(self, file)


@dataclass(frozen=True)
class Published:
    """Vectors that somebody printed, beginnings and ends of them. The fields are explained in `checkpoints.toml`."""

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
    """All of them, in the order of the file."""
    document = _document()
    return tuple(_checkpoint(row, document["base"]) for row in document["checkpoint"])


def published(name: str | None = None) -> list[Published]:
    """The printed vectors of the checkpoint with this name or alias; of all checkpoints without a name."""
    rows = [Published(**row) for row in _document()["published"]]
    if name is None:
        return rows
    known = find(name)
    return [row for row in rows if known is not None and known.name in row.checkpoints]


def canonical_url(url: str) -> str:
    """`url` with the spelling of its host that `checkpoints.toml` uses."""
    for spelling, canonical in _document()["hosts"]:
        if url.startswith(spelling):
            return canonical + url[len(spelling) :]
    return url


def find(name_or_url: str) -> Checkpoint | None:
    """The checkpoint with this name, alias or file address (any known spelling of the host), or None."""
    if "://" in name_or_url:
        url = canonical_url(name_or_url)
        return next((found for found in checkpoints() if url in (found.url(file) for file in FILES)), None)
    name = name_or_url.lower()
    return next((found for found in checkpoints() if name in (found.name, *found.aliases)), None)
