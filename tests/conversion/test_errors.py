# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What is wrong with a checkpoint is said in one sentence, and a failed conversion leaves nothing behind."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from helpers.small_models import tiny_model
from helpers.write_checkpoint import OPTIONS, changed, contents, read_datasets, write_checkpoint
from safetensors.torch import load_file, save_file

from modeling_elmo import ElmoModel
from modeling_elmo.conversion import convert as convert_module
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.demo import write_demo
from modeling_elmo.conversion.export import export
from modeling_elmo.conversion.formats.hdf5 import read_softmax
from modeling_elmo.conversion.mapping.tensor_ops import drop_zero_row

CELL = "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "old")
    return tmp_path / "old"


def write_options(folder: Path, options: Any) -> None:
    (folder / "options.json").write_text(options if isinstance(options, str) else json.dumps(options))


def fails(old: Path, error: type[Exception], *parts: str, **arguments: Any) -> None:
    """The conversion raises one sentence that has these parts, and leaves nothing."""
    before = sorted(old.parent.iterdir())
    with pytest.raises(error) as caught:
        convert(old, old.parent / "model", **arguments)
    message = str(caught.value)
    for part in parts:
        assert part in message
    assert "\n" not in message
    assert message.endswith(".")
    assert sorted(old.parent.iterdir()) == before


def test_weights_cut_short_anywhere(old: Path) -> None:
    weights = old / "lm_weights.hdf5"
    whole = weights.read_bytes()
    for length in np.linspace(0, len(whole) - 1, 20).astype(int):
        weights.write_bytes(whole[:length])
        fails(old, ValueError, "lm_weights.hdf5", f"({length} bytes)")


def test_weights_that_are_no_hdf5_file(old: Path) -> None:
    (old / "lm_weights.hdf5").write_bytes(b"<html>404</html>")
    fails(old, ValueError, "no HDF5 file")


def test_hdf5_file_of_something_else(old: Path) -> None:
    with h5py.File(old / "lm_weights.hdf5", "w") as file:
        file["images"] = np.zeros((2, 3), np.float32)
    fails(old, ValueError, "images (2, 3)", "must have an LSTM kernel such as")
    h5py.File(old / "lm_weights.hdf5", "w").close()
    fails(old, ValueError, "got no dataset")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (changed(lstm={"dim": 11}), [f"{CELL}/W_0 must have shape (12, 44); got (12, 40)"]),
        (changed(lstm={"projection_dim": 7}), ["CNN_proj/W_proj must have shape (12, 7); got (12, 6)"]),
        (changed(lstm={"n_layers": 3}), ["Cell2/LSTMCell/W_0 (12, 40)", "no such array"]),
        (changed(lstm={"n_layers": 1}), ["Cell1/LSTMCell/W_0 (12, 40)", "no other array"]),
        (changed(bidirectional=False), ["RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/B (40,)", "no other array"]),
        (changed(char_cnn={"n_highway": 3}), ["CNN_high_2/W_carry (12, 12)", "no such array"]),
        (changed(char_cnn={"n_highway": 0}), ["CNN_high_0/W_carry (12, 12)", "no other array"]),
        (changed(char_cnn={"embedding": {"dim": 5}}), ["char_embed must have shape (261, 5); got (261, 4)"]),
        (changed(char_cnn={"filters": [[1, 3], [2, 4]]}), ["CNN_high_0/W_carry must have shape (7, 7); got (12, 12)"]),
        (changed(char_cnn=None), ["no char_cnn", "embedding", "missing"]),
    ],
)
def test_options_that_contradict_the_weights(old: Path, options: dict[str, Any], parts: list[str]) -> None:
    write_options(old, options)
    fails(old, ValueError, *parts)


def test_projection_missing_from_the_weights(old: Path) -> None:
    write_checkpoint(old, cell_projection=False)
    fails(old, ValueError, "lstm.dim 10", "lstm.projection_dim 6", f"{CELL}/W_P_0 (10, 6)")


