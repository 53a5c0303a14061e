# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints of bilm-tf's training, written by TensorFlow and compared with the oracle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.converted_model import build_model
from helpers.raises import assert_raises_with
from helpers.write_checkpoint import OPTIONS, options_with, random_arrays
from helpers.write_tensorflow import (
    assert_matches_oracle,
    hub_variables,
    tensorflow,
    training_variables,
    write_bundle,
    write_hub,
    write_training,
)

from modeling_elmo.conversion.formats import tensorflow_checkpoint as reader
from modeling_elmo.conversion.formats import tfhub
from modeling_elmo.conversion.source.fetch import SourceFile

tensorflow()
WORDS = ["<S>", "</S>", "<UNK>", "the", "bank", "of"]
TRAINING = {"batch_size": 128, "n_negative_samples_batch": 8192, "all_clip_norm_val": 10.0, "sample_softmax": True}
ONE_WAY = {"variant": "unidirectional, raw", "directions": 1}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "usual": (options_with(char_cnn={"n_characters": 261}), {}),
    "262 rows": (OPTIONS, {"character_rows": 262}),
    "three layers": (options_with(lstm={"n_layers": 3}), {}),
    "single layer": (options_with(lstm={"n_layers": 1}), {"variant": "single layer, raw"}),
    "single layer by default": (
        {**OPTIONS, "lstm": {"dim": 10, "projection_dim": 6}},
        {"variant": "single layer, raw"},
    ),
    "no cell projection": (options_with(lstm={"dim": 6}), {}),
    "no character projection": (options_with(lstm={"projection_dim": 12, "dim": 20}), {"character_projection": False}),
    "tanh, no highway, no clip, no skip": (
        options_with(
            char_cnn={"activation": "tanh", "n_highway": 0},
            lstm={"cell_clip": None, "proj_clip": None, "use_skip_connections": False},
        ),
        {},
    ),
    "one direction": (options_with(bidirectional=False), ONE_WAY),
    "one direction, one layer": (
        options_with(bidirectional=False, lstm={"n_layers": 1}),
        {"variant": "unidirectional, single layer, raw", "directions": 1},
    ),
    "words": (options_with(char_cnn=None, n_tokens_vocab=len(WORDS)), {"words": len(WORDS)}),
    "words, one direction": (options_with(char_cnn=None, bidirectional=False), {"words": len(WORDS), **ONE_WAY}),
}


def open_file(path: Path) -> SourceFile:
    return SourceFile(path, path.name)


@pytest.mark.parametrize("case", CASES)
def test_every_architecture_agrees_with_the_oracle(case: str, tmp_path: Path) -> None:
    options, variant = CASES[case]
    variant = {"variant": "raw", **variant}
    arrays = random_arrays(options, softmax=len(WORDS), **variant)
    write_training(tmp_path, {**options, **TRAINING}, arrays)
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    assert reader.matches(tmp_path)
    opened = reader.open_checkpoint(tmp_path)
    assert_matches_oracle(opened, options, arrays, variant["variant"])
    assert opened.options_text == (tmp_path / "options.json").read_text()
    assert opened.words == (WORDS if "char_cnn" not in options else None)
    assert opened.softmax is not None
    for got, name in zip(opened.softmax(), ("softmax/W", "softmax/b"), strict=True):
        assert (got.shape, got.tobytes()) == (arrays[name].shape, arrays[name].tobytes())
    slots = {f"{name}/Adagrad" for name in arrays}
    assert set(opened.unused_arrays) == slots | {"global_step", "train_perplexity"}
    assert opened.shapes.keys() == arrays.keys() - {"softmax/W", "softmax/b"}
    names = {role: file.origin for role, file in opened.files.items()}
    assert names == {
        "weights": "model.ckpt-7.data-00000-of-00001",
        "index": "model.ckpt-7.index",
        "options": "options.json",
        "vocab": "vocab.txt",
    }


def test_a_checkpoint_with_adagrad_slots(tmp_path: Path) -> None:
    tf = tensorflow().compat.v1
    arrays = random_arrays(OPTIONS, variant="raw")
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("lm"):
            variables = [tf.get_variable(name, initializer=array) for name, array in arrays.items()]
        tf.get_variable("global_step", initializer=np.int64(0), trainable=False)
        tf.get_variable("train_perplexity", [], trainable=False)
        loss = tf.add_n([tf.reduce_sum(variable**2) for variable in variables])
        step = tf.train.AdagradOptimizer(0.2, initial_accumulator_value=1.0).minimize(loss)
        session.run(tf.global_variables_initializer())
        session.run(step)
        trained = dict(zip(arrays, session.run(variables), strict=True))
        tf.train.Saver().save(session, str(tmp_path / "model.ckpt"), global_step=3)
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS))
    opened = reader.open_checkpoint(tmp_path)
    assert len(opened.unused_arrays) == len(arrays) + 2
    assert opened.softmax is None
    assert_matches_oracle(opened, OPTIONS, trained, "raw")


