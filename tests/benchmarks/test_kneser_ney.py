# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The trigram baseline: values computed by hand, distributions, and both directions."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.small_models import ROOT
from hypothesis import given
from hypothesis import strategies as st

from modeling_elmo.scorer import perplexity_from_scores
from modeling_elmo.vocabulary import LMVocabulary

sys.path.append(str(ROOT / "benchmarks"))
import kneser_ney
from kneser_ney import KneserNeyScorer, estimate_discounts, id_stream

VOCABULARY = LMVocabulary(["<S>", "</S>", "<UNK>", "a", "b", "c"])
TEXT = [["a", "b"], ["a", "b"], ["a", "c"]]
SENTENCES = st.lists(st.lists(st.sampled_from("abcx"), max_size=6), min_size=1, max_size=30)


def build_scorer(sentences: list[list[str]]) -> KneserNeyScorer:
    return KneserNeyScorer(id_stream(sentences, VOCABULARY), VOCABULARY)


def test_discounts_follow_the_counts_of_counts() -> None:
    # n1 .. n4 = 6, 3, 2, 1: Y = 1/2.
    counts = np.repeat([1, 2, 3, 4, 9], [6, 3, 2, 1, 5])
    assert estimate_discounts(counts).tolist() == [0, 0.5, 1.0, 2.0]
    assert estimate_discounts(np.array([7, 8])).tolist() == [0, 0.5, 1.0, 1.5]  # no counts of counts
    assert estimate_discounts(np.repeat([1, 2, 3, 4], [5, 1, 9, 1])).tolist() == [
        0,
        0.5,
        1.0,
        1.5,
    ]  # D2 would be below 0


@pytest.mark.parametrize(
    ("sentence", "probabilities"),
    [
        # Unigrams, from the number of distinct words before: a .2, b .2, c .2, </S> .3, <UNK> .1. Discounts .5, 1, 1.5.
        # p(a|<S>) = (3 - 1.5) / 3 + .5 * .2; p(b|<S> a) = (2 - 1) / 3 + .5 * (.25 + .5 * .2); p(</S>|a b) likewise.
        ("a b", [0.6, 1 / 3 + 0.5 * 0.35, 0.5 + 0.5 * 0.65]),
        ("b", [0.5 * 0.2, 0.65]),  # <S> b was never seen, b </S> was
        ("x", [0.5 * 0.1, 0.3]),  # after <UNK>, only the unigrams are known
        ("", [0.5 * 0.3]),
    ],
)
def test_probabilities_by_hand(sentence: str, probabilities: list[float]) -> None:
    (score,) = build_scorer(TEXT).score([sentence.split()])
    assert np.exp(score.forward).tolist() == pytest.approx(probabilities, rel=1e-12)
    assert score.is_unknown == [word == "x" for word in sentence.split()]


@given(SENTENCES, st.sampled_from("abcx"), st.sampled_from("abcx"))
def test_every_context_has_a_distribution_over_the_vocabulary(
    sentences: list[list[str]], first: str, second: str
) -> None:
    model = build_scorer(sentences).forward
    marks = [VOCABULARY.bos_id, *VOCABULARY.encode([first, second])]
    for context in (marks[:1], marks[:2], marks):
        total = 0.0
        for word in range(len(VOCABULARY)):
            if word != VOCABULARY.bos_id:
                total += math.exp(model.log_probabilities(np.array([*context, word]))[-1])
        assert total == pytest.approx(1, rel=1e-12)


@given(SENTENCES)
def test_backward_is_forward_on_reversed_text(sentences: list[list[str]]) -> None:
    scores = build_scorer(sentences).score(sentences)
    reversed_sentences = [sentence[::-1] for sentence in sentences]
    for score, other in zip(scores, build_scorer(reversed_sentences).score(reversed_sentences), strict=True):
        assert score.backward == pytest.approx(other.forward[::-1], rel=1e-12)
        assert len(score.forward) == len(score.words) + 1


def test_every_word_and_end_counts_once_in_the_perplexity() -> None:
    result = perplexity_from_scores(build_scorer(TEXT).score([["a", "b"], ["x"]]))
    product = 0.6 * (1 / 3 + 0.175) * 0.825 * 0.05 * 0.3
    assert result.forward == pytest.approx(product ** (-1 / 5), rel=1e-12)
    assert (result.sentences, result.predictions, result.num_unknown) == (2, 5, 1)


def test_the_command_reports_each_source_and_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    VOCABULARY.write(tmp_path)
    (tmp_path / "train.txt").write_text("a b\na b\n\na c\n")
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid" / "one.txt").write_text("a b\n")
    (tmp_path / "valid" / "two.txt").write_text("x\n")
    output = tmp_path / "result.json"
    arguments = [tmp_path / "vocab.txt", tmp_path / "train.txt", tmp_path / "valid", "--output", output]
    monkeypatch.setattr(sys, "argv", ["kneser_ney.py", *map(str, arguments)])
    kneser_ney.main()
    report = json.loads(output.read_text())
    assert report["train"] == {"sentences": 3, "words": 6, "unknown": 0, "bigrams": 5, "trigrams": 4}
    assert list(report["perplexity"]) == ["one", "two", "all"]
    assert report["perplexity"]["two"]["forward"] == pytest.approx((0.05 * 0.3) ** -0.5, rel=1e-12)


def test_text_without_sentences_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"Expected at least one sentence of training text, got none\."):
        build_scorer([])
