# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ElmoTokenizer: ids, padding, truncation, offsets, round trips, stability."""

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets.fingerprint import Hasher
from helpers.oracle import raw_character_ids
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, DataCollatorForTokenClassification, DataCollatorWithPadding

from modeling_elmo import ElmoTokenizer

TEXT = "It wasn't (Reuters) in the U.S. yesterday."
WORDS = ["It", "wasn", "'t", "(", "Reuters", ")", "in", "the", "U.S.", "yesterday", "."]


@pytest.fixture
def tokenizer() -> ElmoTokenizer:
    return ElmoTokenizer()


def ids(tokenizer: ElmoTokenizer, words: list[str], **kwargs: object) -> list[list[int]]:
    return tokenizer(words, is_split_into_words=True, **kwargs)["input_ids"]


# ---------------------------------------------------------------- ids


def test_published_ids(tokenizer: ElmoTokenizer) -> None:
    """The numbers of AllenNLP's own tests."""
    rows = ids(tokenizer, ["Second", ".", chr(256) + "t", "<S>", "</S>", ""])
    assert all(len(row) == 50 for row in rows)
    assert rows[0][:9] == [259, 84, 102, 100, 112, 111, 101, 260, 261]
    assert rows[1] == [259, 47, 260] + [261] * 47
    assert rows[2][:6] == [259, 197, 129, 117, 260, 261]
    assert rows[3] == [259, 257, 260] + [261] * 47
    assert rows[4] == [259, 258, 260] + [261] * 47
    assert rows[5] == [259, 260] + [261] * 48


@given(words=st.lists(st.text(max_size=60).filter(lambda word: word != "<pad>"), max_size=8))
def test_any_word_has_bilm_tf_ids(words: list[str]) -> None:
    expected = [[character + 1 for character in raw_character_ids(word, 50)] for word in words]
    assert ids(ElmoTokenizer(), words) == expected


@pytest.mark.parametrize("width", [3, 12, 80])
def test_other_widths(width: int) -> None:
    word = "Donaudampfschifffahrtsgesellschaft" * 3
    (row,) = ids(ElmoTokenizer(max_characters_per_token=width), [word])
    assert row == [character + 1 for character in raw_character_ids(word, width)]


def test_special_words_can_be_ordinary_text(tokenizer: ElmoTokenizer) -> None:
    assert ids(tokenizer, ["<S>"], split_special_tokens=True)[0][:6] == [259, 61, 84, 63, 260, 261]
    assert tokenizer.tokenize("a<S>b </S>") == ["a", "<S>", "b", "</S>"]
    assert tokenizer.tokenize("a<S>b", split_special_tokens=True) == ["a", "<", "S", ">", "b"]


def test_the_padding_token_is_no_word(tokenizer: ElmoTokenizer) -> None:
    encoded = tokenizer(["a", "<pad>", "b"], is_split_into_words=True)
    assert encoded["attention_mask"] == [1, 0, 1]
    assert encoded["input_ids"][1] == [0] * 50


def test_special_ids(tokenizer: ElmoTokenizer) -> None:
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 257, 258)
    assert sorted(tokenizer.all_special_ids) == [0, 257, 258]
    assert len(tokenizer) == tokenizer.vocab_size == 262
    assert sorted(tokenizer.get_vocab().values()) == list(range(262))
    assert tokenizer.num_special_tokens_to_add() == 0
    assert tokenizer.convert_tokens_to_ids(WORDS) == ids(tokenizer, WORDS)
    assert tokenizer.get_special_tokens_mask([[1] * 50] * 2) == [0, 0]


