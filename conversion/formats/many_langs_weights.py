# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion of ELMoForManyLangs' weights to bilm-tf's names and shapes, and to two names of this package.

`code_point_embed` [rows, char_dim] contains the characters, `lexicon_embed` [rows, word_dim] the words. The LSTM bias
includes the forget bias.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..mapping.layouts import CODE_POINT_TABLE, LAYOUTS, LEXICON_TABLE, Shape
from ..mapping.options import get_filters, get_integer
from ..mapping.tensor_ops import Array, convolution_to_tf, merge_kernel, reorder_gates, transpose
from .torch_state import read_state, to_array

EMBEDDER, ENCODER = "token_embedder.pkl", "encoder.pkl"
_WORDS, _CHARACTERS = "word_emb_layer.embedding.weight", "char_emb_layer.embedding.weight"

Table = dict[str, tuple[Shape, Callable[[], Array]]]  # shape and read function of each array


class Weights:
    """Tensors of both pickles in a folder, and the names of those that were used.

    Args:
        folder: Model folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tensors = {**read_state(folder / EMBEDDER), **read_state(folder / ENCODER)}
        self.used: set[str] = set()

    def take(self, name: str, *shape: int | None) -> Array:
        """Return an array and mark it as used.

        Args:
            name: Name of the tensor.
            shape: Expected shape, with None for any size.

        Raises:
            ValueError: If the tensor is missing or has another shape.
        """
        expected = f"({', '.join('any' if size is None else str(size) for size in shape)})"
        if name not in self.tensors:
            raise ValueError(f"Expected the weight {name} {expected} in {self.folder}, but it is missing.")
        actual = tuple(self.tensors[name].shape)
        if len(actual) != len(shape) or any(size not in (None, n) for size, n in zip(shape, actual, strict=True)):
            raise ValueError(f"Expected {name} of {self.folder} of shape {expected}, got {actual}.")
        self.used.add(name)
        return to_array(f"{name} of {self.folder}", self.tensors[name])

    def check_all_used(self) -> None:
        """Raise ValueError if a tensor was not used."""
        others = sorted(self.tensors.keys() - self.used)
        if others:
            raise ValueError(f"Expected only the weights of its architecture in {self.folder}, got {others[0]}.")


def _highway_table(weights: Weights, k: int, size: int) -> Table:
    """Split the matrix of a highway layer. Its gate keeps the input, so it is the negative of bilm-tf's carry gate."""
    root = f"highways._layers.{k}"
    matrix, bias = weights.take(f"{root}.weight", 2 * size, size), weights.take(f"{root}.bias", 2 * size)
    return {
        f"CNN_high_{k}/W_transform": ((size, size), lambda: transpose(matrix[:size])),
        f"CNN_high_{k}/b_transform": ((size,), lambda: bias[:size]),
        f"CNN_high_{k}/W_carry": ((size, size), lambda: transpose(-matrix[size:])),
        f"CNN_high_{k}/b_carry": ((size,), lambda: -bias[size:]),
    }


def _character_table(weights: Weights, cnn: Mapping[str, Any]) -> tuple[Table, int]:
    """Return the arrays of the character CNN, and the number of its filters."""
    size = cnn["embedding"]["dim"]
    filters = get_filters(cnn, "token_embedder.filters")
    layers = get_integer(cnn, "token_embedder.n_highway", allow_zero=True)
    characters = weights.take(_CHARACTERS, None, size)
    table: Table = {CODE_POINT_TABLE: (characters.shape, lambda: characters)}
    for i, (width, count) in enumerate(filters):
        kernel = weights.take(f"convolutions.{i}.weight", count, size, width)
        bias = weights.take(f"convolutions.{i}.bias", count)
        table[f"CNN/W_cnn_{i}"] = ((1, width, size, count), partial(convolution_to_tf, kernel))
        table[f"CNN/b_cnn_{i}"] = ((count,), partial(np.asarray, bias))
    num_filters = sum(count for _, count in filters)
    for k in range(layers):
        table |= _highway_table(weights, k, num_filters)
    return table, num_filters


def token_table(weights: Weights, cnn: Mapping[str, Any] | None, word_size: int) -> Table:
    """Return all arrays below the LSTMs.

    Args:
        weights: Tensors of the model folder.
        cnn: Options of the character CNN; None without characters.
        word_size: Size of the lexicon's vectors; 0 without a lexicon.

    Raises:
        ValueError: If a tensor is missing or contradicts the options.
    """
    bias = weights.take("projection.bias", None)
    table, num_filters = ({}, 0) if cnn is None else _character_table(weights, cnn)
    projection = weights.take("projection.weight", len(bias), word_size + num_filters)
    words = weights.take(_WORDS, None, word_size) if word_size else None
    if cnn is not None:
        table["CNN_proj/W_proj"] = (projection.T.shape, lambda: transpose(projection))
        table["CNN_proj/b_proj"] = (bias.shape, lambda: bias)
        if words is not None:
            table[LEXICON_TABLE] = (words.shape, lambda: words)
    elif words is not None:

        def project() -> Array:
            """Return the projected words, which are the word embeddings of a model without characters."""
            return (words.astype(np.float64) @ projection.T.astype(np.float64) + bias).astype(np.float32)

        table["embedding"] = ((len(words), len(bias)), project)
    return table


def cell_table(weights: Weights, layers: int) -> Table:
    """Return the arrays of the LSTMs of both directions.

    Args:
        weights: Tensors of the model folder.
        layers: Number of layers.

    Raises:
        ValueError: If a tensor is missing or its shape contradicts another one's.
    """
    table: Table = {}
    layout = LAYOUTS[0]
    for d, direction in enumerate(("forward", "backward")):
        for layer in range(layers):
            root = f"{direction}_layer_{layer}"
            projection = weights.take(f"{root}.state_projection.weight", None, None)
            size, cells = projection.shape
            input_weight = weights.take(f"{root}.input_linearity.weight", 4 * cells, size)
            state_weight = weights.take(f"{root}.state_linearity.weight", 4 * cells, size)
            bias = weights.take(f"{root}.state_linearity.bias", 4 * cells)
            kernel = (2 * size, 4 * cells), partial(merge_kernel, input_weight, state_weight)
            table[layout.path(layout.kernel, d, layer)] = kernel
            table[layout.path(layout.bias, d, layer)] = (4 * cells,), partial(reorder_gates, bias)
            table[layout.path(layout.projection, d, layer)] = (cells, size), partial(transpose, projection)
    return table
