# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Models of ELMoForManyLangs: vectors, ids, and model folders; other models have none of their fields."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.run_python import run
from helpers.small_models import inputs, max_difference, tiny_config, tiny_model
from helpers.tolerances import ORACLE, PACKED, SAME_BATCH
from helpers.write_many_langs import (
    ARCHITECTURE,
    CHARACTERS,
    LONGEST,
    WORDS,
    NumpyManyLangs,
    architecture_with,
    open_model,
    run_package,
    write_model,
)
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer, DataCollatorWithPadding

from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer
from modeling_elmo.conversion.convert import convert, lexicon_tokenizer
from modeling_elmo.conversion.export import export
from modeling_elmo.conversion.formats import many_langs
from modeling_elmo.conversion.mapping.layouts import detect_layout
from modeling_elmo.remote_code import write_code

SENTENCES = [
    ["the", "bank", "2024", "zzz!", "Müller", "東京x", "Müllers"],
    [],
    ["", LONGEST + "yyy", "y" * 300, " ", "\u3000", "\u00a0", "a\u00a0b", "\t", "🙂", "e\u0301", "0", "<oov>", "<bos>"],
    ["the"],
]
VARIANTS: dict[str, dict[str, Any]] = {
    "as published": {},
    "no words": {"word_dim": 0},
    "no characters": {"char_dim": 0},
    "tanh": {"activation": "tanh"},
    "no highway": {"n_highway": 0},
    "short words": {"max_characters_per_token": 8},
    "short words alone": {"max_characters_per_token": 8, "char_dim": 0},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many-langs") / "xx.model"
    write_model(folder)
    return folder


@pytest.fixture
def copied(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "xx.model"))


@pytest.fixture(scope="module")
def loaded(source: Path) -> tuple[ElmoModel, ElmoTokenizer]:
    return open_model(source)


