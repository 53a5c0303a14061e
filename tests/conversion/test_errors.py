# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Invalid checkpoints raise one sentence, and a failed conversion leaves nothing behind."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from helpers.small_models import tiny_model
from helpers.write_checkpoint import OPTIONS, options_with, read_datasets, read_folder, write_checkpoint
from safetensors.torch import load_file, save_file

from modeling_elmo import ElmoModel
from modeling_elmo.conversion import convert as convert_module
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.demo import write_demo
from modeling_elmo.conversion.export import export
from modeling_elmo.conversion.formats.hdf5 import read_softmax
from modeling_elmo.conversion.mapping.tensor_ops import remove_padding_row

CELL = "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "old")
    return tmp_path / "old"


def write_options(folder: Path, options: Any) -> None:
    (folder / "options.json").write_text(options if isinstance(options, str) else json.dumps(options))


def assert_conversion_fails(old: Path, error: type[Exception], *parts: str, **arguments: Any) -> None:
    """Check that the conversion raises one line with these parts and leaves nothing behind."""
    before = sorted(old.parent.iterdir())
    with pytest.raises(error) as caught:
        convert(old, old.parent / "model", **arguments)
    message = str(caught.value)
    for part in parts:
        assert part in message
    assert "\n" not in message
    assert message.endswith(".")
    assert sorted(old.parent.iterdir()) == before


def test_truncated_weights(old: Path) -> None:
    weights = old / "lm_weights.hdf5"
    whole = weights.read_bytes()
    for length in np.linspace(0, len(whole) - 1, 20).astype(int):
        weights.write_bytes(whole[:length])
        assert_conversion_fails(old, ValueError, "lm_weights.hdf5", f"({length} bytes)")


def test_weights_that_are_not_hdf5(old: Path) -> None:
    (old / "lm_weights.hdf5").write_bytes(b"<html>404</html>")
    assert_conversion_fails(old, ValueError, "not an HDF5 file")


def test_hdf5_file_of_something_else(old: Path) -> None:
    with h5py.File(old / "lm_weights.hdf5", "w") as file:
        file["images"] = np.zeros((2, 3), np.float32)
    assert_conversion_fails(old, ValueError, "images (2, 3)", "with an LSTM kernel such as")
    h5py.File(old / "lm_weights.hdf5", "w").close()
    assert_conversion_fails(old, ValueError, "got no dataset")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (options_with(lstm={"dim": 11}), [f"{CELL}/W_0 of shape (12, 44), got (12, 40)"]),
        (options_with(lstm={"projection_dim": 7}), ["CNN_proj/W_proj of shape (12, 7), got (12, 6)"]),
        (options_with(lstm={"n_layers": 3}), ["Cell2/LSTMCell/W_0 (12, 40)", "no such array"]),
        (options_with(lstm={"n_layers": 1}), ["Cell1/LSTMCell/W_0 (12, 40)", "no other array"]),
        (options_with(bidirectional=False), ["RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/B (40,)", "no other array"]),
        (options_with(char_cnn={"n_highway": 3}), ["CNN_high_2/W_carry (12, 12)", "no such array"]),
        (options_with(char_cnn={"n_highway": 0}), ["CNN_high_0/W_carry (12, 12)", "no other array"]),
        (options_with(char_cnn={"embedding": {"dim": 5}}), ["char_embed of shape (261, 5), got (261, 4)"]),
        (options_with(char_cnn={"filters": [[1, 3], [2, 4]]}), ["CNN_high_0/W_carry of shape (7, 7), got (12, 12)"]),
        (options_with(char_cnn=None), ["no char_cnn", "embedding", "missing"]),
    ],
)
def test_options_that_contradict_the_weights(old: Path, options: dict[str, Any], parts: list[str]) -> None:
    write_options(old, options)
    assert_conversion_fails(old, ValueError, *parts)


def test_projection_missing_from_the_weights(old: Path) -> None:
    write_checkpoint(old, cell_projection=False)
    assert_conversion_fails(old, ValueError, "lstm.dim 10", "lstm.projection_dim 6", f"{CELL}/W_P_0 (10, 6)")


def test_character_projection_missing_from_the_weights(old: Path) -> None:
    write_checkpoint(old, character_projection=False)
    assert_conversion_fails(old, ValueError, "projection", "6", "12")


