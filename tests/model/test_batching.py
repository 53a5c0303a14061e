# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The vectors of a sentence do not depend on other sentences, padding, order, or run."""

import random

import pytest
import torch
from helpers.small_models import SENTENCES, inputs, max_difference, tiny_model
from helpers.tolerances import BATCHING_ORIGINAL, BATCHING_SMALL, SAME_BATCH

from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer

WORDS = [
    "the",
    "of",
    "and",
    "a",
    "bank",
    "river",
    "money",
    ",",
    ".",
    "said",
    "wasn",
    "'t",
    "Reuters",
    "unconstitutional",
    "Müller",
    "東京",
]


def sentences(count: int, max_length: int, seed: int = 0) -> list[list[str]]:
    rng = random.Random(seed)
    return [rng.choices(WORDS, k=rng.randint(0, max_length)) for _ in range(count)]


def vectors(model: ElmoModel, batch: list[list[str]], side: str = "right") -> list[torch.Tensor]:
    encoded = inputs(batch, padding_side=side)
    with torch.no_grad():
        output = model(**encoded)[0]
    return [row[mask.bool()] for row, mask in zip(output, encoded["attention_mask"], strict=True)]


@pytest.mark.parametrize("size", [2, 7, 64])
@pytest.mark.parametrize("side", ["left", "right"])
def test_batch_size_side_and_order_do_not_matter(size: int, side: str) -> None:
    model = tiny_model()
    corpus = sentences(64, 20)
    alone = [vectors(model, [words])[0] for words in corpus]
    order = random.Random(size).sample(range(64), 64)
    for start in range(0, 64, size):
        indices = order[start : start + size]
        together = vectors(model, [corpus[index] for index in indices], side)
        for index, got in zip(indices, together, strict=True):
            assert max_difference(got, alone[index]) <= BATCHING_SMALL


@pytest.mark.slow
def test_original_size() -> None:
    torch.manual_seed(0)
    model = ElmoModel(ElmoConfig.from_preset("original")).eval()
    corpus = sentences(7, 12, seed=1)
    together = vectors(model, corpus)
    assert max(float(row.abs().max()) for row in together if len(row)) > 0.1
    for words, got in zip(corpus, together, strict=True):
        assert max_difference(got, vectors(model, [words])[0]) <= BATCHING_ORIGINAL


def test_two_runs_are_bit_identical() -> None:
    model = tiny_model()
    first, second = vectors(model, SENTENCES), vectors(model, SENTENCES)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_padding_may_have_any_position() -> None:
    """Only the order of the words matters, not gaps, empty rows, or extra columns."""
    model = tiny_model()
    ids = ElmoTokenizer()([["a", "bank", "of", "sand"]], is_split_into_words=True, return_tensors="pt")["input_ids"]
    expected = model(ids)[0][0]
    scattered = torch.zeros(3, 9, 50, dtype=torch.long)
    scattered[1, [0, 3, 4, 7]] = ids[0]
    output = model(scattered)[0]
    assert max_difference(output[1, [0, 3, 4, 7]], expected) <= SAME_BATCH
    assert not output[[0, 2]].any()
    assert not output[1, [1, 2, 5, 6, 8]].any()


def test_the_mask_removes_words() -> None:
    model = tiny_model()
    batch = inputs([["a", "bank", "of", "sand"]])
    batch["attention_mask"][0, 1] = 0
    output = model(**batch)[0]
    assert max_difference(output[:, [0, 2, 3]], model(**inputs([["a", "of", "sand"]]))[0]) <= SAME_BATCH
    assert not output[0, 1].any()


def test_a_batch_without_words() -> None:
    model = tiny_model()
    for batch, shape in (
        (inputs([[], []]), (2, 0, 16)),
        ({"input_ids": torch.zeros(2, 3, 50, dtype=torch.long)}, (2, 3, 16)),
    ):
        output = model(**batch, output_hidden_states=True, return_states=True)
        assert output[0].shape == shape
        assert not output[0].any()
        assert output.states.hidden.abs().min() > 0, "an empty sentence has boundaries"
    output = model(torch.zeros(0, 4, 50, dtype=torch.long), return_states=True)
    assert output[0].shape == (0, 4, 16)
    assert output.states.cell.shape == (0, 2, 2, 12)


def test_repeated_words_and_gradients() -> None:
    """Each distinct word is encoded once. Its gradient is the sum over its positions."""
    gradients = []
    for batch in ([["the", "the", "bank"]], [["the", "the", "bank"], ["the", "the", "bank"]]):
        model = tiny_model()
        model(**inputs(batch))[0].sum().backward()
        gradients.append(model.char_encoder.embeddings.weight.grad)
    torch.testing.assert_close(2 * gradients[0], gradients[1], rtol=1e-4, atol=1e-6)
