# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Spark's columns as Arrow arrays to sentences and back, without Spark."""

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


def annotation(kind: str, begin: int, result: str, sentence: str | None = None) -> dict[str, Any]:
    metadata = [] if sentence is None else [("sentence", sentence)]
    end = begin + len(result) - 1  # the last character's place, as in Spark NLP
    return {"annotatorType": kind, "begin": begin, "end": end, "result": result, "metadata": metadata}


def annotations(rows: list[Any]) -> pa.Array:
    return pa.array(rows, ANNOTATIONS)


@given(WORD_ROWS, st.integers(1, 8), st.sampled_from([pa.string(), pa.large_string()]))
def test_chunks_of_words_are_all_rows_in_order(rows: list[Any], size: int, text_type: pa.DataType) -> None:
    column = pa.array([["cut", "off"], *rows], pa.list_(text_type))[1:]  # a slice, as Spark may pass
    read = read_words(column)
    back = []
    for start, stop in read.chunks(size):
        assert stop > start
        firsts = read.firsts[start : stop + 1]
        sentences = read.sentences[firsts[0] : firsts[-1]]
        lengths = [len(words) for words in sentences]
        assert sum(lengths) <= size or stop == start + 1
        ids = np.array([[hash(word) % 1000] * 3 for words in sentences for word in words], np.float32).reshape(-1, 3)
        part = write_vectors(ids, lengths, firsts - firsts[0])
        part.validate(full=True)
        back += part.to_pylist()
    assert back == [[[float(hash(word or "") % 1000)] * 3 for word in words or []] for words in rows]


def test_texts() -> None:
    read = read_texts(pa.array(["a b", None, "", " \t\n\u2003", "c"]))
    assert read.sentences == ["a b", "c"]
    assert read.firsts.tolist() == [0, 1, 1, 1, 1, 2]


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
            # Out of order, across the border, in the gap and behind the end.
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
    read = read_annotations(tokens, sentences) if swapped else read_annotations(sentences, tokens)
    assert read.sentences == [["b" * 6, "a"], ["c", "d"], ["one"]]
    assert read.firsts.tolist() == [0, 2, 2, 2, 2, 3]
    assert read.tokens is not None
    assert read.tokens.sentence_names == ["4", "4", "2", "2", "0"], "metadata, else the place in the row"
    assert read.tokens.begins.tolist() == [4, 0, 12, 19, 0]
    assert read.tokens.ends.tolist() == [9, 0, 12, 19, 2]

    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    whole = write_annotations(vectors, [2, 2, 1], read.firsts, read.tokens, 0)
    whole.validate(full=True)
    last = write_annotations(vectors[4:], [1], read.firsts[4:] - 2, read.tokens, 4)
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
    """Overlapping sentences each get the token, as in Spark NLP."""
    sentences = annotations([[annotation("document", 0, "a b"), annotation("document", 2, "b")]])
    tokens = annotations([[annotation("token", 0, "a"), annotation("token", 2, "b")]])
    assert read_annotations(sentences, tokens).sentences == [["a", "b"], ["b"]]


def test_columns_that_say_their_types_wrong() -> None:
    tokens = annotations([[annotation("token", 0, "a")]])
    with pytest.raises(ValueError, match=r"one 'token' annotations; got \['token', 'token'\]"):
        read_annotations(tokens, tokens)


def test_more_words_than_an_arrow_list_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_columns, "_LARGEST_OFFSET", 10)
    write_vectors(np.zeros((5, 2), np.float32), [5], np.array([0, 1]))
    with pytest.raises(ValueError, match=r"may have 5 words of 2 numbers.*; got 6"):
        write_vectors(np.zeros((6, 2), np.float32), [6], np.array([0, 1]))
