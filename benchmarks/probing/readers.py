# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The labelled sets of the probes: sentences of words, and what is known of them.

Every set is a folder of tab-separated UTF-8 files: `pos_ud_ewt` (word, UPOS, ...; an empty line after each sentence),
`ner_wnut17` (word, IOB2 tag), `wic` (T or F, lemma, part of speech, two word indices, two sentences) and `coarsewsd20`
(`WORD.train.tsv`: sense number, sense name, word index, sentence). A line that is otherwise is a ValueError.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Words = list[str]


@dataclass(frozen=True)
class Tagged:
    """A sentence with a tag for each word."""

    words: Words
    tags: list[str]


@dataclass(frozen=True)
class WordInContext:
    """One occurrence of a word: the sentence, and where in it the word stands."""

    words: Words
    index: int


@dataclass(frozen=True)
class Pair:
    """Two occurrences of one word, and whether they have one sense."""

    first: WordInContext
    second: WordInContext
    is_same: bool


@dataclass(frozen=True)
class Sense:
    """An occurrence of a word with its sense."""

    occurrence: WordInContext
    sense: str


def _columns(path: Path, least: int) -> Iterator[tuple[int, list[str]]]:
    """Line number and columns of each line that is not empty; an empty one has no columns."""
    if not path.is_file():
        raise FileNotFoundError(f"the data must have the file {path}.")
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            columns = line.rstrip("\n").split("\t") if line.strip() else []
            if columns and len(columns) < least:
                raise ValueError(f"{path}, line {number}, must have {least} columns; got {len(columns)}.")
            yield number, columns


def read_tagged(path: Path) -> list[Tagged]:
    """Sentences of words and tags, one word a line: the first two columns."""
    sentences: list[Tagged] = []
    words: Words = []
    tags: list[str] = []
    for _, columns in _columns(path, 2):
        if columns:
            words.append(columns[0])
            tags.append(columns[1])
        elif words:
            sentences.append(Tagged(words, tags))
            words, tags = [], []
    return [*sentences, Tagged(words, tags)] if words else sentences


def read_ambiguous(path: Path) -> dict[str, frozenset[str]]:
    """Words in lower case and their tags, from lines like `about<TAB>ADP:298 ADV:87`."""
    return {
        columns[0]: frozenset(entry.rpartition(":")[0] for entry in columns[1].split())
        for _, columns in _columns(path, 2)
        if columns
    }


def _occurrence(path: Path, number: int, index: str, sentence: str) -> WordInContext:
    words = sentence.split()
    if not index.isdecimal() or int(index) >= len(words):
        raise ValueError(f"{path}, line {number}, must name one of {len(words)} words; got {index!r}.")
    return WordInContext(words, int(index))


def read_wic(path: Path) -> list[Pair]:
    """Pairs of occurrences."""
    return [
        Pair(
            _occurrence(path, number, columns[3], columns[5]),
            _occurrence(path, number, columns[4], columns[6]),
            columns[0] == "T",
        )
        for number, columns in _columns(path, 7)
        if columns
    ]


def read_senses(path: Path) -> list[Sense]:
    """Occurrences of one word with their senses."""
    return [
        Sense(_occurrence(path, number, columns[2], columns[3]), columns[1])
        for number, columns in _columns(path, 4)
        if columns
    ]


def read_coarse_wsd(folder: Path) -> dict[str, list[Sense]]:
    """Each word's occurrences, in order of the words."""
    found = {path.name.split(".")[0]: read_senses(path) for path in sorted(folder.glob("*.train.tsv"))}
    if not found:
        raise FileNotFoundError(f"the data must have files like {folder / 'apple.train.tsv'}.")
    return found


def model_words(words: Words) -> Words:
    """Treebank's `did n't` as ELMo's training text writes it, `didn 't`; as many words as before."""
    result = list(words)
    for place in range(1, len(words)):
        if words[place].lower() in ("n't", "n’t"):
            result[place - 1] += words[place][0]
            result[place] = words[place][1:]
    return result