def test_paths_of_a_checkpoint(tmp_path: Path) -> None:
    old = write_training(tmp_path, OPTIONS, random_arrays(OPTIONS, 1, variant="raw"), step=5)
    new = write_training(tmp_path, OPTIONS, random_arrays(OPTIONS, 2, variant="raw"), step=10)  # named by `checkpoint`

    def first_number(path: Path) -> float:
        assert reader.matches(path)
        return float(reader.open_checkpoint(path).read(["char_embed"])["char_embed"][0, 0])

    old_number, new_number = first_number(old), first_number(new)
    assert old_number != new_number
    assert first_number(tmp_path) == new_number
    assert first_number(old.with_name("model.ckpt-5.index")) == old_number
    assert first_number(old.with_name("model.ckpt-5.data-00000-of-00001")) == old_number
    (tmp_path / "checkpoint").unlink()
    assert_raises_with(lambda: reader.open_checkpoint(tmp_path), "model.ckpt-10, model.ckpt-5", error=FileNotFoundError)
    old.with_name("model.ckpt-5.index").unlink()
    assert first_number(tmp_path) == new_number


def test_other_files_are_no_training_checkpoint(tmp_path: Path) -> None:
    write_hub(tmp_path / "hub", hub_variables(random_arrays(OPTIONS)))
    (tmp_path / "text.index").write_text("an index of authors")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "text"')
    for path in ("hub", "hub/variables", "hub/variables/variables", "text.index", "", "nothing", "checkpoint"):
        assert not reader.matches(tmp_path / path)
    assert_raises_with(lambda: reader.open_checkpoint(tmp_path), "one TensorFlow checkpoint", error=FileNotFoundError)
    write_training(tmp_path / "training", OPTIONS, random_arrays(OPTIONS, variant="raw"))
    assert not tfhub.matches(tmp_path / "training")


def test_options_are_required_and_can_be_passed(tmp_path: Path) -> None:
    prefix = write_training(tmp_path / "old", OPTIONS, random_arrays(OPTIONS, variant="raw"))
    (tmp_path / "old" / "options.json").rename(tmp_path / "given.json")
    assert_raises_with(lambda: reader.open_checkpoint(prefix), "one options file", error=FileNotFoundError)
    opened = reader.open_checkpoint(prefix, open_file(tmp_path / "given.json"))
    assert (opened.options, opened.files["options"].origin) == (OPTIONS, "given.json")
    (tmp_path / "given.json").write_bytes(b"\xff{}")
    assert_raises_with(
        lambda: reader.open_checkpoint(prefix, open_file(tmp_path / "given.json")), "given.json", "UTF-8"
    )


def test_the_vocabulary_has_one_word_per_row(tmp_path: Path) -> None:
    options = options_with(char_cnn=None)
    write_training(tmp_path / "words", options, random_arrays(options, variant="raw", words=6))
    write_training(tmp_path / "characters", OPTIONS, random_arrays(OPTIONS, variant="raw", softmax=6))
    for folder in ("words", "characters"):
        (tmp_path / folder / "vocab.txt").write_text("one\ntwo\n")
    given = open_file(tmp_path / "words" / "vocab.txt")
    part = "one word per line, 6, in vocab.txt, got 2"
    assert_raises_with(lambda: reader.open_checkpoint(tmp_path / "words"), part)
    assert_raises_with(lambda: reader.open_checkpoint(tmp_path / "characters", vocab=given), part)
    assert "vocab" not in reader.open_checkpoint(tmp_path / "characters").files  # of another model
    given.path.write_text("a\nb\x0bc\nd\ne\n\u2028\nf")
    opened = reader.open_checkpoint(tmp_path / "words")
    assert opened.words == ["a", "b\x0bc", "d", "e", "", "f"]


def test_a_softmax_that_shares_the_word_vectors(tmp_path: Path) -> None:
    options = options_with(char_cnn=None)
    arrays = random_arrays(options, variant="raw", words=6)
    arrays["softmax/b"] = np.arange(6, dtype=np.float32)
    write_training(tmp_path, {**options, "share_embedding_softmax": True}, arrays)
    opened = reader.open_checkpoint(tmp_path)
    assert opened.softmax is not None
    weight, bias = opened.softmax()
    assert (weight.tobytes(), bias.tobytes()) == (arrays["embedding"].tobytes(), arrays["softmax/b"].tobytes())
    assert "embedding" in opened.shapes
    (tmp_path / "options.json").write_text(json.dumps(options))
    assert "softmax/b" in reader.open_checkpoint(tmp_path).shapes  # a bias without weights


