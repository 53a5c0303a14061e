# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Streams of training text: shuffled documents, batches of sentences, and windows of contiguous text.

A text file has one tokenized sentence per line, with words separated by whitespace. An empty line ends a document.
`.gz` and `.xz` files are decompressed while they are read. A byte order mark at the start is skipped.
Memory is bounded by a buffer of documents.
"""

import gzip
import itertools
import lzma
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from torch.utils.data import IterableDataset

from ..vocabulary import BOS_TOKEN, EOS_TOKEN

Sentence = list[str]
Document = list[Sentence]

_MAX_DOCUMENT_SENTENCES = 1000  # longer documents are yielded in parts, to bound memory


def open_text(path: Path) -> IO[str]:
    """Open a text file, decompressed according to its suffix."""
    openers = {".gz": gzip.open, ".xz": lzma.open}
    return openers.get(path.suffix, open)(path, "rt", encoding="utf-8-sig")  # type: ignore[operator]


def text_files(paths: Sequence[str | Path]) -> list[Path]:
    """Return the files, and the `*.txt`, `*.txt.gz`, and `*.txt.xz` files in the folders, sorted by name.

    Raises:
        FileNotFoundError: If a path does not exist or a folder has no text file.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(file for suffix in ("", ".gz", ".xz") for file in path.glob(f"**/*.txt{suffix}"))
        if not path.is_file() and not inside:
            raise FileNotFoundError(f"Expected a text file or a folder with *.txt files, got {path}.")
        files += [path] if path.is_file() else inside
    return files


def read_documents(path: Path) -> Iterator[Document]:
    """Yield the documents of one file.

    Raises:
        ValueError: If the file is corrupt or not UTF-8. The message names the last line that was read.
    """
    document: Document = []
    number = 0
    with open_text(path) as lines:
        try:
            for number, line in enumerate(lines, start=1):  # noqa: B007
                words = line.split()
                if words:
                    document.append(words)
                if document and (not words or len(document) == _MAX_DOCUMENT_SENTENCES):
                    yield document
                    document = []
        except (UnicodeDecodeError, EOFError, OSError, lzma.LZMAError) as error:
            raise ValueError(f"Cannot read {path} as UTF-8 text after line {number}: {error}.") from error
    if document:
        yield document


@dataclass(frozen=True)
class DocumentStream:
    """Documents of many files, in an order that depends only on the seed and the epoch.

    Attributes:
        paths: Text files, see `text_files`.
        seed: Seed of the order. None keeps the order of files and documents.
        buffer: Number of documents from which the next one is drawn.
    """

    paths: tuple[Path, ...]
    seed: int | None = None
    buffer: int = 1000

    def documents(self, epoch: int = 0) -> Iterator[Document]:
        """Yield all documents in the order of one epoch.

        Raises:
            ValueError: If the files contain no word, so that an infinite dataset does not read them forever.
        """
        is_empty = True
        for document in self._shuffle(epoch) if self.seed is not None else self._read(self.paths):
            is_empty = False
            yield document
        if is_empty:
            rest = len(self.paths) - 1
            others = f" and {rest} more file(s)" if rest else ""
            raise ValueError(f"Expected a text with at least one word, got none in {self.paths[0]}{others}.")

    def check_not_empty(self) -> None:
        """Check that the files contain a word. Reads up to the first document.

        Raises:
            ValueError: If they do not.
        """
        next(DocumentStream(self.paths).documents())

    def _read(self, paths: Iterable[Path]) -> Iterator[Document]:
        for path in paths:
            yield from read_documents(path)

    def _shuffle(self, epoch: int) -> Iterator[Document]:
        paths = list(self.paths)
        rng = random.Random(f"{self.seed} {epoch}")
        rng.shuffle(paths)
        buffered: list[Document] = []
        for document in self._read(paths):
            if len(buffered) < self.buffer:
                buffered.append(document)
                continue
            index = rng.randrange(self.buffer)
            buffered[index], document = document, buffered[index]
            yield document
        rng.shuffle(buffered)
        yield from buffered


