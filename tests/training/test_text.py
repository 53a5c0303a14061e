# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Training text: every sentence once, the same order for the same seed, contiguous rows."""

import gzip
import lzma
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import pytest
from helpers.raises import assert_raises_with
from hypothesis import given
from hypothesis import strategies as st

from modeling_elmo import ElmoTokenizer
from modeling_elmo.training.commands import _read_sentences
from modeling_elmo.training.text import (
    ContiguousTextDataset,
    DocumentStream,
    SentenceBatchDataset,
    read_documents,
    text_files,
)
from modeling_elmo.vocabulary import LMVocabulary, most_frequent


def write_text(folder: Path, files: int = 3, documents: int = 7) -> tuple[Path, ...]:
    """Write files f with documents d of the words f.d.0, f.d.1, ... in sentences of increasing length."""
    paths = []
    for f in range(files):
        lines, word = [], 0
        for d in range(documents):
            for length in range(1, 3 + (f + d) % 4):
                lines.append(" ".join(f"{f}.{d}.{word + i}" for i in range(length)))
                word += length
            lines.append("")
            word = 0
        paths.append(folder / f"{f}.txt")
        paths[-1].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tuple(paths)


def test_batches_hold_every_sentence_once_and_stay_within_the_budget(tmp_path: Path) -> None:
    paths = write_text(tmp_path)
    expected = Counter(" ".join(s) for path in paths for document in read_documents(path) for s in document)
    orders = []
    for seed in (0, 0, 1):
        batches = list(
            SentenceBatchDataset(DocumentStream(paths, seed, buffer=4), 20, infinite=False, buffer_batches=2)
        )
        assert Counter(" ".join(s) for item in batches for s in item["words"]) == expected
        assert max(sum(len(s) + 2 for s in item["words"]) for item in batches) <= 20
        orders.append(batches)
    assert orders[0] == orders[1] != orders[2]


def test_lengths_are_mixed_unless_they_are_grouped(tmp_path: Path) -> None:
    text = DocumentStream(write_text(tmp_path, documents=40), 0, buffer=4)
    spread = []
    for group_by_length in (False, True):
        batches = list(
            SentenceBatchDataset(text, 20, infinite=False, buffer_batches=8, group_by_length=group_by_length)
        )
        lengths = [[len(sentence) for sentence in item["words"]] for item in batches]
        spread.append(sum(max(batch) - min(batch) for batch in lengths) / len(lengths))
    assert spread[0] > 1.5
    assert spread[1] < 0.5


def test_skipping_resumes_at_the_same_batch(tmp_path: Path) -> None:
    text = DocumentStream(write_text(tmp_path), 3, buffer=4)
    for make in (
        lambda: SentenceBatchDataset(text, 20, buffer_batches=2),
        lambda: ContiguousTextDataset(text, 3, 4, processes=2),
    ):
        all_items = list(islice(make(), 90))  # several epochs
        resumed = make()
        resumed.num_skipped = 37
        assert list(islice(resumed, 53)) == all_items[37:]


def test_epochs_differ_in_order(tmp_path: Path) -> None:
    text = DocumentStream(write_text(tmp_path), 0, buffer=4)
    first, second = (list(text.documents(epoch)) for epoch in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second)


def test_long_sentences_and_documents_are_split(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text(" ".join(map(str, range(25))) + "\n" + "a b\n" * 2500, encoding="utf-8")
    assert [len(document) for document in read_documents(path)] == [1000, 1000, 501]
    batches = SentenceBatchDataset(DocumentStream((path,)), 100, infinite=False, max_words=10)
    lengths = Counter(len(s) for item in batches for s in item["words"])
    assert lengths == {10: 2, 5: 1, 2: 2500}


@given(rows=st.integers(1, 4), steps=st.integers(1, 9), processes=st.integers(1, 3), seed=st.integers(0, 5))
def test_rows_are_contiguous_in_both_directions(
    tmp_path_factory: pytest.TempPathFactory, rows: int, steps: int, processes: int, seed: int
) -> None:
    text = DocumentStream(write_text(tmp_path_factory.mktemp("text")), seed, buffer=3)
    windows = list(islice(ContiguousTextDataset(text, rows, steps, processes), 6 * processes))
    for process in range(processes):
        for row in range(rows):
            for name, ends in (("forward", ("<S>", "</S>")), ("backward", ("</S>", "<S>"))):
                parts = [window[name][row] for window in windows[process::processes]]
                assert all(len(part) == steps + 1 for part in parts)
                # The last word of a window is the first word of the next one.
                assert all(a[-1] == b[0] for a, b in pairwise(parts))
                stream = [parts[0][0]] + [word for part in parts for word in part[1:]]
                assert stream[0] == ends[0]
                previous = None
                for word in stream:
                    if previous is None or previous == ends[1]:
                        assert word == ends[0]
                    elif word not in ends and previous not in ends:
                        number, previous_number = (int(w.rpartition(".")[2]) for w in (word, previous))
                        assert number == previous_number + (1 if name == "forward" else -1)
                    previous = word


def test_compressed_files_and_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("one two\n", encoding="utf-8")
    (tmp_path / "sub" / "b.txt.gz").write_bytes(gzip.compress(b"three\n"))
    (tmp_path / "sub" / "c.txt.xz").write_bytes(lzma.compress("fünf\n".encode()))
    files = text_files([tmp_path])
    assert [next(read_documents(path)) for path in files] == [[["one", "two"]], [["three"]], [["fünf"]]]


def test_errors_name_the_text_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Expected a text file or a folder with"):
        text_files([tmp_path / "none"])
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"good line\n\xff\xfe\n")
    with pytest.raises(ValueError, match=r"Cannot read .*bad\.txt as UTF-8 text after line"):
        list(read_documents(bad))
    truncated = tmp_path / "truncated.txt.xz"
    truncated.write_bytes(lzma.compress(b"one two\n" * 1000)[:-20])
    with pytest.raises(ValueError, match=r"Cannot read .*truncated\.txt\.xz as UTF-8 text after line"):
        list(read_documents(truncated))


