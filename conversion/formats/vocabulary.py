# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Vocabulary files of old checkpoints: one word a line, `vocab.txt` or, as in the NLPL repository, `vocab.txt.gz`."""

import gzip
import zlib
from pathlib import Path

from ..source.fetch import SourceFile

NAMES = ("vocab.txt", "vocab.txt.gz")
_PATTERNS = ("vocab*.txt", "vocab*.txt.gz")
_GZIP = b"\x1f\x8b"
_LIMIT = 1 << 30  # bytes; the largest published one has 8 million


def find(folder: Path) -> SourceFile | None:
    """`vocab.txt` or `vocab.txt.gz` in a folder, or the only file with such a name; None if there is none."""
    exact = [folder / name for name in NAMES if (folder / name).is_file()]
    found = exact or [path for pattern in _PATTERNS for path in folder.glob(pattern) if path.is_file()]
    return SourceFile(found[0], found[0].name) if exact or len(found) == 1 else None


def read_words(file: SourceFile) -> list[str]:
    """The words of a vocabulary file.

    Raises:
        ValueError: the file is not text in UTF-8, or is compressed and damaged.
    """
    with file.path.open("rb") as raw:
        compressed = raw.read(len(_GZIP)) == _GZIP
    try:
        with gzip.open(file.path) if compressed else file.path.open("rb") as stream:
            data = stream.read(_LIMIT + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{file.origin} must be a whole gzip file; it is cut short or damaged.") from error
    if len(data) > _LIMIT:
        raise ValueError(f"{file.origin} must have at most {_LIMIT} bytes of words; it has more.")
    try:
        lines = data.decode("utf-8").split("\n")  # unlike str.splitlines, it breaks at line ends only
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.origin} must be text in UTF-8; {error}.") from error
    return [line.strip() for line in (lines if lines[-1] else lines[:-1])]
