# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Rows of text, JSON lines, CSV and Parquet, one at a time; what is wrong with a row is said, not raised."""

import csv
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..encode.batches import Sentence
from ..encoder import TEXT_COLUMNS

STANDARD_INPUT = "-"
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
FORMATS = ("text", "jsonl", "csv", "tsv", "parquet")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Row:
    """One row of the input: a sentence, or what is wrong with it."""

    index: int  # of all rows, from 0
    place: str  # "line 17", counted as editors do, or "row 16" of a table
    sentence: Sentence = ""
    problem: str | None = None


@dataclass(frozen=True)
class Input:
    """Where rows come from.

    Args:
        path: a file, or `"-"` for standard input.
        format: one of FORMATS; None to go by the file's suffix, text for an unknown one.
        column: the sentences; None for `text`, `sentence`, `words` or `tokens`, whichever there is.
        max_characters: a longer sentence is a problem.
    """

    path: str
    format: str | None = None
    column: str | None = None
    max_characters: int = 100_000

    @property
    def is_standard_input(self) -> bool:
        return self.path == STANDARD_INPUT

    @property
    def kind(self) -> str:
        return self.format or SUFFIXES.get(Path(self.path).suffix.lower(), "text")

    def rows(self) -> Iterator[Row]:
        """All rows, with bounded memory. OSError or ValueError if the file as a whole cannot be read."""
        if self.kind == "parquet":
            if self.is_standard_input:
                raise ValueError("Parquet must be read from a file; got standard input.")
            yield from self._checked(_parquet(self.path, self.column))
        elif self.is_standard_input:
            yield from self._checked(self._lines(sys.stdin.buffer))
        else:
            with Path(self.path).open("rb") as file:
                yield from self._checked(self._lines(file))

    def _lines(self, file: BinaryIO) -> Iterator[Row]:
        lines = _lines(file, 4 * self.max_characters)  # bytes; no character of UTF-8 has more than 4
        if self.kind == "text":
            return _text(lines)
        if self.kind == "jsonl":
            return _json_lines(lines, self.column)
        return _csv(lines, self.column, "," if self.kind == "csv" else "\t", self.max_characters)

    def _checked(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            problem = row.problem or _problem(row.sentence, self.max_characters)
            yield row if problem is None else Row(row.index, row.place, "", problem)

    def digest(self) -> tuple[str, int | None]:
        """The file's sha256 and about how many rows it has: lines, or a table's rows."""
        digest, lines = hashlib.sha256(), 0
        with Path(self.path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                lines += chunk.count(b"\n")
        return digest.hexdigest(), pq.read_metadata(self.path).num_rows if self.kind == "parquet" else lines


def _problem(sentence: Any, max_characters: int) -> str | None:
    """What is wrong with a sentence as such."""
    if isinstance(sentence, str):
        pieces: Sequence[Any] = (sentence,)
    elif isinstance(sentence, list):
        pieces = sentence
    else:
        return f"must be a string or a list of words; got {type(sentence).__name__}"
    wrong = next((piece for piece in pieces if not isinstance(piece, str)), None)
    if wrong is not None or None in pieces:
        return f"must have strings for words; got {type(wrong).__name__}"
    length = sum(map(len, pieces))
    if length > max_characters:
        return f"must have at most {max_characters} characters; got {length}"
    if any("\ud800" <= character <= "\udfff" for piece in pieces for character in piece):
        return "must be UTF-8; it is not"
    return None


def _lines(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """Lines without their ends; of one longer than `limit` bytes only so much that it is seen to be too long."""
    first = True
    while line := file.readline(limit + 3):
        rest = line
        while not rest.endswith(b"\n") and len(rest) >= limit + 3:
            rest = file.readline(limit + 3)
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line
        first = False


def _decoded(line: bytes) -> str:
    # What is no UTF-8 becomes lone surrogates, which `_problem` finds.
    return line.decode("utf-8", "surrogateescape")


def _text(lines: Iterable[bytes]) -> Iterator[Row]:
    for index, line in enumerate(lines):
        yield Row(index, f"line {index + 1}", _decoded(line))


def _json_lines(lines: Iterable[bytes], column: str | None) -> Iterator[Row]:
    for index, line in enumerate(lines):
        place = f"line {index + 1}"
        try:
            value = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            yield Row(index, place, problem="must be UTF-8; it is not")
        except (ValueError, RecursionError) as error:
            yield Row(index, place, problem=f"must be JSON; {error}")
        else:
            if not isinstance(value, dict) and column is None:
                yield Row(index, place, value)
                continue
            names = TEXT_COLUMNS if column is None else (column,)
            name = next((name for name in names if isinstance(value, dict) and name in value), None)
            if name is None:
                yield Row(index, place, problem=f"must have the key {' or '.join(map(repr, names))}; it has not")
            else:
                yield Row(index, place, value[name])


def _csv(lines: Iterable[bytes], column: str | None, delimiter: str, max_characters: int) -> Iterator[Row]:
    # csv's limit keeps a quote that nothing closes from swallowing the file; it is one for all of Python.
    before = csv.field_size_limit(max(max_characters + 1, 131_072))
    try:
        reader = csv.reader((f"{_decoded(line)}\n" for line in lines), delimiter=delimiter)
        header = next(reader, [])
        place = header.index(_table_column(header, column))
        for index in count():
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(index, f"line {reader.line_num}", problem=f"must be CSV; {error}")
            else:
                where = f"line {reader.line_num}"
                if place < len(fields):
                    yield Row(index, where, fields[place])
                else:
                    problem = f"must have the column {header[place]!r}; it has {len(fields)} of {len(header)} columns"
                    yield Row(index, where, problem=problem)
    finally:
        csv.field_size_limit(before)


def _parquet(path: str, column: str | None) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        name = _table_column(file.schema_arrow.names, column)
        index = 0
        for batch in file.iter_batches(batch_size=1024, columns=[name]):
            values = batch.column(0)
            is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
            # Files may hold strings that are no UTF-8; as bytes they can be read.
            for value in values.cast(pa.large_binary()).to_pylist() if is_text else values.to_pylist():
                yield Row(index, f"row {index} (from 0)", _decoded(value) if isinstance(value, bytes) else value)
                index += 1


def _table_column(names: Sequence[str], column: str | None) -> str:
    """The column with the sentences; ValueError if it is not there."""
    name = next((name for name in ((column,) if column is not None else TEXT_COLUMNS) if name in names), None)
    if name is None:
        expected = repr(column) if column is not None else f"{', '.join(TEXT_COLUMNS)}, or one that --column names"
        raise ValueError(f"the input must have the column {expected}; it has {', '.join(map(repr, names)) or 'none'}.")
    return name
