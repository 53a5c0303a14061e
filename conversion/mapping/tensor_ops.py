# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Invertible layout changes between the arrays of bilm-tf and those of the model, on NumPy arrays.

The operations only move values and never compute with them, so a round trip returns the same bytes. TensorFlow stores
a matrix as (in, out), PyTorch's `nn.Linear` as (out, in). TensorFlow's LSTM orders the gates i, j, f, o (input, cell,
forget, output). This package and PyTorch order them i, f, g, o, where g is j.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_nonfinite_allowed = ContextVar("nonfinite_allowed", default=False)


@contextmanager
def allow_nonfinite_values(allowed: bool) -> Iterator[None]:
    """Set whether `check_finite_values` accepts NaN and infinity in this context."""
    token = _nonfinite_allowed.set(allowed)
    try:
        yield
    finally:
        _nonfinite_allowed.reset(token)


def check_finite_values(array: Array, name: str) -> None:
    """Check that an array that was read from a file contains finite values only.

    Raises:
        ValueError: If it contains NaN or infinity, unless `allow_nonfinite_values` accepts them.
    """
    if not _nonfinite_allowed.get() and not np.isfinite(array).all():
        raise ValueError(
            f"Expected finite values in {name}, got NaN or infinity. "
            "Pass `allow_nonfinite` (`elmo convert`: --allow-nonfinite) to accept them."
        )


def transpose(matrix: Array) -> Array:
    """Transpose (rows, columns) to (columns, rows); self-inverse."""
    return np.ascontiguousarray(matrix.T)


def convolution_from_tf(kernel: Array) -> Array:
    """Convert TensorFlow's 2-D kernel (1, width, d, count) to PyTorch's 1-D kernel (count, d, width)."""
    return np.ascontiguousarray(kernel[0].transpose(2, 1, 0))


def convolution_to_tf(kernel: Array) -> Array:
    """Invert `convolution_from_tf`."""
    return np.ascontiguousarray(kernel.transpose(2, 1, 0)[None])


def add_padding_row(table: Array) -> Array:
    """Prepend the zero row of id 0 (padding), which bilm-tf's files omit: (rows, size) to (rows + 1, size)."""
    return np.concatenate([np.zeros_like(table[:1]), table])


def remove_padding_row(table: Array) -> Array:
    """Invert `add_padding_row`.

    Raises:
        ValueError: If row 0 contains values, which would be lost.
    """
    if table[0].any():
        raise ValueError("Cannot remove row 0 (padding) of the input table: it contains values other than zero.")
    return np.ascontiguousarray(table[1:])


def reorder_gates(blocks: Array) -> Array:
    """Reorder the gate blocks along the first axis, (4C, ...), from i, j, f, o to i, f, j, o; self-inverse."""
    i, second, third, o = np.split(blocks, 4)
    return np.concatenate([i, third, second, o])


def split_kernel(kernel: Array, input_size: int) -> tuple[Array, Array]:
    """Split an LSTM kernel `W_0` (input + state, 4C) into its input weight (4C, input) and state weight (4C, state)."""
    rows = reorder_gates(kernel.T)
    return np.ascontiguousarray(rows[:, :input_size]), np.ascontiguousarray(rows[:, input_size:])


def merge_kernel(input_weight: Array, state_weight: Array) -> Array:
    """Invert `split_kernel`."""
    return transpose(reorder_gates(np.concatenate([input_weight, state_weight], axis=1)))


@dataclass(frozen=True)
class Operation:
    """Layout change from one array of a checkpoint to one or more arrays of the model, and its inverse.

    Attributes:
        forward: Function from the source array and the shapes of the targets to the targets.
        backward: Function from the targets to the source array.
    """

    forward: Callable[[Array, Sequence[tuple[int, ...]]], tuple[Array, ...]]
    backward: Callable[..., Array]


def _single(forward: Callable[[Array], Array], backward: Callable[[Array], Array]) -> Operation:
    return Operation(lambda source, shapes: (forward(source),), backward)


IDENTITY = _single(np.ascontiguousarray, np.ascontiguousarray)
TRANSPOSE = _single(transpose, transpose)
CONVOLUTION = _single(convolution_from_tf, convolution_to_tf)
PADDING_ROW = _single(add_padding_row, remove_padding_row)
GATE_ORDER = _single(reorder_gates, reorder_gates)
LSTM_KERNEL = Operation(lambda source, shapes: split_kernel(source, shapes[0][1]), merge_kernel)
