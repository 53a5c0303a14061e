# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Word vectors are cached across batches in inference, and results do not change."""

import copy
import pickle

import pytest
import torch
from datasets.fingerprint import Hasher
from helpers.small_models import SENTENCES, inputs, tiny_model

from modeling_elmo import ElmoModel
from modeling_elmo.model.linear_elmo import is_batch_invariant


@pytest.fixture
def model() -> ElmoModel:
    model = tiny_model()
    if not is_batch_invariant(model.char_encoder.embeddings.weight):
        pytest.skip("the cache is off, because linear functions are not batch-invariant on this processor")
    return model


def words(model: ElmoModel, *sentences: list[str]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs(sentences), pooling_layer="word_emb")[0]


def test_hits_are_counted_and_exact(model: ElmoModel) -> None:
    plain = tiny_model(word_cache_size=0)
    for sentences in (SENTENCES, SENTENCES[3:], [["the", "new", "word"]], SENTENCES):
        assert torch.equal(words(model, *sentences), words(plain, *sentences))
    distinct = len({word for sentence in SENTENCES for word in sentence} | {"<S>", "</S>"})
    info = model.word_cache_info()
    assert info.misses == distinct + 2  # "new" and "word"
    assert info.currsize == info.misses
    assert info.hits > distinct
    assert plain.word_cache_info() == (0, 0, 0, 0)


def test_it_is_bounded(model: ElmoModel) -> None:
    model = tiny_model(word_cache_size=5)
    plain = tiny_model(word_cache_size=0)
    for number in range(30):
        sentence = [f"w{number}", "the", f"w{number // 2}", "bank", f"v{number}", f"u{number}", "a"]
        assert torch.equal(words(model, sentence), words(plain, sentence))
        assert model.word_cache_info().currsize <= 5
    assert model.char_encoder.cache._vectors.shape == (5, 8)


@pytest.mark.parametrize("change", ["in place", "data", "load", "dtype", "optimizer"])
def test_a_changed_model_clears_the_cache(model: ElmoModel, change: str) -> None:
    before = words(model, ["the", "bank"])
    weight = model.char_encoder.projection.weight
    if change == "in place":
        with torch.no_grad():
            weight.mul_(2)
    elif change == "data":
        weight.data.mul_(2)
    elif change == "load":
        model.load_state_dict(tiny_model(seed=5).state_dict())
    elif change == "dtype":
        model.double()
    else:
        weight.grad = torch.ones_like(weight)
        torch.optim.SGD([weight], lr=0.1).step()
    after = words(model, ["the", "bank"])
    assert (after - before).abs().max() > (1e-9 if change == "dtype" else 1e-2)
    model.char_encoder.cache = None
    assert torch.equal(words(model, ["the", "bank"]), after)


def test_it_is_off_if_gradients_are_enabled(model: ElmoModel) -> None:
    model(**inputs(SENTENCES))
    model.train()
    with torch.no_grad():
        model(**inputs(SENTENCES))
    assert model.word_cache_info().currsize == 0


def test_copies_and_hashes_of_the_model_exclude_it(model: ElmoModel) -> None:
    before = Hasher.hash(model)
    words(model, ["the", "bank"])
    assert model.word_cache_info().currsize == 4
    assert Hasher.hash(model) == before
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.word_cache_info().currsize == 0
        assert torch.equal(words(twin, ["the", "bank"]), words(model, ["the", "bank"]))
