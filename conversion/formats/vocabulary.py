# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Vocabulary files with one word per line: `vocab.txt`, or `vocab.txt.gz` as in the NLPL repository."""

import gzip
import zlib
from pathlib import Path

from ..source.fetch import SourceFile

NAMES = ("vocab.txt", "vocab.txt.gz")
_PATTERNS = ("vocab*.txt", "vocab*.txt.gz")
_GZIP = b"\x1f\x8b"
_MAX_BYTES = 1 << 30  # the largest published vocabulary has 8 MB


def find_vocabulary(folder: Path) -> SourceFile | None:
    """Return `vocab.txt` or `vocab.txt.gz` of a folder, or the only file with a similar name, or None."""
    exact = [folder / name for name in NAMES if (folder / name).is_file()]
    paths = exact or [path for pattern in _PATTERNS for path in folder.glob(pattern) if path.is_file()]
    return SourceFile(paths[0], paths[0].name) if exact or len(paths) == 1 else None


def read_words(file: SourceFile) -> list[str]:
    """Return the words of a vocabulary file.

    Raises:
        ValueError: If the file is not UTF-8, is too large, or is a corrupt gzip file.
    """
    with file.path.open("rb") as raw:
        compressed = raw.read(len(_GZIP)) == _GZIP
    try:
        with gzip.open(file.path) if compressed else file.path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"Cannot read {file.origin}: truncated or corrupt gzip file. Download or copy the file again."
        ) from error
    if len(data) > _MAX_BYTES:
        raise ValueError(f"Expected at most {_MAX_BYTES} bytes of words in {file.origin}, got more.")
    try:
        lines = data.decode("utf-8").split("\n")  # str.splitlines would also split at other characters
    except UnicodeDecodeError as error:
        raise ValueError(f"Cannot decode {file.origin} as UTF-8: {error}.") from error
    return [line.strip() for line in (lines if lines[-1] else lines[:-1])]