def test_a_word_vocabulary(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("</S>\n<S>\n<UNK>\nthe\nbank\n", encoding="utf-8")
    tokenizer = ElmoTokenizer(vocab_file=str(file), splitter="whitespace")
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (2, 1)
    batch = tokenizer(["the bank", "nowhere"], padding=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == [[[4], [5]], [[3], [0]]]
    assert tokenizer.decode(batch["input_ids"], skip_special_tokens=True) == ["the bank", "<UNK>"]
    tokenizer.save_pretrained(tmp_path / "saved")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert loaded(["the bank"])["input_ids"] == [[[4], [5]]]
    file.write_text("the\n\nbank\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2"):
        ElmoTokenizer(vocab_file=str(file))
    file.write_text("the\n", encoding="utf-8")
    with pytest.raises(ValueError, match="Cannot encode 'bank': the vocabulary contains neither this word nor '<UNK>'"):
        ids(ElmoTokenizer(vocab_file=str(file)), ["bank"])


# ---------------------------------------------------------------- text, offsets, word ids


def test_split_returns_the_spans_of_words(tokenizer: ElmoTokenizer) -> None:
    texts = ["It wasn't.", "", "a <S>b"]
    words = [["It", "wasn", "'t", "."], [], ["a", "<S>", "b"]]
    for text, spans, expected in zip(texts, tokenizer.split(texts), words, strict=True):
        assert [text[start:end] for start, end in spans] == expected
    assert tokenizer.split(["a <S>"], split_special_tokens=True) == [[(0, 1), (2, 3), (3, 4), (4, 5)]]


def test_text_becomes_words_with_offsets(tokenizer: ElmoTokenizer) -> None:
    encoded = tokenizer(TEXT, return_offsets_mapping=True)
    assert encoded.tokens() == tokenizer.tokenize(TEXT) == WORDS
    assert [TEXT[start:end] for start, end in encoded["offset_mapping"]] == WORDS
    assert encoded.word_ids() == list(range(11))
    assert encoded.char_to_token(TEXT.index("Reuters") + 3) == 4
    assert encoded.token_to_chars(4) == (11, 18)
    assert encoded.char_to_token(2) is None, "whitespace"
    assert encoded["input_ids"] == ids(tokenizer, WORDS)


@pytest.mark.parametrize(
    ("splitter", "expected"),
    [("moses", ["wasn", "'t", "it", ","]), ("whitespace", ["wasn't", "it,"]), ("characters", list("wasn'tit,"))],
)
def test_splitters(splitter: str, expected: list[str]) -> None:
    assert ElmoTokenizer(splitter=splitter).tokenize(" wasn't\tit, ") == expected


def test_offsets_around_added_tokens_and_in_words(tokenizer: ElmoTokenizer) -> None:
    tokenizer.add_tokens(["[ENT]"])
    text = "Dr. [ENT]'s U.S. [ENT]"
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert encoded.tokens() == ["Dr.", "[ENT]", "'s", "U.S.", "[ENT]"]
    assert [text[start:end] for start, end in encoded["offset_mapping"]] == encoded.tokens()
    pre_split = tokenizer(["New York", ""], is_split_into_words=True, return_offsets_mapping=True)
    assert pre_split["offset_mapping"] == [(0, 8), (0, 0)]


def test_words_pass_as_they_are(tokenizer: ElmoTokenizer) -> None:
    words = ["New York", "", "wasn't", " "]
    encoded = tokenizer(words, is_split_into_words=True)
    assert encoded.tokens() == words
    assert encoded.word_ids() == [0, 1, 2, 3]


def test_empty_text_and_empty_words(tokenizer: ElmoTokenizer) -> None:
    """An empty text has no words; an empty string in a list is a word without characters."""
    assert tokenizer("")["input_ids"] == tokenizer("  \n")["input_ids"] == []
    assert tokenizer([])["input_ids"] == []
    assert tokenizer(["", "a"])["input_ids"][0] == []
    assert len(ids(tokenizer, [""])) == 1
    for text, flag, shape in (
        ("", False, (1, 0, 50)),
        ([""], False, (1, 0, 50)),
        ([], True, (1, 0, 50)),
        ([], False, (0, 0, 50)),
    ):
        encoded = tokenizer(text, is_split_into_words=flag, return_tensors="pt")
        assert encoded["input_ids"].shape == shape
        assert encoded["attention_mask"].shape == shape[:2]


# ---------------------------------------------------------------- padding and truncation


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("multiple", [None, 4])
def test_padding(tokenizer: ElmoTokenizer, side: str, multiple: int | None) -> None:
    batch = [["a", "b", "c"], [], ["d"]]
    encoded = tokenizer(
        batch,
        is_split_into_words=True,
        padding=True,
        padding_side=side,
        pad_to_multiple_of=multiple,
        return_tensors="np",
    )
    width = multiple or 3
    assert encoded["input_ids"].shape == (3, width, 50)
    for row, words in enumerate(batch):
        first = width - len(words) if side == "left" else 0
        inside = slice(first, first + len(words))
        mask = np.zeros(width, int)
        mask[inside] = 1
        assert (encoded["attention_mask"][row] == mask).all()
        assert encoded["input_ids"][row, inside].tolist() == ids(tokenizer, words)
        assert not encoded["input_ids"][row, mask == 0].any()
        assert encoded.word_ids(row) == [None] * first + list(range(len(words))) + [None] * (width - first - len(words))
    lists = tokenizer(batch, is_split_into_words=True, padding=True, padding_side=side, pad_to_multiple_of=multiple)
    assert lists["input_ids"] == encoded["input_ids"].tolist()


def test_padding_to_max_length(tokenizer: ElmoTokenizer) -> None:
    encoded = tokenizer(["a b c", "d"], padding="max_length", max_length=5, truncation=True, return_tensors="pt")
    assert encoded["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]


def test_truncation_counts_words(tokenizer: ElmoTokenizer) -> None:
    encoded = tokenizer(TEXT, truncation=True, max_length=4, return_offsets_mapping=True)
    assert encoded.tokens() == WORDS[:4]
    tokenizer.truncation_side = "left"
    encoded = tokenizer(TEXT, truncation=True, max_length=4, return_offsets_mapping=True)
    assert encoded.tokens() == WORDS[-4:]
    assert encoded.word_ids() == [7, 8, 9, 10]
    assert [TEXT[start:end] for start, end in encoded["offset_mapping"]] == WORDS[-4:]


def test_what_truncation_took(tokenizer: ElmoTokenizer) -> None:
    words = ["a", "b", "c", "d", "e"]
    encoded = tokenizer(
        words, is_split_into_words=True, truncation=True, max_length=3, stride=1, return_overflowing_tokens=True
    )
    assert encoded["overflowing_tokens"] == ids(tokenizer, ["c", "d", "e"])
    assert encoded["num_truncated_tokens"] == 2


@pytest.mark.parametrize("side", ["left", "right"])
def test_collators(tokenizer: ElmoTokenizer, side: str) -> None:
    tokenizer.padding_side = side
    features = [{**tokenizer(text), "labels": [7] * len(tokenizer.tokenize(text))} for text in ("a b c", "d")]
    expected = tokenizer(["a b c", "d"], padding=True, return_tensors="pt")
    batch = DataCollatorForTokenClassification(tokenizer)([dict(feature) for feature in features])
    padding = [-100, -100, 7] if side == "left" else [7, -100, -100]
    assert batch["labels"].tolist() == [[7, 7, 7], padding]
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    for feature in features:
        del feature["labels"]
    tensors = [{key: torch.tensor(value) for key, value in feature.items()} for feature in features]
    for examples in (features, tensors):
        batch = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=4)(examples)
        assert batch["input_ids"].shape == (2, 4, 50)
        assert batch["attention_mask"].sum() == 4


def test_pad_keeps_the_framework_and_other_fields(tokenizer: ElmoTokenizer) -> None:
    encoded = [tokenizer(text, return_special_tokens_mask=True) for text in ("a b", "c")]
    padded = tokenizer.pad(encoded)
    assert padded["special_tokens_mask"] == [[0, 0], [0, 1]]
    assert isinstance(padded["input_ids"], list)
    single = tokenizer.pad(tokenizer("a"), padding="max_length", max_length=3)
    assert single["attention_mask"] == [1, 0, 0]
    assert isinstance(tokenizer.pad({"input_ids": [torch.ones(2, 50), torch.ones(1, 50)]})["input_ids"], torch.Tensor)
    with pytest.raises(ValueError, match="Expected `input_ids` to pad, got words"):
        tokenizer.pad({"words": []})


# ---------------------------------------------------------------- back to text, saving, stability


@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=6))
def test_decoding_gives_the_words_back(words: list[str]) -> None:
    tokenizer = ElmoTokenizer()
    rows = ids(tokenizer, words)
    assert tokenizer.convert_ids_to_tokens(rows) == words
    assert tokenizer.decode(rows) == " ".join(words)


