# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Reading of HDF5 weight files into NumPy arrays. h5py is imported on first use."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modeling_elmo.messages import format_names
from modeling_elmo.optional import import_h5py

from ..mapping.layouts import SOFTMAX_NAMES, Shape
from ..mapping.tensor_ops import Array, check_finite_values

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Exceptions that h5py raises for corrupt files.
_READ_ERRORS = (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, MemoryError)
# Weights hardly compress. Constant values do, so a small surplus is allowed in addition.
_MAX_COMPRESSION_RATIO = 20
_MAX_SURPLUS_BYTES = 1 << 26
_MAX_DATASETS = 10_000
_MAX_CHUNK_BYTES = 1 << 28  # HDF5 decompresses a chunk at once


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file as `h5py.File`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not an HDF5 file or is corrupt.
    """
    h5py = import_h5py()
    if not path.is_file():
        raise FileNotFoundError(f"Cannot read weight file {path}: it does not exist.")
    try:
        file = h5py.File(path, "r")
    except _READ_ERRORS as error:
        with path.open("rb") as raw:
            is_hdf5 = raw.read(len(SIGNATURE)) == SIGNATURE
        reason = "truncated or corrupt" if is_hdf5 else "not an HDF5 file"
        raise ValueError(
            f"Cannot read {path} ({path.stat().st_size} bytes): {reason}. Download or copy the file again."
        ) from error
    with file:
        yield file


def _datasets(file: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the full name and the dataset for every dataset of the file."""
    h5py = import_h5py()
    datasets: list[tuple[str, Any]] = []

    def visit(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset):
            datasets.append((name, item))
        return True if len(datasets) > _MAX_DATASETS else None  # a result ends the visit

    try:
        file.visititems(visit)
    except _READ_ERRORS as error:
        raise ValueError(f"Cannot read the list of datasets of {path}: it is corrupt.") from error
    if len(datasets) > _MAX_DATASETS:
        raise ValueError(f"Expected an ELMo weight file with at most {_MAX_DATASETS} datasets in {path}, got more.")
    yield from datasets


def contains(file: Any, name: str) -> bool:
    """Return whether a file contains a dataset or group. Links to other files are not followed: opening can hang."""
    h5py = import_h5py()
    group = file
    for part in name.split("/"):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            return False
        group = group[part]
    return True


def _checked_shape(name: str, dataset: Any, path: Path) -> Shape:
    """Return the shape of a dataset that must be float32, complete, and stored in this file."""
    try:
        # A file must not cause reads of other files, which the shape of a virtual dataset does.
        is_external = dataset.is_virtual or dataset.external is not None
        is_readable = not is_external and dataset.shape is not None
        dtype, shape = dataset.dtype, tuple(map(int, dataset.shape if is_readable else ()))
        num_bytes, num_stored = math.prod(shape) * dtype.itemsize, dataset.id.get_storage_size()
        chunks = dataset.chunks if is_readable else None
        is_complete = num_bytes <= num_stored
        if chunks is not None:
            num_chunks = math.prod(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
            is_complete = num_chunks == dataset.id.get_num_chunks()
            is_complete &= math.prod(chunks) * dtype.itemsize <= max(_MAX_CHUNK_BYTES, num_stored)
    except _READ_ERRORS as error:
        raise ValueError(
            f"Cannot read dataset {format_names([name])} of {path}: its description is corrupt."
        ) from error
    if not is_readable:
        raise ValueError(f"Cannot read dataset {format_names([name])} of {path}: it is empty or refers to other files.")
    # Floats of another width would not be bit-identical on export, and no published checkpoint has them.
    if dtype.newbyteorder("=") != np.float32:
        raise ValueError(f"Expected dataset {format_names([name])} of {path} to be float32, got {dtype}.")
    if not is_complete:
        raise ValueError(f"Cannot read dataset {format_names([name])} of {path}: some of its values are not stored.")
    return shape


def read_shapes(path: Path) -> dict[str, Shape]:
    """Return names and shapes of all datasets, without reading their values.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not an HDF5 file, is corrupt, or contains a dataset that is not float32.
    """
    with open_hdf5(path) as file:
        shapes: dict[str, Shape] = {}
        for name, dataset in _datasets(file, path):
            shapes[name] = _checked_shape(name, dataset, path)
    num_bytes, num_stored = 4 * sum(map(math.prod, shapes.values())), path.stat().st_size
    if num_bytes > _MAX_COMPRESSION_RATIO * num_stored + _MAX_SURPLUS_BYTES:
        raise ValueError(
            f"Expected at most {_MAX_COMPRESSION_RATIO} bytes of weights per byte of {path} ({num_stored} bytes), "
            f"got {num_bytes} bytes of weights."
        )
    return shapes


def read_arrays(path: Path, names: Iterable[str] | None = None) -> dict[str, Array]:
    """Return datasets as float32 arrays.

    Args:
        path: HDF5 file.
        names: Names of the datasets. Defaults to all.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: As `read_shapes`, or if a dataset is missing, cannot be read, or contains NaN or infinity.
    """
    shapes = read_shapes(path)
    names = list(shapes if names is None else names)
    missing = [name for name in names if name not in shapes]
    if missing:
        raise ValueError(f"Expected the datasets {format_names(missing)} in {path}, got {format_names(shapes)}.")
    arrays: dict[str, Array] = {}
    with open_hdf5(path) as file:
        for name in names:
            try:
                array = np.asarray(file[name][()], dtype="=f4")
            except _READ_ERRORS as error:
                raise ValueError(
                    f"Cannot read dataset {format_names([name])} of {path}: its values are corrupt."
                ) from error
            check_finite_values(array, f"dataset {format_names([name])} of {path}")
            arrays[name] = array
    return arrays


def read_softmax(path: Path, projection_size: int, words: int | None = None) -> tuple[Array, Array]:
    """Return weight [words, projection_size] and bias [words] of the language model's softmax.

    Args:
        path: Softmax file (`*_softmax_weights.hdf5`), or a weight file that contains the softmax.
        projection_size: Output size of one direction.
        words: Vocabulary size, if known.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: As `read_arrays`, or if a shape differs.
    """
    arrays = read_arrays(path, SOFTMAX_NAMES)
    weight, bias = (arrays[name] for name in SOFTMAX_NAMES)
    rows = weight.shape[0] if words is None and weight.ndim == 2 else words
    for name, array, shape in zip(SOFTMAX_NAMES, (weight, bias), ((rows, projection_size), (rows,)), strict=True):
        if array.shape != shape:
            expected = str(shape).replace("None", "words")
            raise ValueError(f"Expected dataset {name} of {path} of shape {expected}, got {array.shape}.")
    return weight, bias
