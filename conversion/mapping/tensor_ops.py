# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The invertible changes of layout between old checkpoints' arrays and the model's, on NumPy arrays.

Every operation moves numbers and never computes with them, so that a round trip gives the same bytes.
TensorFlow keeps a matrix as (in, out), PyTorch's `nn.Linear` as (out, in); TensorFlow's LSTM has the gate blocks
input, new, forget, output (i, j, f, o), this package and PyTorch have i, f, g, o, where g is j.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def transpose(matrix: Array) -> Array:
    """(rows, columns) to (columns, rows); its own inverse."""
    return np.ascontiguousarray(matrix.T)


def convolution_from_tf(kernel: Array) -> Array:
    """TensorFlow's 2-D kernel (1, width, d, count) to PyTorch's 1-D one (count, d, width)."""
    return np.ascontiguousarray(kernel[0].transpose(2, 1, 0))


def convolution_to_tf(kernel: Array) -> Array:
    """Inverse of `convolution_from_tf`."""
    return np.ascontiguousarray(kernel.transpose(2, 1, 0)[None])


def prepend_zero_row(table: Array) -> Array:
    """(rows, size) to (rows + 1, size): the old loaders' id 0, "no word here", which the files leave out."""
    return np.concatenate([np.zeros_like(table[:1]), table])


def drop_zero_row(table: Array) -> Array:
    """Inverse of `prepend_zero_row`; raises ValueError where row 0 holds numbers that would be lost."""
    if table[0].any():
        raise ValueError("row 0 of the input table must be zeros to be left out; got other numbers.")
    return np.ascontiguousarray(table[1:])


def swap_gates(blocks: Array) -> Array:
    """Gate blocks along the first axis (4C, ...) from i, j, f, o to i, f, j, o; its own inverse."""
    i, second, third, o = np.split(blocks, 4)
    return np.concatenate([i, third, second, o])


def split_kernel(kernel: Array, input_size: int) -> tuple[Array, Array]:
    """An LSTM kernel `W_0` (input + state, 4C) to its input part (4C, input) and its state part (4C, state)."""
    rows = swap_gates(kernel.T)
    return np.ascontiguousarray(rows[:, :input_size]), np.ascontiguousarray(rows[:, input_size:])


def merge_kernel(input_part: Array, state_part: Array) -> Array:
    """Inverse of `split_kernel`."""
    return transpose(swap_gates(np.concatenate([input_part, state_part], axis=1)))


@dataclass(frozen=True)
class Operation:
    """A change of layout from one array of a checkpoint to one or more of the model, and back.

    Attributes:
        forward: takes the source array and the shapes of the targets, returns the targets.
        backward: takes the targets, returns the source array.
    """

    forward: Callable[[Array, Sequence[tuple[int, ...]]], tuple[Array, ...]]
    backward: Callable[..., Array]


def _single(forward: Callable[[Array], Array], backward: Callable[[Array], Array]) -> Operation:
    return Operation(lambda source, shapes: (forward(source),), backward)


SAME = _single(np.ascontiguousarray, np.ascontiguousarray)
TRANSPOSE = _single(transpose, transpose)
CONVOLUTION = _single(convolution_from_tf, convolution_to_tf)
ZERO_ROW = _single(prepend_zero_row, drop_zero_row)
GATES = _single(swap_gates, swap_gates)
KERNEL = Operation(lambda source, shapes: split_kernel(source, shapes[0][1]), merge_kernel)
