# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Windows of sentences in, windows of vectors out: what `ElmoEncoder.encode` and `elmo embed` share.

A thread splits and spells the next batches while the device computes. Vectors come from a GPU on a stream of their
own, while the next batch is computed. No more than a few windows are in memory at any time.
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
from .batches import Batch, SplitWindow, Window, Words, ahead, plan
from .vectors import VectorSpec, batch_vectors

# Batches spelled in advance: enough that reading and splitting a whole window does not keep the device waiting.
_BATCHES_AHEAD = 4


@dataclass(frozen=True)
class EncodedWindow:
    """A window's vectors, in the order of its sentences."""

    words: list[Words]
    vectors: Tensor  # [all words, *shape], or [sentences, *shape] where they are pooled; on the CPU
    label: Any

    @property
    def lengths(self) -> list[int]:
        return [len(words) for words in self.words]


class Budget:
    """The largest number of words in a batch, padding included; halved when memory runs out."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._has_warned = False

    def halve(self, failed: int) -> None:
        """A batch of `failed` words did not fit."""
        self.tokens = max(1, min(self.tokens, failed) // 2)
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"out of memory with a batch of {failed} words: going on with smaller ones; "
                f"max_tokens_per_batch={self.tokens} would have avoided it.",
                stacklevel=2,
            )


def counting_on(bar: tqdm) -> Callable[[int, int], None]:
    """A function for `encode_windows`'s `on_batch` that moves a progress bar on and shows words a second."""
    words = 0

    def on_batch(num_sentences: int, num_words: int) -> None:
        nonlocal words
        words += num_words
        bar.set_postfix_str(f"{words / max(bar.format_dict['elapsed'], 1e-9):.0f} words/s", refresh=False)
        bar.update(num_sentences)

    return on_batch


class _Copy:
    """Vectors on their way to the CPU's memory."""

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


class _Collector:
    """The vectors of one window, filled batch by batch."""

    def __init__(self, window: SplitWindow, kind: VectorSpec) -> None:
        self.window = window
        self.pooled = kind.pooling is not None
        self.lengths = window.lengths
        self.starts = [0]
        for length in self.lengths:
            self.starts.append(self.starts[-1] + (1 if self.pooled else length))
        # Zeros, for pooled sentences that have no words and so are in no batch.
        make = torch.zeros if self.pooled else torch.empty
        self.vectors = make((self.starts[-1], *kind.shape), dtype=kind.dtype)

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
    kind: VectorSpec,
    budget: Budget,
    max_sentences: int | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> Iterator[EncodedWindow]:
    """Encode windows one after the other, each by itself.

    Args:
        model: an `ElmoModel` in evaluation mode, where it shall compute.
        tokenizer: the model's.
        windows: read by another thread, a little ahead.
        kind: the vectors that are asked for.
        budget: words a batch.
        max_sentences: sentences a batch; None for any number.
        on_batch: called with the numbers of sentences and words of each batch that is done.

    Yields:
        Each window with its vectors, in order.
    """
    device = model.device
    is_cuda = device.type == "cuda"
    stream = torch.cuda.Stream(device) if is_cuda else None
    planned = plan(tokenizer, windows, lambda: budget.tokens, max_sentences, pin_memory=is_cuda)
    # The copy of a batch may take as long as the next batch computes.
    in_flight: deque[tuple[_Collector, Batch | None, _Copy | None]] = deque()
    collector: _Collector | None = None

    def landed(most: int) -> Iterator[EncodedWindow]:
        while len(in_flight) > most:
            owner, batch, copy = in_flight.popleft()
            if batch is None or copy is None:
                yield owner.finish()
                continue
            owner.put(batch, copy.wait())
            if on_batch is not None:
                on_batch(len(batch.lengths), sum(batch.lengths))

    with contextlib.closing(ahead(planned, _BATCHES_AHEAD)) as items:
        for item in items:
            if isinstance(item, SplitWindow):
                if collector is not None:
                    in_flight.append((collector, None, None))
                collector = _Collector(item, kind)
            elif collector is not None:
                for part, vectors in _run(model, item, kind, budget):
                    in_flight.append((collector, part, _Copy(vectors, stream)))
                    yield from landed(int(is_cuda))
        if collector is not None:
            in_flight.append((collector, None, None))
        yield from landed(0)


def _run(model: Any, batch: Batch, kind: VectorSpec, budget: Budget) -> Iterator[tuple[Batch, Tensor]]:
    """The batch's vectors, in parts if it does not fit."""
    parts = deque([batch])
    while parts:
        part, *rest = parts.popleft().split(budget.tokens)
        parts.extendleft(reversed(rest))
        vectors = _try(model, part, kind)
        if vectors is not None:
            yield part, vectors
            continue
        # The error is gone by now, and with it what its traceback held in memory.
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        budget.halve(part.num_tokens)
        parts.appendleft(part)


def _try(model: Any, batch: Batch, kind: VectorSpec) -> Tensor | None:
    """The batch's vectors, or None if memory ran out and the batch can be split."""
    try:
        with torch.inference_mode():
            ids = batch.input_ids.to(model.device, non_blocking=True)
            places = None if kind.pooling else _places(batch).to(model.device, non_blocking=True)
            return batch_vectors(model, ids, places, kind)
    except (RuntimeError, MemoryError) as error:
        if len(batch.lengths) == 1 or not is_out_of_memory(error):
            raise
        return None


def _places(batch: Batch) -> Tensor:
    """Where words are among the places of the padded batch, in reading order."""
    width = batch.input_ids.shape[1]
    return (torch.arange(width) < torch.tensor(batch.lengths)[:, None]).flatten().nonzero().squeeze(1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine has no memory left; the CPU's allocator has no exception of its own."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)
