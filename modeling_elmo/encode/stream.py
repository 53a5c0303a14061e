# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Streaming from windows of sentences to windows of vectors, shared by `ElmoEncoder.encode` and `elmo embed`.

A thread tokenizes the next batches while the device computes. Vectors are copied from the GPU on a separate CUDA
stream. At most a few windows are in memory at any time.
"""

import contextlib
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..model.tokenization_elmo import ElmoTokenizer
from .batches import Batch, TokenizedWindow, Window, iter_batches, prefetch
from .vectors import VectorSpec, batch_vectors

# Enough batches that the device does not wait while a complete window is read and split.
_PREFETCH_BATCHES = 4


@dataclass(frozen=True)
class EncodedWindow:
    """The vectors of a window, in the order of its sentences."""

    words: list[list[str]]
    vectors: Tensor  # on the CPU, [all words, *shape], or [sentences, *shape] if pooled
    label: Any

    @property
    def lengths(self) -> list[int]:
        return [len(words) for words in self.words]


class TokenBudget:
    """Maximum number of tokens per batch, padding included. It is halved when memory runs out."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._has_warned = False

    def halve(self, failed: int) -> None:
        """Reduce the limit after a batch of `failed` tokens ran out of memory."""
        self.tokens = max(1, min(self.tokens, failed) // 2)
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"Out of memory with {failed} tokens per batch. Retrying with {self.tokens}; pass "
                f"max_tokens_per_batch={self.tokens} to avoid this.",
                stacklevel=2,
            )


def progress_callback(bar: tqdm) -> Callable[[int, int], None]:
    """Return a function for `on_batch` of `encode_windows` that updates a progress bar and shows words per second."""
    words = 0

    def on_batch(num_sentences: int, num_words: int) -> None:
        nonlocal words
        words += num_words
        bar.set_postfix_str(f"{words / max(bar.format_dict['elapsed'], 1e-9):.0f} words/s", refresh=False)
        bar.update(num_sentences)

    return on_batch


class _DeviceToHostCopy:
    """Asynchronous copy of vectors to CPU memory."""

    def __init__(self, vectors: Tensor, stream: Any) -> None:
        self._done: Any = None
        self._host = vectors
        if stream is not None:
            stream.wait_stream(torch.cuda.current_stream(vectors.device))
            with torch.cuda.stream(stream):
                self._host = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
                self._host.copy_(vectors, non_blocking=True)
                self._done = stream.record_event()
            vectors.record_stream(stream)
        elif vectors.device.type != "cpu":
            self._host = vectors.cpu()

    def wait(self) -> Tensor:
        if self._done is not None:
            self._done.synchronize()
        return self._host


class _WindowBuffer:
    """Buffer for the vectors of one window, filled batch by batch."""

    def __init__(self, window: TokenizedWindow, spec: VectorSpec) -> None:
        self.window = window
        self.pooled = spec.pooling is not None
        self.lengths = window.lengths
        self.starts = [0]
        for length in self.lengths:
            self.starts.append(self.starts[-1] + (1 if self.pooled else length))
        # Sentences without words are in no batch; their pooled vectors stay zero.
        allocate = torch.zeros if self.pooled else torch.empty
        self.vectors = allocate((self.starts[-1], *spec.shape), dtype=spec.dtype)

    def put(self, batch: Batch, rows: Tensor) -> None:
        if self.pooled:
            self.vectors[batch.positions] = rows
            return
        starts = [self.starts[position] for position in batch.positions]
        for start, length, part in zip(starts, batch.lengths, rows.split(batch.lengths), strict=True):
            self.vectors[start : start + length] = part

    def finish(self) -> EncodedWindow:
        return EncodedWindow(self.window.words, self.vectors, self.window.label)


def encode_windows(
    model: Any,
    tokenizer: ElmoTokenizer,
    windows: Iterable[Window],
    spec: VectorSpec,
    budget: TokenBudget,
    max_sentences: int | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> Iterator[EncodedWindow]:
    """Encode windows one after the other, independently of each other.

    Args:
        model: An `ElmoModel` in evaluation mode, on the device that computes.
        tokenizer: Tokenizer of the model.
        windows: Windows, which another thread reads slightly ahead.
        spec: Requested vectors.
        budget: Maximum number of tokens per batch.
        max_sentences: Maximum number of sentences per batch. None means no limit.
        on_batch: Function to call after each batch, with its number of sentences and of words.

    Yields:
        Each window with its vectors, in order.
    """
    device = model.device
    is_cuda = device.type == "cuda"
    stream = torch.cuda.Stream(device) if is_cuda else None
    batches = iter_batches(tokenizer, windows, lambda: budget.tokens, max_sentences, pin_memory=is_cuda)
    # The copy of a batch overlaps with the computation of the next batch.
    in_flight: deque[tuple[_WindowBuffer, Batch | None, _DeviceToHostCopy | None]] = deque()
    buffer: _WindowBuffer | None = None

    def drain(max_in_flight: int) -> Iterator[EncodedWindow]:
        while len(in_flight) > max_in_flight:
            target, batch, copy = in_flight.popleft()
            if batch is None or copy is None:
                yield target.finish()
                continue
            target.put(batch, copy.wait())
            if on_batch is not None:
                on_batch(len(batch.lengths), sum(batch.lengths))

    with contextlib.closing(prefetch(batches, _PREFETCH_BATCHES)) as items:
        for item in items:
            if isinstance(item, TokenizedWindow):
                if buffer is not None:
                    in_flight.append((buffer, None, None))
                buffer = _WindowBuffer(item, spec)
            elif buffer is not None:
                for part, vectors in _encode_batch(model, item, spec, budget):
                    in_flight.append((buffer, part, _DeviceToHostCopy(vectors, stream)))
                    yield from drain(int(is_cuda))
        if buffer is not None:
            in_flight.append((buffer, None, None))
        yield from drain(0)


def _encode_batch(model: Any, batch: Batch, spec: VectorSpec, budget: TokenBudget) -> Iterator[tuple[Batch, Tensor]]:
    """Yield the vectors of a batch, in parts if it does not fit into memory."""
    parts = deque([batch])
    while parts:
        part, *rest = parts.popleft().split(budget.tokens)
        parts.extendleft(reversed(rest))
        vectors = _encode_or_none(model, part, spec)
        if vectors is not None:
            yield part, vectors
            continue
        # The exception and its traceback, which kept tensors alive, no longer exist here.
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        budget.halve(part.num_tokens)
        parts.appendleft(part)


def _encode_or_none(model: Any, batch: Batch, spec: VectorSpec) -> Tensor | None:
    """Return the vectors of a batch, or None if memory ran out and the batch can be split."""
    try:
        with torch.inference_mode():
            ids = batch.input_ids.to(model.device, non_blocking=True)
            word_index = None if spec.pooling else _word_index(batch).to(model.device, non_blocking=True)
            return batch_vectors(model, ids, word_index, spec)
    except (RuntimeError, MemoryError) as error:
        if len(batch.lengths) == 1 or not is_out_of_memory(error):
            raise
        return None


def _word_index(batch: Batch) -> Tensor:
    """Return the indices of the words among the positions of the padded batch, in reading order."""
    width = batch.input_ids.shape[1]
    return (torch.arange(width) < torch.tensor(batch.lengths)[:, None]).flatten().nonzero().squeeze(1)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports exhausted memory. The CPU allocator raises a plain `RuntimeError`."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)
