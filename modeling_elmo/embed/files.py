# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Single files made of shards: .safetensors, .npz and AllenNLP's .hdf5, a shard in memory at a time."""

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
_SAFETENSORS_TYPES = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64"}

# Shards can be gone through more than once.
Tables = Callable[[], Iterable[pa.Table]]


@dataclass(frozen=True)
class _Array:
    """An array that is made piece by piece, along its first axis."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[np.ndarray]]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize


def _arrays(tables: Tables) -> list[_Array]:
    """`embedding` [words, *shape] with `offset` [sentences + 1], or [sentences, *shape] pooled; and `index`."""
    sentences = vectors = 0
    is_pooled, like = True, np.empty(0)
    for table in tables():
        like, lengths = from_arrow(table[EMBEDDING])
        is_pooled = lengths is None
        sentences, vectors = sentences + len(table), vectors + len(like)

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

    integer = np.dtype(np.int64)
    arrays = [_Array(EMBEDDING, like.dtype, (vectors, *like.shape[1:]), embeddings)]
    arrays.append(_Array(INDEX, integer, (sentences,), indices))
    return arrays if is_pooled else [*arrays, _Array("offset", integer, (sentences + 1,), offsets)]


def write_safetensors(file: BinaryIO, tables: Tables) -> None:
    """The format of the library safetensors, which itself would need all of it in memory."""
    header: dict[str, Any] = {}
    start = 0
    arrays = _arrays(tables)
    for array in arrays:
        dtype = _SAFETENSORS_TYPES[array.dtype.name]
        header[array.name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [start, start + array.size]}
        start += array.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8 bytes
    file.write(len(text).to_bytes(8, "little") + text)
    for array in arrays:
        for piece in array.pieces():
            file.write(np.ascontiguousarray(piece).data)


def write_npz(file: BinaryIO, tables: Tables) -> None:
    """What `numpy.load` reads, not compressed."""
    with zipfile.ZipFile(file, "w") as archive:
        for array in _arrays(tables):
            entry = zipfile.ZipInfo(f"{array.name}.npy", (1980, 1, 1, 0, 0, 0))  # no time, so that files compare equal
            description = np.lib.format.dtype_to_descr(array.dtype)
            fields = {"descr": description, "fortran_order": False, "shape": array.shape}
            with archive.open(entry, "w", force_zip64=True) as stream:
                np.lib.format.write_array_header_1_0(stream, fields)
                for piece in array.pieces():
                    stream.write(np.ascontiguousarray(piece).data)


def write_hdf5(file: BinaryIO, tables: Tables, sentence_keys: bool, forget_sentences: bool) -> None:
    """The layout of AllenNLP 0.9's `ElmoEmbedder.embed_file`.

    One float32 dataset a sentence, [layers, words, D] or [words, D]; its name is the number of its row, or the
    sentence itself. `sentence_to_index` [1] holds the JSON of sentence to name; of equal sentences the last one's.
    """
    sentence_to_index: dict[str, str] = {}
    with import_h5py().File(file.name, "w") as h5:  # by its name, which is many times faster
        for table in tables():
            flat, lengths = from_arrow(table[EMBEDDING])
            offsets = [0, *np.cumsum(np.asarray(lengths)).tolist()]
            rows_of = (flat[start:end] for start, end in pairwise(offsets))
            names = zip(table[INDEX].to_pylist(), table[SENTENCE].to_pylist(), rows_of, strict=True)
            for index, sentence, rows in names:
                data = np.ascontiguousarray(rows.swapaxes(0, 1)) if rows.ndim == 3 else rows
                key = hdf5_path(sentence) if sentence_keys else str(index)
                h5.create_dataset(key, data.shape, dtype="float32", data=data)
                sentence_to_index[sentence] = key
        if not forget_sentences:
            dataset = h5.create_dataset(SENTENCE_TO_INDEX, (1,), dtype=import_h5py().string_dtype())
            dataset[0] = json.dumps(sentence_to_index)


def hdf5_path(sentence: str) -> str:
    """The plainest path that HDF5 takes for the same as the sentence; empty if the sentence names nothing."""
    return "/".join(part for part in sentence.split("/") if part not in ("", "."))


class SentenceKeys:
    """Whether a sentence can name a dataset. To HDF5 `/` parts a path, in which empty and `.` parts count for nothing.

    `a/b` is the dataset `b` in the group `a`, and `file["a/b"]` finds it; but then `a` can be no dataset.
    """

    def __init__(self) -> None:
        self._datasets = {SENTENCE_TO_INDEX}
        self._groups: set[str] = set()
        self._sentences: set[str] = set()

    def is_known(self, sentence: str) -> bool:
        """Whether it has a dataset already, with the same vectors."""
        return sentence in self._sentences

    def problem(self, sentence: str) -> str | None:
        """Take the sentence as a key, or say why it cannot be one."""
        path = hdf5_path(sentence)
        parts = path.split("/")
        paths = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        if not path or "\0" in sentence:
            return "must be a name for HDF5; one of '.' and '/' alone, or with a NUL, is none"
        if path in self._groups or not self._datasets.isdisjoint(paths):
            return f"must have a name of its own in HDF5; {path!r} or a part of it before a '/' is taken"
        self._datasets.add(path)
        self._groups.update(paths[:-1])
        self._sentences.add(sentence)
        return None
