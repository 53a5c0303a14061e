# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion between Spark columns and sentences, without Spark."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_elmo.spark import columns as spark_columns
from modeling_elmo.spark.columns import read_annotations, read_texts, read_words, write_annotations, write_vectors

WORD_ROWS = st.lists(st.none() | st.lists(st.none() | st.text(max_size=3), max_size=6), max_size=12)
ANNOTATIONS = pa.list_(
    pa.struct(
        [
            ("annotatorType", pa.string()),
            ("begin", pa.int32()),
            ("end", pa.int32()),
            ("result", pa.string()),
            ("metadata", pa.map_(pa.string(), pa.string())),
        ]
    )
)


def annotation(annotator_type: str, begin: int, result: str, sentence: str | None = None) -> dict[str, Any]:
    metadata = [] if sentence is None else [("sentence", sentence)]
    end = begin + len(result) - 1  # position of the last character, as in Spark NLP
    return {"annotatorType": annotator_type, "begin": begin, "end": end, "result": result, "metadata": metadata}


def annotations(rows: list[Any]) -> pa.Array:
    return pa.array(rows, ANNOTATIONS)


@given(WORD_ROWS, st.integers(1, 8), st.sampled_from([pa.string(), pa.large_string()]))
def test_chunks_of_words_are_all_rows_in_order(rows: list[Any], size: int, text_type: pa.DataType) -> None:
    column = pa.array([["cut", "off"], *rows], pa.list_(text_type))[1:]  # Spark can pass a slice
    batch = read_words(column)
    output = []
    for start, stop in batch.iter_chunks(size):
        assert stop > start
        offsets = batch.sentence_offsets[start : stop + 1]
        sentences = batch.sentences[offsets[0] : offsets[-1]]
        lengths = [len(words) for words in sentences]
        assert sum(lengths) <= size or stop == start + 1
        ids = np.array([[hash(word) % 1000] * 3 for words in sentences for word in words], np.float32).reshape(-1, 3)
        part = write_vectors(ids, lengths, offsets - offsets[0])
        part.validate(full=True)
        output += part.to_pylist()
    assert output == [[[float(hash(word or "") % 1000)] * 3 for word in words or []] for words in rows]


def test_texts() -> None:
    batch = read_texts(pa.array(["a b", None, "", " \t\n\u2003", "c"]))
    assert batch.sentences == ["a b", "c"]
    assert batch.sentence_offsets.tolist() == [0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("swapped", [False, True])
def test_tokens_belong_to_the_sentences_that_enclose_them(swapped: bool) -> None:
    sentences = annotations(
        [
            [
                annotation("document", 0, "x" * 10, "4"),
                annotation("document", 10, "y"),
                annotation("document", 12, "z" * 8),
            ],
            None,
            [],
            [annotation("document", 0, "no token")],
            [annotation("document", 0, "one")],
        ]
    )
    tokens = annotations(
        [
            # Unsorted, across a boundary, between sentences, and after the end.
            [
                annotation("token", begin, text)
                for begin, text in [(12, "c"), (4, "b" * 6), (0, "a"), (8, "acr"), (11, "g"), (19, "d"), (20, "e")]
            ],
            [annotation("token", 0, "no")],
            None,
            [],
            [annotation("token", 0, "one")],
        ]
    )
    batch = read_annotations(tokens, sentences) if swapped else read_annotations(sentences, tokens)
    assert batch.sentences == [["b" * 6, "a"], ["c", "d"], ["one"]]
    assert batch.sentence_offsets.tolist() == [0, 2, 2, 2, 2, 3]
    assert batch.tokens is not None
    assert batch.tokens.sentence_names == ["4", "4", "2", "2", "0"], "metadata, else the position in the row"
    assert batch.tokens.begins.tolist() == [4, 0, 12, 19, 0]
    assert batch.tokens.ends.tolist() == [9, 0, 12, 19, 2]

    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    whole = write_annotations(vectors, [2, 2, 1], batch.sentence_offsets, batch.tokens, 0)
    whole.validate(full=True)
    last = write_annotations(vectors[4:], [1], batch.sentence_offsets[4:] - 2, batch.tokens, 4)
    assert last.to_pylist() == whole.to_pylist()[4:]
    assert whole.to_pylist()[0][2] == {
        "annotatorType": "word_embeddings",
        "begin": 12,
        "end": 12,
        "result": "c",
        "metadata": [("sentence", "2"), ("token", "c"), ("pieceId", "-1"), ("isWordStart", "true"), ("isOOV", "false")],
        "embeddings": [4.0, 5.0],
    }


def test_a_document_may_enclose_several_sentences_tokens() -> None:
    """As in Spark NLP, each of two overlapping sentences gets the token."""
    sentences = annotations([[annotation("document", 0, "a b"), annotation("document", 2, "b")]])
    tokens = annotations([[annotation("token", 0, "a"), annotation("token", 2, "b")]])
    assert read_annotations(sentences, tokens).sentences == [["a", "b"], ["b"]]


def test_columns_with_wrong_types() -> None:
    tokens = annotations([[annotation("token", 0, "a")]])
    with pytest.raises(ValueError, match=r"one of 'token' annotations, got \['token', 'token'\]"):
        read_annotations(tokens, tokens)


def test_more_words_than_an_arrow_list_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_columns, "_MAX_OFFSET", 10)
    write_vectors(np.zeros((5, 2), np.float32), [5], np.array([0, 1]))
    with pytest.raises(ValueError, match=r"Expected at most 5 words of dimension 2 .* got 6"):
        write_vectors(np.zeros((6, 2), np.float32), [6], np.array([0, 1]))
