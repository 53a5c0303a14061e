# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ElmoScorer: scores, perplexity, and substitutes of a small random language model."""

import math
from typing import Any

import pytest
from helpers.small_models import randomize_weights, tiny_config

from modeling_elmo import ElmoForPreTraining, ElmoScorer, ElmoTokenizer
from modeling_elmo.scorer import SentenceScore, perplexity_from_scores
from modeling_elmo.vocabulary import SPECIAL_TOKENS, LMVocabulary

VOCABULARY = LMVocabulary([*SPECIAL_TOKENS, "the", "bank", "river", "."])
TEXTS = ["the bank .", "the river", "the bank lends", ""]


def scorer_of(**fields: Any) -> ElmoScorer:
    config = tiny_config(word_vocab_size=len(VOCABULARY), word_bos_id=0, word_eos_id=1, **fields)
    return ElmoScorer(randomize_weights(ElmoForPreTraining(config)), ElmoTokenizer(), VOCABULARY)


def test_scores_have_one_value_per_word_and_sentence_end() -> None:
    scores = scorer_of().score(TEXTS)
    assert [score.words for score in scores] == [text.split() for text in TEXTS]
    assert [score.is_unknown for score in scores] == [[False] * 3, [False] * 2, [False, False, True], []]
    assert all(len(score.forward) == len(score.backward or ()) == len(score.words) + 1 for score in scores)
    assert scorer_of().score([text.split() for text in TEXTS]) == scores


def test_perplexity_is_the_exponential_of_the_mean() -> None:
    scores = scorer_of().score(TEXTS)
    result = perplexity_from_scores(scores)
    values = [value for score in scores for direction in (score.forward, score.backward or []) for value in direction]
    assert result.combined == pytest.approx(math.exp(-sum(values) / len(values)), rel=1e-12)
    assert result.combined == pytest.approx(math.sqrt(result.forward * (result.backward or 0)), rel=1e-12)
    assert (result.sentences, result.predictions, result.num_unknown) == (4, 12, 1)
    assert scorer_of().perplexity(TEXTS) == result
    assert scorer_of().perplexity(TEXTS, carry_states=True, batch_size=2).predictions == 12


def test_substitutes_are_words_in_decreasing_order() -> None:
    found = scorer_of().substitutes("the bank .", -2)
    assert sorted(word for word, _ in found) == [".", "bank", "river", "the"]
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    assert found == scorer_of().substitutes(["the", "river", "."], 1), "the word itself has no influence"


@pytest.mark.parametrize("value", [math.nan, -math.inf, -1e9])
def test_no_perplexity_without_finite_log_probabilities(value: float) -> None:
    score = SentenceScore(["the"], [False], [-1.0, value], [-1.0, -2.0])
    message = r"Cannot compute a perplexity: the mean log-probability of the text is (-|nan)"
    with pytest.raises(ValueError, match=message):
        perplexity_from_scores([score])


def test_wrong_arguments() -> None:
    scorer = scorer_of()
    with pytest.raises(TypeError, match="Expected a list of sentences, got one string"):
        scorer.score("the bank")
    with pytest.raises(ValueError, match="Expected `position` within the 2 words of the sentence, got 2"):
        scorer.substitutes("the bank", 2)
    with pytest.raises(ValueError, match="Expected `context` to be one of 'both', 'left', 'right', got 'up'"):
        scorer.substitutes("the bank", 0, context="up")
    with pytest.raises(ValueError, match="Expected `context` to be 'left' for a forward model, got 'both'"):
        scorer_of(bidirectional=False).substitutes("the bank", 0)
    with pytest.raises(ValueError, match="Expected a vocabulary of 7 words, got 3"):
        ElmoScorer(scorer.model, scorer.tokenizer, LMVocabulary(SPECIAL_TOKENS))
    with pytest.raises(ValueError, match="Cannot compute a perplexity: the text contains no sentences"):
        scorer.perplexity([])
