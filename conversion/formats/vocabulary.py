# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Vocabulary files with one word per line: `vocab.txt`, or `vocab.txt.gz` as in the NLPL repository."""

import gzip
import zlib
from pathlib import Path

from ..source.fetch import SourceFile

NAMES = ("vocab.txt", "vocab.txt.gz")
_PATTERNS = ("vocab*.txt", "vocab*.txt.gz")
_GZIP = b"\x1f\x8b"
_MAX_BYTES = 1 << 27  # the largest published vocabulary has 8 MB
_MAX_WORDS = 5_000_000  # each takes at least 60 bytes of memory
_MAX_WORD_BYTES = 1 << 16


def find_vocabulary(folder: Path) -> SourceFile | None:
    """Return `vocab.txt` or `vocab.txt.gz` of a folder, or the only file with a similar name, or None."""
    exact = [folder / name for name in NAMES if (folder / name).is_file()]
    paths = exact or [path for pattern in _PATTERNS for path in folder.glob(pattern) if path.is_file()]
    return SourceFile(paths[0], paths[0].name) if exact or len(paths) == 1 else None


def format_count(words: list[str], expected: int) -> str:
    """Return the number of words that `read_words` returned, for a message."""
    return str(len(words)) if len(words) <= expected else "more"


def read_words(file: SourceFile, expected: int | None = None) -> list[str]:
    """Return the words of a vocabulary file.

    Args:
        file: Text file, or gzip file of one.
        expected: Number of words. One more is read at most, so that the caller notices the surplus. Defaults to the
            maximum.

    Raises:
        ValueError: If the file is not UTF-8, is too large, or is a corrupt gzip file.
    """
    max_words = _MAX_WORDS if expected is None else min(expected, _MAX_WORDS)
    with file.path.open("rb") as raw:
        compressed = raw.read(len(_GZIP)) == _GZIP
    words: list[str] = []
    num_bytes = 0
    try:
        with gzip.open(file.path) if compressed else file.path.open("rb") as stream:
            # Binary files end lines only at b"\n"; str.splitlines would also split at other characters.
            while len(words) <= max_words and (line := stream.readline(_MAX_WORD_BYTES + 1)):
                num_bytes += len(line)
                if len(line) > _MAX_WORD_BYTES or num_bytes > _MAX_BYTES:
                    raise ValueError(
                        f"Expected at most {_MAX_BYTES} bytes, and {_MAX_WORD_BYTES} per word, in {file.origin}, "
                        "got more."
                    )
                words.append(line.decode("utf-8").strip())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"Cannot read {file.origin}: truncated or corrupt gzip file. Download or copy the file again."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"Cannot decode {file.origin} as UTF-8: {error}.") from error
    if expected is None and len(words) > _MAX_WORDS:
        raise ValueError(f"Expected at most {_MAX_WORDS} words in {file.origin}, got more.")
    return words
