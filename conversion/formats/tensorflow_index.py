# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Validation of the index of a TensorFlow V2 checkpoint, before TensorFlow reads it.

TensorFlow aborts the process at invalid entries (a negative size, an unknown type), so this module detects them first.
It does not verify checksums, because TensorFlow does. The format is LevelDB's table of sorted keys, with protocol
buffers as values: tensorflow/core/lib/io/format.h and tensorflow/core/protobuf/tensor_bundle.proto.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..mapping.layouts import Shape

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")  # last bytes of the file
_FOOTER_SIZE = 48  # in bytes
_TRAILER_SIZE = 5  # in bytes: compression type and checksum of a block
_MAX_DIMENSIONS = 254
_MAX_SHARDS = 99_999
_MAX_BYTES = 1 << 28  # the index of an ELMo has a few kB

_STRING = 7
# Bytes per value of each type in tensorflow/core/framework/types.proto. Strings have any size.
_VALUE_SIZES = {
    1: 4,
    2: 8,
    3: 4,
    4: 1,
    5: 2,
    6: 1,
    _STRING: 0,
    8: 8,
    9: 8,
    10: 1,
    14: 2,
    17: 2,
    18: 16,
    19: 2,
    22: 4,
    23: 8,
}


class CorruptIndexError(ValueError):
    """Raised if a file is not a valid index. The message is for developers."""


@dataclass(frozen=True)
class Variable:
    """Shape of a variable and location of its values: `size` bytes from `offset` in data file `shard`."""

    shape: Shape
    shard: int
    offset: int
    size: int


@dataclass(frozen=True)
class Index:
    """Content of an index: number of data files, and the variables by name, sorted."""

    shards: int
    variables: dict[str, Variable]


def _check(condition: bool, problem: str) -> None:
    if not condition:
        raise CorruptIndexError(problem)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return an unsigned integer of up to 64 bits and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        _check(position < len(data), "truncated integer")
        value |= (data[position] & 0x7F) << shift
        position += 1
        if not data[position - 1] & 0x80:
            _check(value < 1 << 64, "integer too large")
            return value, position
    raise CorruptIndexError("integer too long")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protocol buffer."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire_type = tag & 7
        _check(8 <= tag < 1 << 32 and wire_type in (0, 1, 2, 5), "unknown wire_type type")
        if wire_type == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        size, position = _varint(message, position) if wire_type == 2 else ({1: 8, 5: 4}[wire_type], position)
        _check(position + size <= len(message), "truncated field")
        yield tag >> 3, message[position : position + size]
        position += size


def _message(message: bytes, types: dict[int, type], repeated: int = 0) -> tuple[dict[int, int | bytes], list[bytes]]:
    """Return the fields of a message by number, and the values of the repeated field.

    Every field but the repeated one must occur at most once and have the type that `types` gives for its number.
    """
    single: dict[int, int | bytes] = {}
    repeated_values: list[bytes] = []
    for number, value in _fields(message):
        if number == repeated and isinstance(value, bytes):
            repeated_values.append(value)
        else:
            _check(number not in single and isinstance(value, types.get(number, ())), "duplicate or unknown field")
            single[number] = value
    return single, repeated_values


def _number(fields: dict[int, int | bytes], number: int) -> int:
    value = fields.get(number, 0)
    _check(isinstance(value, int) and value < 1 << 63, "negative integer")
    return value  # type: ignore[return-value]


def _variable(message: bytes) -> Variable:
    fields, slices = _message(message, {1: int, 2: bytes, 3: int, 4: int, 5: int, 6: bytes}, repeated=7)
    _check(not slices, "sliced variable")
    shape_fields, dimensions = _message(bytes(fields.get(2, b"")), {3: int}, repeated=2)
    _check(not _number(shape_fields, 3) and len(dimensions) <= _MAX_DIMENSIONS, "unknown shape")
    shape = tuple(_number(_message(dimension, {1: int})[0], 1) for dimension in dimensions)
    dtype, size, count = _number(fields, 1), _number(fields, 5), math.prod(shape)
    _check(dtype in _VALUE_SIZES, "unknown type")
    _check(size == count * _VALUE_SIZES[dtype] or (dtype == _STRING and size >= count), "size does not match shape")
    return Variable(shape, _number(fields, 3), _number(fields, 4), size)


def _block(data: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of one block."""
    _check(size >= 4 and start + size + _TRAILER_SIZE <= len(data) - _FOOTER_SIZE, "block outside the file")
    _check(data[start + size] == 0, "compressed block")
    block = data[start : start + size]
    restarts = int.from_bytes(block[-4:], "little")
    end = size - 4 - 4 * restarts
    _check(restarts >= 1 and end >= 0, "block without restart array")
    restart_points = {0}
    key, position = b"", 0
    while position < end:
        begin = position
        shared, position = _varint(block, position)
        rest, position = _varint(block, position)
        length, position = _varint(block, position)
        _check(shared <= len(key) and position + rest + length <= end, "truncated entry")
        if not shared:
            restart_points.add(begin)
        key = key[:shared] + block[position : position + rest]
        yield key, block[position + rest : position + rest + length]
        position += rest + length
    table = [int.from_bytes(block[i : i + 4], "little") for i in range(end, size - 4, 4)]
    _check(position == end and restart_points.issuperset(table), "invalid restart array")


def _blocks(data: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of all blocks that an index block lists."""
    for last_key, handle in _block(data, start, size):
        start, position = _varint(handle, 0)
        size, _ = _varint(handle, position)
        for key, value in _block(data, start, size):
            _check(key <= last_key, "key in the wrong block")
            yield key, value


def _parse(data: bytes) -> Index:
    _check(len(data) >= _FOOTER_SIZE and data.endswith(MAGIC), "missing footer")
    position = len(data) - _FOOTER_SIZE
    handles = []
    for _ in range(4):  # position and size of the metaindex block and of the index block
        handle, position = _varint(data, position)
        handles.append(handle)
    entries = list(_blocks(data, *handles[2:]))
    keys = [key for key, _ in entries]
    _check(keys[:1] == [b""] and keys == sorted(set(keys)), "missing, duplicate, or unsorted keys")
    header, _ = _message(entries[0][1], {1: int, 2: int, 3: bytes})
    shards = _number(header, 1)
    _check(1 <= shards <= _MAX_SHARDS and not _number(header, 2), "no data files, or big-endian values")
    variables: dict[str, Variable] = {}
    for key, value in entries[1:]:
        _check(not key.startswith(b"\0"), "slice of a variable")
        variable = _variable(value)
        _check(variable.shard < shards, "unknown data file")
        variables[key.decode("utf-8")] = variable
    return Index(shards, variables)


def read_index(path: Path) -> Index:
    """Read and validate an index.

    Raises:
        CorruptIndexError: If it is invalid, or TensorFlow would abort the process when reading it.
        OSError: If it cannot be read.
    """
    _check(path.stat().st_size <= _MAX_BYTES, "file too large")
    try:
        return _parse(path.read_bytes())
    except UnicodeDecodeError as error:
        raise CorruptIndexError("name is not UTF-8") from error