@pytest.mark.parametrize(
    ("options", "error", "parts"),
    [
        ("{", ValueError, ["Cannot parse options.json as JSON"]),
        ("[]", ValueError, ["Expected a JSON object in options.json, got list"]),
        ({}, ValueError, ["Expected options with lstm, which is missing"]),
        ({"lstm": 3}, TypeError, ["Expected option lstm to be an object, got 3"]),
        (options_with(lstm={"dim": "4096"}), ValueError, ["lstm.dim", "positive integer", "got '4096'"]),
        (options_with(lstm={"dim": True}), ValueError, ["lstm.dim", "positive integer", "got True"]),
        (options_with(lstm={"projection_dim": 0}), ValueError, ["lstm.projection_dim", "positive integer", "got 0"]),
        (options_with(lstm={"cell_clip": "3"}), ValueError, ["cell_clip", "positive finite number", "got '3'"]),
        (options_with(lstm={"proj_clip": -3}), ValueError, ["projection_clip", "positive finite number", "got -3"]),
        (
            options_with(lstm={"use_skip_connections": 1}),
            TypeError,
            ["use_skip_connections to be true or false, got 1"],
        ),
        (options_with(bidirectional="yes"), TypeError, ["bidirectional to be true or false, got 'yes'"]),
        (options_with(char_cnn={"n_characters": 256}), ValueError, ["n_characters to be 261 or 262, got 256"]),
        (
            options_with(char_cnn={"activation": "gelu"}),
            ValueError,
            ["cnn_activation", "one of 'relu', 'tanh'", "got 'gelu'"],
        ),
        (
            options_with(char_cnn={"filters": [[1, 2, 3]]}),
            ValueError,
            ["filters", "list of [width, count] pairs", "got [[1, 2, 3]]"],
        ),
        (options_with(char_cnn={"embedding": 4}), TypeError, ["char_cnn.embedding to be an object, got 4"]),
        (options_with(char_cnn={"max_characters_per_token": 2}), ValueError, ["max_characters_per_token"]),
    ],
)
def test_options_that_are_wrong(old: Path, options: Any, error: type[Exception], parts: list[str]) -> None:
    write_options(old, options)
    assert_conversion_fails(old, error, *parts)


@pytest.mark.parametrize(
    "path",
    ["lstm.dim", "lstm.projection_dim", "char_cnn.filters", "char_cnn.activation", "char_cnn.max_characters_per_token"],
)
def test_options_that_lack_a_key(old: Path, path: str) -> None:
    section, key = path.split(".")
    options = options_with()
    del options[section][key]
    write_options(old, options)
    assert_conversion_fails(old, ValueError, f"Expected options with {path}, which is missing.")


def test_missing_files(old: Path, tmp_path: Path) -> None:
    assert_conversion_fails(old, FileNotFoundError, "options", options=tmp_path / "no.json")
    assert_conversion_fails(old, FileNotFoundError, "weights", weights=tmp_path / "no.hdf5")
    assert_conversion_fails(tmp_path / "nowhere", FileNotFoundError, "nowhere", "original, original-5.5b")
    (old / "options.json").unlink()
    assert_conversion_fails(old, FileNotFoundError, "options.json")
    write_options(old, OPTIONS)
    (old / "lm_weights.hdf5").rename(old / "a_weights.hdf5")
    (old / "b_weights.hdf5").write_bytes((old / "a_weights.hdf5").read_bytes())
    assert_conversion_fails(old, FileNotFoundError, "a_weights.hdf5, b_weights.hdf5")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(old: Path, value: float) -> None:
    with h5py.File(old / "lm_weights.hdf5", "r+") as file:
        file["CNN/b_cnn_1"][2] = value
    assert_conversion_fails(old, ValueError, "CNN/b_cnn_1", "NaN or infinity")


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_values_of_another_dtype(old: Path, dtype: str) -> None:
    with h5py.File(old / "lm_weights.hdf5", "r+") as file:
        array = file["char_embed"][()]
        del file["char_embed"]
        file["char_embed"] = array.astype(dtype)
    assert_conversion_fails(old, ValueError, "char_embed", f"to be float32, got {dtype}")


def test_character_table_of_another_alphabet(old: Path) -> None:
    write_checkpoint(old, character_rows=300)
    assert_conversion_fails(old, ValueError, "261 or 262 rows, got shape (300, 4)")


def test_weights_beyond_float16(old: Path) -> None:
    with h5py.File(old / "lm_weights.hdf5", "r+") as file:
        file["CNN/b_cnn_1"][2] = 1e6
    assert_conversion_fails(old, ValueError, "char_encoder.convolutions.1.bias", "bfloat16", dtype="float16")
    assert_conversion_fails(old, ValueError, "Expected `dtype` to be one of float32", dtype="int8")


def test_word_models_need_their_vocabulary(old: Path) -> None:
    words = ["<S>", "</S>", "the"]
    write_checkpoint(old, options_with(char_cnn=None), words=words)
    (old / "vocab.txt").write_text("<S>\nthe\n")
    assert_conversion_fails(old, ValueError, "one word per line, 3, in vocab.txt, got 2")
    (old / "vocab.txt").write_text("<S>\nthe\nbank\n")
    assert_conversion_fails(old, ValueError, "</S> is missing")
    (old / "vocab.txt").unlink()
    assert_conversion_fails(old, FileNotFoundError, "Expected a vocabulary for 3 word vectors")
    write_checkpoint(old, options_with(char_cnn=None, n_tokens_vocab=9), words=words)
    assert_conversion_fails(old, ValueError, "9 rows (n_tokens_vocab), one row per word, got 3")


