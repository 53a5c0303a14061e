# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Random changes of bytes and of JSON values. Equal seeds give equal changes."""

import copy
import json
from random import Random
from typing import Any

HOSTILE_BYTES = (
    b"",
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\n",
    b"\r",
    b'"',
    b"{",
    b"[" * 9999,
    b"\xed\xa0\x80",
    b"\x1b[31m",
)
HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2,
    3,
    1.5,
    10**4,
    10**9,
    2**63,
    -(2**63),
    10**4000,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "4096",
    "\x1b[31m\u202e\n",
    "\ud800",
    "x" * 100_000,
    "../../../../etc/passwd",
    "lstm_outputs999999999999",
    [],
    [[]],
    [0],
    [1, 10**9],
    [[1, 10**9]],
    [[10**9, 1]],
    [None],
    [1] * 10_000,
    {},
    {"a": {}},
    {str(index): index for index in range(2000)},
)


def mutate_bytes(random: Random, data: bytes) -> bytes:
    """Return the bytes with one to eight changes: flipped, replaced, inserted, removed, or repeated bytes."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 8)):
        start = random.randrange(len(changed) + 1)
        size = min(random.choice((1, 1, 2, 4, 8, 64, 1000)), len(changed) - start)
        action = random.randrange(7)
        if action == 0 and size:
            changed[start] ^= 1 << random.randrange(8)
        elif action == 1:
            changed[start : start + size] = random.randbytes(size)
        elif action == 2:
            changed[start : start + size] = random.choice((b"\x00", b"\xff", b"\x7f")) * size
        elif action == 3:
            changed[start:start] = random.choice(HOSTILE_BYTES)
        elif action == 4:
            del changed[start : start + size]
        elif action == 5:
            changed[start:start] = changed[start : start + size]
        elif random.random() < 0.2:
            del changed[start:]
    return bytes(changed)


def _containers(value: Any) -> list[Any]:
    """Return all objects and lists in a JSON value that have elements."""
    found, pending = [], [value]
    while pending:
        item = pending.pop()
        if isinstance(item, (dict, list)) and item:
            found.append(item)
            pending += item.values() if isinstance(item, dict) else item
    return found


def mutate_json(random: Random, value: Any) -> str:
    """Return a JSON text with one to four values replaced, removed, moved, or nested, or with changed bytes."""
    root = copy.deepcopy(value)
    for _ in range(random.randint(1, 4)):
        containers = _containers(root)
        if not containers:
            break
        container = random.choice(containers)
        key = random.choice(list(container) if isinstance(container, dict) else range(len(container)))
        action = random.randrange(8)
        if action < 5:
            container[key] = copy.deepcopy(random.choice(HOSTILE_VALUES))
        elif action == 5:
            del container[key]
        elif action == 6:
            container[key] = copy.deepcopy(random.choice(random.choice(containers) and [root, container[key]]))
        elif isinstance(container, dict):
            container[random.choice(("", "x", "auto_map", "dtype", "model_type", "torch_dtype"))] = container[key]
    text = json.dumps(root)
    if random.random() < 0.1:
        depth = random.choice((10, 900, 100_000))
        text = text.replace("1", f"{'[' * depth}1{']' * depth}", 1)
    if random.random() < 0.1:
        text = mutate_bytes(random, text.encode()).decode("utf-8", "surrogateescape")
    return text
