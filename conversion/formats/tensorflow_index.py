# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The index of a TensorFlow V2 checkpoint, looked through before TensorFlow reads it.

TensorFlow ends the whole process at entries that cannot be (a negative size, an unknown type), so they are found here
first; checksums are left to it. The format is LevelDB's table of sorted keys, with protocol buffers for values:
tensorflow/core/lib/io/format.h and tensorflow/core/protobuf/tensor_bundle.proto.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..mapping.layouts import Shape

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")  # its last bytes
_FOOTER = 48
_TRAILER = 5  # of a block: its compression and checksum
_MOST_DIMENSIONS = 254
_MOST_SHARDS = 99_999
_MOST_BYTES = 1 << 28  # ELMo's have some kilobytes

_STRING = 7
# Bytes of a number of each type, by the numbers of tensorflow/core/framework/types.proto; strings are of any size.
_TYPES = {1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, _STRING: 0, 8: 8, 9: 8, 10: 1, 14: 2, 17: 2, 18: 16, 19: 2, 22: 4, 23: 8}


class DamagedIndexError(ValueError):
    """The file is no index, or not a whole one; the message is for programmers."""


@dataclass(frozen=True)
class Variable:
    """Where a variable's numbers lie: `size` bytes from `offset` on in data file number `shard`."""

    shape: Shape
    shard: int
    offset: int
    size: int


@dataclass(frozen=True)
class Index:
    """An index: the number of data files, and the variables by name, sorted."""

    shards: int
    variables: dict[str, Variable]


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise DamagedIndexError(what)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits and the place after it."""
    value = 0
    for shift in range(0, 64, 7):
        _require(place < len(data), "a number ends early")
        value |= (data[place] & 0x7F) << shift
        place += 1
        if not data[place - 1] & 0x80:
            _require(value < 1 << 64, "a number is too large")
            return value, place
    raise DamagedIndexError("a number is too long")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protocol buffer."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        wire = tag & 7
        _require(8 <= tag < 1 << 32 and wire in (0, 1, 2, 5), "a field of no known kind")
        if wire == 0:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        size, place = _varint(message, place) if wire == 2 else ({1: 8, 5: 4}[wire], place)
        _require(place + size <= len(message), "a field ends early")
        yield tag >> 3, message[place : place + size]
        place += size


def _message(message: bytes, types: dict[int, type], repeated: int = 0) -> tuple[dict[int, int | bytes], list[bytes]]:
    """The fields of a message, which must have these numbers and types, each once, and those of the repeated one."""
    single: dict[int, int | bytes] = {}
    several: list[bytes] = []
    for number, value in _fields(message):
        if number == repeated and isinstance(value, bytes):
            several.append(value)
        else:
            _require(number not in single and isinstance(value, types.get(number, ())), "a field twice or unknown")
            single[number] = value
    return single, several


def _number(fields: dict[int, int | bytes], number: int) -> int:
    value = fields.get(number, 0)
    _require(isinstance(value, int) and value < 1 << 63, "a negative number")
    return value  # type: ignore[return-value]


def _variable(message: bytes) -> Variable:
    fields, slices = _message(message, {1: int, 2: bytes, 3: int, 4: int, 5: int, 6: bytes}, repeated=7)
    _require(not slices, "a variable in slices")
    of_shape, dimensions = _message(bytes(fields.get(2, b"")), {3: int}, repeated=2)
    _require(not _number(of_shape, 3) and len(dimensions) <= _MOST_DIMENSIONS, "an unknown shape")
    shape = tuple(_number(_message(dimension, {1: int})[0], 1) for dimension in dimensions)
    kind, size, number = _number(fields, 1), _number(fields, 5), math.prod(shape)
    _require(kind in _TYPES, "an unknown type")
    _require(size == number * _TYPES[kind] or (kind == _STRING and size >= number), "a size that is not the shape's")
    return Variable(shape, _number(fields, 3), _number(fields, 4), size)


def _block(data: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the block at a place."""
    _require(size >= 4 and start + size + _TRAILER <= len(data) - _FOOTER, "a block outside the file")
    _require(data[start + size] == 0, "a compressed block, which TensorFlow does not write")
    block = data[start : start + size]
    restarts = int.from_bytes(block[-4:], "little")
    end = size - 4 - 4 * restarts
    _require(restarts >= 1 and end >= 0, "a block without its table")
    whole_keys = {0}
    key, place = b"", 0
    while place < end:
        begin = place
        shared, place = _varint(block, place)
        rest, place = _varint(block, place)
        length, place = _varint(block, place)
        _require(shared <= len(key) and place + rest + length <= end, "an entry ends early")
        if not shared:
            whole_keys.add(begin)
        key = key[:shared] + block[place : place + rest]
        yield key, block[place + rest : place + rest + length]
        place += rest + length
    table = [int.from_bytes(block[i : i + 4], "little") for i in range(end, size - 4, 4)]
    _require(place == end and whole_keys.issuperset(table), "a block with a wrong table")


def _blocks(data: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the blocks in a list of blocks."""
    for last_key, handle in _block(data, start, size):
        start, place = _varint(handle, 0)
        size, _ = _varint(handle, place)
        for key, value in _block(data, start, size):
            _require(key <= last_key, "a key in the wrong block")
            yield key, value


def _parse(data: bytes) -> Index:
    _require(len(data) >= _FOOTER and data.endswith(MAGIC), "no end")
    place = len(data) - _FOOTER
    numbers = []
    for _ in range(4):  # place and size of the block of metadata, and of the list of blocks
        number, place = _varint(data, place)
        numbers.append(number)
    entries = list(_blocks(data, *numbers[2:]))
    keys = [key for key, _ in entries]
    _require(keys[:1] == [b""] and keys == sorted(set(keys)), "keys missing, twice or out of order")
    header, _ = _message(entries[0][1], {1: int, 2: int, 3: bytes})
    shards = _number(header, 1)
    _require(1 <= shards <= _MOST_SHARDS and not _number(header, 2), "no data files or big-endian numbers")
    variables: dict[str, Variable] = {}
    for key, value in entries[1:]:
        _require(not key.startswith(b"\0"), "a slice of a variable")
        variable = _variable(value)
        _require(variable.shard < shards, "a data file that is not there")
        variables[key.decode("utf-8")] = variable
    return Index(shards, variables)


def read_index(path: Path) -> Index:
    """Look through an index.

    Raises:
        DamagedIndexError: it is none, or TensorFlow would not survive it.
        OSError: it cannot be read.
    """
    _require(path.stat().st_size <= _MOST_BYTES, "too large")
    try:
        return _parse(path.read_bytes())
    except UnicodeDecodeError as error:
        raise DamagedIndexError("a name that is not UTF-8") from error
