# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion between Arrow arrays of Spark columns and lists of sentences. Needs neither Spark nor a model.

There are three input types: `text` (a string column), `words` (array<string>), and annotations (Spark NLP's document
and token columns). The output is array<array<float>> for the first two, and Spark NLP's annotations for the third.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

DOCUMENT, TOKEN, WORD_EMBEDDINGS = "document", "token", "word_embeddings"  # Spark NLP's annotator types

# Spark's Arrow lists have 32-bit offsets.
_MAX_OFFSET = 2**31 - 1
_METADATA_KEYS = ("sentence", "token", "pieceId", "isWordStart", "isOOV")
_FLOATS = pa.list_(pa.field("element", pa.float32(), nullable=False))
_FIELDS = [
    pa.field("annotatorType", pa.string()),
    pa.field("begin", pa.int32(), nullable=False),
    pa.field("end", pa.int32(), nullable=False),
    pa.field("result", pa.string()),
    pa.field("metadata", pa.map_(pa.string(), pa.string())),
    pa.field("embeddings", _FLOATS),
]


@dataclass(frozen=True)
class Tokens:
    """Tokens that belong to a sentence, in the order of the sentences. Each field has one value per token."""

    begins: Ints
    ends: Ints
    results: list[str]
    sentence_names: list[str]


@dataclass(frozen=True)
class SentenceColumns:
    """Sentences of an Arrow batch of rows.

    Attributes:
        sentences: Sentences with at least one word, in the order of the rows: texts or lists of words.
        sentence_offsets: Index of the first sentence of each row, then the number of sentences, [rows + 1].
        num_words: Number of words per sentence, [sentences]. It is an estimate for texts, which are not split yet.
        tokens: For annotations, the values that are copied to the output.
    """

    sentences: list[Any]
    sentence_offsets: Ints
    num_words: Ints
    tokens: Tokens | None = None

    def iter_chunks(self, chunk_words: int) -> Iterator[tuple[int, int]]:
        """Yield bounds (start, stop) of consecutive rows with about `chunk_words` words, at least one row each."""
        total = np.concatenate(([0], np.cumsum(self.num_words)))[self.sentence_offsets]
        start = 0
        while start < len(total) - 1:
            stop = max(start + 1, int(np.searchsorted(total, total[start] + chunk_words, side="right")) - 1)
            yield start, stop
            start = stop