def test_existing_output(old: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    convert(old, model)  # an empty folder is not in the way
    config = (model / "config.json").read_bytes()
    with pytest.raises(FileExistsError, match="is not empty"):
        convert(old, model)
    with pytest.raises(FileExistsError, match="is not empty"):
        export(old, model)
    convert(old, model, overwrite=True)
    assert (model / "config.json").read_bytes() == config

    other = tmp_path / "documents"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=re.escape("does not contain config.json")):
        convert(old, other, overwrite=True)
    with pytest.raises(FileExistsError, match="not a plain folder"):
        convert(old, other / "thesis.tex", overwrite=True)
    assert (other / "thesis.tex").read_text() == "mine"


def test_a_failure_while_writing_leaves_the_old_model(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(old, tmp_path / "model")
    before = read_folder(tmp_path / "model")

    def full(folder: Path) -> None:
        assert (folder / "model.safetensors").is_file()
        raise OSError("no space left on device.")

    monkeypatch.setattr(convert_module, "write_code", full)
    with pytest.raises(OSError, match="no space left"):
        convert(old, tmp_path / "model", overwrite=True)
    assert read_folder(tmp_path / "model") == before
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    assert_conversion_fails(old, OSError, "no space left")


def test_h5py_missing(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=re.escape("`pip install modeling_elmo[hdf5]`")):
        convert(old, tmp_path / "model")


def test_models_that_the_hdf5_format_cannot_store(old: Path, tmp_path: Path) -> None:
    convert(old, tmp_path / "model")
    model = ElmoModel.from_pretrained(tmp_path / "model")
    model.resize_token_embeddings(264)
    model.save_pretrained(tmp_path / "more characters")
    with pytest.raises(ValueError, match="model with 264 characters: the HDF5 format has 262"):
        export(tmp_path / "more characters", tmp_path / "back")
    tiny_model(forget_bias=0.0).save_pretrained(tmp_path / "folded")
    with pytest.raises(ValueError, match=re.escape("forget_bias=0.0")):
        export(tmp_path / "folded", tmp_path / "back")
    tiny_model(use_cell_projection=False, pooling_layer="word_emb").save_pretrained(tmp_path / "wide")
    with pytest.raises(ValueError, match="project 12 cells to 8 dimensions"):
        export(tmp_path / "wide", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(ValueError, match="row 0"):
        remove_padding_row(np.ones((3, 2), np.float32))


def test_corrupt_model_folders(old: Path, tmp_path: Path) -> None:
    model, back = tmp_path / "model", tmp_path / "back"
    with pytest.raises(FileNotFoundError, match=re.escape("model folder with config.json")):
        export(model, back)
    convert(old, model)
    weights = model / "model.safetensors"
    whole, state = weights.read_bytes(), load_file(weights)
    save_file({**state, "adapter.weight": state["scalar_mixes.0.gamma"].clone()}, weights)
    with pytest.raises(ValueError, match=re.escape("no other array in the model folder by its options, got adapter")):
        export(model, back)
    state.pop("layers.0.directions.1.state_linearity.bias")
    save_file(state, weights)
    with pytest.raises(ValueError, match=re.escape("layers.0.directions.1.state_linearity.bias (40,)")):
        export(model, back)
    weights.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match="corrupt or truncated"):
        export(model, back)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors, which does not exist"):
        export(model, back)
    assert not back.exists()


def test_softmax_shapes_are_checked(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, softmax=9)
    weight, bias = read_softmax(tmp_path / "lm_weights.hdf5", projection_size=6)
    assert (weight.shape, bias.shape) == ((9, 6), (9,))
    with pytest.raises(ValueError, match=re.escape("of shape (9, 5), got (9, 6)")):
        read_softmax(tmp_path / "lm_weights.hdf5", projection_size=5)
    with pytest.raises(ValueError, match=re.escape("of shape (8, 6), got (9, 6)")):
        read_softmax(tmp_path / "lm_weights.hdf5", projection_size=6, words=8)
    write_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="Expected the datasets softmax/W, softmax/b"):
        read_softmax(tmp_path / "lm_weights.hdf5", projection_size=6)


def test_demo_checkpoint_converts(tmp_path: Path) -> None:
    write_demo(tmp_path / "old")
    convert(tmp_path / "old", tmp_path / "model")
    export(tmp_path / "model", tmp_path / "back")
    assert read_datasets(tmp_path / "back" / "lm_weights.hdf5") == read_datasets(tmp_path / "old" / "lm_weights.hdf5")
    write_demo(tmp_path / "again")
    assert (tmp_path / "again" / "lm_weights.hdf5").read_bytes() == (tmp_path / "old" / "lm_weights.hdf5").read_bytes()