@pytest.fixture(scope="module")
def converted(loaded: tuple[ElmoModel, ElmoTokenizer], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "tiny"
    for part in loaded:
        part.save_pretrained(folder)
    write_code(folder)
    return folder


def all_layers(model: Any, tokenizer: ElmoTokenizer, sentences: list[list[str]], **options: Any) -> torch.Tensor:
    with torch.no_grad():
        output = model(**inputs(sentences, tokenizer), output_hidden_states=True, **options)
    return torch.stack(output.hidden_states, dim=1)


# ---------------------------------------------------------------- vectors


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_layer_agrees_with_the_oracle(variant: str, tmp_path: Path) -> None:
    architecture = architecture_with(token_embedder=VARIANTS[variant])
    write_model(tmp_path, architecture, seed=3)
    model, tokenizer = open_model(tmp_path)
    layers = all_layers(model.double(), tokenizer, SENTENCES).numpy()
    oracle = NumpyManyLangs(architecture, seed=3)
    # Without characters, the projected words are stored and therefore rounded to float32.
    tolerance = SAME_BATCH if VARIANTS[variant].get("char_dim") == 0 else ORACLE
    for vectors, words in zip(layers, SENTENCES, strict=True):
        assert np.abs(vectors[:, : len(words)] - oracle.run(words)).max(initial=0) <= tolerance
        assert not vectors[:, len(words) :].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_layer_agrees_with_the_package(variant: str, tmp_path: Path) -> None:
    python = os.environ.get("ELMO_MANY_LANGS_PYTHON")
    if not python:
        pytest.skip("set ELMO_MANY_LANGS_PYTHON to the Python of an environment with elmoformanylangs")
    write_model(tmp_path, architecture_with(token_embedder=VARIANTS[variant]), zipped=False)
    layers = all_layers(*open_model(tmp_path), SENTENCES)
    expected = run_package(python, tmp_path, SENTENCES, tmp_path / "vectors.npz")
    for vectors, words, want in zip(layers, SENTENCES, expected, strict=True):
        assert want.shape == (3, len(words), 12)
        assert max_difference(vectors[:, : len(words)], torch.from_numpy(want)) <= PACKED


def test_boundaries_states_and_batching(loaded: tuple[ElmoModel, ElmoTokenizer]) -> None:
    """Padding, explicit boundaries, and carried states work as in other models."""
    model, tokenizer = loaded
    whole = all_layers(model, tokenizer, SENTENCES)
    alone = all_layers(model, tokenizer, [SENTENCES[0]])[0]
    assert max_difference(whole[0, :, :7], alone) <= SAME_BATCH
    framed = all_layers(model, tokenizer, SENTENCES, return_boundaries=True)
    assert max_difference(framed[0, :, 1:8], alone) <= SAME_BATCH
    unframed = ElmoModel(ElmoConfig(**{**model.config.to_dict(), "sentence_boundaries": False}))
    unframed.load_state_dict(model.state_dict())
    said = all_layers(unframed.eval(), tokenizer, [["<bos>", *SENTENCES[0], "<eos>"]])[0]
    assert max_difference(framed[0, :, :9], said) <= SAME_BATCH
    left = dict(tokenizer(SENTENCES, is_split_into_words=True, padding=True, padding_side="left", return_tensors="pt"))
    with torch.no_grad():
        moved = torch.stack(model(**left, output_hidden_states=True).hidden_states, dim=1)
        states = model(**left, return_states=True).states
        warm = model(**left, initial_states=states)[0]
    assert max_difference(moved[0, :, -7:], alone) <= SAME_BATCH
    assert (warm - model(**left)[0]).abs().max() > 0.01


def test_character_vectors_instead_of_ids(loaded: tuple[ElmoModel, ElmoTokenizer], tmp_path: Path) -> None:
    model, tokenizer = loaded
    batch = inputs(SENTENCES, tokenizer)
    embedded = model.char_encoder.embed_characters(batch["input_ids"])
    assert embedded.shape == (4, 13, 7 + 50 * 4)
    with torch.no_grad():
        got = model(inputs_embeds=embedded, attention_mask=batch["attention_mask"])[0]
        assert max_difference(got, model(**batch)[0]) <= SAME_BATCH
    with pytest.raises(ValueError, match=r"\[batch, words, 207\], got \[4, 13, 50, 4\]"):
        model(inputs_embeds=torch.zeros(4, 13, 50, 4))


def test_gradients_reach_the_lexicon(source: Path) -> None:
    model, tokenizer = open_model(source)
    model(**inputs([["the", "nowhere"]], tokenizer))[0].sum().backward()
    rows = model.char_encoder.lexicon.weight.grad.abs().sum(1).nonzero().squeeze(1).tolist()
    assert rows == [1 + WORDS.index(word) for word in ("<oov>", "<bos>", "<eos>", "the")]


def test_the_word_cache_distinguishes_lexicon_ids(source: Path) -> None:
    """The cache key includes the lexicon id: equal characters with another id are another word."""
    model, tokenizer = open_model(source)
    batch = inputs([["the", "bank", "the"]], tokenizer)
    plain = ElmoModel(ElmoConfig(**{**model.config.to_dict(), "word_cache_size": 0}))
    plain.load_state_dict(model.state_dict())
    other = {**batch, "input_ids": batch["input_ids"].clone()}
    other["input_ids"][0, 2, 0] = 1 + WORDS.index("bank")
    with torch.no_grad():
        for given in (batch, other, batch):
            got, want = (m.eval()(**given, pooling_layer="word_emb")[0] for m in (model, plain))
            assert torch.equal(got, want)
            assert torch.equal(got[0, 0], got[0, 2]) == (given is batch)
    if model.word_cache_info().currsize:  # the cache requires batch-invariant linear layers
        assert model.word_cache_info().misses == 5


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, len(WORDS) + 1, rf"word ids of `input_ids` in 0..{len(WORDS)}, got {len(WORDS) + 1}"),
        (1, len(CHARACTERS) + 1, rf"character ids of `input_ids` in 0..{len(CHARACTERS)}"),
        (3, -1, "character ids of `input_ids` in .* got -1"),
    ],
)
def test_ids_out_of_range(column: int, value: int, message: str, loaded: tuple[ElmoModel, ElmoTokenizer]) -> None:
    model, tokenizer = loaded
    batch = inputs([["the"]], tokenizer)
    batch["input_ids"][0, 0, column] = value
    with pytest.raises(ValueError, match=message):
        model(**batch)
    with pytest.raises(ValueError, match=r"\[batch, words, 51\] \(character ids\), got \[1, 1, 50\]"):
        model(batch["input_ids"][..., 1:])


# ---------------------------------------------------------------- ids


