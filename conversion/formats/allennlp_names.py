# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""AllenNLP's names and layouts of ELMo's weights, and their conversion to bilm-tf's.

AllenNLP stores both gates of a highway layer in one matrix and negates the half of the carry gate, because it computes
`g * x + (1 - g) * t` and bilm-tf `(1 - g) * x + g * t`. It adds 1.0 to the bias of the forget gate when it loads
weights of bilm-tf. Letters denote sizes: d character embedding, F filters, P projection, C cell.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from modeling_elmo.messages import format_name

from ..mapping.layouts import LAYOUTS, Shape
from ..mapping.tensor_ops import Array, convolution_to_tf, merge_kernel, reorder_gates, transpose
from .torch_state import to_array

CHARACTERS = "_token_embedder._char_embedding_weights"
_CONVOLUTION = "_token_embedder.char_conv_{i}"
_HIGHWAY = "_token_embedder._highways._layers.{k}"
_PROJECTION = "_token_embedder._projection"
_CELL = "_elmo_lstm.{direction}_layer_{l}"
_DIRECTIONS = ("forward", "backward")
_LAYOUT = LAYOUTS[0]

SCALAR_MIX_KEY = re.compile(r"scalar_mix_(\d{1,4})\.(?:gamma|scalar_parameters\.(\d{1,4}))")
MIX_FILE = "scalar_mix.th"  # state dict of the scalar mixes that `export` writes next to the HDF5 file


@dataclass(frozen=True)
class WeightPart:
    """Array of bilm-tf: name, shape, AllenNLP's tensors with their shapes, and the conversion from these tensors."""

    name: str
    shape: Shape
    sources: Mapping[str, Shape]
    convert: Callable[..., Array]


def _count(keys: Mapping[str, Any], template: str, **indices: Any) -> int:
    (letter,) = (letter for letter in "ikl" if f"{{{letter}}}" in template)
    return next(n for n in range(len(keys) + 1) if template.format(**{letter: n}, **indices) not in keys)


def _shape(shapes: Mapping[str, Shape], key: str, rank: int) -> Shape:
    shape = shapes.get(key)
    if shape is None:
        raise ValueError(f"Expected {key} in AllenNLP's ELMo, got no such tensor.")
    if len(shape) != rank or min(shape) < 1:
        raise ValueError(f"Expected {key} with {rank} dimensions, got shape {shape}.")
    return shape


def drop_padding_row(table: Array) -> Array:
    """Return the character table without row 0 (padding), or unchanged if this row was trained."""
    return np.ascontiguousarray(table if table[0].any() else table[1:])


def bias_to_tf(bias: Array) -> Array:
    """Reorder the gates i, f, g, o to i, j, f, o, and subtract the forget bias."""
    blocks = reorder_gates(bias)
    size = len(blocks) // 4
    blocks[2 * size : 3 * size] -= np.float32(1)
    return blocks


def _highway(F: int, name: str, key: str) -> Iterator[WeightPart]:
    weight, bias = {f"{key}.weight": (2 * F, F)}, {f"{key}.bias": (2 * F,)}
    yield WeightPart(f"{name}/W_transform", (F, F), weight, lambda both: transpose(both[:F]))
    yield WeightPart(f"{name}/W_carry", (F, F), weight, lambda both: transpose(-both[F:]))
    yield WeightPart(f"{name}/b_transform", (F,), bias, lambda both: np.ascontiguousarray(both[:F]))
    yield WeightPart(f"{name}/b_carry", (F,), bias, lambda both: -both[F:])


