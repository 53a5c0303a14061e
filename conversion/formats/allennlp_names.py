# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""AllenNLP's names and layouts of ELMo's weights, beside bilm-tf's.

AllenNLP keeps both gates of a highway layer in one matrix, the carry gate's half negated, for it computes
`g * x + (1 - g) * t` where bilm-tf computes `(1 - g) * x + g * t`; and it adds 1.0 to the forget gates' bias when it
loads bilm-tf's. d characters, F filters, P projection, C cell.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..mapping.layouts import LAYOUTS, Shape
from ..mapping.tensor_ops import Array, convolution_to_tf, merge_kernel, swap_gates, transpose
from .torch_state import to_array

CHARACTERS = "_token_embedder._char_embedding_weights"
_CONVOLUTION = "_token_embedder.char_conv_{i}"
_HIGHWAY = "_token_embedder._highways._layers.{k}"
_PROJECTION = "_token_embedder._projection"
_CELL = "_elmo_lstm.{direction}_layer_{l}"
_DIRECTIONS = ("forward", "backward")
_LAYOUT = LAYOUTS[0]

MIX = re.compile(r"scalar_mix_(\d{1,4})\.(?:gamma|scalar_parameters\.(\d{1,4}))")
MIX_FILE = "scalar_mix.th"  # a state dict of the mixes alone, beside the HDF5 file


@dataclass(frozen=True)
class Part:
    """An array of bilm-tf's: its name and shape, the tensors it is made of with their shapes, and how."""

    name: str
    shape: Shape
    sources: Mapping[str, Shape]
    make: Callable[..., Array]


def _count(keys: Mapping[str, Any], template: str, **indices: Any) -> int:
    (letter,) = (letter for letter in "ikl" if f"{{{letter}}}" in template)
    return next(n for n in range(len(keys) + 1) if template.format(**{letter: n}, **indices) not in keys)


def _shape(shapes: Mapping[str, Shape], key: str, rank: int) -> Shape:
    shape = shapes.get(key)
    if shape is None:
        raise ValueError(f"AllenNLP's ELMo must have {key}; there is no such tensor.")
    if len(shape) != rank or min(shape) < 1:
        raise ValueError(f"{key} must have {rank} dimensions; got shape {shape}.")
    return shape


def characters(table: Array) -> Array:
    """Without the row of "no word here", unless it was trained."""
    return np.ascontiguousarray(table if table[0].any() else table[1:])


def bias_to_tf(bias: Array) -> Array:
    """Gates i, f, g, o with the forget bias to i, j, f, o without it."""
    blocks = swap_gates(bias)
    size = len(blocks) // 4
    blocks[2 * size : 3 * size] -= np.float32(1)
    return blocks


def _highway(F: int, name: str, key: str) -> Iterator[Part]:
    weight, bias = {f"{key}.weight": (2 * F, F)}, {f"{key}.bias": (2 * F,)}
    yield Part(f"{name}/W_transform", (F, F), weight, lambda both: transpose(both[:F]))
    yield Part(f"{name}/W_carry", (F, F), weight, lambda both: transpose(-both[F:]))
    yield Part(f"{name}/b_transform", (F,), bias, lambda both: np.ascontiguousarray(both[:F]))
    yield Part(f"{name}/b_carry", (F,), bias, lambda both: -both[F:])


def parts(shapes: Mapping[str, Shape], has_row_0: bool) -> list[Part]:
    """All arrays of the biLM.

    Args:
        shapes: of AllenNLP's tensors, names without the biLM's prefix.
        has_row_0: whether row 0 of the character table was trained.

    Raises:
        ValueError: a tensor that tells a size is missing, or has another number of dimensions.
    """
    rows, d = _shape(shapes, CHARACTERS, 2)
    table_rows = rows if has_row_0 else rows - 1
    found = [Part("char_embed", (table_rows, d), {CHARACTERS: (rows, d)}, characters)]

    F = 0
    for i in range(max(1, _count(shapes, f"{_CONVOLUTION}.weight"))):
        key = _CONVOLUTION.format(i=i)
        n, _, w = _shape(shapes, f"{key}.weight", 3)
        F += n
        found.append(Part(f"CNN/W_cnn_{i}", (1, w, d, n), {f"{key}.weight": (n, d, w)}, convolution_to_tf))
        found.append(Part(f"CNN/b_cnn_{i}", (n,), {f"{key}.bias": (n,)}, np.ascontiguousarray))
    for k in range(_count(shapes, f"{_HIGHWAY}.weight")):
        found += _highway(F, f"CNN_high_{k}", _HIGHWAY.format(k=k))
    P, _ = _shape(shapes, f"{_PROJECTION}.weight", 2)
    found.append(Part("CNN_proj/W_proj", (F, P), {f"{_PROJECTION}.weight": (P, F)}, transpose))
    found.append(Part("CNN_proj/b_proj", (P,), {f"{_PROJECTION}.bias": (P,)}, np.ascontiguousarray))

    states = f"{_CELL}.state_projection.weight"
    _, C = _shape(shapes, states.format(direction="forward", l=0), 2)
    layers = [_count(shapes, states, direction=direction) for direction in _DIRECTIONS]
    for d_, direction in enumerate(_DIRECTIONS):
        for layer in range(max(layers)):
            key = _CELL.format(direction=direction, l=layer)
            both = {f"{key}.input_linearity.weight": (4 * C, P), f"{key}.state_linearity.weight": (4 * C, P)}
            bias, projection = {f"{key}.state_linearity.bias": (4 * C,)}, {f"{key}.state_projection.weight": (P, C)}
            found.append(Part(_LAYOUT.path(_LAYOUT.kernel, d_, layer), (2 * P, 4 * C), both, merge_kernel))
            found.append(Part(_LAYOUT.path(_LAYOUT.bias, d_, layer), (4 * C,), bias, bias_to_tf))
            found.append(Part(_LAYOUT.path(_LAYOUT.projection, d_, layer), (C, P), projection, transpose))
    return found


def scalar_mixes(
    state: Mapping[str, torch.Tensor], origin: str, layers: int | None = None
) -> tuple[tuple[Array, float], ...]:
    """Weights, one a layer and one for the words, and gamma of each mix.

    Args:
        state: tensors whose names end like `scalar_mix_0.gamma` and `scalar_mix_0.scalar_parameters.2`.
        origin: where they are from, for messages.
        layers: number of LSTM layers, if known.

    Raises:
        ValueError: a number is missing, or too many are there.
    """
    found: dict[int, dict[int | None, Array]] = {}
    for key, tensor in state.items():
        match = MIX.search(key)
        if match is None or match.end() != len(key):
            raise ValueError(f"{origin} must have scalar mixes only; got {key!r}.")
        if tensor.numel() != 1:
            raise ValueError(f"{key} of {origin} must be one number; got shape {tuple(tensor.shape)}.")
        index = int(match[2]) if match[2] is not None else None
        found.setdefault(int(match[1]), {})[index] = to_array(key, tensor).reshape(())
    mixes: list[tuple[Array, float]] = []
    for number, mix in sorted(found.items()):
        size = len(mix) - 1 if layers is None else layers + 1
        if number != len(mixes) or size < 1 or set(mix) != {None, *range(size)}:
            raise ValueError(
                f"scalar_mix_{len(mixes)} of {origin} must have gamma and one scalar_parameters a layer, "
                f"{'from 0 on' if layers is None else size}; some are missing or too many."
            )
        mixes.append((np.stack([mix[layer] for layer in range(size)]), float(mix[None])))
    return tuple(mixes)