@given(
    words=st.lists(st.text(st.sampled_from([*"theban💥\u3000\u00a0\t y東"]) | st.characters(), max_size=60), max_size=5)
)
def test_any_word_has_the_original_ids(words: list[str], loaded: tuple[ElmoModel, ElmoTokenizer]) -> None:
    words = [word for word in words if word != "<pad>"]
    oracle = NumpyManyLangs(ARCHITECTURE)
    expected = []
    for word in words:
        word = word[:48]
        index = WORDS.index(word if word in WORDS else "<oov>")
        expected.append([1 + i for i in (index, *oracle.character_ids(word))])
    assert loaded[1](words, is_split_into_words=True)["input_ids"] == expected


def test_ids_by_hand(loaded: tuple[ElmoModel, ElmoTokenizer]) -> None:
    _, tokenizer = loaded
    end, begin, fill, oov = (1 + CHARACTERS.index(f"<{name}>") for name in ("bow", "eow", "pad", "oov"))
    rows = tokenizer(["bank!", "<eos>", "<pad>", ""], is_split_into_words=True)["input_ids"]
    letters = [1 + CHARACTERS.index(letter) for letter in "bank"]
    assert rows[0] == [1, begin, *letters, oov, end] + [fill] * 43
    assert rows[1] == [3, begin, 1 + CHARACTERS.index("<eos>"), end] + [fill] * 47
    assert rows[2] == [0] * 51
    assert rows[3] == [1, begin, end] + [fill] * 48
    spelt = tokenizer(["<eos>"], is_split_into_words=True, split_special_tokens=True)["input_ids"][0]
    assert spelt[:4] == [3, begin, oov, 1 + CHARACTERS.index("e")]
    assert tokenizer(["<pad>", "a"], is_split_into_words=True)["attention_mask"] == [0, 1]


def test_words_are_decoded(loaded: tuple[ElmoModel, ElmoTokenizer]) -> None:
    _, tokenizer = loaded
    batch = tokenizer(["the bank!", "Müller 東京 tea"], padding=True, return_tensors="pt")
    assert batch["input_ids"].shape == (2, 3, 51)
    assert tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True) == ["the bank\ufffd", "Müller 東京 tea"]
    assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0]) == ["the", "bank\ufffd", "<pad>"]
    assert tokenizer.convert_ids_to_tokens([tokenizer.convert_tokens_to_ids(["<bos>"])[0]]) == ["<bos>"]
    assert len(tokenizer) == 1 + len(CHARACTERS)
    assert sorted(tokenizer.get_vocab().values()) == list(range(1 + len(CHARACTERS)))
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id) == (0, 1 + CHARACTERS.index("<bos>"))
    features = [tokenizer(text) for text in ("the", "the bank")]
    assert DataCollatorWithPadding(tokenizer)(features)["input_ids"].shape == (2, 2, 51)


def test_added_words(source: Path) -> None:
    model, tokenizer = open_model(source)
    tokenizer.add_tokens(["[ENT]"])
    (row,) = tokenizer(["[ENT]"], is_split_into_words=True)["input_ids"]
    assert row[0] == 1, "the lexicon does not know it"
    assert row[2] == 1 + len(CHARACTERS)
    model.resize_token_embeddings(len(tokenizer))
    assert model(**inputs([["[ENT]"]], tokenizer))[0].isfinite().all()


def test_entries_without_a_name(tmp_path: Path) -> None:
    lexicon = {"words": None, "characters": [*CHARACTERS, None, "q"]}
    tokenizer = lexicon_tokenizer(lexicon, splitter="whitespace")
    assert len(tokenizer) == len(CHARACTERS) + 3
    assert tokenizer(["q"], is_split_into_words=True)["input_ids"][0][1] == len(CHARACTERS) + 2
    tokenizer.save_pretrained(tmp_path)
    again = ElmoTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == tokenizer.get_vocab()


# ---------------------------------------------------------------- saved folders


def test_folders_are_loaded(converted: Path, loaded: tuple[ElmoModel, ElmoTokenizer], tmp_path: Path) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(converted), AutoModel.from_pretrained(converted).eval()
    assert type(tokenizer) is ElmoTokenizer
    assert torch.equal(all_layers(model, tokenizer, SENTENCES), all_layers(*loaded, SENTENCES))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for name in ("config.json", "model.safetensors", "lexicon.json"):
        assert (tmp_path / name).read_bytes() == (converted / name).read_bytes()
    (tmp_path / "lexicon.json").unlink()
    with pytest.raises(ValueError, match=r"input_type 'lexicon': lexicon.json is missing"):
        ElmoTokenizer.from_pretrained(tmp_path)


