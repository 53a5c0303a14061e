# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Output vocabulary of the language model: counting words, `vocab.txt` in the model folder, and lookup."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .files import atomic_file
from .model.alphabet_elmo import UNKNOWN_WORD

BOS_TOKEN, EOS_TOKEN = "<S>", "</S>"
SPECIAL_TOKENS = (BOS_TOKEN, EOS_TOKEN, UNKNOWN_WORD)
FILE_NAME = "vocab.txt"


def count_words(sentences: Iterable[Sequence[str]]) -> Counter[str]:
    """Count the occurrences of each word."""
    counts: Counter[str] = Counter()
    for sentence in sentences:
        counts.update(sentence)
    return counts


def most_frequent(counts: Counter[str], min_count: int = 1, max_words: int | None = None) -> list[str]:
    """Return `<S>`, `</S>`, `<UNK>`, and the words by decreasing count, then by code point.

    Args:
        counts: Count of each word.
        min_count: Minimum count of a word. Rarer words are skipped.
        max_words: Maximum length of the result, special tokens included. Defaults to no limit.
    """
    kept = [(word, count) for word, count in counts.items() if count >= min_count and word not in SPECIAL_TOKENS]
    kept.sort(key=lambda item: (-item[1], item[0]))
    words = [*SPECIAL_TOKENS, *(word for word, _ in kept)]
    return words if max_words is None else words[: max(len(SPECIAL_TOKENS), max_words)]


def vocabulary_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a vocabulary: `vocab.txt` if `path` is a folder, else `path` itself."""
    return Path(path, FILE_NAME) if os.path.isdir(path) else Path(path)


class LMVocabulary:
    """Words and their ids, which are line numbers from 0, as in the vocabulary files of bilm-tf.

    Args:
        words: Words in the order of their ids, `<S>`, `</S>`, and `<UNK>` among them.
        name: Name of the vocabulary in error messages.

    Raises:
        ValueError: If a word occurs twice or a special token is missing.
    """

    def __init__(self, words: Sequence[str], name: str = "the vocabulary") -> None:
        self.words = list(words)
        self.ids = {word: index for index, word in enumerate(self.words)}
        if len(self.ids) < len(self.words):
            duplicate = next(word for index, word in enumerate(self.words) if self.ids[word] != index)
            raise ValueError(f"Expected distinct words in {name}, got {duplicate!r} twice.")
        missing = [token for token in SPECIAL_TOKENS if token not in self.ids]
        if missing:
            raise ValueError(
                f"Expected the words {', '.join(SPECIAL_TOKENS)} in {name}, but {', '.join(missing)} is missing."
            )
        self.bos_id, self.eos_id, self.unk_id = (self.ids[token] for token in SPECIAL_TOKENS)

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "LMVocabulary":
        """Read a file with one word per line.

        Args:
            path: File, or model folder that contains `vocab.txt`.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file is not UTF-8, repeats a word, or lacks a special token.
        """
        file = vocabulary_file(path)
        if not file.is_file():
            raise FileNotFoundError(f"Expected a vocabulary file with one word per line, but {file} does not exist.")
        try:
            with file.open(encoding="utf-8-sig") as lines:
                return cls([line.rstrip("\n") for line in lines], str(file))
        except UnicodeDecodeError as error:
            raise ValueError(f"Cannot read {file} as UTF-8: {error}. Convert the file to UTF-8.") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write one word per line to a file, or to `vocab.txt` in a folder. The file is written atomically."""
        with atomic_file(vocabulary_file(path)) as file:
            file.write("".join(f"{word}\n" for word in self.words).encode())

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """Return the ids of words, int64 [len(words)]. Unknown words get the id of `<UNK>`."""
        return np.fromiter((self.ids.get(word, self.unk_id) for word in words), np.int64, len(words))
