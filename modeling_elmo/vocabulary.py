# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The words that the language model predicts: counted, kept as `vocab.txt` beside the weights, looked up."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .model.alphabet_elmo import UNKNOWN_WORD

BOS_WORD, EOS_WORD = "<S>", "</S>"
MARKS = (BOS_WORD, EOS_WORD, UNKNOWN_WORD)
FILE_NAME = "vocab.txt"


def count_words(sentences: Iterable[Sequence[str]]) -> Counter[str]:
    """How often each word occurs."""
    counts: Counter[str] = Counter()
    for sentence in sentences:
        counts.update(sentence)
    return counts


def most_frequent(counts: Counter[str], min_count: int = 1, max_words: int | None = None) -> list[str]:
    """`<S>`, `</S>`, `<UNK>` and the words by falling frequency, equal ones by code point.

    Args:
        min_count: leave out words that are rarer.
        max_words: length of the result at most, the three marks included.
    """
    kept = [(word, count) for word, count in counts.items() if count >= min_count and word not in MARKS]
    kept.sort(key=lambda item: (-item[1], item[0]))
    words = [*MARKS, *(word for word, _ in kept)]
    return words if max_words is None else words[: max(len(MARKS), max_words)]


class LmVocabulary:
    """Words and their ids, which are line numbers from 0, as in bilm-tf's vocabulary files."""

    def __init__(self, words: Sequence[str], name: str = "the vocabulary") -> None:
        self.words = list(words)
        self.ids = {word: index for index, word in enumerate(self.words)}
        if len(self.ids) < len(self.words):
            twice = next(word for index, word in enumerate(self.words) if self.ids[word] != index)
            raise ValueError(f"{name} must have every word once; got {twice!r} twice.")
        missing = [mark for mark in MARKS if mark not in self.ids]
        if missing:
            raise ValueError(f"{name} must have the words {', '.join(MARKS)}; {', '.join(missing)} is missing.")
        self.bos, self.eos, self.unknown = (self.ids[mark] for mark in MARKS)

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "LmVocabulary":
        """From a file with one word a line, or a model folder that has it."""
        file = Path(path)
        file = file / FILE_NAME if file.is_dir() else file
        if not file.is_file():
            raise FileNotFoundError(f"the vocabulary must be a file with one word a line; {file} does not exist.")
        try:
            with file.open(encoding="utf-8") as lines:
                return cls([line.rstrip("\n") for line in lines], str(file))
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} must be text in UTF-8; {error}.") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """One word a line; into a folder as `vocab.txt`."""
        file = Path(path)
        file = file / FILE_NAME if file.is_dir() else file
        file.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """Ids of words, int64 [len(words)]; `<UNK>`'s for those that are not there."""
        return np.fromiter((self.ids.get(word, self.unknown) for word in words), np.int64, len(words))