def test_remote_code(converted: Path, loaded: tuple[ElmoModel, ElmoTokenizer], tmp_path: Path) -> None:
    code = f"""
import torch
from transformers import AutoModel, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({str(converted)!r}, trust_remote_code=True)
model = AutoModel.from_pretrained({str(converted)!r}, trust_remote_code=True).eval()
batch = tokenizer({SENTENCES!r}, is_split_into_words=True, padding=True, return_tensors="pt")
with torch.no_grad():
    result = [type(model).__module__, model(**batch)[0].tolist()]
"""
    module, vectors = run(code, {"HF_HOME": str(tmp_path)}, without_package=True)
    assert module.startswith("transformers_modules")
    model, tokenizer = loaded
    with torch.no_grad():
        expected = model(**inputs(SENTENCES, tokenizer))[0]
    assert max_difference(torch.tensor(vectors), expected) <= SAME_BATCH


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ("{", "Cannot read .* as JSON"),
        ("[]", "Expected a JSON object with the list"),
        ('{"words": []}', "got neither"),
        ('{"words": [1]}', "Expected 'words' of .* to be a list of strings and nulls"),
        ('{"characters": ["a", "a"]}', "Expected distinct names in 'characters' of .*, got 'a' twice"),
        ('{"characters": ["a"]}', "Expected <bos>, .* in 'characters' of .*, but .* is missing"),
    ],
)
def test_corrupt_lexicons(lists: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "lexicon.json"
    file.write_text(lists)
    with pytest.raises(ValueError, match=message):
        ElmoTokenizer(lexicon_file=str(file), bos_token="<bos>", eos_token="<eos>")


# ---------------------------------------------------------------- other models


def test_other_models_have_no_lexicon_fields(tmp_path: Path) -> None:
    model, tokenizer = tiny_model(), ElmoTokenizer()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert not {"lexicon_size", "character_bow_id", "character_eow_id", "character_pad_id"} & written.keys()
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert not [name for name in settings if "lexicon" in name]
    assert settings["input_type"] == "characters"
    assert not (tmp_path / "lexicon.json").exists()
    assert not [name for name in model.state_dict() if "lexicon" in name]
    assert model.config.is_byte_level


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lexicon_size": 5}, "`lexicon_embedding_size` to be a positive integer, got None"),
        ({"lexicon_size": 5, "lexicon_embedding_size": 2}, "`lexicon_bos_id` to be a positive integer"),
        (
            {"lexicon_size": 5, "lexicon_embedding_size": 2, "lexicon_bos_id": 1, "lexicon_eos_id": 5},
            "`lexicon_eos_id` below `lexicon_size` = 5, got 5",
        ),
        ({"lexicon_size": 5, "input_type": "words"}, "Cannot use a lexicon without character input"),
        ({"character_pad_id": 300}, "`vocab_size` to be at least 301"),
    ],
)
def test_impossible_configurations(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_config(**fields)


# ---------------------------------------------------------------- model folders


def test_an_archive_converts(source: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "136"), "zip", source)
    record = convert(archive, tmp_path / "model", language="xx")
    assert (record.splitter, record.config.lexicon_size) == ("whitespace", 1 + len(WORDS))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    layers = all_layers(AutoModel.from_pretrained(tmp_path / "model").eval().double(), tokenizer, SENTENCES[:1])
    assert np.abs(layers[0].numpy() - NumpyManyLangs(ARCHITECTURE).run(SENTENCES[0])).max() <= ORACLE


