# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The language model against NumPy: log-probabilities, losses and gradients of the three kinds of softmax."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_models import SENTENCES, inputs, lively, max_difference, oracle_of, tiny_config
from helpers.tolerances import FINITE_DIFFERENCES, ORACLE
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from modeling_elmo import ElmoForPreTraining
from modeling_elmo.model import softmax_elmo
from modeling_elmo.model.softmax_elmo import expected_log_uniform, sample_log_uniform

WORDS = ["<S>", "</S>", "<UNK>", "the", "bank", "of", "money", "river", "and", "with", ".", "same", "vector"]


def language_model(seed: int = 0, **fields: Any) -> ElmoForPreTraining:
    vocabulary = {"word_vocab_size": len(WORDS), "word_bos_id": 0, "word_eos_id": 1, "adaptive_softmax_div_value": 2.0}
    return lively(ElmoForPreTraining(tiny_config(**{**vocabulary, **fields})), seed).double()


def word_ids(sentence: list[str]) -> list[int]:
    return [WORDS.index(word) if word in WORDS else 2 for word in sentence]


def batch(sentences: list[list[str]], **kwargs: Any) -> dict[str, Tensor]:
    encoded = inputs(sentences, **kwargs)
    labels = torch.full(encoded["attention_mask"].shape, -100)
    for row, mask, sentence in zip(labels, encoded["attention_mask"], sentences, strict=True):
        row[mask.bool()] = torch.tensor(word_ids(sentence), dtype=torch.long)
    return {**encoded, "labels": labels}


def log_softmax(model: ElmoForPreTraining, vector: np.ndarray) -> np.ndarray:
    """All words' log-probabilities, from the weights alone."""

    def normalised(logits: np.ndarray) -> np.ndarray:
        return logits - logits.max() - math.log(np.exp(logits - logits.max()).sum())

    state = {name: value.numpy() for name, value in model.softmax.state_dict().items()}
    if model.config.softmax != "adaptive":
        return normalised(state["linear.weight"] @ vector + state["linear.bias"])
    cutoffs = [*model.config.adaptive_softmax_cutoffs, model.config.word_vocab_size]
    head = normalised(state["adaptive.head.weight"] @ vector)
    parts = [head[: cutoffs[0]]]
    for index in range(len(cutoffs) - 1):
        inner = state[f"adaptive.tail.{index}.0.weight"] @ vector
        parts.append(head[cutoffs[0] + index] + normalised(state[f"adaptive.tail.{index}.1.weight"] @ inner))
    return np.concatenate(parts)


def oracle_scores(
    model: ElmoForPreTraining, sentence: list[str], states: Any = None
) -> tuple[list[float], list[float], Any]:
    """log p of each word and `</S>` forward, of `<S>` and each word backward."""
    layers, states = oracle_of(model.elmo).run(sentence, states)
    forward, backward = np.split(layers[-1], 2, axis=1)
    ids = [0, *word_ids(sentence), 1]
    left = [log_softmax(model, forward[t])[ids[t + 1]] for t in range(len(ids) - 1)]
    right = [log_softmax(model, backward[t + 1])[ids[t]] for t in range(len(ids) - 1)]
    return left, right, states


@pytest.mark.parametrize("padding_side", ["right", "left"])
@pytest.mark.parametrize("softmax", ["full", "sampled", "adaptive"])
def test_log_probabilities_are_the_oracles(softmax: str, padding_side: str) -> None:
    model = language_model(softmax=softmax)
    encoded = batch(SENTENCES, padding_side=padding_side)
    output = model(**encoded)
    expected = [oracle_scores(model, sentence)[:2] for sentence in SENTENCES]
    for row, (left, right) in enumerate(expected):
        mask = encoded["attention_mask"][row].bool()
        assert max_difference(output.forward_log_probs[row][mask], torch.tensor(left[:-1])) < ORACLE * 10
        assert max_difference(output.backward_log_probs[row][mask], torch.tensor(right[1:])) < ORACLE * 10
        ends = torch.tensor([left[-1], right[0]])
        assert max_difference(output.boundary_log_probs[row], ends) < ORACLE * 10
        assert not output.forward_log_probs[row][~mask].any()
    losses = [-np.mean(np.concatenate([scores[direction] for scores in expected])) for direction in range(2)]
    assert abs(float(output.loss) - sum(losses) / 2) < ORACLE * 10


