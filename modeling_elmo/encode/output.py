# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion of encoded windows to NumPy arrays, tensors, and Arrow arrays."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from .stream import EncodedWindow
from .vectors import VectorSpec

Output = Literal["numpy", "torch", "arrow"]
OUTPUTS = ("numpy", "torch", "arrow")


def collect_outputs(windows: Sequence[EncodedWindow], spec: VectorSpec, output: str) -> Any:
    """Return the vectors of all windows in the form that `ElmoEncoder.encode` documents."""
    if spec.pooling is None and output != "arrow":
        rows: list[Any] = [row for window in windows for row in window.vectors.split(window.lengths)]
        return rows if output == "torch" else [row.numpy() for row in rows]
    empty = torch.empty((0, *spec.shape), dtype=spec.dtype)
    # `datasets.map` usually passes one window, which needs no copy.
    flat: Tensor = windows[0].vectors if len(windows) == 1 else torch.cat([empty, *(w.vectors for w in windows)])
    if output == "torch":
        return flat
    array: np.ndarray = flat.numpy()
    if output == "numpy":
        return array
    return to_arrow(array, None if spec.pooling else [length for window in windows for length in window.lengths])


def to_arrow(flat: np.ndarray, lengths: list[int] | None) -> pa.Array:
    """Convert vectors to one Arrow element per sentence, without a copy and without Python floats.

    Args:
        flat: Vectors in the order of the sentences, [words, *shape], or [sentences, *shape] if pooled.
        lengths: Words per sentence. None if `flat` has one vector per sentence.

    Returns:
        Array of type `fixed_size_list[D]` per vector (nested in `fixed_size_list[L + 1]` for all layers), in a `list`
        unless pooled.

    Raises:
        ValueError: If there are more words than 32-bit offsets can address.
    """
    values = pa.array(np.ascontiguousarray(flat).reshape(-1))
    for size in reversed(flat.shape[1:]):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    if lengths is None:
        return values
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"Expected at most 2**31 - 1 words per Arrow array, got {offsets[-1]}. Encode fewer at once.")
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values)


def from_arrow(column: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray | None]:
    """Invert `to_arrow`.

    Returns:
        Vectors, [words, *shape], and the words per sentence, or None if the vectors are pooled.
    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(values, pa.ChunkedArray):  # older versions of Arrow keep the chunks of an empty column
        values = pa.concat_arrays(values.chunks)
    lengths = None
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        lengths = values.value_lengths().to_numpy(zero_copy_only=False)
        values = values.flatten()
    shape = []
    while pa.types.is_fixed_size_list(values.type):
        shape.append(values.type.list_size)
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(-1, *shape), lengths