def test_content_of_a_folder(copied: Path) -> None:
    (copied / "classifier.pkl").write_bytes(b"anything")
    meta = {"corpus": [{"description": "Wikipedia\n and  news", "language": "xxx"}], "id": 1}
    (copied / "meta.json").write_text(json.dumps(meta))
    assert many_langs.matches(copied)
    assert many_langs.matches(copied.parent), "the only model in a folder"
    opened = many_langs.open_checkpoint(copied.parent)
    assert opened.unused_arrays == ("classifier.pkl",)
    assert opened.fields["forget_bias"] == 0.0
    assert opened.note == "It was trained with ELMoForManyLangs on Wikipedia and news."
    assert {role: file.origin for role, file in opened.files.items()} == {
        "weights": "token_embedder.pkl",
        "encoder": "encoder.pkl",
        "words": "word.dic",
        "characters": "char.dic",
        "options": "cnn.json",
        "config": "config.json",
        "meta": "meta.json",
    }
    arrays = opened.read(opened.shapes)
    assert {name: array.shape for name, array in arrays.items()} == opened.shapes
    assert all(array.dtype == np.float32 for array in arrays.values())
    assert not many_langs.matches(copied / "config.json")
    assert not many_langs.matches(copied / "missing")
    (copied / "encoder.pkl").unlink()
    assert not many_langs.matches(copied)
    with pytest.raises(FileNotFoundError, match=r"Expected token_embedder\.pkl and encoder\.pkl in"):
        many_langs.open_checkpoint(copied)


def test_old_and_new_pickles_are_equivalent(source: Path, tmp_path: Path) -> None:
    write_model(tmp_path, zipped=False)
    assert (tmp_path / "encoder.pkl").read_bytes()[:2] != b"PK"
    old, new = many_langs.open_checkpoint(tmp_path), many_langs.open_checkpoint(source)
    for name, array in old.read(old.shapes).items():
        assert np.array_equal(array, new.read([name])[name])


@pytest.mark.parametrize(
    "config_path",
    [
        "cnn.json",
        "configs/cnn.json",
        "/elsewhere/cnn.json",
        "C:\\models\\cnn.json",
        "../cnn.json",
        "config.json",
        "gone.json",
        None,
    ],
)
def test_the_architecture_is_found(config_path: str | None, copied: Path) -> None:
    """The file is read from the model folder only, wherever `config_path` points on this machine."""
    (copied.parent / "cnn.json").write_text("not this one")
    (copied / "config.json").write_text(json.dumps({"config_path": config_path}))
    assert many_langs.open_checkpoint(copied).files["options"].path == copied / "cnn.json"


def test_the_published_architecture_is_the_default(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copied / "cnn.json").unlink()
    with pytest.raises(ValueError, match=r"projection.weight of .* of shape|char_emb_layer.* of shape"):
        many_langs.open_checkpoint(copied)
    monkeypatch.setattr(many_langs, "DEFAULT_ARCHITECTURE", ARCHITECTURE)
    opened = many_langs.open_checkpoint(copied)
    assert "no architecture" in (opened.note or "")
    assert opened.files["options"].origin == "config.json"


def test_whitespace_in_lexicons(tmp_path: Path) -> None:
    """As in ELMoForManyLangs, whitespace entries become U+3000, and the last of several remains."""
    file = tmp_path / "char.dic"
    file.write_text("a\t0\n\u00a0\t1\n \t2\n\t3\nx y\t4\n\u3000z\t5\nz\t6\n\nb \t7\n", encoding="utf-8")
    assert many_langs.read_lexicon(file, 9) == ["a", None, None, "\u3000", "x y", None, "z", "b ", None]