class SentenceBatchDataset(IterableDataset):
    """Dataset of batches of sentences, infinite or single-pass.

    Each item is a batch, `{"words": list of sentences}`, so the batch size of the data loader is 1.

    Args:
        text: Stream of documents.
        max_tokens: Maximum number of tokens per batch, `<S>` and `</S>` included. A longer sentence is a batch of its
            own.
        infinite: Whether to start the next epoch at the end, in another order.
        max_words: Maximum number of words per sentence. Longer ones are split into pieces.
        buffer_batches: Number of batches that are shuffled, or sorted by length, together.
        group_by_length: Whether to batch sentences of similar length.

    Attributes:
        num_skipped: Number of batches to skip at the start, for resuming.
    """

    def __init__(
        self,
        text: DocumentStream,
        max_tokens: int,
        infinite: bool = True,
        max_words: int = 400,
        buffer_batches: int = 50,
        group_by_length: bool = False,
    ) -> None:
        self.text, self.max_tokens, self.infinite, self.max_words = text, max_tokens, infinite, max_words
        self.buffer_batches, self.group_by_length = buffer_batches, group_by_length
        self.num_skipped = 0

    def __iter__(self) -> Iterator[dict[str, list[Sentence]]]:
        for number, batch in enumerate(self._batches()):
            if number >= self.num_skipped:
                yield {"words": batch}

    def _batches(self) -> Iterator[list[Sentence]]:
        epoch = 0
        while True:
            rng = random.Random(f"batches {self.text.seed} {epoch}")
            sentences: list[Sentence] = []
            tokens = 0
            for document in self.text.documents(epoch):
                for sentence in document:
                    for start in range(0, len(sentence), self.max_words):
                        sentences.append(sentence[start : start + self.max_words])
                        tokens += len(sentences[-1]) + 2
                if tokens >= self.buffer_batches * self.max_tokens:
                    yield from self._split(sentences, rng)
                    sentences, tokens = [], 0
            yield from self._split(sentences, rng)
            epoch += 1
            if not self.infinite:
                return

    def _split(self, sentences: list[Sentence], rng: random.Random) -> list[list[Sentence]]:
        """Order the sentences and split them into batches."""
        batches: list[list[Sentence]] = []
        tokens = 0
        if self.group_by_length:
            sentences.sort(key=len)
        elif self.text.seed is not None:
            rng.shuffle(sentences)
        for sentence in sentences:
            if not batches or tokens + len(sentence) + 2 > self.max_tokens:
                batches.append([])
                tokens = 0
            batches[-1].append(sentence)
            tokens += len(sentence) + 2
        if self.group_by_length and self.text.seed is not None:
            rng.shuffle(batches)
        return batches


class ContiguousTextDataset(IterableDataset):
    """Infinite dataset of windows of contiguous text, for states that are carried from window to window.

    Row r of each window continues row r of the previous window. The text of a row is `<S> ... </S> <S> ...`. The rows
    of the backward direction contain the same sentences, each reversed, as in bilm-tf.

    Each item is a window, `{"forward": rows, "backward": rows}`, so the batch size of the data loader is 1. Rows have
    one word more than the window, the last label.

    Args:
        text: Stream of documents. Each row takes the next document at the end of its own.
        rows: Number of rows per window.
        steps: Number of tokens per row and window.
        processes: Number of processes that share the text. Items are assigned to them in turn.

    Attributes:
        num_skipped: Number of windows to skip at the start, for resuming.
    """

    def __init__(self, text: DocumentStream, rows: int, steps: int, processes: int = 1) -> None:
        self.text, self.rows, self.steps, self.processes = text, rows, steps, processes
        self.num_skipped = 0

    def __iter__(self) -> Iterator[dict[str, list[Sentence]]]:
        documents = (document for epoch in itertools.count() for document in self.text.documents(epoch))
        # Words of each row that were read but not yielded yet, forward and with reversed sentences.
        buffers: list[tuple[Sentence, Sentence]] = [([], []) for _ in range(self.rows * self.processes)]
        number = 0
        while True:
            for forward, backward in buffers:
                while len(forward) <= self.steps:
                    for sentence in next(documents):
                        forward += [BOS_TOKEN, *sentence, EOS_TOKEN]
                        backward += [EOS_TOKEN, *reversed(sentence), BOS_TOKEN]
            for process in range(self.processes):
                rows = buffers[process * self.rows : (process + 1) * self.rows]
                if number >= self.num_skipped:
                    yield {
                        "forward": [forward[: self.steps + 1] for forward, _ in rows],
                        "backward": [backward[: self.steps + 1] for _, backward in rows],
                    }
                number += 1
            for forward, backward in buffers:
                del forward[: self.steps], backward[: self.steps]
