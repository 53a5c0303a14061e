# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Every architecture of AllenNLP and bilm-tf, against the NumPy oracle in float64."""

import json
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from helpers.oracle import NumpyElmo, mix
from helpers.reference_data import reference_folder
from helpers.small_models import SENTENCES, build_oracle, inputs, tiny_model
from helpers.tolerances import FINITE_DIFFERENCES, ORACLE, TENSORFLOW
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_elmo import ElmoModel, ElmoTokenizer
from modeling_elmo.conversion.mapping import layouts, name_map, options

VARIANTS: dict[str, dict[str, Any]] = {
    "as released": {},
    "no skip connections": {"use_skip_connections": False},
    "no cell projection": {"use_cell_projection": False, "cell_size": 8},
    "no cell projection, cells smaller than words": {
        "use_cell_projection": False,
        "cell_size": 6,
        "pooling_layer": "lstm_outputs2",
    },
    "one layer": {"num_hidden_layers": 1},
    "four layers": {"num_hidden_layers": 4},
    "one direction": {"bidirectional": False},
    "one direction, one layer": {"bidirectional": False, "num_hidden_layers": 1},
    "no highway": {"num_highway_layers": 0},
    "two highways": {"num_highway_layers": 2},
    "no character projection": {"use_character_projection": False, "projection_size": 19},
    "tanh": {"cnn_activation": "tanh"},
    "no clips": {"cell_clip": None, "projection_clip": None},
    "cell clip only": {"projection_clip": 0},
    "projection clip only": {"cell_clip": 0},
    "one filter": {"filters": [[4, 7]]},
    "filters in any order": {"filters": [[3, 4], [1, 2], [7, 5], [1, 3]]},
    "12 characters per word": {"max_characters_per_token": 12},
    "80 characters per word": {"max_characters_per_token": 80},
}


def tokenizer_options(config: Any) -> dict[str, int]:
    return {"max_characters_per_token": config.max_characters_per_token}


@pytest.mark.parametrize("name", VARIANTS)
def test_all_layers_equal_the_oracle(name: str) -> None:
    model = tiny_model(dtype=torch.float64, **VARIANTS[name])
    oracle = build_oracle(model)
    batch = inputs(SENTENCES, ElmoTokenizer(**tokenizer_options(model.config)))
    output = model(**batch, output_hidden_states=True, return_boundaries=True)
    assert output.last_hidden_state.abs().max() > 0.1, "small weights test nothing"
    for row, words in enumerate(SENTENCES):
        layers, _ = oracle.run(words)
        for layer, expected in zip(output.hidden_states, layers, strict=True):
            np.testing.assert_allclose(layer[row, : len(words) + 2].detach(), expected, rtol=0, atol=ORACLE)
            assert not layer[row, len(words) + 2 :].any()
        if model.config.has_scalar_mix:
            weights = model.scalar_mixes[0].weights.detach().numpy()
            expected = mix(layers, weights, model.scalar_mixes[0].gamma.item())
            np.testing.assert_allclose(output.elmo[row, : len(words) + 2].detach(), expected, rtol=0, atol=ORACLE)


def test_clips_take_effect() -> None:
    """Otherwise, the variants above would not test clipping."""
    batch = inputs(SENTENCES)
    outputs = [tiny_model(**VARIANTS[name])(**batch)[0] for name in ("as released", "cell clip only", "no clips")]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-2
    assert (outputs[1] - outputs[2]).abs().max() > 1e-2


def test_word_input_equals_the_oracle() -> None:
    vocabulary = ["</S>", "<S>", "<UNK>", "the", "bank", "of"]
    model = tiny_model(
        dtype=torch.float64,
        input_type="words",
        vocab_size=len(vocabulary) + 1,
        bos_token_id=vocabulary.index("<S>") + 1,
        eos_token_id=vocabulary.index("</S>") + 1,
    )
    sentences = [["the", "bank", "of", "nowhere"], [], ["of"]]
    oracle = build_oracle(model, vocabulary)
    ids = torch.zeros(3, 4, dtype=torch.long)
    for row, words in enumerate(sentences):
        for column, word in enumerate(words):
            ids[row, column] = 1 + vocabulary.index(word if word in vocabulary else "<UNK>")
    for shape in ((3, 4), (3, 4, 1)):
        output = model(ids.view(shape), output_hidden_states=True)
        for row, words in enumerate(sentences):
            layers, _ = oracle.run(words)
            for layer, expected in zip(output.hidden_states, layers, strict=True):
                np.testing.assert_allclose(layer[row, : len(words)].detach(), expected[1:-1], rtol=0, atol=ORACLE)


def test_without_sentence_boundaries_equals_the_oracle() -> None:
    model = tiny_model(dtype=torch.float64, sentence_boundaries=False)
    oracle = build_oracle(model)
    output = model(**inputs(SENTENCES), output_hidden_states=True)
    for row, words in enumerate(SENTENCES):
        if words:
            layers, _ = oracle.run(words, boundaries=False)
            np.testing.assert_allclose(output.lstm_outputs2[row, : len(words)].detach(), layers[2], rtol=0, atol=ORACLE)
    assert not output.lstm_outputs2[2].any()


