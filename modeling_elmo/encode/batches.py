# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Sentences to batches of ids: windows of sentences, sorted by length inside, cut by a budget of words.

A batch depends on nothing but its window and the budget, so that the same window always gives the same batches, and
with them, bit by bit, the same vectors.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..model.tokenization_elmo import ElmoTokenizer

Sentence = str | Sequence[str]
Words = list[str]
T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """Some sentences of a window, longest first."""

    positions: list[int]  # of each sentence in its window
    lengths: list[int]  # words of each sentence, descending, none of them 0
    input_ids: Tensor  # [B, W, M], words to the left

    @property
    def num_tokens(self) -> int:
        """Words with padding: what the budget bounds."""
        return len(self.lengths) * self.lengths[0]

    def split(self, max_tokens: int) -> list["Batch"]:
        """The batch in parts of at most `max_tokens` each, or of one sentence."""
        if self.num_tokens <= max_tokens:
            return [self]
        return [
            Batch(self.positions[part], self.lengths[part], self.input_ids[part, : self.lengths[part.start]])
            for part in cut(self.lengths, max_tokens, None)
        ]


@dataclass(frozen=True)
class Window:
    """Sentences that are encoded together: read at once, sorted together, complete together."""

    sentences: Sequence[Sentence]
    label: Any = None  # the caller's, handed back with the vectors
    first: int = 0  # the number of the first sentence, for messages


@dataclass(frozen=True)
class SplitWindow:
    """A window whose sentences are words."""

    words: list[Words]
    label: Any

    @property
    def lengths(self) -> list[int]:
        return [len(words) for words in self.words]


def cut(lengths: Sequence[int], max_tokens: int, max_sentences: int | None) -> list[slice]:
    """Consecutive slices of descending lengths, as long as the budget allows, at least one sentence each."""
    slices = []
    start = 0
    while start < len(lengths):
        count = max(1, max_tokens // max(1, lengths[start]))
        if max_sentences is not None:
            count = min(count, max_sentences)
        slices.append(slice(start, min(start + count, len(lengths))))
        start = slices[-1].stop
    return slices


def split_window(tokenizer: ElmoTokenizer, window: Window) -> SplitWindow:
    """The words of each sentence; strings go through the tokenizer's splitter.

    Raises TypeError for a sentence that is neither a string nor a sequence of strings, with its number.
    """
    words = [_checked(sentence, window.first + index) for index, sentence in enumerate(window.sentences)]
    texts = [index for index, sentence in enumerate(words) if isinstance(sentence, str)]
    spans = tokenizer._split([words[index] for index in texts])
    for index, sentence_spans in zip(texts, spans, strict=True):
        words[index] = [words[index][start:end] for start, end in sentence_spans]
    return SplitWindow(words, window.label)


def _checked(sentence: Any, number: int) -> Any:
    """A string, or a list of strings."""
    if isinstance(sentence, str):
        return sentence
    if isinstance(sentence, np.ndarray):
        sentence = sentence.tolist()
    if not isinstance(sentence, (list, tuple)):
        raise TypeError(f"a sentence must be a string or a list of words; got {type(sentence).__name__} at {number}.")
    for word in sentence:
        if not isinstance(word, str):
            raise TypeError(f"a word must be a string; got {type(word).__name__} in sentence {number}.")
    return [str(word) for word in sentence]


def plan(
    tokenizer: ElmoTokenizer,
    windows: Iterable[Window],
    budget: Callable[[], int],
    max_sentences: int | None,
    pin_memory: bool,
) -> Iterator[SplitWindow | Batch]:
    """Each window, followed by its batches. Sentences without words are in no batch.

    Args:
        tokenizer: makes the words and their ids.
        windows: read one at a time, when it is needed.
        budget: asked before each window, as it shrinks when memory runs out.
        max_sentences: largest number of sentences in a batch, None for any.
        pin_memory: whether ids go to page-locked memory, from where a GPU fetches them by itself.
    """
    for window in windows:
        split = split_window(tokenizer, window)
        yield split
        lengths = split.lengths
        order = sorted((index for index, n in enumerate(lengths) if n), key=lambda index: -lengths[index])
        ordered = [lengths[index] for index in order]
        for part in cut(ordered, budget(), max_sentences):
            batch = Batch(order[part], ordered[part], _ids(tokenizer, [split.words[index] for index in order[part]]))
            yield replace(batch, input_ids=batch.input_ids.pin_memory()) if pin_memory else batch


def _ids(tokenizer: ElmoTokenizer, sentences: list[Words]) -> Tensor:
    encoded = tokenizer(
        sentences,
        is_split_into_words=True,
        padding=True,
        padding_side="right",
        return_attention_mask=False,
        return_tensors="pt",
        verbose=False,
    )
    ids: Tensor = encoded["input_ids"]
    return ids.reshape(*ids.shape[:2], -1).to(torch.int64)


def ahead(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """The same items, up to `depth` of them made in advance by a thread while the caller works."""
    iterator = iter(items)
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix="elmo-tokenizer") as pool:
        waiting: deque[Future] = deque(pool.submit(next, iterator, end) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(pool.submit(next, iterator, end))
                yield item
        finally:
            for future in waiting:
                future.cancel()
