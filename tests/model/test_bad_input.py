# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Invalid input raises an error that names the expected and the actual value. Unusual valid input passes."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_models import inputs, tiny_config, tiny_model
from transformers import __version__

from modeling_elmo import ElmoConfig, ElmoTokenizer

TRANSFORMERS_4 = __version__.startswith("4.")


@pytest.mark.parametrize(
    ("text", "kwargs", "message"),
    [
        (
            "a b",
            {"is_split_into_words": True},
            "Expected a list of words with `is_split_into_words=True`, got the string 'a b' at position 0",
        ),
        ([["a"], "b"], {"is_split_into_words": True}, "got the string 'b' at position 1"),
        ([["a", "b"]], {}, "Expected a string, got a list at position 0. Pass `is_split_into_words=True`"),
        (["a", None], {}, "Expected a string, got NoneType at position 1"),
        (["a", 3], {}, "Expected a string, got int at position 1"),
        (["a", b"b"], {}, "Expected a string, got bytes at position 1"),
        (["a", 3], {"is_split_into_words": True}, "Expected words as strings, got int at word 1 of sentence 0"),
        (
            [["a"], [None]],
            {"is_split_into_words": True},
            "Expected words as strings, got NoneType at word 0 of sentence 1",
        ),
        ([["a"], 7], {"is_split_into_words": True}, "Expected a list of words, got int at position 1"),
        (["a", "b c"], {"return_tensors": "pt"}, "Cannot build a tensor from sentences of 1 to 2 words"),
        ("a", {"text_pair": "b"}, "Expected single sentences, got `text_pair`"),
        (["a"], {"padding": True, "padding_side": "top"}, "Expected `padding_side` to be 'left' or 'right', got 'top'"),
    ],
)
def test_tokenizer(text: Any, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        ElmoTokenizer()(text, **kwargs)


@pytest.mark.skipif(TRANSFORMERS_4, reason="transformers 4 answers these itself before the tokenizer sees them")
@pytest.mark.parametrize(("text", "kind"), [(3, "int"), (b"a", "bytes"), (2.5, "float")])
def test_tokenizer_of_no_text(text: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"Expected a string, got {kind} at position 0"):
        ElmoTokenizer()(text)


def test_none_is_no_text() -> None:
    with pytest.raises(ValueError, match="text"):
        ElmoTokenizer()(None)


@pytest.mark.parametrize(
    "word",
    [
        "\ud800",
        "a\ud83dz",
        "\0",
        "x" * 10_000,
        "🙂" * 20,
        "👩‍👩‍👧‍👦",
        "e\u0301\u0301",
        "東京",
        "שלום",
        "\u202eabc",
        "\u00a0",
    ],
)
def test_odd_words_pass(word: str) -> None:
    model = tiny_model()
    output = model(**inputs([["the", word, "end"], [word]]))[0]
    assert output.isfinite().all()
    assert output[1, 0].any()
    for splitter in ("moses", "whitespace", "characters")[: 2 if len(word) > 100 else 3]:
        encoded = ElmoTokenizer(splitter=splitter)([f"the {word} end", word], padding=True, return_tensors="pt")
        assert model(**encoded)[0].isfinite().all()


def good() -> dict[str, torch.Tensor]:
    return inputs([["the", "bank"], ["of"]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": None}, "Expected either `input_ids` or `inputs_embeds`, got neither"),
        ({"inputs_embeds": torch.zeros(2, 2, 50, 5)}, "Expected either `input_ids` or `inputs_embeds`, got both"),
        (
            {"input_ids": torch.ones(2, 2, dtype=torch.long)},
            r"shape \[batch, words, 50\] \(character ids\), got \[2, 2\]",
        ),
        ({"input_ids": torch.ones(2, 2, 20, dtype=torch.long)}, r"\[batch, words, 50\].* got \[2, 2, 20\]"),
        ({"input_ids": torch.ones(2, 2, 50)}, "Expected `input_ids` to be integers, got torch.float32"),
        ({"input_ids": torch.full((2, 2, 50), 262)}, r"Expected `input_ids` in 0\.\.261, got 262"),
        ({"input_ids": torch.full((2, 2, 50), -1)}, r"Expected `input_ids` in 0\.\.261, got -1"),
        ({"attention_mask": torch.ones(2, 3)}, r"`attention_mask` of shape \[batch, words\] = \[2, 2\], got \[2, 3\]"),
        (
            {"attention_mask": torch.ones(2, 2)},
            r"`attention_mask` is 1 at \[sentence, word\] \[1, 1\], but `input_ids` is all zeros",
        ),
        ({"attention_mask": torch.tensor([[1, 2], [1, 0]])}, "1 for words and 0 for padding, got other values"),
        (
            {"pooling_layer": "top"},
            "Expected `pooling_layer` to be one of elmo, word_emb, lstm_outputs1, lstm_outputs2, got 'top'",
        ),
        ({"pooling_layer": "lstm_outputs3"}, "got 'lstm_outputs3'"),
        (
            {"initial_states": (torch.zeros(2, 2, 2, 9), torch.zeros(2, 2, 2, 12))},
            r"`initial_states` with hidden of shape \[rows, 2, 2, 8\], got \[2, 2, 2, 9\]",
        ),
        (
            {"initial_states": (torch.zeros(2, 2, 2, 8), torch.zeros(2, 1, 2, 12))},
            r"`initial_states` with cell of shape \[rows, 2, 2, 12\], got \[2, 1, 2, 12\]",
        ),
    ],
)
def test_model(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_model()(**{**good(), **change})


def test_model_embeddings() -> None:
    with pytest.raises(ValueError, match=r"`inputs_embeds` of shape \[batch, words, 50, 5\], got \[2, 2, 5\]"):
        tiny_model()(inputs_embeds=torch.zeros(2, 2, 5))
    with pytest.raises(ValueError, match="`bos_token_id` and `eos_token_id` below `vocab_size` = 5, got None and None"):
        tiny_model(input_type="words", vocab_size=5)(torch.ones(1, 2, dtype=torch.long))
    words = tiny_model(input_type="words", vocab_size=5, bos_token_id=1, eos_token_id=2)
    with pytest.raises(ValueError, match=r"\[batch, words\] or \[batch, words, 1\] \(word ids\), got \[1, 2, 50\]"):
        words(torch.ones(1, 2, 50, dtype=torch.long))
    with pytest.raises(ValueError, match=r"Cannot return boundaries: .* config\.sentence_boundaries=False"):
        tiny_model(sentence_boundaries=False)(**good(), return_boundaries=True)
    with pytest.raises(ValueError, match=r"Cannot store an initial state: .* config\.stored_initial_state=False"):
        tiny_model().calibrate_initial_state(good()["input_ids"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 100}, "Expected `vocab_size` to be at least 262 for character input, got 100"),
        ({"input_type": "bytes"}, "Expected `input_type` to be one of 'characters', 'words', got 'bytes'"),
        ({"max_characters_per_token": 2}, "Expected `max_characters_per_token` to be at least 3 .*, got 2"),
        ({"filters": [[1, 2, 3]]}, r"list of \[width, count\] pairs of positive integers, got \[\[1, 2, 3\]\]"),
        ({"filters": []}, "pairs of positive integers"),
        ({"filters": 7}, "pairs of positive integers, got 7"),
        ({"cnn_activation": "gelu"}, "Expected `cnn_activation` to be one of 'relu', 'tanh', got 'gelu'"),
        ({"num_highway_layers": -1}, "Expected `num_highway_layers` to be a positive integer, got -1"),
        ({"num_hidden_layers": 0}, "Expected `num_hidden_layers` to be a positive integer, got 0"),
        ({"cell_size": 2.5}, "Expected `cell_size` to be a positive integer, got 2.5"),
        ({"cell_clip": -3}, "Expected `cell_clip` to be a positive finite number or None, got -3"),
        ({"projection_clip": "3"}, "Expected `projection_clip` to be a positive finite number or None, got '3'"),
        (
            {"use_character_projection": False},
            "Expected `projection_size` = 8 filters without a character projection, got 19",
        ),
        ({"hidden_size": 99}, "Expected `hidden_size` = 16, .* got 99"),
        ({"scalar_mix_parameters": [0.0, 1.0]}, r"one weight per layer \(3\) in `scalar_mix_parameters`, got 2"),
        ({"output_dropout": 1.0}, r"Expected `output_dropout` in \[0, 1\), got 1.0"),
        (
            {"mix_layer_norm": "batch"},
            "Expected `mix_layer_norm` to be one of None, 'with_boundaries', 'without_boundaries'",
        ),
        (
            {"pooling_layer": "top"},
            "Expected `pooling_layer` to be one of elmo, word_emb, lstm_outputs1, lstm_outputs2, got 'top'",
        ),
        ({"use_cell_projection": False}, "Cannot mix word vectors of dimension 8 and LSTM outputs of dimension 12"),
        ({"lstm_implementation": "cuda"}, "`lstm_implementation` .* 'auto', 'eager', 'packed', 'triton', got 'cuda'"),
        ({"lstm_implementation": "int8"}, "Expected `lstm_implementation` to be one of .*, got 'int8'"),
        ({"lstm_weight_dtype": "int4"}, "Expected `lstm_weight_dtype` to be one of None, 'int8', got 'int4'"),
        ({"word_cache_size": -1}, "Expected `word_cache_size` to be a positive integer, got -1"),
    ],
)
def test_configuration(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_config(**fields)


def test_unknown_preset_and_splitter() -> None:
    with pytest.raises(ValueError, match="Expected `preset` to be one of 'small', 'medium', 'original', got 'large'"):
        ElmoConfig.from_preset("large")
    with pytest.raises(
        ValueError, match="Expected `splitter` to be one of 'moses', 'whitespace', 'characters', got 'penn'"
    ):
        ElmoTokenizer(splitter="penn")
    with pytest.raises(ValueError, match="Expected `max_characters_per_token` to be at least 3, got 2"):
        ElmoTokenizer(max_characters_per_token=2)


def test_numpy_inputs_are_not_silently_wrong() -> None:
    encoded = ElmoTokenizer()(["a"], return_tensors="np")
    assert isinstance(encoded["input_ids"], np.ndarray)
