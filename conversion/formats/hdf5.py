# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""HDF5 weight files to NumPy arrays. h5py is imported only here and in `export` and `verify`, when it is needed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modeling_elmo.optional import import_h5py

from ..mapping.layouts import SOFTMAX_NAMES, Shape
from ..mapping.tensor_ops import Array

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DAMAGE = (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, MemoryError)  # what h5py makes of it
_LARGEST_RATIO = 1100  # of deflate is 1032


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """An open `h5py.File`; FileNotFoundError or ValueError, one sentence each, if it cannot be."""
    h5py = import_h5py()
    if not path.is_file():
        raise FileNotFoundError(f"the weight file must exist; {path} does not.")
    try:
        file = h5py.File(path, "r")
    except _DAMAGE as error:
        with path.open("rb") as raw:
            kind = "cut short or damaged" if raw.read(len(SIGNATURE)) == SIGNATURE else "no HDF5 file"
        raise ValueError(f"{path} must be a whole HDF5 file; it is {kind} ({path.stat().st_size} bytes).") from error
    with file:
        yield file


def _datasets(file: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Every dataset in the file with its full name."""
    h5py = import_h5py()
    found: list[tuple[str, Any]] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((name, item))

    try:
        file.visititems(visit)
    except _DAMAGE as error:
        raise ValueError(f"{path} must be a readable HDF5 file; its list of datasets is damaged.") from error
    yield from found


def _check(name: str, dataset: Any, path: Path) -> Shape:
    """The shape of a dataset; ValueError if it is not float32, or its numbers are not in this file, or not all."""
    try:
        dtype, shape, size = dataset.dtype, dataset.shape, dataset.nbytes
        elsewhere = dataset.external is not None or dataset.is_virtual  # a file may not make us read others
        most = dataset.id.get_storage_size() * (1 if dataset.chunks is None else _LARGEST_RATIO)
    except _DAMAGE as error:
        raise ValueError(f"dataset {name} of {path} must be readable; its description is damaged.") from error
    # Wider or narrower floats would not come back bit-identical, and no published checkpoint has them.
    if dtype.newbyteorder("=") != np.float32:
        raise ValueError(f"dataset {name} of {path} must be float32; got {dtype}.")
    if shape is None or elsewhere:
        raise ValueError(
            f"dataset {name} of {path} must hold its numbers itself; it has none or refers to other files."
        )
    if size > most:
        raise ValueError(f"dataset {name} of {path} must have all its numbers; some are not stored.")
    return tuple(shape)


def read_shapes(path: Path) -> dict[str, Shape]:
    """Names and shapes of all datasets, without reading their numbers.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an HDF5 file, a damaged one, or one with a dataset that is not float32.
    """
    with open_hdf5(path) as file:
        shapes: dict[str, Shape] = {}
        for name, dataset in _datasets(file, path):
            shapes[name] = _check(name, dataset, path)
        return shapes


def read_arrays(path: Path, names: Iterable[str] | None = None) -> dict[str, Array]:
    """The named datasets, or all, as float32 arrays.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as `read_shapes`; or a dataset cannot be read or holds NaN or infinity.
    """
    shapes = read_shapes(path)
    wanted = list(shapes if names is None else names)
    missing = [name for name in wanted if name not in shapes]
    if missing:
        raise ValueError(f"{path} must have the datasets {', '.join(missing)}; got {', '.join(shapes) or 'none'}.")
    arrays: dict[str, Array] = {}
    with open_hdf5(path) as file:
        for name in wanted:
            try:
                array = np.asarray(file[name][()], dtype="=f4")
            except _DAMAGE as error:
                raise ValueError(f"dataset {name} of {path} must be readable; its numbers are damaged.") from error
            if not np.isfinite(array).all():
                raise ValueError(f"dataset {name} of {path} must hold finite numbers; got NaN or infinity.")
            arrays[name] = array
    return arrays


def read_softmax(path: Path, projection_size: int, words: int | None = None) -> tuple[Array, Array]:
    """The softmax of the language model.

    Args:
        path: a `*_softmax_weights.hdf5`, or a weight file that has the softmax too.
        projection_size: size P of one direction's output.
        words: number of words V of the vocabulary, if known.

    Returns:
        weight (V, P) and bias (V).
    """
    arrays = read_arrays(path, SOFTMAX_NAMES)
    weight, bias = (arrays[name] for name in SOFTMAX_NAMES)
    rows = weight.shape[0] if words is None and weight.ndim == 2 else words
    for name, array, shape in zip(SOFTMAX_NAMES, (weight, bias), ((rows, projection_size), (rows,)), strict=True):
        if array.shape != shape:
            expected = str(shape).replace("None", "words")
            raise ValueError(f"dataset {name} of {path} must have shape {expected}; got {array.shape}.")
    return weight, bias