def _edit(name: str, edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        if name.endswith(".json"):
            content = json.loads((folder / name).read_text())
            edit(content)
            (folder / name).write_text(json.dumps(content))
        else:
            content = torch.load(folder / name, weights_only=True)
            edit(content)
            torch.save(content, folder / name)

    return apply


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def read_all(folder: Path) -> None:
    opened = many_langs.open_checkpoint(folder)
    opened.read(opened.shapes)


BIAS = "forward_layer_0.state_linearity.bias"
DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another encoder": (
        _edit("cnn.json", lambda c: c["encoder"].update(name="lstm")),
        "encoder.name 'elmo' in cnn.json, got 'lstm'",
    ),
    "another embedder": (
        _edit("cnn.json", lambda c: c["token_embedder"].update(name="LSTM")),
        "token_embedder.name 'cnn' in cnn.json, got 'LSTM'",
    ),
    "no embedder": (
        _edit("cnn.json", lambda c: c.update(token_embedder=3)),
        "option token_embedder to be an object, got 3",
    ),
    "nothing to read": (
        _edit("cnn.json", lambda c: c["token_embedder"].update(word_dim=0, char_dim=0)),
        "positive token_embedder.word_dim or char_dim",
    ),
    "sizes that are none": (_edit("cnn.json", lambda c: c["token_embedder"].update(word_dim="7")), "got '7'"),
    "wrong sizes": (_edit("cnn.json", lambda c: c["token_embedder"].update(word_dim=8)), r"\(6, 20\), got \(6, 19\)"),
    "wrong filters": (_edit("cnn.json", lambda c: c["token_embedder"].update(filters=[[1]])), r"got \[\[1\]\]"),
    "no highway": (_edit("cnn.json", lambda c: c["token_embedder"].pop("n_highway")), "n_highway, which is missing"),
    "no cells": (
        _edit("cnn.json", lambda c: c["encoder"].update(n_layers=0)),
        "encoder.n_layers.* positive integer.* got 0",
    ),
    "another number of layers": (
        _edit("cnn.json", lambda c: c["encoder"].update(n_layers=1)),
        "only the weights of its architecture .* got backward_layer_1",
    ),
    "one layer too few": (_edit("cnn.json", lambda c: c["encoder"].update(n_layers=3)), "forward_layer_2.* is missing"),
    "JSON cut short": (_write("cnn.json", b'{"encoder'), "Cannot parse .*cnn.json as JSON"),
    "JSON of another kind": (_write("config.json", b"[]"), "Expected a JSON object in .*config.json, got list"),
    "no pickle": (_write("encoder.pkl", b"PK\x03\x04 no archive"), "truncated or corrupt PyTorch file"),
    "an empty pickle": (_write("encoder.pkl", b""), "truncated or corrupt PyTorch file"),
    "code in a pickle": (
        lambda folder: (folder / "encoder.pkl").write_text(f"cos\nsystem\n(S'touch {folder}/ran'\ntR."),
        "got a pickle with code, which is not executed",
    ),
    "a list": (lambda folder: torch.save([1], folder / "encoder.pkl"), "Expected a state dict in .* got list"),
    "integers": (
        _edit("encoder.pkl", lambda c: c.update({BIAS: c[BIAS].long()})),
        "to be float32, got int64",
    ),
    "NaN": (_edit("encoder.pkl", lambda c: c[BIAS].fill_(float("nan"))), "Expected finite values"),
    "a lost weight": (
        _edit("encoder.pkl", lambda c: c.pop(BIAS)),
        rf"Expected the weight {BIAS} \(40\) in .* it is missing",
    ),
    "a row too many": (_edit("encoder.pkl", lambda c: c.update({BIAS: torch.zeros(41)})), r"shape \(40\), got \(41,\)"),
    "a lost lexicon": (
        lambda folder: (folder / "word.dic").unlink(),
        "word.dic with the names of 14 vectors",
    ),
    "a row that is not there": (
        _write("word.dic", b"the\t14\n"),
        r"unused row in 0..13 at .*word.dic:1, got 'the\\t14'",
    ),
    "a row twice": (_write("char.dic", b"a\t1\nb\t1\n"), "unused row in .*char.dic:2"),
    "a name alone": (_write("char.dic", b"a\n"), "Expected a name, a tab, .*char.dic:1"),
    "no unknown word": (
        _write("word.dic", b"the\t0\n"),
        "Expected the entries <oov> in .*word.dic, but <oov> is missing",
    ),
    "no marks": (_write("char.dic", b"<oov>\t0\n"), "<bos>, <eos>, <eow>, <bow>, <pad> are missing"),
    "no UTF-8": (_write("char.dic", b"\xff\t0\n"), "Cannot decode .*char.dic as UTF-8"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_corrupt_folders(damage: str, copied: Path) -> None:
    apply, message = DAMAGE[damage]
    apply(copied)
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message) as caught:
        read_all(copied)
    assert "\n" not in str(caught.value)
    assert not (copied / "ran").exists()


def test_export_is_rejected(converted: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    with pytest.raises(ValueError, match="Cannot export a model with its own alphabet"):
        export(converted, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_its_tables_are_detected(source: Path) -> None:
    info = detect_layout(many_langs.open_checkpoint(source).shapes)
    assert (info.code_point_rows, info.lexicon_rows) == (len(CHARACTERS), len(WORDS))
    assert info.character_rows is info.word_rows is None
    assert sys.modules.get("elmoformanylangs") is None, "the old package is not needed"