def test_carried_states_equal_the_oracle() -> None:
    """Rows continue from the previous batch. A smaller batch keeps the states of extra rows, as in bilm-tf."""
    model = tiny_model(dtype=torch.float64)
    oracle = build_oracle(model)
    batches = [SENTENCES[:3], SENTENCES[3:5], SENTENCES[1:5], [SENTENCES[5]], SENTENCES[:4]]
    carried: dict[int, Any] = {}
    states = None
    for sentences in batches:
        output = model(**inputs(sentences), output_hidden_states=True, initial_states=states, return_states=True)
        states = output.states
        for row, words in enumerate(sentences):
            layers, carried[row] = oracle.run(words, carried.get(row))
            np.testing.assert_allclose(
                output.hidden_states[2][row, : len(words)].detach(), layers[2][1:-1], rtol=0, atol=ORACLE
            )
        assert len(states.hidden) == len(states.cell) == max(map(len, batches[: batches.index(sentences) + 1]))
    for row, expected in carried.items():
        for (layer, direction), (hidden, cell) in expected.items():
            np.testing.assert_allclose(states.hidden[row, layer, direction].detach(), hidden, rtol=0, atol=ORACLE)
            np.testing.assert_allclose(states.cell[row, layer, direction].detach(), cell, rtol=0, atol=ORACLE)


word = st.text(max_size=60)
sentence = st.lists(st.sampled_from(["the", "a", "<S>", "", "ü" * 40]) | word, max_size=6)


@settings(max_examples=30, deadline=None)
@given(batch=st.lists(sentence, min_size=1, max_size=4), side=st.sampled_from(["left", "right"]))
def test_any_text_equals_the_oracle(batch: list[list[str]], side: str) -> None:
    model = tiny_model(dtype=torch.float64)
    oracle = build_oracle(model)
    words_only = [[w for w in words if w != "<pad>"] for words in batch]
    encoded = inputs(words_only, padding_side=side)
    output = model(**encoded, output_hidden_states=True).hidden_states[2]
    for row, words in enumerate(words_only):
        vectors = output[row][encoded["attention_mask"][row].bool()].detach()
        np.testing.assert_allclose(vectors, oracle.run(words)[0][2][1:-1], rtol=0, atol=ORACLE)


@pytest.mark.parametrize("name", ["as released", "no skip connections", "no cell projection", "one direction", "tanh"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    """Compare derivatives along random directions of all weights, on sentences of different lengths."""
    model = tiny_model(dtype=torch.float64, **VARIANTS[name])
    batch = inputs(SENTENCES)
    torch.manual_seed(1)
    target = torch.randn(model(**batch)[0].shape, dtype=torch.float64)
    (model(**batch)[0] * target).sum().backward()
    parameters = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in parameters)
    step = 1e-6
    for seed in range(3):
        torch.manual_seed(seed)
        directions = [torch.randn_like(p) / len(p.flatten()) ** 0.5 for p in parameters]
        values = []
        with torch.no_grad():
            for sign in (1, -2, 1):  # +step, -step, and back to the start
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.add_(direction, alpha=sign * step)
                values.append((model(**batch)[0] * target).sum())
        expected = (values[0] - values[1]) / (2 * step)
        got = sum((p.grad * d).sum() for p, d in zip(parameters, directions, strict=True))
        assert abs(float(expected - got)) <= FINITE_DIFFERENCES * max(1.0, abs(float(expected)))


def read_fixture(name: str) -> tuple[ElmoModel, NumpyElmo, list[list[list[str]]], list[Any]]:
    folder = reference_folder(name)
    settings_ = json.loads((folder / "options.json").read_text())
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(folder / "lm_weights.hdf5") as file:
        file.visititems(lambda key, item: arrays.update({key: item[...]}) if isinstance(item, h5py.Dataset) else None)
    contents = layouts.detect_layout({key: array.shape for key, array in arrays.items()})
    config = options.config_from_options(settings_, contents)
    model = ElmoModel(config).eval()
    state = name_map.to_model(name_map.resolve_rules(config, contents), arrays)
    model.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()}, strict=False)
    (path,) = folder.glob("*sentences.json")
    lists = [[text.split() for text in texts] for texts in json.loads(path.read_text())]
    reference = [h5py.File(path) for path in sorted(folder.glob("lm_embeddings_*.hdf5"))]
    return model, NumpyElmo(settings_, arrays), lists, reference


@pytest.mark.parametrize("name", ["allennlp", "bilm-tf"])
def test_tensorflow_reference_vectors(name: str) -> None:
    """Official fixtures: ten batches with carried states, top layer in both directions."""
    model, oracle, lists, reference = read_fixture(name)
    states = None
    carried: dict[int, Any] = {}
    with torch.no_grad():
        for index in range(10):
            batch = [texts[index] for texts in lists]
            output = model(**inputs(batch), initial_states=states, return_states=True, pooling_layer="lstm_outputs2")
            states = output.states
            for row, words in enumerate(batch):
                layers, carried[row] = oracle.run(words, carried.get(row))
                got = output[0][row, : len(words)].numpy()
                assert np.abs(got - layers[2][1:-1]).max() <= TENSORFLOW
                if row < len(reference):  # bilm-tf's third list has no reference
                    expected = np.concatenate(reference[row][str(index)][...], axis=1)
                    assert np.abs(got - expected).max() <= TENSORFLOW


def test_tensorflow_word_vectors() -> None:
    model, *_ = read_fixture("allennlp")
    folder = reference_folder("allennlp")
    words = (folder / "vocab_test.txt").read_text().split()
    expected = h5py.File(folder / "elmo_token_embeddings.hdf5")["embedding"][...]
    with torch.no_grad():
        got = model(**inputs([words]), pooling_layer="word_emb")[0][0]
    assert got.shape == expected.shape == (458, 16)
    assert np.abs(got.numpy() - expected).max() <= TENSORFLOW
