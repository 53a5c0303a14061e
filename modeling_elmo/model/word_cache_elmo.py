# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""A bounded memory of word vectors across batches: text repeats its words, and they need no context."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .linear_elmo import state_of


class CacheInfo(NamedTuple):
    """Like `functools.lru_cache`'s, counted in distinct words of a batch."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


class WordCache:
    """Vectors by rows of character ids; the oldest go first, and all go when a weight changes. Safe in threads.

    Args:
        size: words that it holds at most.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        self._forget(None)

    def _forget(self, state: Any) -> None:
        self._state = state
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []  # by slot
        self._next = 0
        self._vectors: Tensor | None = None

    def info(self) -> CacheInfo:
        """Hits, misses, and how full it is."""
        return CacheInfo(self.hits, self.misses, self.size, len(self._slots))

    @torch.compiler.disable
    def lookup(self, ids: Tensor, encode: Callable[[Tensor], Tensor], weights: Iterable[Tensor]) -> Tensor:
        """`encode(ids)` [n, P] for distinct rows ids [n, M], computed for the new ones among them only.

        Args:
            ids: on the CPU, one row at least.
            encode: must give a row the same bits whatever rows stand beside it.
            weights: what `encode` computes with.
        """
        state = tuple(state_of(weight) for weight in weights)
        keys = [row.tobytes() for row in ids.numpy()]
        with self._lock:
            try:
                if state != self._state:
                    self._forget(state)
                return self._lookup(ids, keys, encode)
            except BaseException:  # an interrupt too must not leave half of an update
                self._forget(None)
                raise

    def _lookup(self, ids: Tensor, keys: list[bytes], encode: Callable[[Tensor], Tensor]) -> Tensor:
        slots = [self._slots.get(key, -1) for key in keys]
        missing = [index for index, slot in enumerate(slots) if slot < 0]
        known = [index for index, slot in enumerate(slots) if slot >= 0]
        self.hits += len(known)
        self.misses += len(missing)
        if not missing and self._vectors is not None:
            return self._vectors[slots]
        fresh = encode(ids[missing])
        result = fresh.new_empty(len(keys), fresh.shape[1])
        result[missing] = fresh
        if self._vectors is not None:
            result[known] = self._vectors[[slots[index] for index in known]]
        self._store([keys[index] for index in missing], fresh)
        return result

    def _store(self, keys: list[bytes], vectors: Tensor) -> None:
        keys, vectors = keys[-self.size :], vectors[-self.size :]
        with torch.inference_mode(False):  # or the next call outside that mode could not write
            if self._vectors is None:
                self._vectors = torch.empty(self.size, vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
            slots = [(self._next + number) % self.size for number in range(len(keys))]
            self._vectors[slots] = vectors.clone()
        for slot, key in zip(slots, keys, strict=True):
            if slot < len(self._keys):
                del self._slots[self._keys[slot]]
                self._keys[slot] = key
            else:
                self._keys.append(key)
            self._slots[key] = slot
        self._next = (self._next + len(keys)) % self.size
