# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Readers of text, JSON Lines, CSV, and Parquet files. They yield a bad row with an error message and do not raise."""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..encode.batches import TEXT_COLUMNS, Sentence, find_text_column
from ..interrupts import standard_input
from ..messages import format_names

STANDARD_INPUT = "-"
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
FORMATS = ("text", "jsonl", "csv", "tsv", "parquet")
_CHUNK_SIZE = 1 << 20  # in bytes
_NOT_UTF8 = "expected UTF-8 text, got other bytes"


@dataclass(frozen=True)
class InputRow:
    """One row of the input: a sentence, or the error that makes it a bad row.

    Attributes:
        index: Index among all rows, from 0.
        location: Position for messages: "line 17", counted from 1 as in editors, or "row 16" of a table.
        sentence: Sentence of the row.
        error: Error message, or None for a good row.
    """

    index: int
    location: str
    sentence: Sentence = ""
    error: str | None = None


@dataclass(frozen=True)
class Input:
    """Source of the rows.

    Args:
        path: File, or `"-"` for standard input.
        format: One of `FORMATS`. Defaults to the format of the file's suffix, or text for an unknown suffix.
        column: Column of the sentences. Defaults to the first of `text`, `sentence`, `words`, and `tokens` that exists.
        max_characters: Maximum number of characters per sentence. A longer sentence is a bad row.
    """

    path: str
    format: str | None = None
    column: str | None = None
    max_characters: int = 100_000

    @property
    def is_standard_input(self) -> bool:
        """Whether the rows come from standard input."""
        return self.path == STANDARD_INPUT

    @property
    def resolved_format(self) -> str:
        """Format of the rows, from `format` or the suffix."""
        return self.format or SUFFIXES.get(Path(self.path).suffix.lower(), "text")

    def read_rows(self) -> Iterator[InputRow]:
        """Yield all rows, in bounded memory.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If the file has no column of sentences, or if Parquet comes from standard input.
        """
        if self.resolved_format == "parquet":
            if self.is_standard_input:
                raise ValueError("Cannot read Parquet from standard input. Pass a file.")
            yield from self._with_errors(_read_parquet(self.path, self.column))
        elif self.is_standard_input:
            yield from self._with_errors(self._read_text_format(standard_input()))
        else:
            with Path(self.path).open("rb") as file:
                yield from self._with_errors(self._read_text_format(file))

    def _read_text_format(self, file: BinaryIO) -> Iterator[InputRow]:
        lines = _read_lines(file, 4 * self.max_characters)  # in bytes: a UTF-8 character has at most 4
        if self.resolved_format == "text":
            return _read_text(lines)
        if self.resolved_format == "jsonl":
            return _read_json_lines(lines, self.column)
        return _read_csv(lines, self.column, "," if self.resolved_format == "csv" else "\t", self.max_characters)

    def _with_errors(self, rows: Iterable[InputRow]) -> Iterator[InputRow]:
        """Yield the rows; those whose sentence is invalid get an error."""
        for row in rows:
            error = row.error or _sentence_error(row.sentence, self.max_characters)
            yield row if error is None else InputRow(row.index, row.location, "", error)

    def hash_and_count_rows(self) -> tuple[str, int]:
        """Return the file's sha256 and its approximate number of rows: lines, or rows of a table."""
        sha256, num_lines = hash_and_count_lines(Path(self.path))
        is_table = self.resolved_format == "parquet"
        return sha256, pq.read_metadata(self.path).num_rows if is_table else num_lines

    def is_unchanged(self, sha256: str) -> bool:
        """Return whether the file still has this digest."""
        try:
            return hash_and_count_lines(Path(self.path))[0] == sha256
        except OSError:
            return False


def hash_and_count_lines(path: Path) -> tuple[str, int]:
    """Return the sha256 of a file and its number of line ends."""
    digest, num_lines = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_SIZE):
            digest.update(chunk)
            num_lines += chunk.count(b"\n")
    return digest.hexdigest(), num_lines