def test_character_projection_missing_from_the_weights(old: Path) -> None:
    write_checkpoint(old, character_projection=False)
    fails(old, ValueError, "CNN_proj", "6; got 12")


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [
        ("{", ValueError, "must be JSON"),
        ("[]", ValueError, "must be a JSON object"),
        ({}, ValueError, "must have lstm;"),
        ({"lstm": 3}, TypeError, "option lstm must be an object; got 3"),
        (changed(lstm={"dim": "4096"}), TypeError, "lstm.dim must be an integer; got '4096'"),
        (changed(lstm={"dim": True}), TypeError, "lstm.dim must be an integer; got True"),
        (changed(lstm={"projection_dim": 0}), ValueError, "lstm.projection_dim must be at least 1; got 0"),
        (changed(lstm={"cell_clip": "3"}), TypeError, "lstm.cell_clip must be a number or null; got '3'"),
        (changed(lstm={"proj_clip": -3}), ValueError, "lstm.proj_clip must be positive and finite; got -3"),
        (changed(lstm={"use_skip_connections": 1}), TypeError, "use_skip_connections must be true or false; got 1"),
        (changed(bidirectional="yes"), TypeError, "bidirectional must be true or false; got 'yes'"),
        (changed(char_cnn={"n_characters": 256}), ValueError, "n_characters must be 261 or 262; got 256"),
        (changed(char_cnn={"activation": "gelu"}), ValueError, "activation must be 'relu' or 'tanh'; got 'gelu'"),
        (changed(char_cnn={"filters": [[1, 2, 3]]}), TypeError, "filters must be a list of [width, count] pairs"),
        (changed(char_cnn={"embedding": 4}), TypeError, "embedding must be an object with the key 'dim'; got 4"),
        (changed(char_cnn={"max_characters_per_token": 2}), ValueError, "max_characters_per_token"),
    ],
)
def test_options_that_are_wrong(old: Path, options: Any, error: type[Exception], part: str) -> None:
    write_options(old, options)
    fails(old, error, part)


@pytest.mark.parametrize(
    "path",
    ["lstm.dim", "lstm.projection_dim", "char_cnn.filters", "char_cnn.activation", "char_cnn.max_characters_per_token"],
)
def test_options_that_lack_a_key(old: Path, path: str) -> None:
    section, key = path.split(".")
    options = changed()
    del options[section][key]
    write_options(old, options)
    fails(old, ValueError, f"options must have {path}; it is missing.")


def test_missing_files(old: Path, tmp_path: Path) -> None:
    fails(old, FileNotFoundError, "options", options=tmp_path / "no.json")
    fails(old, FileNotFoundError, "weights", weights=tmp_path / "no.hdf5")
    fails(tmp_path / "nowhere", FileNotFoundError, "nowhere", "original, original-5.5b")
    (old / "options.json").unlink()
    fails(old, FileNotFoundError, "options.json")
    write_options(old, OPTIONS)
    (old / "lm_weights.hdf5").rename(old / "a_weights.hdf5")
    (old / "b_weights.hdf5").write_bytes((old / "a_weights.hdf5").read_bytes())
    fails(old, FileNotFoundError, "a_weights.hdf5, b_weights.hdf5")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(old: Path, value: float) -> None:
    with h5py.File(old / "lm_weights.hdf5", "r+") as file:
        file["CNN/b_cnn_1"][2] = value
    fails(old, ValueError, "CNN/b_cnn_1", "NaN or infinity")


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_numbers_of_another_type(old: Path, dtype: str) -> None:
    with h5py.File(old / "lm_weights.hdf5", "r+") as file:
        array = file["char_embed"][()]
        del file["char_embed"]
        file["char_embed"] = array.astype(dtype)
    fails(old, ValueError, "char_embed", f"must be float32; got {dtype}")


def test_character_table_of_another_alphabet(old: Path) -> None:
    write_checkpoint(old, character_rows=300)
    fails(old, ValueError, "261 or 262 rows; got shape (300, 4)")


def test_weights_beyond_float16(old: Path) -> None:
    with h5py.File(old / "lm_weights.hdf5", "r+") as file:
        file["CNN/b_cnn_1"][2] = 1e6
    fails(old, ValueError, "char_encoder.convolutions.1.bias", "bfloat16", dtype="float16")
    fails(old, ValueError, "dtype must be one of float32", dtype="int8")


def test_word_models_need_their_vocabulary(old: Path) -> None:
    words = ["<S>", "</S>", "the"]
    write_checkpoint(old, changed(char_cnn=None), words=words)
    (old / "vocab.txt").write_text("<S>\nthe\n")
    fails(old, ValueError, "one word a line, 3; got 2")
    (old / "vocab.txt").write_text("<S>\nthe\nbank\n")
    fails(old, ValueError, "</S> is missing")
    (old / "vocab.txt").unlink()
    fails(old, FileNotFoundError, "3 word vectors must come with a vocabulary")
    write_checkpoint(old, changed(char_cnn=None, n_tokens_vocab=9), words=words)
    fails(old, ValueError, "9 by n_tokens_vocab; got 3")


