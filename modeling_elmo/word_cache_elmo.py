# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""A bounded memory of word vectors across batches: text repeats its words, and they need no context."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .products_elmo import state_of


class CacheInfo(NamedTuple):
    """Like `functools.lru_cache`'s, counted in distinct words of a batch."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


class WordCache:
    """Vectors by rows of character ids; the oldest go first, and all go when a weight changes.

    Args:
        size: words that it holds at most.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.hits = self.misses = 0
        self._state: Any = None
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._vectors: Tensor | None = None
        self._next = 0

    def info(self) -> CacheInfo:
        """Hits, misses, and how full it is."""
        return CacheInfo(self.hits, self.misses, self.size, len(self._slots))

    def lookup(self, ids: Tensor, encode: Callable[[Tensor], Tensor], weights: Iterable[Tensor]) -> Tensor:
        """`encode(ids)` [n, P] for distinct rows ids [n, M], computed for the new ones among them only.

        Args:
            ids: on the CPU.
            encode: must give a row the same bits whatever rows stand beside it.
            weights: what `encode` computes with.
        """
        state = tuple(state_of(weight) for weight in weights)
        if state != self._state:
            self._state, self._slots, self._keys, self._vectors, self._next = state, {}, [], None, 0
        rows = ids.to(torch.int16).numpy() if int(ids.max()) < 2**15 else ids.numpy()
        keys = [row.tobytes() for row in rows]
        slots = [self._slots.get(key, -1) for key in keys]
        missing = [index for index, slot in enumerate(slots) if slot < 0]
        self.hits += len(keys) - len(missing)
        self.misses += len(missing)
        fresh = encode(ids[missing]) if missing else None
        if fresh is None and self._vectors is not None:
            return self._vectors[slots]
        if fresh is None:
            return encode(ids)
        result = fresh.new_empty(len(keys), fresh.shape[1])
        result[missing] = fresh
        if self._vectors is not None:
            known = [index for index, slot in enumerate(slots) if slot >= 0]
            result[known] = self._vectors[[slots[index] for index in known]]
        self._store([keys[index] for index in missing], fresh)
        return result

    def _store(self, keys: list[bytes], vectors: Tensor) -> None:
        if self._vectors is None:
            self._vectors = vectors.new_empty(self.size, vectors.shape[1])
        keys, vectors = keys[-self.size :], vectors[-self.size :]
        slots = []
        for key in keys:
            if len(self._keys) < self.size:
                self._keys.append(key)
            else:
                del self._slots[self._keys[self._next]]
                self._keys[self._next] = key
            self._slots[key] = self._next
            slots.append(self._next)
            self._next = (self._next + 1) % self.size
        self._vectors[slots] = vectors
