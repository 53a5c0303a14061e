# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Bounded cache of context-independent word vectors across batches."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .fork_elmo import reset_after_fork
from .linear_elmo import weight_fingerprint


class CacheInfo(NamedTuple):
    """Statistics with the fields of `functools.lru_cache`, counted in distinct words per batch."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


class WordCache:
    """Map from character-id rows to vectors.

    It evicts the oldest entry first, is cleared when a weight changes, and is thread-safe.

    Args:
        size: Maximum number of words.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        self._clear(None)
        reset_after_fork(self)

    def _clear(self, fingerprints: Any) -> None:
        self._fingerprints = fingerprints
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []  # by slot
        self._next = 0
        self._vectors: Tensor | None = None

    def reset_after_fork(self) -> None:
        """Replace the lock. Clear the cache if a thread of the parent process was updating it."""
        if self._lock.locked():
            self._clear(None)
        self._lock = threading.Lock()

    def info(self) -> CacheInfo:
        """Return the numbers of hits, misses, and cached words."""
        return CacheInfo(self.hits, self.misses, self.size, len(self._slots))

    @torch.compiler.disable
    def lookup(self, ids: Tensor, encode: Callable[[Tensor], Tensor], weights: Iterable[Tensor]) -> Tensor:
        """Return `encode(ids)`, [n, P], computed only for the rows that are not cached.

        Args:
            ids: Distinct rows [n, M] on the CPU, at least one.
            encode: Batch-invariant function: the result for a row must not depend on the other rows.
            weights: All weights that `encode` uses.
        """
        fingerprints = tuple(weight_fingerprint(weight) for weight in weights)
        keys = [row.tobytes() for row in ids.numpy()]
        with self._lock:
            try:
                if fingerprints != self._fingerprints:
                    self._clear(fingerprints)
                return self._lookup(ids, keys, encode)
            except BaseException:  # an interrupt must not leave a partial update either
                self._clear(None)
                raise

    def _lookup(self, ids: Tensor, keys: list[bytes], encode: Callable[[Tensor], Tensor]) -> Tensor:
        slots = [self._slots.get(key, -1) for key in keys]
        missing = [index for index, slot in enumerate(slots) if slot < 0]
        cached = [index for index, slot in enumerate(slots) if slot >= 0]
        self.hits += len(cached)
        self.misses += len(missing)
        if not missing and self._vectors is not None:
            return self._vectors[slots]
        new_vectors = encode(ids[missing])
        result = new_vectors.new_empty(len(keys), new_vectors.shape[1])
        result[missing] = new_vectors
        if self._vectors is not None:
            result[cached] = self._vectors[[slots[index] for index in cached]]
        self._store([keys[index] for index in missing], new_vectors)
        return result

    def _store(self, keys: list[bytes], vectors: Tensor) -> None:
        keys, vectors = keys[-self.size :], vectors[-self.size :]
        # Tensors created in inference mode could not be modified outside that mode.
        with torch.inference_mode(False):
            if self._vectors is None:
                self._vectors = torch.empty(self.size, vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
            slots = [(self._next + offset) % self.size for offset in range(len(keys))]
            self._vectors[slots] = vectors.clone()
        for slot, key in zip(slots, keys, strict=True):
            if slot < len(self._keys):
                del self._slots[self._keys[slot]]
                self._keys[slot] = key
            else:
                self._keys.append(key)
            self._slots[key] = slot
        self._next = (self._next + len(keys)) % self.size
