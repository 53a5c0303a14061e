# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Writers that merge shards into one .safetensors, .npz, or AllenNLP .hdf5 file, with one shard in memory at a time."""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from ..encode.output import from_arrow
from ..optional import import_h5py

EMBEDDING, INDEX, SENTENCE, WORDS = "embedding", "index", "sentence", "words"
SENTENCE_TO_INDEX = "sentence_to_index"
_SAFETENSORS_DTYPES = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64"}

# Function that starts a new pass over the shards.
Tables = Callable[[], Iterable[pa.Table]]


@dataclass(frozen=True)
class _ChunkedArray:
    """Array that is computed in chunks along its first axis."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    chunks: Callable[[], Iterator[np.ndarray]]

    @property
    def num_bytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize


def _chunk_arrays(tables: Tables) -> list[_ChunkedArray]:
    """Return the arrays of the output.

    They are `embedding` [words, *shape] and `offset` [sentences + 1], or the pooled `embedding` [sentences, *shape],
    and `index` [sentences].
    """
    num_sentences = num_vectors = 0
    is_pooled, last_vectors = True, np.empty(0)
    for table in tables():
        last_vectors, lengths = from_arrow(table[EMBEDDING])
        is_pooled = lengths is None
        num_sentences, num_vectors = num_sentences + len(table), num_vectors + len(last_vectors)

    def embeddings() -> Iterator[np.ndarray]:
        return (from_arrow(table[EMBEDDING])[0] for table in tables())

    def indices() -> Iterator[np.ndarray]:
        return (table[INDEX].to_numpy() for table in tables())

    def offsets() -> Iterator[np.ndarray]:
        start = np.zeros(1, np.int64)
        yield start
        for table in tables():
            _, lengths = from_arrow(table[EMBEDDING])
            yield (ends := start[-1] + np.cumsum(np.asarray(lengths), dtype=np.int64))
            start = ends if len(ends) else start

    int64 = np.dtype(np.int64)
    arrays = [_ChunkedArray(EMBEDDING, last_vectors.dtype, (num_vectors, *last_vectors.shape[1:]), embeddings)]
    arrays.append(_ChunkedArray(INDEX, int64, (num_sentences,), indices))
    return arrays if is_pooled else [*arrays, _ChunkedArray("offset", int64, (num_sentences + 1,), offsets)]


def write_safetensors(file: BinaryIO, tables: Tables) -> None:
    """Write a safetensors file. The safetensors library itself would need the whole file in memory."""
    header: dict[str, Any] = {}
    start = 0
    arrays = _chunk_arrays(tables)
    for array in arrays:
        dtype, end = _SAFETENSORS_DTYPES[array.dtype.name], start + array.num_bytes
        header[array.name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the data to 8 bytes
    file.write(len(text).to_bytes(8, "little") + text)
    for array in arrays:
        for chunk in array.chunks():
            file.write(np.ascontiguousarray(chunk).data)


def write_npz(file: BinaryIO, tables: Tables) -> None:
    """Write an uncompressed file for `numpy.load`."""
    with zipfile.ZipFile(file, "w") as archive:
        for array in _chunk_arrays(tables):
            # A fixed timestamp makes the bytes of the file reproducible.
            entry = zipfile.ZipInfo(f"{array.name}.npy", (1980, 1, 1, 0, 0, 0))
            description = np.lib.format.dtype_to_descr(array.dtype)
            fields = {"descr": description, "fortran_order": False, "shape": array.shape}
            with archive.open(entry, "w", force_zip64=True) as stream:
                np.lib.format.write_array_header_1_0(stream, fields)
                for chunk in array.chunks():
                    stream.write(np.ascontiguousarray(chunk).data)


def write_hdf5(file: BinaryIO, tables: Tables, sentence_keys: bool, forget_sentences: bool) -> None:
    """Write the layout of AllenNLP 0.9's `ElmoEmbedder.embed_file`.

    Each sentence has one float32 dataset, [layers, words, D] or [words, D].

    Args:
        file: File to write, open and with a name.
        tables: Shards with the sentences.
        sentence_keys: Whether a dataset is named by its sentence instead of its row index.
        forget_sentences: Whether to omit `sentence_to_index` [1], the JSON object that maps each sentence to its
            dataset. Of repeated sentences, it contains the last dataset.
    """
    sentence_to_index: dict[str, str] = {}
    # h5py writes to a path many times faster than to a Python file object.
    with import_h5py().File(file.name, "w") as h5:
        for table in tables():
            flat, lengths = from_arrow(table[EMBEDDING])
            offsets = [0, *np.cumsum(np.asarray(lengths)).tolist()]
            vectors_per_sentence = (flat[start:end] for start, end in pairwise(offsets))
            indices, sentences = table[INDEX].to_pylist(), table[SENTENCE].to_pylist()
            for index, sentence, vectors in zip(indices, sentences, vectors_per_sentence, strict=True):
                data = np.ascontiguousarray(vectors.swapaxes(0, 1)) if vectors.ndim == 3 else vectors
                key = normalize_hdf5_key(sentence) if sentence_keys else str(index)
                h5.create_dataset(key, data.shape, dtype="float32", data=data)
                sentence_to_index[sentence] = key
        if not forget_sentences:
            dataset = h5.create_dataset(SENTENCE_TO_INDEX, (1,), dtype=import_h5py().string_dtype())
            dataset[0] = json.dumps(sentence_to_index)


def normalize_hdf5_key(sentence: str) -> str:
    """Return the shortest HDF5 path that is equivalent to the sentence, or "" if the sentence is no valid name."""
    return "/".join(part for part in sentence.split("/") if part not in ("", "."))


class SentenceKeys:
    """Sentences that name the datasets of an HDF5 file.

    HDF5 splits a name at `/` into a path and ignores empty and `.` parts. `a/b` is the dataset `b` in the group `a`,
    and `file["a/b"]` finds it. A sentence `a` then cannot name another dataset.
    """

    def __init__(self) -> None:
        self._datasets = {SENTENCE_TO_INDEX}
        self._groups: set[str] = set()
        self._sentences: set[str] = set()

    def contains(self, sentence: str) -> bool:
        """Return whether the sentence already has a dataset."""
        return sentence in self._sentences

    def try_add(self, sentence: str) -> str | None:
        """Add the sentence as a key and return None, or return an error message if it cannot be one."""
        path = normalize_hdf5_key(sentence)
        parts = path.split("/")
        paths = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        if not path or "\0" in sentence:
            return "expected a valid HDF5 name, got only '.' and '/', or a NUL character"
        if path in self._groups or not self._datasets.isdisjoint(paths):
            return f"the HDF5 name {path!r} conflicts with that of an earlier sentence"
        self._datasets.add(path)
        self._groups.update(paths[:-1])
        self._sentences.add(sentence)
        return None
