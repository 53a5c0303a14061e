# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Windows of vectors as NumPy arrays, tensors or Arrow."""

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


def collected(windows: Sequence[EncodedWindow], kind: VectorSpec, output: str) -> Any:
    """All windows' vectors as `ElmoEncoder.encode` returns them."""
    if kind.pooling is None and output != "arrow":
        rows: list[Any] = [row for window in windows for row in window.vectors.split(window.lengths)]
        return rows if output == "torch" else [row.numpy() for row in rows]
    empty = torch.empty((0, *kind.shape), dtype=kind.dtype)
    # One window is the rule for `datasets.map`, and needs no copy.
    flat: Tensor = windows[0].vectors if len(windows) == 1 else torch.cat([empty, *(w.vectors for w in windows)])
    if output == "torch":
        return flat
    array: np.ndarray = flat.numpy()
    if output == "numpy":
        return array
    return to_arrow(array, None if kind.pooling else [length for window in windows for length in window.lengths])


def to_arrow(flat: np.ndarray, lengths: list[int] | None) -> pa.Array:
    """Vectors as one Arrow element a sentence, without a copy and without a Python number.

    Args:
        flat: [words, *shape] in order of the sentences, or [sentences, *shape].
        lengths: words of each sentence, None if `flat` has one vector a sentence.

    Returns:
        Elements of type `fixed_size_list[D]` a vector (`fixed_size_list[L + 1]` of them for all layers), in a `list`
        unless pooled.
    """
    values = pa.array(np.ascontiguousarray(flat).reshape(-1))
    for size in reversed(flat.shape[1:]):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    if lengths is None:
        return values
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"an Arrow array must have at most 2**31 - 1 words; got {offsets[-1]}: encode fewer at once.")
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values)


def from_arrow(column: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray | None]:
    """The inverse of `to_arrow`: the flat vectors [words, *shape], and the words of each sentence, None if pooled."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(values, pa.ChunkedArray):  # older versions of Arrow keep an empty column's chunks
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
