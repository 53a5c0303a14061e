# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The weights of ELMoForManyLangs in bilm-tf's names and shapes, and in two names of our own.

`code_point_embed` (rows, d) has the characters, `lexicon_embed` (rows, D) the words. The forget bias is in the bias.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..mapping.layouts import CODE_POINT_TABLE, LAYOUTS, LEXICON_TABLE, Shape
from ..mapping.tensor_ops import Array, convolution_to_tf, merge_kernel, swap_gates, transpose
from .torch_state import read_state, to_array

EMBEDDER, ENCODER = "token_embedder.pkl", "encoder.pkl"
_WORDS, _CHARACTERS = "word_emb_layer.embedding.weight", "char_emb_layer.embedding.weight"

Table = dict[str, tuple[Shape, Callable[[], Array]]]  # shape by name, and the array when called


class Weights:
    """The tensors of both pickles in `folder`, and which of them were taken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tensors = {**read_state(folder / EMBEDDER), **read_state(folder / ENCODER)}
        self.taken: set[str] = set()

    def take(self, name: str, *shape: int | None) -> Array:
        """The array of this name, whose shape must be this one, None for any size."""
        wanted = f"({', '.join('any' if size is None else str(size) for size in shape)})"
        if name not in self.tensors:
            raise ValueError(f"{self.folder} must have the weight {name} {wanted}; it is missing.")
        got = tuple(self.tensors[name].shape)
        if len(got) != len(shape) or any(size not in (None, have) for size, have in zip(shape, got, strict=True)):
            raise ValueError(f"{name} of {self.folder} must have shape {wanted}; got {got}.")
        self.taken.add(name)
        return to_array(f"{name} of {self.folder}", self.tensors[name])

    def refuse_others(self) -> None:
        """Raise ValueError if there is a weight that nobody took."""
        others = sorted(self.tensors.keys() - self.taken)
        if others:
            raise ValueError(f"{self.folder} must have no weight beside those of its architecture; got {others[0]}.")


def _highway_table(weights: Weights, k: int, size: int) -> Table:
    """Two halves of one matrix; its gate keeps the input, and bilm-tf's, which lets the new in, is its negative."""
    root = f"highways._layers.{k}"
    matrix, bias = weights.take(f"{root}.weight", 2 * size, size), weights.take(f"{root}.bias", 2 * size)
    return {
        f"CNN_high_{k}/W_transform": ((size, size), lambda: transpose(matrix[:size])),
        f"CNN_high_{k}/b_transform": ((size,), lambda: bias[:size]),
        f"CNN_high_{k}/W_carry": ((size, size), lambda: transpose(-matrix[size:])),
        f"CNN_high_{k}/b_carry": ((size,), lambda: -bias[size:]),
    }


def _character_table(weights: Weights, cnn: Mapping[str, Any]) -> tuple[Table, int]:
    """The character CNN, and the number of its features."""
    filters, layers, size = cnn.get("filters"), cnn.get("n_highway"), cnn["embedding"]["dim"]
    if not isinstance(filters, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in filters):
        filters = []
    if not filters or not all(type(number) is int and number > 0 for pair in filters for number in pair):
        got = cnn.get("filters")
        raise ValueError(f"token_embedder.filters must be a list of [width, count] pairs; got {got!r}.")
    if type(layers) is not int or layers < 0:
        raise ValueError(f"token_embedder.n_highway must be an integer, 0 for none; got {layers!r}.")
    characters = weights.take(_CHARACTERS, None, size)
    table: Table = {CODE_POINT_TABLE: (characters.shape, lambda: characters)}
    for i, (width, count) in enumerate(filters):
        kernel = weights.take(f"convolutions.{i}.weight", count, size, width)
        bias = weights.take(f"convolutions.{i}.bias", count)
        table[f"CNN/W_cnn_{i}"] = ((1, width, size, count), partial(convolution_to_tf, kernel))
        table[f"CNN/b_cnn_{i}"] = ((count,), partial(np.asarray, bias))
    features = sum(count for _, count in filters)
    for k in range(layers):
        table |= _highway_table(weights, k, features)
    return table, features


def token_table(weights: Weights, cnn: Mapping[str, Any] | None, word_size: int) -> Table:
    """Everything below the LSTMs.

    Args:
        weights: the folder's.
        cnn: the options of the character CNN; None without characters.
        word_size: size D of the lexicon's vectors, 0 without one.
    """
    bias = weights.take("projection.bias", None)
    table, features = ({}, 0) if cnn is None else _character_table(weights, cnn)
    projection = weights.take("projection.weight", len(bias), word_size + features)
    words = weights.take(_WORDS, None, word_size) if word_size else None
    if cnn is not None:
        table["CNN_proj/W_proj"] = (projection.T.shape, lambda: transpose(projection))
        table["CNN_proj/b_proj"] = (bias.shape, lambda: bias)
        if words is not None:
            table[LEXICON_TABLE] = (words.shape, lambda: words)
    elif words is not None:  # without characters a projected word is a word vector like any other

        def projected() -> Array:
            return (words.astype(np.float64) @ projection.T.astype(np.float64) + bias).astype(np.float32)

        table["embedding"] = ((len(words), len(bias)), projected)
    return table


def cell_table(weights: Weights, layers: int) -> Table:
    """The LSTMs of both directions."""
    table: Table = {}
    layout = LAYOUTS[0]
    for d, direction in enumerate(("forward", "backward")):
        for layer in range(layers):
            root = f"{direction}_layer_{layer}"
            projection = weights.take(f"{root}.state_projection.weight", None, None)
            size, cells = projection.shape
            given = weights.take(f"{root}.input_linearity.weight", 4 * cells, size)
            state = weights.take(f"{root}.state_linearity.weight", 4 * cells, size)
            bias = weights.take(f"{root}.state_linearity.bias", 4 * cells)
            kernel, biases, down = (
                layout.path(array, d, layer) for array in (layout.kernel, layout.bias, layout.projection)
            )
            table[kernel] = ((2 * size, 4 * cells), partial(merge_kernel, given, state))
            table[biases] = ((4 * cells,), partial(swap_gates, bias))
            table[down] = ((cells, size), partial(transpose, projection))
    return table
