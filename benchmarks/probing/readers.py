# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Readers of the labeled data sets.

Every data set is a folder of tab-separated UTF-8 files: `pos_ud_ewt` (word, UPOS, ...; an empty line after each
sentence), `ner_wnut17` (word, IOB2 tag), `wic` (T or F, lemma, part of speech, two word indices, two sentences), and
`coarsewsd20` (`WORD.train.tsv`: sense id, sense name, word index, sentence). Invalid lines raise a ValueError.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Words = list[str]


@dataclass(frozen=True)
class TaggedSentence:
    """Sentence with one tag per word."""

    words: Words
    tags: list[str]


@dataclass(frozen=True)
class WordInContext:
    """Occurrence of a word: the sentence and the index of the word."""

    words: Words
    index: int


@dataclass(frozen=True)
class WordPair:
    """Two occurrences of a word, and whether they have the same sense."""

    first: WordInContext
    second: WordInContext
    is_same: bool


@dataclass(frozen=True)
class LabeledOccurrence:
    """Occurrence of a word with its sense."""

    occurrence: WordInContext
    sense: str


def _columns(path: Path, min_columns: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the columns of each line. An empty line has no columns."""
    if not path.is_file():
        raise FileNotFoundError(f"Expected the data file {path}, which does not exist.")
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            columns = line.rstrip("\n").split("\t") if line.strip() else []
            if columns and len(columns) < min_columns:
                raise ValueError(
                    f"Expected at least {min_columns} columns in {path}, line {number}, got {len(columns)}."
                )
            yield number, columns


def read_tagged(path: Path) -> list[TaggedSentence]:
    """Return the sentences of a file with one word per line; the first two columns are word and tag."""
    sentences: list[TaggedSentence] = []
    words: Words = []
    tags: list[str] = []
    for _, columns in _columns(path, 2):
        if columns:
            words.append(columns[0])
            tags.append(columns[1])
        elif words:
            sentences.append(TaggedSentence(words, tags))
            words, tags = [], []
    return [*sentences, TaggedSentence(words, tags)] if words else sentences


def read_ambiguous(path: Path) -> dict[str, frozenset[str]]:
    """Return lowercase words and their tags, from lines such as `about<TAB>ADP:298 ADV:87`."""
    return {
        columns[0]: frozenset(entry.rpartition(":")[0] for entry in columns[1].split())
        for _, columns in _columns(path, 2)
        if columns
    }


def _occurrence(path: Path, number: int, index: str, sentence: str) -> WordInContext:
    words = sentence.split()
    if not index.isdecimal() or int(index) >= len(words):
        raise ValueError(f"Expected a word index below {len(words)} in {path}, line {number}, got {index!r}.")
    return WordInContext(words, int(index))


def read_wic(path: Path) -> list[WordPair]:
    """Return the pairs of occurrences of a file."""
    return [
        WordPair(
            _occurrence(path, number, columns[3], columns[5]),
            _occurrence(path, number, columns[4], columns[6]),
            columns[0] == "T",
        )
        for number, columns in _columns(path, 7)
        if columns
    ]


def read_senses(path: Path) -> list[LabeledOccurrence]:
    """Return the occurrences of one word with their senses."""
    return [
        LabeledOccurrence(_occurrence(path, number, columns[2], columns[3]), columns[1])
        for number, columns in _columns(path, 4)
        if columns
    ]


def read_coarse_wsd(folder: Path) -> dict[str, list[LabeledOccurrence]]:
    """Return the occurrences of each word, sorted by word."""
    occurrences = {path.name.split(".")[0]: read_senses(path) for path in sorted(folder.glob("*.train.tsv"))}
    if not occurrences:
        raise FileNotFoundError(f"Expected data files such as {folder / 'apple.train.tsv'}, got none.")
    return occurrences


def model_words(words: Words) -> Words:
    """Return the words with contractions split as in the training text: `did n't` of the Treebank becomes `didn 't`."""
    result = list(words)
    for index in range(1, len(words)):
        if words[index].lower() in ("n't", "n’t"):
            result[index - 1] += words[index][0]
            result[index] = words[index][1:]
    return result
