# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Rows of the input to shards: which row goes where depends on the input alone, and on the policy for bad rows."""

import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from tqdm import tqdm

from ..encode.batches import Sentence, Window
from .files import SentenceKeys
from .inputs import Row
from .shards import Statistics

STOP, SKIP, EMPTY = "stop", "skip", "empty"
ERRORS = (STOP, SKIP, EMPTY)
# A shard ends early where sentences are so long on average: this bounds its memory.
CHARACTERS_A_ROW = 200
_MOST_WARNINGS = 20


def warn(message: str) -> None:
    """One line on stderr, above a progress bar if there is one."""
    tqdm.write(f"elmo: warning: {message}.", file=sys.stderr)


@dataclass
class Shard:
    """What a window's vectors need to become a shard."""

    index: int
    rows: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    sentences: list[Sentence] = field(default_factory=list)
    characters: int = 0
    statistics: Statistics = field(default_factory=Statistics)

    def add(self, row: int, sentence: Sentence, text: str) -> None:
        self.rows.append(row)
        self.texts.append(text)
        self.sentences.append(sentence)
        self.characters += len(text)
        self.statistics.sentences += 1


class RowPolicy:
    """What becomes of each row.

    Args:
        name: of the input, for messages.
        errors: `"stop"`, `"skip"`, or `"empty"`, which makes a bad row a sentence without words.
        is_split_into_words: whether strings are words between blanks.
        use_sentence_keys: whether sentences are names for HDF5. Empty ones and those that were there before are left
            out, and those that cannot be names are bad rows, left out under `"empty"` too.
    """

    def __init__(self, name: str, errors: str, is_split_into_words: bool, use_sentence_keys: bool) -> None:
        if errors not in ERRORS:
            raise ValueError(f"errors must be one of {', '.join(map(repr, ERRORS))}; got {errors!r}.")
        self.name, self.errors, self.is_split_into_words = name, errors, is_split_into_words
        self.keys = SentenceKeys() if use_sentence_keys else None
        self.stopped_by: str | None = None  # the message, once a bad row has stopped the job
        self._num_warnings = 0

    def take(self, row: Row, shard: Shard, is_new: bool) -> None:
        """Add the row to the shard, or count why not; `is_new` if the row has not been reported by an earlier run."""
        sentence, problem = row.sentence, row.problem
        text = sentence.strip() if isinstance(sentence, str) else " ".join(sentence)
        if self.keys is not None and problem is None:
            if not text or self.keys.is_known(text):
                shard.statistics.left_out += 1
                return
            problem = self.keys.problem(text)
        if problem is not None:
            message = f"{self.name}, {row.place}: the sentence {problem}"
            if self.errors == STOP:
                self.stopped_by = f"{message} (see --errors)."
                return
            shard.statistics.bad_rows += 1
            if is_new:
                self._warn(message)
            if self.errors == SKIP or self.keys is not None:
                return
            sentence, text = [], ""
        if isinstance(sentence, str) and self.is_split_into_words:
            sentence = sentence.split()
        shard.add(row.index, sentence, text)

    def _warn(self, message: str) -> None:
        self._num_warnings += 1
        if self._num_warnings <= _MOST_WARNINGS:
            warn(message)
        if self._num_warnings == _MOST_WARNINGS:
            warn("further bad rows are counted and not shown")


def shard_windows(rows: Iterable[Row], policy: RowPolicy, rows_a_shard: int, done: Collection[int]) -> Iterator[Window]:
    """The shards that are to be made, as windows with the `Shard` for a label; up to where the policy stops.

    Args:
        rows: all rows of the input.
        policy: what becomes of them.
        rows_a_shard: most rows in a shard.
        done: the numbers of the shards that are there.
    """
    shard = Shard(0)
    for row in rows:
        if shard.statistics.rows == rows_a_shard or shard.characters >= rows_a_shard * CHARACTERS_A_ROW:
            if shard.index not in done:
                yield Window(shard.sentences, shard)
            shard = Shard(shard.index + 1)
        shard.statistics.rows += 1
        policy.take(row, shard, is_new=shard.index not in done)
        if policy.stopped_by is not None:
            return
    if shard.index not in done:  # the first one also if there are no rows, so that the output has its columns
        yield Window(shard.sentences, shard)