def _sentence_error(sentence: Any, max_characters: int) -> str | None:
    """Return an error message if the sentence is invalid, else None."""
    if isinstance(sentence, str):
        pieces: Sequence[Any] = (sentence,)
    elif isinstance(sentence, list):
        pieces = sentence
    else:
        return f"expected a string or a list of words, got {type(sentence).__name__}"
    non_string = next((piece for piece in pieces if not isinstance(piece, str)), None)
    if non_string is not None or None in pieces:
        return f"expected strings as words, got {type(non_string).__name__}"
    length = sum(map(len, pieces))
    if length > max_characters:
        return f"expected at most {max_characters} characters, got {length}"
    if any("\ud800" <= character <= "\udfff" for piece in pieces for character in piece):
        return _NOT_UTF8
    return None


def _read_lines(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """Yield the lines without line ends. A line of more than `limit` bytes is cut right after the limit."""
    is_first = True
    while line := file.readline(limit + 3):
        rest = line
        while not rest.endswith(b"\n") and len(rest) >= limit + 3:
            rest = file.readline(limit + 3)
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        yield line.removeprefix(b"\xef\xbb\xbf") if is_first else line
        is_first = False


def _decode(line: bytes) -> str:
    # Invalid bytes become lone surrogates, which `_sentence_error` detects.
    return line.decode("utf-8", "surrogateescape")


def _read_text(lines: Iterable[bytes]) -> Iterator[InputRow]:
    for index, line in enumerate(lines):
        yield InputRow(index, f"line {index + 1}", _decode(line))


def _read_json_lines(lines: Iterable[bytes], column: str | None) -> Iterator[InputRow]:
    for index, line in enumerate(lines):
        location = f"line {index + 1}"
        try:
            value = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            yield InputRow(index, location, error=_NOT_UTF8)
        except (ValueError, RecursionError) as error:
            yield InputRow(index, location, error=f"expected JSON: {error}")
        else:
            if not isinstance(value, dict) and column is None:
                yield InputRow(index, location, value)
                continue
            names = TEXT_COLUMNS if column is None else (column,)
            name = find_text_column(value, column) if isinstance(value, dict) else None
            if name is None:
                yield InputRow(index, location, error=f"the key {' or '.join(map(repr, names))} is missing")
            else:
                yield InputRow(index, location, value[name])


def _read_csv(lines: Iterable[bytes], column: str | None, delimiter: str, max_characters: int) -> Iterator[InputRow]:
    # Without a limit, an unclosed quote would read the whole file as one field. The limit is global in Python.
    previous_limit = csv.field_size_limit(max(max_characters + 1, 131_072))
    try:
        reader = csv.reader((f"{_decode(line)}\n" for line in lines), delimiter=delimiter)
        try:
            header = next(reader, [])
        except csv.Error as error:
            raise ValueError(f"Cannot read the header of the input: expected CSV: {error}.") from error
        position = header.index(_find_column(header, column))
        for index in count():
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield InputRow(index, f"line {reader.line_num}", error=f"expected CSV: {error}")
            else:
                location = f"line {reader.line_num}"
                if position < len(fields):
                    yield InputRow(index, location, fields[position])
                else:
                    counts = f"{len(fields)} of {len(header)} columns exist"
                    yield InputRow(index, location, error=f"the column {header[position]!r} is missing, {counts}")
    finally:
        csv.field_size_limit(previous_limit)


def _read_parquet(path: str, column: str | None) -> Iterator[InputRow]:
    with pq.ParquetFile(path) as file:
        name = _find_column(file.schema_arrow.names, column)
        index = 0
        for batch in file.iter_batches(batch_size=1024, columns=[name]):
            values = batch.column(0)
            is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
            # A string column can contain invalid UTF-8, which is readable only as bytes.
            for value in values.cast(pa.large_binary()).to_pylist() if is_text else values.to_pylist():
                sentence = _decode(value) if isinstance(value, bytes) else value
                yield InputRow(index, f"row {index} (from 0)", sentence)
                index += 1


def _find_column(names: Sequence[str], column: str | None) -> str:
    """Return the name of the column with the sentences.

    Raises:
        ValueError: If the column does not exist.
    """
    name = find_text_column(names, column)
    if name is None:
        expected = f"the column {column!r}" if column is not None else f"one of the columns {', '.join(TEXT_COLUMNS)}"
        columns = format_names(map(repr, names))
        raise ValueError(f"Expected {expected} in the input, got {columns}. Pass --column to name it.")
    return name
