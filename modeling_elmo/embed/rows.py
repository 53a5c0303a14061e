# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Assignment of input rows to shards. It depends only on the input and the bad-row policy."""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from ..encode.batches import Sentence, Window
from .files import SentenceKeys
from .inputs import InputRow
from .shards import RowRange, SavedShard, Statistics

STOP, SKIP, EMPTY = "stop", "skip", "empty"
ERRORS = (STOP, SKIP, EMPTY)
# A shard ends early if its sentences are longer on average. This bounds the memory per shard.
MAX_MEAN_CHARACTERS_PER_ROW = 200
_MAX_WARNINGS = 20


def warn(message: str) -> None:
    """Print a one-line warning to stderr, above the progress bar."""
    tqdm.write(f"elmo: warning: {message}", file=sys.stderr)


@dataclass
class Shard:
    """Sentences and statistics of one shard."""

    index: int
    first_row: int = 0
    rows: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    sentences: list[Sentence] = field(default_factory=list)
    num_characters: int = 0
    statistics: Statistics = field(default_factory=Statistics)
    digest: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16), compare=False)

    @property
    def row_range(self) -> RowRange:
        """Rows that were counted so far."""
        return RowRange(self.first_row, self.statistics.rows, self.digest.hexdigest())

    def count(self, row: InputRow) -> None:
        """Count an input row, whether or not its sentence is added."""
        self.statistics.rows += 1
        # `ascii` separates the words of a list, and is the same in every version of Python.
        self.digest.update(ascii((row.sentence, row.error is None)).encode())

    def add(self, row: int, sentence: Sentence, text: str) -> None:
        """Add the sentence of an input row."""
        self.rows.append(row)
        self.texts.append(text)
        self.sentences.append(sentence)
        self.num_characters += len(text)
        self.statistics.sentences += 1


class RowPolicy:
    """Policy that adds each row to its shard, skips it, or stops the job.

    Args:
        name: Name of the input, for messages.
        errors: Action for bad rows: `"stop"`, `"skip"`, or `"empty"`, which writes a sentence without words.
        is_split_into_words: Whether strings are words separated by whitespace.
        use_sentence_keys: Whether sentences name the HDF5 datasets. Empty and repeated sentences are then skipped.
            Sentences that are no valid names are bad rows, and `"empty"` skips them too.

    Raises:
        ValueError: If `errors` is unknown.
    """

    def __init__(self, name: str, errors: str, is_split_into_words: bool, use_sentence_keys: bool) -> None:
        if errors not in ERRORS:
            raise ValueError(f"Expected `errors` to be one of {', '.join(map(repr, ERRORS))}, got {errors!r}.")
        self.name, self.errors, self.is_split_into_words = name, errors, is_split_into_words
        self.keys = SentenceKeys() if use_sentence_keys else None
        self.stop_message: str | None = None  # set when a bad row stops the job
        self._num_warnings = 0

    def add_row(self, row: InputRow, shard: Shard, is_new: bool) -> None:
        """Add a row to the shard, or count it as skipped.

        Args:
            row: Row to add.
            shard: Shard of the row.
            is_new: Whether no earlier run has reported the row.
        """
        sentence, error = row.sentence, row.error
        text = sentence.strip() if isinstance(sentence, str) else " ".join(sentence)
        if self.keys is not None and error is None:
            if not text or self.keys.contains(text):
                shard.statistics.skipped_sentences += 1
                return
            error = self.keys.try_add(text)
        if error is not None:
            message = f"{self.name}, {row.location}: {error}."
            if self.errors == STOP:
                self.stop_message = f"Cannot embed {message} Pass --errors skip or --errors empty to continue."
                return
            is_skipped = self.errors == SKIP or self.keys is not None
            shard.statistics.bad_rows += 1
            if is_new:
                self._warn(f"{'Skipped' if is_skipped else 'Wrote no words for'} {message}")
            if is_skipped:
                return
            sentence, text = [], ""
        if isinstance(sentence, str) and self.is_split_into_words:
            sentence = sentence.split()
        shard.add(row.index, sentence, text)

    def _warn(self, message: str) -> None:
        self._num_warnings += 1
        if self._num_warnings <= _MAX_WARNINGS:
            warn(message)
        if self._num_warnings == _MAX_WARNINGS:
            warn("Further bad rows are counted but not shown.")


class ShardPlan:
    """Row ranges of the shards, recorded while `shard_windows` reads the input.

    Args:
        completed: Existing shards by index.
    """

    def __init__(self, completed: Mapping[int, SavedShard]) -> None:
        self.completed = completed
        self.row_ranges: list[RowRange] = []
        self.num_encoded = 0

    def add(self, shard: Shard) -> bool:
        """Record the range of the next shard, and return whether the shard must be encoded."""
        self.row_ranges.append(shard.row_range)
        saved = self.completed.get(shard.index)
        if saved is not None and saved.row_range == shard.row_range:
            return False
        if saved is not None:
            warn(f"Embedding shard {shard.index} again, because its rows are not those of the input.")
        self.num_encoded += 1
        return True


def shard_windows(
    rows: Iterable[InputRow], policy: RowPolicy, rows_per_shard: int, plan: ShardPlan
) -> Iterator[Window]:
    """Yield the missing shards as windows whose label is the `Shard`, until the policy stops.

    Args:
        rows: All rows of the input.
        policy: Policy for the rows.
        rows_per_shard: Maximum number of rows per shard.
        plan: Existing shards. The row ranges of all shards are added to it.
    """
    shard = Shard(0)
    max_characters = rows_per_shard * MAX_MEAN_CHARACTERS_PER_ROW
    for row in rows:
        if shard.statistics.rows == rows_per_shard or shard.num_characters >= max_characters:
            if plan.add(shard):
                yield Window(shard.sentences, shard)
            shard = Shard(shard.index + 1, shard.first_row + shard.statistics.rows)
        shard.count(row)
        policy.add_row(row, shard, is_new=shard.index not in plan.completed)
        if policy.stop_message is not None:
            return
    # The first shard is written even without rows, so that the output has its columns.
    if plan.add(shard):
        yield Window(shard.sentences, shard)