def read_texts(texts: pa.Array) -> SentenceColumns:
    """Read a string column [rows]. Null, empty, and whitespace-only rows have no sentence."""
    strings = [text or "" for text in texts.to_pylist()]
    has_sentence = np.array([not text.isspace() and text != "" for text in strings], np.int64)
    sentences = [text for text, is_sentence in zip(strings, has_sentence.tolist(), strict=True) if is_sentence]
    # English has about five characters per word, including the space.
    num_words = np.array([len(text) // 5 + 1 for text in sentences], np.int64)
    return SentenceColumns(sentences, _to_offsets(has_sentence), num_words)


def read_words(lists: pa.Array) -> SentenceColumns:
    """Read an array<string> column [rows]. Null and empty rows have no sentence; a null word has no characters."""
    lengths = _list_lengths(lists)
    words = [word or "" for word in lists.flatten().to_pylist()]
    bounds = _to_offsets(lengths).tolist()
    sentences = [words[start:end] for start, end in pairwise(bounds) if end > start]
    return SentenceColumns(sentences, _to_offsets((lengths > 0).astype(np.int64)), lengths[lengths > 0])


def read_annotations(first: pa.Array, second: pa.Array, document_first: bool | None = None) -> SentenceColumns:
    """Read the sentence and token columns of Spark NLP. A token belongs to each sentence that encloses it.

    As in Spark NLP, tokens outside of all sentences and sentences without tokens are skipped.

    Args:
        first: array<struct> column [rows] with the fields begin, end, result, and metadata.
        second: Column of the same type.
        document_first: Whether `first` holds the sentences. Defaults to the order of the annotations' types.

    Raises:
        ValueError: If the annotations' types are not those of sentences and tokens.
    """
    if document_first is None:
        document_first = _is_document_first(first, second)
    documents, tokens = (first, second) if document_first else (second, first)
    sentence_bounds, sentence_begins, sentence_ends, sentences = _read_structs(documents)
    names = _sentence_names(sentences, sentence_bounds)
    token_bounds, begins, ends, token_structs = _read_structs(tokens)
    results = [result or "" for result in token_structs.field("result").to_pylist()]

    token_indices: list[Ints] = []  # of each sentence
    sentence_names: list[str] = []
    sentences_per_row = np.zeros(len(first), np.int64)
    for row in range(len(first)):
        low, high = token_bounds[row], token_bounds[row + 1]
        order = low + np.argsort(begins[low:high], kind="stable")
        sorted_begins = begins[order]
        for sentence in range(sentence_bounds[row], sentence_bounds[row + 1]):
            begin, end = sentence_begins[sentence], sentence_ends[sentence]
            starts_inside = order[slice(*np.searchsorted(sorted_begins, [begin, end + 1]))]
            indices = np.sort(starts_inside[ends[starts_inside] <= end])
            if len(indices):
                token_indices.append(indices)
                sentence_names.append(names[sentence])
                sentences_per_row[row] += 1

    num_words = np.array([len(indices) for indices in token_indices], np.int64)
    flat = np.concatenate([*token_indices, np.zeros(0, np.int64)])
    return SentenceColumns(
        sentences=[[results[index] for index in indices.tolist()] for indices in token_indices],
        sentence_offsets=_to_offsets(sentences_per_row),
        num_words=num_words,
        tokens=Tokens(
            begins=begins[flat],
            ends=ends[flat],
            results=[results[index] for index in flat.tolist()],
            sentence_names=np.repeat(np.array(sentence_names, object), num_words).tolist(),
        ),
    )


def write_vectors(vectors: Floats, lengths: Sequence[int], sentence_offsets: Ints) -> pa.ListArray:
    """Convert the vectors of rows to array<array<float>>.

    Args:
        vectors: Vectors of the words of all sentences, [words, dimension].
        lengths: Number of words per sentence, [sentences].
        sentence_offsets: See `SentenceColumns`.
    """
    return pa.ListArray.from_arrays(_row_offsets(lengths, sentence_offsets), _to_float_lists(vectors))


def write_annotations(
    vectors: Floats, lengths: Sequence[int], sentence_offsets: Ints, tokens: Tokens, first_token: int
) -> pa.ListArray:
    """Convert the vectors of rows to Spark NLP's annotations.

    Args:
        vectors: See `write_vectors`.
        lengths: See `write_vectors`.
        sentence_offsets: See `SentenceColumns`.
        tokens: Tokens of the Arrow batch.
        first_token: Index of the token of the first vector.
    """
    count = len(vectors)
    part = slice(first_token, first_token + count)
    results = tokens.results[part]
    items = [
        value
        for name, result in zip(tokens.sentence_names[part], results, strict=True)
        for value in (name, result, "-1", "true", "false")
    ]
    map_offsets = np.arange(count + 1, dtype=np.int32) * len(_METADATA_KEYS)
    columns = [
        pa.array([WORD_EMBEDDINGS] * count, pa.string()),
        pa.array(tokens.begins[part].astype(np.int32)),
        pa.array(tokens.ends[part].astype(np.int32)),
        pa.array(results, pa.string()),
        pa.MapArray.from_arrays(
            pa.array(map_offsets), pa.array(_METADATA_KEYS * count, pa.string()), pa.array(items, pa.string())
        ),
        _to_float_lists(vectors),
    ]
    annotations = pa.StructArray.from_arrays(columns, fields=_FIELDS)
    return pa.ListArray.from_arrays(_row_offsets(lengths, sentence_offsets), annotations)


def _to_offsets(lengths: Ints) -> Ints:
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def _list_lengths(lists: pa.Array) -> Ints:
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _read_structs(column: pa.Array) -> tuple[Ints, Ints, Ints, pa.StructArray]:
    """Return the row offsets [rows + 1], the begins and ends of the annotations, and the annotations."""
    structs = column.flatten()  # without null rows
    begins, ends = (
        pc.fill_null(pc.cast(structs.field(name), pa.int64()), -1).to_numpy(zero_copy_only=False)
        for name in ("begin", "end")
    )
    return _to_offsets(_list_lengths(column)), begins, ends, structs


def _sentence_names(sentences: pa.StructArray, bounds: Ints) -> list[str]:
    """Return the index of each sentence as Spark NLP writes it: from its metadata, else its position in the row."""
    positions = (np.arange(len(sentences)) - np.repeat(bounds[:-1], np.diff(bounds))).tolist()
    if sentences.type.get_field_index("metadata") < 0:
        return list(map(str, positions))
    metadata = sentences.field("metadata").to_pylist()
    pairs = zip(metadata, positions, strict=True)
    return [dict(entries or ()).get("sentence") or str(position) for entries, position in pairs]


def _is_document_first(first: pa.Array, second: pa.Array) -> bool:
    types = [_annotator_type(column) for column in (first, second)]
    if types[0] in (DOCUMENT, None) and types[1] in (TOKEN, None):
        return True
    if types[0] in (TOKEN, None) and types[1] in (DOCUMENT, None):
        return False
    raise ValueError(f"Expected one column of {DOCUMENT!r} and one of {TOKEN!r} annotations, got {types}.")


def _annotator_type(column: pa.Array) -> str | None:
    """Return the type of the first annotation, or None if there is none."""
    structs = column.flatten()
    if not len(structs) or structs.type.get_field_index("annotatorType") < 0:
        return None
    return structs.field("annotatorType")[0].as_py()


def _row_offsets(lengths: Sequence[int], sentence_offsets: Ints) -> pa.Array:
    """Return the index of the first word of each row, then the number of words, [rows + 1]."""
    return pa.array(_to_offsets(np.array(lengths, np.int64))[sentence_offsets].astype(np.int32))


def _to_float_lists(vectors: Floats) -> pa.ListArray:
    """Convert vectors [words, dimension] to array<float> [words], without a copy."""
    num_words, dimension = vectors.shape
    if num_words * dimension > _MAX_OFFSET:
        raise ValueError(
            f"Expected at most {_MAX_OFFSET // dimension} words of dimension {dimension} per row, the limit of an "
            f"Arrow list, got {num_words}. Split the text into several rows."
        )
    offsets = pa.array(np.arange(num_words + 1, dtype=np.int32) * np.int32(dimension))
    return pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)), type=_FLOATS)