def test_decoding_shapes(tokenizer: ElmoTokenizer) -> None:
    batch = tokenizer(["<S> a b", "c"], padding=True, return_tensors="pt")["input_ids"]
    assert tokenizer.decode(batch[0]) == "<S> a b"
    assert tokenizer.batch_decode(batch, skip_special_tokens=True) == ["a b", "c"]
    assert tokenizer.decode(batch, skip_special_tokens=True) == ["a b", "c"]
    assert tokenizer.decode(batch[1]) == "c <pad> <pad>"
    assert tokenizer.decode(batch[1, 0]) == "c"
    assert tokenizer.convert_ids_to_tokens([98, 257]) == ["<0x61>", "<S>"]
    cut = ids(tokenizer, ["é" * 30])
    assert tokenizer.decode(cut) == "é" * 24
    assert tokenizer.decode(ids(tokenizer, ["a" + "é" * 30])) == "a" + "é" * 23 + "\ufffd"
    with pytest.raises(ValueError, match="Expected a row of bytes or one special word"):
        tokenizer.decode([[259, 300, 260, 261]])


def test_saving_changes_nothing(tokenizer: ElmoTokenizer, tmp_path: Path) -> None:
    tokenizer = ElmoTokenizer(
        splitter="whitespace", max_characters_per_token=20, padding_side="left", model_max_length=7
    )
    tokenizer.add_tokens(["[ENT]"])
    tokenizer.save_pretrained(tmp_path / "a")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "a")
    loaded.save_pretrained(tmp_path / "b")
    for name in ("tokenization_elmo.py", "splitting_elmo.py", "alphabet_elmo.py", "configuration_elmo.py"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    first, second = (json.loads((tmp_path / name / "tokenizer_config.json").read_text()) for name in "ab")
    # transformers 5 notes how a tokenizer was loaded.
    assert {key: second[key] for key in first} == first
    assert set(second) - set(first) <= {"is_local", "local_files_only"}
    texts = ["a [ENT] wasn't", "b"]
    assert loaded(texts, padding=True)["input_ids"] == tokenizer(texts, padding=True)["input_ids"]
    saved = json.loads((tmp_path / "a" / "tokenizer_config.json").read_text())
    assert saved["auto_map"]["AutoTokenizer"] == ["tokenization_elmo.ElmoTokenizer", None]
    assert "vocab_file" not in saved


def test_copies_work(tokenizer: ElmoTokenizer) -> None:
    for twin in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert twin(TEXT)["input_ids"] == tokenizer(TEXT)["input_ids"]


@pytest.mark.slow
def test_the_fingerprint_is_stable(tokenizer: ElmoTokenizer) -> None:
    """datasets caches what `map` made under a hash of the tokenizer: across calls and across processes."""
    before = Hasher.hash(tokenizer)
    tokenizer(["some text", "and more"], padding=True)
    tokenizer.decode(tokenizer("x")["input_ids"])
    assert Hasher.hash(tokenizer) == before
    code = (
        "from datasets.fingerprint import Hasher; from modeling_elmo import ElmoTokenizer;"
        "t = ElmoTokenizer(); t('warm up'); print(Hasher.hash(t))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert {run.stdout.strip() for run in runs} == {before}