CELL = "RNN_1/rnn/multi_rnn_cell/cell_1/lstm_cell"
CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], list[str]]] = {
    "missing": (lambda v: v.pop(f"lm/{CELL}/bias"), [f"{CELL}/bias (40,)", "no such array"]),
    "no cell": (
        lambda v: [v.pop(name) for name in list(v) if "lstm_cell" in name],
        ["with an LSTM kernel"],
    ),
    "unknown": (lambda v: v.update({"lm/extra": np.zeros(3, np.float32)}), ["extra (3,)", "no other array"]),
    "unknown slot": (lambda v: v.update({"lm/what/Adagrad": np.zeros(3, np.float32)}), ["what/Adagrad (3,)"]),
    "unknown elsewhere": (lambda v: v.update({"step": np.int64(3)}), ["step ()", "no other array"]),
    "wrong shape": (
        lambda v: v.update({f"lm/{CELL}/bias": np.zeros(44, np.float32)}),
        [f"{CELL}/bias of shape (40,), got (44,)"],
    ),
    "half precision": (
        lambda v: v.update({"lm/CNN_proj/b_proj": v["lm/CNN_proj/b_proj"].astype(np.float16)}),
        ["lm/CNN_proj/b_proj", "to be float32, got float16"],
    ),
    "not finite": (
        lambda v: v.update({"lm/CNN_proj/b_proj": np.float32([0, 1, 2, np.nan, 4, 5])}),
        ["lm/CNN_proj/b_proj", "NaN or infinity"],
    ),
    "strings": (
        lambda v: v.update({"lm/CNN_proj/b_proj": np.array([b"0", b"1", b"2", b"3", b"4", b"5"])}),
        ["lm/CNN_proj/b_proj", "to be float32"],
    ),
    "the same twice": (lambda v: v.update({"char_embed": v["lm/char_embed"]}), ["lm/"]),
    "softmax of two sizes": (
        lambda v: v.update({"lm/softmax/b": np.zeros(8, np.float32)}),
        ["softmax/W of shape [words, size] and softmax/b of shape [words]", "got (7, 6) and (8,)"],
    ),
    "half a softmax": (lambda v: v.pop("lm/softmax/W"), ["softmax/b (7,)", "no other array"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_missing_unknown_or_wrong_variables(change: str, tmp_path: Path) -> None:
    edit, parts = CHANGES[change]
    variables = training_variables(random_arrays(OPTIONS, variant="raw", softmax=7))
    edit(variables)
    write_bundle(tmp_path / "model.ckpt-1", variables)
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS))
    assert_raises_with(lambda: build_model(reader.open_checkpoint(tmp_path)), *parts)


def test_truncated_files(tmp_path: Path) -> None:
    prefix = write_training(tmp_path, OPTIONS, random_arrays(OPTIONS, variant="raw"))
    for end, places in ((".index", 40), (".data-00000-of-00001", 20)):
        path = prefix.with_name(f"{prefix.name}{end}")
        whole = path.read_bytes()
        for length in np.linspace(0, len(whole) - 1, places).astype(int):
            path.write_bytes(whole[:length])
            assert reader.matches(tmp_path)  # the format is still detected
            assert_raises_with(lambda: build_model(reader.open_checkpoint(tmp_path)), "truncated", f"({length} bytes)")
        path.write_bytes(whole)
    build_model(reader.open_checkpoint(tmp_path))


def test_one_wrong_byte_anywhere(tmp_path: Path) -> None:
    arrays = random_arrays(OPTIONS, variant="raw")
    prefix = tmp_path / "model.ckpt-7"
    write_bundle(prefix, {f"lm/{name}": array for name, array in arrays.items()})
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS))
    random = np.random.default_rng(0)
    for end in (".index", ".data-00000-of-00001"):
        path = prefix.with_name(f"{prefix.name}{end}")
        whole = path.read_bytes()
        unused = range(len(whole) - 40, len(whole) - 8) if end == ".index" else ()  # zero padding of the footer
        for place in random.permutation(len(whole) - 8)[:60]:
            if place in unused:
                continue
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
            assert_raises_with(lambda: build_model(reader.open_checkpoint(tmp_path)))
        path.write_bytes(whole)


def test_missing_data_files(tmp_path: Path) -> None:
    prefix = write_training(tmp_path, OPTIONS, random_arrays(OPTIONS, variant="raw"))
    data = prefix.with_name("model.ckpt-7.data-00000-of-00001")
    data.rename(prefix.with_name("model.ckpt-7.data-00000-of-00002"))
    part = "model.ckpt-7.index, got "
    assert_raises_with(
        lambda: reader.open_checkpoint(tmp_path), f"{part}model.ckpt-7.data-00000-of-00002", error=FileNotFoundError
    )
    prefix.with_name("model.ckpt-7.data-00000-of-00002").unlink()
    assert_raises_with(lambda: reader.open_checkpoint(tmp_path), f"{part}none", error=FileNotFoundError)


def test_the_error_without_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_training(tmp_path, OPTIONS, random_arrays(OPTIONS, variant="raw"))
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    assert reader.matches(tmp_path)
    with pytest.raises(ImportError, match=r"pip install modeling_elmo\[tensorflow\]"):
        reader.open_checkpoint(tmp_path)
