# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Between Spark's columns, as Arrow arrays, and lists of sentences: no Spark and no model in here.

Three kinds of input: `text` (a string column), `words` (array<string>) and `annotations` (Spark NLP's document and
token columns). The first two give array<array<float>>, the last Spark NLP's annotations with embeddings.
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

_LARGEST_OFFSET = 2**31 - 1  # Spark's Arrow lists have 32-bit offsets
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
    """The tokens of annotated rows that lie in a sentence, sentence by sentence; every field has one value a token."""

    begins: Ints
    ends: Ints
    results: list[str]
    sentence_names: list[str]


@dataclass(frozen=True)
class Rows:
    """What an Arrow batch of rows asks of the model.

    Attributes:
        sentences: the sentences that have words, row by row: texts, or lists of words.
        firsts: [rows + 1] the first sentence of each row, then the number of sentences.
        sizes: [sentences] numbers of words; for texts, which nothing has split yet, an estimate.
        tokens: for annotations, what comes out again beside the vectors.
    """

    sentences: list[Any]
    firsts: Ints
    sizes: Ints
    tokens: Tokens | None = None

    def chunks(self, words: int) -> Iterator[tuple[int, int]]:
        """Bounds (start, stop) of consecutive rows with about `words` words together, at least one row each."""
        total = np.concatenate(([0], np.cumsum(self.sizes)))[self.firsts]
        start = 0
        while start < len(total) - 1:
            stop = max(start + 1, int(np.searchsorted(total, total[start] + words, side="right")) - 1)
            yield start, stop
            start = stop


