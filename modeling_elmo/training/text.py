# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Training text as a stream: files of any size, documents shuffled, whole sentences or windows of running text.

A text file has one tokenised sentence a line, words separated by blanks; an empty line ends a document. `.gz` and `.xz`
files are unpacked on the way. Nothing is held but a buffer of documents.
"""

import gzip
import lzma
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from torch.utils.data import IterableDataset

from ..vocabulary import BOS_WORD, EOS_WORD

Sentence = list[str]
Document = list[Sentence]

_LONGEST_DOCUMENT = 1000  # sentences; what is longer is passed on in parts, so that memory stays bounded


def open_text(path: Path) -> IO[str]:
    """A text file, unpacked by its suffix."""
    openers = {".gz": gzip.open, ".xz": lzma.open}
    return openers.get(path.suffix, open)(path, "rt", encoding="utf-8")  # type: ignore[operator]


def text_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files, and the `*.txt`, `*.txt.gz` and `*.txt.xz` in the folders, in order of name.

    Raises FileNotFoundError if a path does not exist or a folder has none.
    """
    found: list[Path] = []
    for given in map(Path, paths):
        inside = sorted(path for suffix in ("", ".gz", ".xz") for path in given.glob(f"**/*.txt{suffix}"))
        if not given.is_file() and not inside:
            raise FileNotFoundError(f"text must be a file or a folder with *.txt files; {given} is neither.")
        found += [given] if given.is_file() else inside
    return found


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of one file; ValueError with the line if it is not UTF-8."""
    document: Document = []
    number = 0
    with open_text(path) as lines:
        try:
            for number, line in enumerate(lines, start=1):  # noqa: B007
                words = line.split()
                if words:
                    document.append(words)
                if document and (not words or len(document) == _LONGEST_DOCUMENT):
                    yield document
                    document = []
        except (UnicodeDecodeError, EOFError, OSError, lzma.LZMAError) as error:
            raise ValueError(f"{path} must be whole text in UTF-8; after line {number}: {error}.") from error
    if document:
        yield document


@dataclass(frozen=True)
class TextStream:
    """The documents of many files, in an order that depends on seed and epoch alone.

    Attributes:
        paths: files, see `text_files`.
        seed: of the order; None leaves files and documents as they lie.
        buffer: documents among which the next one is drawn.
    """

    paths: tuple[Path, ...]
    seed: int | None = None
    buffer: int = 1000

    def documents(self, epoch: int = 0) -> Iterator[Document]:
        paths = list(self.paths)
        if self.seed is None:
            for path in paths:
                yield from read_documents(path)
            return
        chance = random.Random(f"{self.seed} {epoch}")
        chance.shuffle(paths)
        waiting: list[Document] = []
        for path in paths:
            for document in read_documents(path):
                if len(waiting) < self.buffer:
                    waiting.append(document)
                    continue
                place = chance.randrange(self.buffer)
                waiting[place], document = document, waiting[place]
                yield document
        chance.shuffle(waiting)
        yield from waiting


class SentenceBatches(IterableDataset):
    """Batches of whole sentences, endless or once through.

    Each item is a batch, `{"words": list of sentences}`, so a loader's batch size is 1.

    Args:
        text: where the sentences come from.
        max_tokens: words of a batch at most, `<S>` and `</S>` counted; a longer sentence is a batch of its own.
        endless: start again at the end, in another order.
        max_words: cut longer sentences into pieces.
        pool: batches' worth of sentences that are shuffled, or sorted by length, together.
        group_by_length: batch sentences of similar length.
    """

    def __init__(
        self,
        text: TextStream,
        max_tokens: int,
        endless: bool = True,
        max_words: int = 400,
        pool: int = 50,
        group_by_length: bool = False,
    ) -> None:
        self.text, self.max_tokens, self.endless, self.max_words, self.pool = text, max_tokens, endless, max_words, pool
        self.group_by_length = group_by_length
        self.skip = 0

    def __iter__(self) -> Iterator[dict[str, list[Sentence]]]:
        for number, batch in enumerate(self._batches()):
            if number >= self.skip:
                yield {"words": batch}

    def _batches(self) -> Iterator[list[Sentence]]:
        epoch = 0
        while True:
            chance = random.Random(f"batches {self.text.seed} {epoch}")
            pool: list[Sentence] = []
            tokens = 0
            for document in self.text.documents(epoch):
                for sentence in document:
                    for start in range(0, len(sentence), self.max_words):
                        pool.append(sentence[start : start + self.max_words])
                        tokens += len(pool[-1]) + 2
                if tokens >= self.pool * self.max_tokens:
                    yield from self._cut(pool, chance)
                    pool, tokens = [], 0
            yield from self._cut(pool, chance)
            epoch += 1
            if not self.endless:
                return

    def _cut(self, pool: list[Sentence], chance: random.Random) -> list[list[Sentence]]:
        batches: list[list[Sentence]] = []
        tokens = 0
        if self.group_by_length:
            pool.sort(key=len)
        elif self.text.seed is not None:
            chance.shuffle(pool)
        for sentence in pool:
            if not batches or tokens + len(sentence) + 2 > self.max_tokens:
                batches.append([])
                tokens = 0
            batches[-1].append(sentence)
            tokens += len(sentence) + 2
        if self.group_by_length and self.text.seed is not None:
            chance.shuffle(batches)
        return batches


class RunningText(IterableDataset):
    """Windows of contiguous text, row by row, for states carried from window to window; endless.

    Row r of each window goes on where row r of the window before stopped. Sentences follow one another as
    `<S> ... </S> <S> ...`; the backward direction's rows hold the same sentences, each reversed, as in bilm-tf.

    Args:
        text: where the documents come from; each row takes the next one when its own has ended.
        rows: sentences in parallel, B.
        steps: words a window, W.
        processes: number of processes that share the text; items go to them in turn.
    """

    def __init__(self, text: TextStream, rows: int, steps: int, processes: int = 1) -> None:
        self.text, self.rows, self.steps, self.processes = text, rows, steps, processes
        self.skip = 0

    def _endless(self) -> Iterator[Document]:
        epoch = 0
        while True:
            empty = True
            for document in self.text.documents(epoch):
                empty = False
                yield document
            if empty:
                raise ValueError("training text must have at least one sentence; got none.")
            epoch += 1

    def __iter__(self) -> Iterator[dict[str, list[Sentence]]]:
        documents = self._endless()
        # Each row: its words forward and reversed, as far as they are known; one more than a window for the last label.
        ahead: list[tuple[Sentence, Sentence]] = [([], []) for _ in range(self.rows * self.processes)]
        number = 0
        while True:
            for forward, backward in ahead:
                while len(forward) <= self.steps:
                    for sentence in next(documents):
                        forward += [BOS_WORD, *sentence, EOS_WORD]
                        backward += [EOS_WORD, *reversed(sentence), BOS_WORD]
            for process in range(self.processes):
                share = ahead[process * self.rows : (process + 1) * self.rows]
                if number >= self.skip:
                    yield {
                        "running": [forward[: self.steps + 1] for forward, _ in share],
                        "reversed": [backward[: self.steps + 1] for _, backward in share],
                    }
                number += 1
            for forward, backward in ahead:
                del forward[: self.steps], backward[: self.steps]
