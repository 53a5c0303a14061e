# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion of sentences to batches of ids: length-sorted windows, cut by a limit on tokens per batch.

A batch depends on its window and the limits only. The same window therefore always gives bit-identical vectors.
"""

from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..model.tokenization_elmo import ElmoTokenizer

Words = Sequence[str]
Sentence = str | Words
T = TypeVar("T")

# Names of text columns in data sets, in the order of the search.
TEXT_COLUMNS = ("text", "sentence", "words", "tokens")


def find_text_column(names: Container[str], column: str | None = None) -> str | None:
    """Return the name of the column that contains the sentences, or None if it is missing.

    Args:
        names: Names of all columns.
        column: Name of the text column. Defaults to the first of `TEXT_COLUMNS` that `names` contains.
    """
    candidates = TEXT_COLUMNS if column is None else (column,)
    return next((name for name in candidates if name in names), None)


@dataclass(frozen=True)
class Batch:
    """Sentences of one window, sorted by decreasing length."""

    positions: list[int]  # index of each sentence in its window
    lengths: list[int]  # words per sentence, decreasing and positive
    input_ids: Tensor  # [B, W, M], right-padded

    @property
    def num_tokens(self) -> int:
        """Number of tokens, padding included."""
        return len(self.lengths) * self.lengths[0]

    def split(self, max_tokens: int) -> list["Batch"]:
        """Split the batch into parts of at most `max_tokens` tokens, or of one sentence."""
        if self.num_tokens <= max_tokens:
            return [self]
        return [
            Batch(self.positions[part], self.lengths[part], self.input_ids[part, : self.lengths[part.start]])
            for part in batch_slices(self.lengths, max_tokens, None)
        ]


@dataclass(frozen=True)
class Window:
    """Sentences that are read, sorted, and completed together."""

    sentences: Sequence[Sentence]
    label: Any = None  # of the caller, returned with the vectors
    first: int = 0  # index of the first sentence, for messages


@dataclass(frozen=True)
class TokenizedWindow:
    """A window after word splitting."""

    words: list[list[str]]
    label: Any

    @property
    def lengths(self) -> list[int]:
        return [len(words) for words in self.words]


def batch_slices(lengths: Sequence[int], max_tokens: int, max_sentences: int | None) -> list[slice]:
    """Cut decreasing lengths into consecutive slices within both limits, of at least one sentence each."""
    slices = []
    start = 0
    while start < len(lengths):
        count = max(1, max_tokens // max(1, lengths[start]))
        if max_sentences is not None:
            count = min(count, max_sentences)
        slices.append(slice(start, min(start + count, len(lengths))))
        start = slices[-1].stop
    return slices


def split_window(tokenizer: ElmoTokenizer, window: Window) -> TokenizedWindow:
    """Split the strings of a window into words with the tokenizer's splitter.

    Raises:
        TypeError: If a sentence is neither a string nor a list of strings.
    """
    words = [_check_sentence(sentence, window.first + index) for index, sentence in enumerate(window.sentences)]
    texts = [index for index, sentence in enumerate(words) if isinstance(sentence, str)]
    spans = tokenizer.split([words[index] for index in texts])
    for index, sentence_spans in zip(texts, spans, strict=True):
        words[index] = [words[index][start:end] for start, end in sentence_spans]
    return TokenizedWindow(words, window.label)


def _check_sentence(sentence: Any, index: int) -> Any:
    """Return the sentence as a string or a list of strings."""
    if isinstance(sentence, str):
        return sentence
    if isinstance(sentence, np.ndarray):
        sentence = sentence.tolist()
    if not isinstance(sentence, (list, tuple)):
        raise TypeError(f"Expected a string or a list of words, got {type(sentence).__name__} as sentence {index}.")
    for word in sentence:
        if not isinstance(word, str):
            raise TypeError(f"Expected words as strings, got {type(word).__name__} in sentence {index}.")
    return [str(word) for word in sentence]


def iter_batches(
    tokenizer: ElmoTokenizer,
    windows: Iterable[Window],
    max_tokens: Callable[[], int],
    max_sentences: int | None,
    pin_memory: bool,
) -> Iterator[TokenizedWindow | Batch]:
    """Yield each window, followed by its batches. Sentences without words are in no batch.

    Args:
        tokenizer: Tokenizer that produces words and ids.
        windows: Windows, read lazily, one at a time.
        max_tokens: Function that returns the maximum number of tokens per batch. It is called once per window, because
            the limit shrinks when memory runs out.
        max_sentences: Maximum number of sentences per batch. None means no limit.
        pin_memory: Whether to put the ids into page-locked memory, for asynchronous copies to a GPU.
    """
    for window in windows:
        tokenized = split_window(tokenizer, window)
        yield tokenized
        lengths = tokenized.lengths
        order = sorted((index for index, n in enumerate(lengths) if n), key=lambda index: -lengths[index])
        sorted_lengths = [lengths[index] for index in order]
        for part in batch_slices(sorted_lengths, max_tokens(), max_sentences):
            ids = _encode_ids(tokenizer, [tokenized.words[index] for index in order[part]])
            batch = Batch(order[part], sorted_lengths[part], ids)
            yield replace(batch, input_ids=batch.input_ids.pin_memory()) if pin_memory else batch


def _encode_ids(tokenizer: ElmoTokenizer, sentences: list[list[str]]) -> Tensor:
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


def prefetch(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Yield the same items. A thread computes up to `depth` of them in advance."""
    iterator = iter(items)
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix="elmo-tokenizer") as pool:
        futures: deque[Future] = deque(pool.submit(next, iterator, end) for _ in range(depth))
        try:
            while (item := futures.popleft().result()) is not end:
                futures.append(pool.submit(next, iterator, end))
                yield item
        finally:
            for future in futures:
                future.cancel()