BOM = "\ufeff".encode()
EMPTY_TEXTS = {
    "empty": b"",
    "blank": b"\n \n\t\r\n",
    "byte order mark": BOM,
    "byte order mark and lines": BOM + b"\n\n",
}


@pytest.mark.parametrize("content", EMPTY_TEXTS.values(), ids=EMPTY_TEXTS)
@pytest.mark.parametrize("suffix", [".txt", ".txt.gz", ".txt.xz"])
def test_an_empty_text_is_rejected_by_every_dataset(tmp_path: Path, content: bytes, suffix: str) -> None:
    compress = {".txt": bytes, ".txt.gz": gzip.compress, ".txt.xz": lzma.compress}[suffix]
    paths = tuple(tmp_path / f"{number}{suffix}" for number in range(2))
    for path in paths:
        path.write_bytes(compress(content))
    for seed in (0, None):
        text = DocumentStream(paths, seed)
        datasets = [
            SentenceBatchDataset(text, 20),
            SentenceBatchDataset(text, 20, infinite=False),
            ContiguousTextDataset(text, 2, 3),
        ]
        for action in (text.check_not_empty, *(lambda dataset=dataset: next(iter(dataset)) for dataset in datasets)):
            assert_raises_with(action, "Expected a text with at least one word, got none in ", "and 1 more file")
    paths[1].write_bytes(compress(BOM + b"one"))
    DocumentStream(paths).check_not_empty()
    assert next(iter(SentenceBatchDataset(DocumentStream(paths, 0), 20))) == {"words": [["one"]]}


def test_a_byte_order_mark_at_the_start_is_skipped(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(BOM + "one\n\ufefftwo\n".encode())
    assert list(read_documents(text)) == [[["one"], ["\ufefftwo"]]]
    compressed = tmp_path / "text.txt.gz"
    compressed.write_bytes(gzip.compress(text.read_bytes()))
    assert _read_sentences([str(text), str(compressed)], False) == ["one", "\ufefftwo"] * 2
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_bytes(BOM + b"<S>\n</S>\n<UNK>\none\n")
    assert LMVocabulary.read(vocabulary).words == ["<S>", "</S>", "<UNK>", "one"]
    tokenizer = ElmoTokenizer(vocab_file=str(vocabulary))  # of a model with word input
    assert tokenizer([["<S>", "one"]], is_split_into_words=True)["input_ids"] == [[[1], [4]]]


def test_a_vocabulary_is_sorted_by_frequency_and_survives_a_round_trip(tmp_path: Path) -> None:
    counts = Counter({"b": 3, "a": 3, "rare": 1, "often": 9, "<S>": 100})
    words = most_frequent(counts, min_count=2)
    assert words == ["<S>", "</S>", "<UNK>", "often", "a", "b"]
    assert most_frequent(counts, max_words=4) == words[:4]
    vocabulary = LMVocabulary(words)
    vocabulary.write(tmp_path)
    again = LMVocabulary.read(tmp_path)
    assert again.words == words
    assert again.encode(["a", "rare", "</S>"]).tolist() == [4, 2, 1]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["<S>", "</S>"], "<UNK> is missing"), (["<S>", "</S>", "<UNK>", "a", "a"], "got 'a' twice")],
)
def test_an_invalid_vocabulary_is_rejected(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LMVocabulary(words)