def test_an_output_in_the_way(old: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    convert(old, model)  # an empty folder is not in the way
    config = (model / "config.json").read_bytes()
    with pytest.raises(FileExistsError, match="is not empty"):
        convert(old, model)
    with pytest.raises(FileExistsError, match="is not empty"):
        export(old, model)
    (model / "extra.txt").write_text("mine")
    convert(old, model, overwrite=True)
    assert (model / "config.json").read_bytes() == config
    assert not (model / "extra.txt").exists()

    other = tmp_path / "documents"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=re.escape("must have config.json")):
        convert(old, other, overwrite=True)
    with pytest.raises(FileExistsError, match="no plain folder"):
        convert(old, other / "thesis.tex", overwrite=True)
    assert (other / "thesis.tex").read_text() == "mine"


def test_a_failure_while_writing_leaves_the_old_model(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(old, tmp_path / "model")
    before = contents(tmp_path / "model")

    def full(folder: Path) -> None:
        assert (folder / "model.safetensors").is_file()
        raise OSError("no space left on device.")

    monkeypatch.setattr(convert_module, "write_code", full)
    with pytest.raises(OSError, match="no space left"):
        convert(old, tmp_path / "model", overwrite=True)
    assert contents(tmp_path / "model") == before
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    fails(old, OSError, "no space left")


def test_h5py_missing(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=re.escape("needs h5py: pip install modeling_elmo[")):
        convert(old, tmp_path / "model")


def test_what_the_old_format_cannot_hold(old: Path, tmp_path: Path) -> None:
    convert(old, tmp_path / "model")
    model = ElmoModel.from_pretrained(tmp_path / "model")
    model.resize_token_embeddings(264)
    model.save_pretrained(tmp_path / "more characters")
    with pytest.raises(ValueError, match="has 262 characters; the model has 264"):
        export(tmp_path / "more characters", tmp_path / "back")
    tiny_model(forget_bias=0.0).save_pretrained(tmp_path / "folded")
    with pytest.raises(ValueError, match=re.escape("config.forget_bias is 0.0")):
        export(tmp_path / "folded", tmp_path / "back")
    tiny_model(use_cell_projection=False, pooling_layer="word_emb").save_pretrained(tmp_path / "wide")
    with pytest.raises(ValueError, match="projects 12 cells to 8;"):
        export(tmp_path / "wide", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(ValueError, match="row 0"):
        drop_zero_row(np.ones((3, 2), np.float32))


def test_model_folders_that_are_damaged(old: Path, tmp_path: Path) -> None:
    model, back = tmp_path / "model", tmp_path / "back"
    with pytest.raises(FileNotFoundError, match=re.escape("must have config.json")):
        export(model, back)
    convert(old, model)
    weights = model / "model.safetensors"
    whole, state = weights.read_bytes(), load_file(weights)
    save_file({**state, "adapter.weight": state["scalar_mixes.0.gamma"].clone()}, weights)
    with pytest.raises(ValueError, match=re.escape("no other array than its options say; got adapter.weight (1,)")):
        export(model, back)
    state.pop("layers.0.directions.1.state_linearity.bias")
    save_file(state, weights)
    with pytest.raises(ValueError, match=re.escape("layers.0.directions.1.state_linearity.bias (40,)")):
        export(model, back)
    weights.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match="must be a whole safetensors file"):
        export(model, back)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="must have its weights"):
        export(model, back)
    assert not back.exists()


def test_softmax_shapes_are_checked(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, softmax=9)
    weight, bias = read_softmax(tmp_path / "lm_weights.hdf5", projection_size=6)
    assert (weight.shape, bias.shape) == ((9, 6), (9,))
    with pytest.raises(ValueError, match=re.escape("must have shape (9, 5); got (9, 6)")):
        read_softmax(tmp_path / "lm_weights.hdf5", projection_size=5)
    with pytest.raises(ValueError, match=re.escape("must have shape (8, 6); got (9, 6)")):
        read_softmax(tmp_path / "lm_weights.hdf5", projection_size=6, words=8)
    write_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="must have the datasets softmax/W, softmax/b"):
        read_softmax(tmp_path / "lm_weights.hdf5", projection_size=6)


def test_demo_checkpoint_converts(tmp_path: Path) -> None:
    write_demo(tmp_path / "old")
    convert(tmp_path / "old", tmp_path / "model")
    export(tmp_path / "model", tmp_path / "back")
    assert read_datasets(tmp_path / "back" / "lm_weights.hdf5") == read_datasets(tmp_path / "old" / "lm_weights.hdf5")
    write_demo(tmp_path / "again")
    assert (tmp_path / "again" / "lm_weights.hdf5").read_bytes() == (tmp_path / "old" / "lm_weights.hdf5").read_bytes()