def weight_parts(shapes: Mapping[str, Shape], has_row_0: bool) -> list[WeightPart]:
    """Return all arrays of the biLM.

    Args:
        shapes: Shapes of AllenNLP's tensors by name, without the biLM's prefix.
        has_row_0: Whether row 0 (padding) of the character table was trained.

    Raises:
        ValueError: If a tensor that determines a size is missing or has another number of dimensions.
    """
    rows, d = _shape(shapes, CHARACTERS, 2)
    table_rows = rows if has_row_0 else rows - 1
    parts = [WeightPart("char_embed", (table_rows, d), {CHARACTERS: (rows, d)}, drop_padding_row)]

    F = 0
    for i in range(max(1, _count(shapes, f"{_CONVOLUTION}.weight"))):
        key = _CONVOLUTION.format(i=i)
        n, _, w = _shape(shapes, f"{key}.weight", 3)
        F += n
        parts.append(WeightPart(f"CNN/W_cnn_{i}", (1, w, d, n), {f"{key}.weight": (n, d, w)}, convolution_to_tf))
        parts.append(WeightPart(f"CNN/b_cnn_{i}", (n,), {f"{key}.bias": (n,)}, np.ascontiguousarray))
    for k in range(_count(shapes, f"{_HIGHWAY}.weight")):
        parts += _highway(F, f"CNN_high_{k}", _HIGHWAY.format(k=k))
    P, _ = _shape(shapes, f"{_PROJECTION}.weight", 2)
    parts.append(WeightPart("CNN_proj/W_proj", (F, P), {f"{_PROJECTION}.weight": (P, F)}, transpose))
    parts.append(WeightPart("CNN_proj/b_proj", (P,), {f"{_PROJECTION}.bias": (P,)}, np.ascontiguousarray))

    states = f"{_CELL}.state_projection.weight"
    _, C = _shape(shapes, states.format(direction="forward", l=0), 2)
    layers = [_count(shapes, states, direction=direction) for direction in _DIRECTIONS]
    for d_, direction in enumerate(_DIRECTIONS):
        for layer in range(max(layers)):
            key = _CELL.format(direction=direction, l=layer)
            both = {f"{key}.input_linearity.weight": (4 * C, P), f"{key}.state_linearity.weight": (4 * C, P)}
            bias, projection = {f"{key}.state_linearity.bias": (4 * C,)}, {f"{key}.state_projection.weight": (P, C)}
            parts.append(WeightPart(_LAYOUT.path(_LAYOUT.kernel, d_, layer), (2 * P, 4 * C), both, merge_kernel))
            parts.append(WeightPart(_LAYOUT.path(_LAYOUT.bias, d_, layer), (4 * C,), bias, bias_to_tf))
            parts.append(WeightPart(_LAYOUT.path(_LAYOUT.projection, d_, layer), (C, P), projection, transpose))
    return parts


def scalar_mixes(
    state: Mapping[str, torch.Tensor], origin: str, layers: int | None = None
) -> tuple[tuple[Array, float], ...]:
    """Return weights, [layers + 1], and gamma of each scalar mix.

    Args:
        state: Tensors whose names end like `scalar_mix_0.gamma` and `scalar_mix_0.scalar_parameters.2`.
        origin: Name of their file, for messages.
        layers: Number of LSTM layers, if known.

    Raises:
        ValueError: If a value is missing, or there are too many.
    """
    values: dict[int, dict[int | None, Array]] = {}
    for key, tensor in state.items():
        match = SCALAR_MIX_KEY.search(key)
        if match is None or match.end() != len(key):
            raise ValueError(f"Expected only scalar mixes in {origin}, got {format_name(key)}.")
        if tensor.numel() != 1:
            raise ValueError(f"Expected one value in {key} of {origin}, got shape {tuple(tensor.shape)}.")
        index = int(match[2]) if match[2] is not None else None
        values.setdefault(int(match[1]), {})[index] = to_array(key, tensor).reshape(())
    mixes: list[tuple[Array, float]] = []
    for number, mix in sorted(values.items()):
        size = len(mix) - 1 if layers is None else layers + 1
        is_complete = len(mix) == size + 1 and set(mix) == {None, *range(size)}
        if number != len(mixes) or size < 1 or not is_complete:
            raise ValueError(
                f"Expected gamma and {'consecutive' if layers is None else size} scalar_parameters in "
                f"scalar_mix_{len(mixes)} of {origin}, but some are missing or surplus."
            )
        mixes.append((np.stack([mix[layer] for layer in range(size)]), float(mix[None])))
    return tuple(mixes)