def test_probabilities_of_all_words_sum_to_one_in_every_kind() -> None:
    vectors = torch.randn(7, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for softmax in ("full", "sampled", "adaptive"):
        model = language_model(softmax=softmax)
        log_probs = model.softmax.log_probs(vectors)
        assert max_difference(log_probs.exp().sum(1), torch.ones(7).double()) < ORACLE
        targets = torch.tensor([0, 1, 2, 5, 7, 11, 12])
        assert max_difference(model.softmax.log_prob(vectors, targets), log_probs[range(7), targets]) < ORACLE


def test_running_text_carries_states_and_reads_each_direction_in_its_own_order() -> None:
    model = language_model()
    sentences = [["the", "bank", "of", "money", "."], ["river", "and", "money"], ["the", "same"]]
    forward = [word for sentence in sentences for word in ["<S>", *sentence, "</S>"]]
    backward = [word for sentence in sentences for word in ["</S>", *reversed(sentence), "<S>"]]
    losses, states = [], None
    for start in (0, 5, 10):
        window = {}
        for name, words in (("", forward), ("reverse_", backward)):
            window[f"{name}input_ids"] = inputs([words[start : start + 5]])["input_ids"]
            window[f"{name}labels"] = torch.tensor([word_ids(words[start + 1 : start + 6])])
        output = model(**window, initial_states=states, return_states=True)
        states = output.states
        losses.append(float(output.loss))

    oracle = oracle_of(model.elmo)
    tops = []
    for direction, words in enumerate((forward, backward)):
        stream = np.stack([oracle.word_vector(word) for word in words])
        for layer in range(oracle.num_layers):
            outputs, _ = oracle.run_layer(direction, layer, stream, None)
            stream = outputs + stream if layer else outputs
        targets = word_ids(words)[1:]
        tops.append([log_softmax(model, stream[t])[target] for t, target in enumerate(targets)])
    expected = [-np.mean([tops[0][start : start + 5], tops[1][start : start + 5]]) for start in (0, 5, 10)]
    np.testing.assert_allclose(losses, expected, rtol=0, atol=10 * ORACLE)


def test_sampled_loss_is_the_formula_of_the_sample() -> None:
    model = language_model(softmax="sampled", num_sampled_words=4).train()
    vectors = torch.randn(6, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = torch.tensor([3, 0, 12, 5, -100, 1])
    torch.manual_seed(5)
    loss = float(model.softmax.loss(vectors, targets))
    torch.manual_seed(5)
    sampled, draws = sample_log_uniform(len(WORDS), 4)
    weight, bias = (getattr(model.softmax.linear, name).detach().numpy() for name in ("weight", "bias"))

    def corrected(vector: np.ndarray, word: int) -> float:
        chance = math.log((word + 2) / (word + 1)) / math.log(len(WORDS) + 1)
        return weight[word] @ vector + bias[word] - math.log(1 - (1 - chance) ** draws)

    terms = []
    for vector, target in zip(vectors.numpy(), targets.tolist(), strict=True):
        if target >= 0:
            others = [corrected(vector, word) for word in sampled.tolist() if word != target]
            true = corrected(vector, target)
            terms.append(math.log(sum(map(math.exp, [true, *others]))) - true)
    assert abs(loss - sum(terms) / len(terms)) < 10 * ORACLE


@given(st.integers(1, 200), st.data())
def test_a_sample_has_distinct_words_of_the_vocabulary(words: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, words))
    sampled, draws = sample_log_uniform(words, count, torch.Generator().manual_seed(data.draw(st.integers(0, 1000))))
    assert len(set(sampled.tolist())) == count <= draws
    assert int(sampled.min()) >= 0
    assert int(sampled.max()) < words


def test_words_are_sampled_as_often_as_expected() -> None:
    generator = torch.Generator().manual_seed(0)
    counts, draws = torch.zeros(20), 0
    for _ in range(4000):
        sampled, tries = sample_log_uniform(20, 5, generator)
        counts[sampled] += 1
        draws += tries
    expected = expected_log_uniform(torch.arange(20), 20, round(draws / 4000)).exp()
    assert float((counts / 4000 - expected).abs().max()) < 0.04  # the formula is an approximation


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_gradients_are_the_derivatives_of_the_oracles_loss(softmax: str) -> None:
    model = language_model(softmax=softmax).train()
    sentences = [SENTENCES[5], SENTENCES[0][:4]]
    model(**batch(sentences)).loss.backward()

    def loss() -> float:
        scores = [oracle_scores(model, sentence)[:2] for sentence in sentences]
        return float(np.mean([-np.mean(np.concatenate([s[d] for s in scores])) for d in range(2)]))

    for name, parameter in model.named_parameters():
        if "scalar_mixes" in name:
            assert parameter.grad is None
            continue
        place = tuple(int(i) for i in np.unravel_index(int(parameter.grad.abs().argmax()), parameter.shape))
        before, differences = float(parameter.data[place]), []
        for step in (1e-6, -1e-6):
            parameter.data[place] = before + step
            differences.append(loss())
        parameter.data[place] = before
        numeric = (differences[0] - differences[1]) / 2e-6
        assert abs(float(parameter.grad[place]) - numeric) < FINITE_DIFFERENCES, name


def test_a_large_vocabulary_is_scored_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = language_model().train()
    encoded = batch(SENTENCES)
    whole = model(**encoded).loss
    whole.backward()
    gradient = model.softmax.linear.weight.grad.clone()
    model.zero_grad()
    monkeypatch.setattr(softmax_elmo, "_CHUNK_BYTES", 4 * len(WORDS) * 3)  # three rows at a time
    chunked = model(**encoded).loss
    chunked.backward()
    assert max_difference(whole, chunked) < ORACLE
    assert max_difference(gradient, model.softmax.linear.weight.grad) < ORACLE


def test_words_are_predicted_from_their_prediction_states() -> None:
    model = language_model()
    output = model(**batch(SENTENCES), return_prediction_states=True)
    labels = batch(SENTENCES)["labels"]
    for half, name in ((slice(0, 8), "forward_log_probs"), (slice(8, 16), "backward_log_probs")):
        got = model.softmax.log_prob(output.prediction_states[..., half].flatten(0, 1), labels.flatten())
        assert max_difference(got.view(labels.shape), output[name]) < ORACLE


def test_dropout_is_for_training_alone() -> None:
    model = language_model(lstm_dropout=0.5)
    encoded = batch(SENTENCES)
    assert torch.equal(model(**encoded).loss, model(**encoded).loss)
    model.train()
    assert not torch.equal(model(**encoded).loss, model(**encoded).loss)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(6, 3, dtype=torch.long), r"labels must be integers \[batch, words\]"),
        (torch.full((6, 12), 13), r"word ids in 0\.\.12"),
        (torch.zeros(6, 12), "must be integers"),
    ],
)
def test_wrong_labels_are_refused(labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        language_model()(**{**batch(SENTENCES), "labels": labels})


def test_a_language_model_needs_a_vocabulary_and_rising_cutoffs() -> None:
    with pytest.raises(ValueError, match="must have word_vocab_size"):
        ElmoForPreTraining(tiny_config())
    with pytest.raises(ValueError, match="rising integers between 0 and word_vocab_size, 13"):
        language_model(softmax="adaptive", adaptive_softmax_cutoffs=[4, 13])
    with pytest.raises(ValueError, match="must be at most the output size, 8; got 4"):
        language_model(softmax="adaptive", adaptive_softmax_div_value=4.0)