def read_texts(texts: pa.Array) -> Rows:
    """A string column [rows]; null and blank rows have no sentence."""
    strings = [text or "" for text in texts.to_pylist()]
    present = np.array([not text.isspace() and text != "" for text in strings], np.int64)
    sentences = [text for text, there in zip(strings, present.tolist(), strict=True) if there]
    # Five characters a word: English has about that with its blanks.
    sizes = np.array([len(text) // 5 + 1 for text in sentences], np.int64)
    return Rows(sentences, _offsets(present), sizes)


def read_words(lists: pa.Array) -> Rows:
    """An array<string> column [rows]; null and empty rows have no sentence, a null word has no characters."""
    lengths = _lengths(lists)
    words = [word or "" for word in lists.flatten().to_pylist()]
    bounds = _offsets(lengths).tolist()
    sentences = [words[start:end] for start, end in pairwise(bounds) if end > start]
    return Rows(sentences, _offsets((lengths > 0).astype(np.int64)), lengths[lengths > 0])


def read_annotations(first: pa.Array, second: pa.Array, document_first: bool | None = None) -> Rows:
    """Spark NLP's two columns, either first: a token belongs to each sentence that encloses it.

    Tokens outside all sentences and sentences without tokens are left out, as Spark NLP does.

    Args:
        first, second: array<struct> columns [rows] with the fields begin, end, result and metadata.
        document_first: whether `first` holds the sentences; None to read it off the annotations' types.

    Raises:
        ValueError: if the types say that the two are not sentences and tokens.
    """
    if document_first is None:
        document_first = _document_first(first, second)
    documents, tokens = (first, second) if document_first else (second, first)
    sentence_bounds, sentence_begins, sentence_ends, sentences = _annotations(documents)
    names = _sentence_names(sentences, sentence_bounds)
    token_bounds, begins, ends, token_structs = _annotations(tokens)
    results = [result or "" for result in token_structs.field("result").to_pylist()]

    kept: list[Ints] = []
    kept_names: list[str] = []
    sentences_a_row = np.zeros(len(first), np.int64)
    for row in range(len(first)):
        low, high = token_bounds[row], token_bounds[row + 1]
        order = low + np.argsort(begins[low:high], kind="stable")
        sorted_begins = begins[order]
        for sentence in range(sentence_bounds[row], sentence_bounds[row + 1]):
            inside = slice(*np.searchsorted(sorted_begins, [sentence_begins[sentence], sentence_ends[sentence] + 1]))
            members = np.sort(order[inside][ends[order[inside]] <= sentence_ends[sentence]])
            if len(members):
                kept.append(members)
                kept_names.append(names[sentence])
                sentences_a_row[row] += 1

    sizes = np.array([len(members) for members in kept], np.int64)
    flat = np.concatenate([*kept, np.zeros(0, np.int64)])
    return Rows(
        sentences=[[results[index] for index in members.tolist()] for members in kept],
        firsts=_offsets(sentences_a_row),
        sizes=sizes,
        tokens=Tokens(
            begins=begins[flat],
            ends=ends[flat],
            results=[results[index] for index in flat.tolist()],
            sentence_names=[name for name, size in zip(kept_names, sizes.tolist(), strict=True) for _ in range(size)],
        ),
    )


def write_vectors(vectors: Floats, lengths: Sequence[int], firsts: Ints) -> pa.ListArray:
    """Vectors of rows as array<array<float>>.

    Args:
        vectors: [words, dimension] the words of all sentences.
        lengths: [sentences] numbers of words.
        firsts: [rows + 1] the first sentence of each row, then the number of sentences.
    """
    return pa.ListArray.from_arrays(_row_offsets(lengths, firsts), _float_lists(vectors))


def write_annotations(
    vectors: Floats, lengths: Sequence[int], firsts: Ints, tokens: Tokens, first_token: int
) -> pa.ListArray:
    """Vectors of rows as Spark NLP's annotations; arguments as for `write_vectors`.

    Args:
        tokens: the tokens of the Arrow batch.
        first_token: the one that the first vector belongs to.
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
        _float_lists(vectors),
    ]
    annotations = pa.StructArray.from_arrays(columns, fields=_FIELDS)
    return pa.ListArray.from_arrays(_row_offsets(lengths, firsts), annotations)


def _offsets(lengths: Ints) -> Ints:
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def _lengths(lists: pa.Array) -> Ints:
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _annotations(column: pa.Array) -> tuple[Ints, Ints, Ints, pa.StructArray]:
    """Bounds of the rows [rows + 1], begins and ends of the annotations, and the annotations themselves."""
    structs = column.flatten()  # null rows have no part in it
    places = [
        pc.fill_null(pc.cast(structs.field(name), pa.int64()), -1).to_numpy(zero_copy_only=False)
        for name in ("begin", "end")
    ]
    return _offsets(_lengths(column)), places[0], places[1], structs


def _sentence_names(sentences: pa.StructArray, bounds: Ints) -> list[str]:
    """Each sentence's number as Spark NLP writes it: what its metadata say, else its place in the row."""
    places = (np.arange(len(sentences)) - np.repeat(bounds[:-1], np.diff(bounds))).tolist()
    if sentences.type.get_field_index("metadata") < 0:
        return [str(place) for place in places]
    metadata = sentences.field("metadata").to_pylist()
    return [dict(pairs or ()).get("sentence") or str(place) for pairs, place in zip(metadata, places, strict=True)]


def _document_first(first: pa.Array, second: pa.Array) -> bool:
    types = [_annotator_type(column) for column in (first, second)]
    if types[0] in (DOCUMENT, None) and types[1] in (TOKEN, None):
        return True
    if types[0] in (TOKEN, None) and types[1] in (DOCUMENT, None):
        return False
    raise ValueError(f"one input column must hold {DOCUMENT!r} and one {TOKEN!r} annotations; got {types}.")


def _annotator_type(column: pa.Array) -> str | None:
    structs = column.flatten()
    if not len(structs) or structs.type.get_field_index("annotatorType") < 0:
        return None
    return structs.field("annotatorType")[0].as_py()


def _row_offsets(lengths: Sequence[int], firsts: Ints) -> pa.Array:
    return pa.array(_offsets(np.array(lengths, np.int64))[firsts].astype(np.int32))


def _float_lists(vectors: Floats) -> pa.ListArray:
    """Vectors [words, dimension] as array<float> [words], without a copy and without Python numbers."""
    words, dimension = vectors.shape
    if words * dimension > _LARGEST_OFFSET:
        raise ValueError(
            f"a row may have {_LARGEST_OFFSET // dimension} words of {dimension} numbers, the most that an Arrow list "
            f"can hold; got {words}. Split its text into several rows."
        )
    offsets = pa.array(np.arange(words + 1, dtype=np.int32) * np.int32(dimension))
    return pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)), type=_FLOATS)
