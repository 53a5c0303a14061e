# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The language model against NumPy: log-probabilities, losses, and gradients of the three softmax types."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_models import SENTENCES, build_oracle, inputs, max_difference, randomize_weights, tiny_config
from helpers.tolerances import FINITE_DIFFERENCES, ORACLE
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from modeling_elmo import ElmoForPreTraining
from modeling_elmo.model import softmax_elmo
from modeling_elmo.model.softmax_elmo import log_expected_count, log_uniform_sample

WORDS = ["<S>", "</S>", "<UNK>", "the", "bank", "of", "money", "river", "and", "with", ".", "same", "vector"]


def language_model(seed: int = 0, **fields: Any) -> ElmoForPreTraining:
    vocabulary = {"word_vocab_size": len(WORDS), "word_bos_id": 0, "word_eos_id": 1, "adaptive_softmax_div_value": 2.0}
    return randomize_weights(ElmoForPreTraining(tiny_config(**{**vocabulary, **fields})), seed).double()


def word_ids(sentence: list[str]) -> list[int]:
    return [WORDS.index(word) if word in WORDS else 2 for word in sentence]


def batch(sentences: list[list[str]], **kwargs: Any) -> dict[str, Tensor]:
    encoded = inputs(sentences, **kwargs)
    labels = torch.full(encoded["attention_mask"].shape, -100)
    for row, mask, sentence in zip(labels, encoded["attention_mask"], sentences, strict=True):
        row[mask.bool()] = torch.tensor(word_ids(sentence), dtype=torch.long)
    return {**encoded, "labels": labels}


def log_softmax(model: ElmoForPreTraining, vector: np.ndarray) -> np.ndarray:
    """Compute the log-probabilities of all words from the weights."""

    def normalize(logits: np.ndarray) -> np.ndarray:
        return logits - logits.max() - math.log(np.exp(logits - logits.max()).sum())

    state = {name: value.numpy() for name, value in model.softmax.state_dict().items()}
    if model.config.softmax_type != "adaptive":
        return normalize(state["linear.weight"] @ vector + state["linear.bias"])
    cutoffs = [*model.config.adaptive_softmax_cutoffs, model.config.word_vocab_size]
    head = normalize(state["adaptive.head.weight"] @ vector)
    parts = [head[: cutoffs[0]]]
    for index in range(len(cutoffs) - 1):
        inner = state[f"adaptive.tail.{index}.0.weight"] @ vector
        parts.append(head[cutoffs[0] + index] + normalize(state[f"adaptive.tail.{index}.1.weight"] @ inner))
    return np.concatenate(parts)


def oracle_scores(
    model: ElmoForPreTraining, sentence: list[str], states: Any = None
) -> tuple[list[float], list[float], Any]:
    """Return log p of each word and `</S>` forward, and of `<S>` and each word backward."""
    layers, states = build_oracle(model.elmo).run(sentence, states)
    forward, backward = np.split(layers[-1], 2, axis=1)
    ids = [0, *word_ids(sentence), 1]
    left = [log_softmax(model, forward[t])[ids[t + 1]] for t in range(len(ids) - 1)]
    right = [log_softmax(model, backward[t + 1])[ids[t]] for t in range(len(ids) - 1)]
    return left, right, states


@pytest.mark.parametrize("padding_side", ["right", "left"])
@pytest.mark.parametrize("softmax_type", ["full", "sampled", "adaptive"])
def test_log_probabilities_match_the_oracle(softmax_type: str, padding_side: str) -> None:
    model = language_model(softmax_type=softmax_type)
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


