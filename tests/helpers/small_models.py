# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Small models with large random weights, and the helpers that all tests share."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.oracle import NumpyElmo
from torch import Tensor

from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer
from modeling_elmo.conversion.mapping import layouts, name_map, options

ROOT = Path(__file__).resolve().parent.parent.parent

SENTENCES = [
    ["Stateless", "means", "the", "same", "vector", "every", "time", "."],
    ["One"],
    [],
    ["", "Müller", "東京", "🙂", "wasn", "'t", "e\u0301", "שלום"],
    ["x" * 47, "y" * 48, "z" * 200, "the", "the"],
    ["the", "bank", "of", "the", "river", "and", "the", "bank", "with", "the", "money", "."],
]


def tiny_config(**fields: Any) -> ElmoConfig:
    """Return the configuration of a few thousand weights, with clips low enough to take effect."""
    small = {
        "character_embedding_size": 5,
        "filters": [[1, 4], [2, 6], [3, 9]],
        "num_highway_layers": 1,
        "projection_size": 8,
        "cell_size": 12,
        "cell_clip": 0.9,
        "projection_clip": 0.8,
    }
    return ElmoConfig(**{**small, **fields})


def randomize_weights(model: torch.nn.Module, seed: int = 0, std: float = 0.4) -> torch.nn.Module:
    """Set random weights so large that a wrong gate order or a missing clip exceeds every tolerance."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            if name.endswith(("char_encoder.embeddings.weight", "word_embeddings.weight")):
                parameter[0] = 0  # padding
            if name.endswith("gamma"):
                parameter += 1
    return model.eval()


def tiny_model(seed: int = 0, dtype: torch.dtype = torch.float32, **fields: Any) -> ElmoModel:
    return randomize_weights(ElmoModel(tiny_config(**fields)), seed).to(dtype)


def inputs(
    sentences: Sequence[Sequence[str]], tokenizer: ElmoTokenizer | None = None, **kwargs: Any
) -> dict[str, Tensor]:
    tokenizer = tokenizer or ElmoTokenizer()
    batch = [list(sentence) for sentence in sentences]
    return dict(tokenizer(batch, is_split_into_words=True, padding=True, return_tensors="pt", **kwargs))


def build_oracle(model: ElmoModel, vocabulary: list[str] | None = None) -> NumpyElmo:
    """Return the NumPy oracle with the weights of the model under the names of bilm-tf."""
    config = model.config
    contents = layouts.WeightFileInfo(
        layout=layouts.LAYOUTS[0],
        character_rows=None if vocabulary else 261,
        word_rows=len(vocabulary) if vocabulary else None,
        has_character_projection=config.use_character_projection,
        has_cell_projection=config.use_cell_projection,
        bidirectional=config.bidirectional,
    )
    state = {
        name: value.detach().double().numpy()
        for name, value in model.state_dict().items()
        if name.startswith(("char_encoder.", "word_embeddings.", "layers."))
    }
    arrays = name_map.from_model(name_map.resolve_rules(config, contents), state)
    return NumpyElmo(options.options_from_config(config), arrays, vocabulary)


def shared_folder(variable: str, default: str) -> Path:
    """Return a folder of reference data outside the project. Skip the test if it is missing."""
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / default))
    if not folder.is_dir():
        pytest.skip(f"reference data not found: set {variable} to its folder")
    return folder


def max_difference(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