def test_probabilities_of_all_words_sum_to_one() -> None:
    vectors = torch.randn(7, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for softmax_type in ("full", "sampled", "adaptive"):
        model = language_model(softmax_type=softmax_type)
        log_probs = model.softmax.log_probs(vectors)
        assert max_difference(log_probs.exp().sum(1), torch.ones(7).double()) < ORACLE
        targets = torch.tensor([0, 1, 2, 5, 7, 11, 12])
        assert max_difference(model.softmax.log_prob(vectors, targets), log_probs[range(7), targets]) < ORACLE


def test_contiguous_text_carries_states_and_has_a_time_order_per_direction() -> None:
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

    oracle = build_oracle(model.elmo)
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


def test_sampled_loss_matches_its_formula() -> None:
    model = language_model(softmax_type="sampled", num_sampled_words=4).train()
    vectors = torch.randn(6, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = torch.tensor([3, 0, 12, 5, -100, 1])
    torch.manual_seed(5)
    loss = float(model.softmax.loss(vectors, targets))
    torch.manual_seed(5)
    sampled, num_tries = log_uniform_sample(len(WORDS), 4)
    weight, bias = (getattr(model.softmax.linear, name).detach().numpy() for name in ("weight", "bias"))

    def corrected(vector: np.ndarray, word: int) -> float:
        probability = math.log((word + 2) / (word + 1)) / math.log(len(WORDS) + 1)
        return weight[word] @ vector + bias[word] - math.log(1 - (1 - probability) ** num_tries)

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
    sampled, num_tries = log_uniform_sample(
        words, count, torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    )
    assert len(set(sampled.tolist())) == count <= num_tries
    assert int(sampled.min()) >= 0
    assert int(sampled.max()) < words


def test_words_have_their_expected_counts() -> None:
    generator = torch.Generator().manual_seed(0)
    counts, total_tries = torch.zeros(20), 0
    for _ in range(4000):
        sampled, num_tries = log_uniform_sample(20, 5, generator)
        counts[sampled] += 1
        total_tries += num_tries
    expected = log_expected_count(torch.arange(20), 20, round(total_tries / 4000)).exp()
    assert float((counts / 4000 - expected).abs().max()) < 0.04  # the formula is an approximation


@pytest.mark.parametrize("softmax_type", ["full", "adaptive"])
def test_gradients_match_finite_differences_of_the_oracle(softmax_type: str) -> None:
    model = language_model(softmax_type=softmax_type).train()
    sentences = [SENTENCES[5], SENTENCES[0][:4]]
    model(**batch(sentences)).loss.backward()

    def loss() -> float:
        scores = [oracle_scores(model, sentence)[:2] for sentence in sentences]
        return float(np.mean([-np.mean(np.concatenate([s[d] for s in scores])) for d in range(2)]))

    for name, parameter in model.named_parameters():
        if "scalar_mixes" in name:
            assert parameter.grad is None
            continue
        index = tuple(int(i) for i in np.unravel_index(int(parameter.grad.abs().argmax()), parameter.shape))
        before, differences = float(parameter.data[index]), []
        for step in (1e-6, -1e-6):
            parameter.data[index] = before + step
            differences.append(loss())
        parameter.data[index] = before
        numeric = (differences[0] - differences[1]) / 2e-6
        assert abs(float(parameter.grad[index]) - numeric) < FINITE_DIFFERENCES, name


def test_a_large_vocabulary_is_scored_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = language_model().train()
    encoded = batch(SENTENCES)
    loss = model(**encoded).loss
    loss.backward()
    gradient = model.softmax.linear.weight.grad.clone()
    model.zero_grad()
    monkeypatch.setattr(softmax_elmo, "_MAX_LOGITS_BYTES", 4 * len(WORDS) * 3)  # three rows at a time
    chunked = model(**encoded).loss
    chunked.backward()
    assert max_difference(loss, chunked) < ORACLE
    assert max_difference(gradient, model.softmax.linear.weight.grad) < ORACLE


def test_words_are_predicted_from_their_prediction_states() -> None:
    model = language_model()
    output = model(**batch(SENTENCES), return_prediction_states=True)
    labels = batch(SENTENCES)["labels"]
    for half, name in ((slice(0, 8), "forward_log_probs"), (slice(8, 16), "backward_log_probs")):
        got = model.softmax.log_prob(output.prediction_states[..., half].flatten(0, 1), labels.flatten())
        assert max_difference(got.view(labels.shape), output[name]) < ORACLE


def test_dropout_applies_only_in_training() -> None:
    model = language_model(lstm_dropout=0.5)
    encoded = batch(SENTENCES)
    assert torch.equal(model(**encoded).loss, model(**encoded).loss)
    model.train()
    assert not torch.equal(model(**encoded).loss, model(**encoded).loss)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            torch.zeros(6, 3, dtype=torch.long),
            r"Expected `labels` to be integers of shape \[batch, words\] = \[6, 12\]",
        ),
        (torch.full((6, 12), 13), r"word ids in 0\.\.12"),
        (torch.zeros(6, 12), "to be integers .*, got torch.float32"),
    ],
)
def test_invalid_labels_are_rejected(labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        language_model()(**{**batch(SENTENCES), "labels": labels})


def test_a_language_model_requires_a_vocabulary_and_increasing_cutoffs() -> None:
    with pytest.raises(ValueError, match=r"Expected `word_vocab_size` .*, got None"):
        ElmoForPreTraining(tiny_config())
    with pytest.raises(ValueError, match=r"increasing integers in 1\.\.12, got \[4, 13\]"):
        language_model(softmax_type="adaptive", adaptive_softmax_cutoffs=[4, 13])
    with pytest.raises(ValueError, match="at most the output size 8, got 4"):
        language_model(softmax_type="adaptive", adaptive_softmax_div_value=4.0)
