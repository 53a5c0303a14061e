# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo from AllenNLP's models: arrays equal to those of the HDF5 file, scalar mixes, unused and rejected tensors."""

import json
import os
import pickle
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.converted_model import build_model
from helpers.oracle import NumpyElmo, mix
from helpers.raises import assert_raises_with
from helpers.small_models import SENTENCES, inputs
from helpers.tolerances import ORACLE, TENSORFLOW
from helpers.write_allennlp import (
    CONFIG,
    EMBEDDER,
    MIX,
    mix_state,
    read_arrays,
    state_dict,
    tagger_state,
    write_archive,
)
from helpers.write_checkpoint import OPTIONS, options_with, read_datasets, write_checkpoint

from modeling_elmo import ElmoConfig, ElmoModel
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.export import export
from modeling_elmo.conversion.formats.allennlp_archive import matches, open_checkpoint
from modeling_elmo.conversion.formats.base import OpenCheckpoint
from modeling_elmo.conversion.mapping.layouts import detect_layout
from modeling_elmo.conversion.mapping.name_map import from_model, resolve_rules
from modeling_elmo.conversion.mapping.options import config_from_options, options_from_config
from modeling_elmo.conversion.source.fetch import SourceFile

BILM = f"{EMBEDDER}_elmo._elmo_lstm."
SMALLER = options_with(
    lstm={"n_layers": 1, "dim": 7, "projection_dim": 5}, char_cnn={"n_highway": 0, "filters": [[1, 3], [4, 5]]}
)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "archive").mkdir()
    write_archive(tmp_path / "archive")
    return tmp_path / "archive"


def options_file(archive: Path) -> Path:
    (found,) = (archive / "fta").iterdir()
    return found


def save(archive: Path, state: Any) -> None:
    torch.save(state, archive / "weights.th")


def assert_rejected(archive: Path, *parts: str, error: type[Exception] = ValueError, **arguments: Any) -> None:
    assert_raises_with(lambda: open_checkpoint(archive, **arguments), *parts, error=error)


@pytest.mark.parametrize("options", [OPTIONS, SMALLER], ids=["usual", "smaller"])
def test_arrays_equal_those_of_the_hdf5_file(options: dict[str, Any], tmp_path: Path) -> None:
    arrays = write_archive(tmp_path / "a", options)
    opened = open_checkpoint(tmp_path / "a")
    assert opened.shapes == {name: array.shape for name, array in arrays.items()}
    found = opened.read(opened.shapes)
    assert {name: array.tobytes() for name, array in found.items()} == {n: a.tobytes() for n, a in arrays.items()}
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in found.values())


def test_the_forget_bias_is_subtracted_in_float32(archive: Path) -> None:
    state = torch.load(archive / "weights.th", weights_only=True)
    key = f"{BILM}_elmo_lstm.backward_layer_1.state_linearity.bias"
    state[key] = torch.randn(40)
    save(archive, state)
    name = "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/B"
    i, f, g, o = state[key].numpy().reshape(4, 10)
    expected = np.concatenate([i, g, f - np.float32(1), o])
    assert open_checkpoint(archive).read([name])[name].tobytes() == expected.tobytes()


def test_vectors_match_the_oracle(archive: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old")
    oracle = NumpyElmo(OPTIONS, read_arrays(tmp_path / "old"))
    model = build_model(open_checkpoint(archive), torch.float64)
    with torch.no_grad():
        output = model(**inputs(SENTENCES))
    for row, sentence in enumerate(SENTENCES):
        layers, _ = oracle.run(sentence)
        expected = mix(layers, np.array(MIX[0]), MIX[1])[1:-1]
        assert np.abs(output.last_hidden_state[row, : len(sentence)].numpy() - expected).max(initial=0) < ORACLE


def test_content_of_an_archive(archive: Path) -> None:
    opened = open_checkpoint(archive)
    (weights, gamma), *others = opened.scalar_mixes
    assert (weights.tolist(), gamma, others) == (*MIX, [])
    assert weights.dtype == np.float32
    assert opened.unused_arrays == ("encoder._module.weight_ih_l0", "tag_projection_layer._module.weight")
    assert opened.options == OPTIONS
    assert opened.options_text == json.dumps(OPTIONS)
    assert {role: file.origin for role, file in opened.files.items()} == {
        "weights": "weights.th",
        "config": "config.json",
        "options": "model.text_field_embedder.token_embedders.elmo.options_file",
    }
    assert opened.note == "Extracted from an AllenNLP model of type `simple_tagger`."
    assert opened.fields == {}
    assert opened.softmax is None


def test_the_projection_behind_elmo_is_noted_as_unused(archive: Path) -> None:
    projection = {f"{EMBEDDER}_projection.weight": torch.ones(3, 12), f"{EMBEDDER}_projection.bias": torch.ones(3)}
    save(archive, torch.load(archive / "weights.th", weights_only=True) | projection)
    opened = open_checkpoint(archive)
    assert set(projection) < set(opened.unused_arrays)
    assert "The projection that follows ELMo in that model is not included" in str(opened.note)


def test_several_scalar_mixes_and_none(archive: Path) -> None:
    state = torch.load(archive / "weights.th", weights_only=True)
    second = ([1.0, 2.0, 3.0], -0.5)
    save(archive, state | mix_state(number=1, mix=second))
    assert [(weights.tolist(), gamma) for weights, gamma in open_checkpoint(archive).scalar_mixes] == [MIX, second]
    save(archive, {key: value for key, value in state.items() if "scalar_mix" not in key})
    assert open_checkpoint(archive).scalar_mixes == ()
    save(archive, {key: value for key, value in state.items() if not key.endswith("scalar_parameters.1")})
    assert_rejected(archive, "Expected gamma and 3 scalar_parameters in scalar_mix_0 of weights.th")
    save(archive, state | mix_state(number=2))
    assert_rejected(archive, "Expected gamma and 3 scalar_parameters in scalar_mix_1 of weights.th")
    save(archive, state | {f"{EMBEDDER}_elmo.scalar_mix_0.gamma": torch.ones(2)})
    assert_rejected(archive, "scalar_mix_0.gamma of weights.th, got shape (2,)")


@pytest.mark.parametrize(("elmo", "bilm"), [("", "_elmo_lstm."), (None, ""), (None, "model.lm.")])
def test_an_elmo_and_a_bilm_alone(elmo: str | None, bilm: str, archive: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old")
    state = state_dict(read_arrays(tmp_path / "old"), prefix=bilm) | {"other.weight": torch.ones(2)}
    if elmo is not None:
        state |= mix_state(elmo)
    save(archive, state)
    opened = open_checkpoint(archive)
    assert len(opened.scalar_mixes) == (elmo is not None)
    assert opened.unused_arrays == ("other.weight",)
    assert len(opened.shapes) == 29


def test_an_elmo_that_two_parts_share(archive: Path) -> None:
    state = torch.load(archive / "weights.th", weights_only=True)
    again = {key.replace(EMBEDDER, "other."): value for key, value in state.items() if key.startswith(EMBEDDER)}
    save(archive, state | again)
    assert build_model(open_checkpoint(archive))
    again["other._elmo._elmo_lstm._token_embedder._projection.bias"] = torch.zeros(6)
    save(archive, state | again)
    assert_rejected(archive, "Expected one ELMo in weights.th, got different ones", BILM, "other._elmo._elmo_lstm.")


def test_a_trained_row_0_of_the_characters_is_kept(archive: Path) -> None:
    state = torch.load(archive / "weights.th", weights_only=True)
    state[f"{BILM}_token_embedder._char_embedding_weights"][0, 2] = 0.5
    save(archive, state)
    opened = open_checkpoint(archive)
    assert opened.shapes["char_embed"] == (262, 4)
    assert build_model(opened).char_encoder.embeddings.weight[0].tolist() == [0, 0, 0.5, 0]


def test_cached_word_vectors_are_unused(archive: Path) -> None:
    state = torch.load(archive / "weights.th", weights_only=True)
    save(archive, state | {f"{BILM}_word_embedding.weight": torch.ones(9, 6)})
    assert f"{BILM}_word_embedding.weight" in open_checkpoint(archive).unused_arrays


def test_half_precision_is_widened(archive: Path) -> None:
    state = torch.load(archive / "weights.th", weights_only=True)
    save(archive, {key: value.half() for key, value in state.items()})
    opened = open_checkpoint(archive)
    expected = state[f"{BILM}_token_embedder._projection.bias"].half().float().numpy()
    assert (opened.read(["CNN_proj/b_proj"])["CNN_proj/b_proj"] == expected).all()


def test_layer_normalization_of_the_mix_becomes_a_field(archive: Path) -> None:
    config = json.loads(json.dumps(CONFIG))
    config["model"]["text_field_embedder"]["token_embedders"]["elmo"]["do_layer_norm"] = True
    (archive / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(archive).fields == {"mix_layer_norm": "with_boundaries"}


def test_locations_of_the_options(archive: Path, tmp_path: Path) -> None:
    found = options_file(archive)
    given = tmp_path / "given.json"
    given.write_text(json.dumps(options_with(lstm={"cell_clip": 2})))
    assert open_checkpoint(archive, SourceFile(given, "given.json")).options["lstm"]["cell_clip"] == 2
    (archive / "elmo").mkdir()
    found.rename(archive / "elmo" / "my_options.json")  # the path in config.json
    assert open_checkpoint(archive).files["options"].origin == "my_options.json"
    (archive / "options.json").write_text("{}")
    assert_rejected(archive, "one options file", error=FileNotFoundError)
    (archive / "elmo" / "my_options.json").rename(archive / "options.json")  # next to a weight file without an archive
    (archive / "config.json").unlink()
    assert open_checkpoint(archive / "weights.th").options == OPTIONS
    (archive / "options.json").unlink()
    assert_rejected(archive, "Expected ELMo's options", "Pass the options file.", error=FileNotFoundError)


@pytest.mark.parametrize("place", ["/etc/hostname", "../outside.json", "\0", "n" * 5000, "fta", "https://[", 3, None])
def test_a_configuration_cannot_name_files_outside_the_archive(place: Any, archive: Path) -> None:
    options_file(archive).rename(archive.parent / "outside.json")
    (archive / "config.json").write_text(json.dumps({"model": {"options_file": place}}))
    assert_rejected(archive, "Expected ELMo's options", error=FileNotFoundError)


def test_a_link_out_of_the_archive_is_not_followed(archive: Path) -> None:
    options_file(archive).rename(archive.parent / "outside.json")
    (archive / "options.json").symlink_to(archive.parent / "outside.json")
    assert_rejected(archive, "Expected ELMo's options", error=FileNotFoundError)


def test_sizes_are_inferred(archive: Path) -> None:
    left = {"lstm": {"cell_clip": 3, "proj_clip": 3}, "char_cnn": {"activation": "relu", "n_characters": 262}}
    left["char_cnn"]["max_characters_per_token"] = 50
    options_file(archive).write_text(json.dumps(left))
    assert open_checkpoint(archive).options == OPTIONS


def test_a_released_architecture_needs_no_options(archive: Path) -> None:
    options_file(archive).unlink()
    config = ElmoConfig.from_preset("small", character_embedding_size=16)
    options = options_from_config(config)
    contents = detect_layout({name: array.shape for name, array in write_archive(archive / "a").items()})
    table = resolve_rules(config, contents)
    zeros = {name: np.zeros(shape, np.float32) for entry in table for name, shape in entry.targets.items()}
    save(archive, state_dict(from_model(table, zeros), options))
    opened = open_checkpoint(archive)
    assert opened.options == options
    assert (opened.options_text, "options" in opened.files) == (None, False)
    assert "activation and clip values are assumed to be those of the released model small" in str(opened.note)
    address = "https://s3-us-west-2.amazonaws.com/allennlp/models/elmo/2x1024_128_2048cnn_1xhighway/"
    address += "elmo_2x1024_128_2048cnn_1xhighway_options.json"
    (archive / "config.json").write_text(json.dumps({"model": {"options_file": address}}))
    assert open_checkpoint(archive).note == "Extracted from an AllenNLP model."
    assert config_from_options(opened.options, contents).cell_size == 1024


class Code:
    """Object that writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (self.path, "code ran")


@pytest.mark.parametrize("legacy", [False, True])
def test_code_is_rejected_and_not_executed(legacy: bool, archive: Path) -> None:
    state = torch.load(archive / "weights.th", weights_only=True)
    target = archive.parent / "ran"
    code = {**state, "evil": Code(target)}
    torch.save(code, archive / "weights.th", _use_new_zipfile_serialization=not legacy)
    assert_rejected(archive, "weights.th, got a pickle with code, which is not executed")
    (archive / "weights.th").write_bytes(pickle.dumps(code))
    assert_rejected(archive, "weights.th")
    assert not target.exists()


def test_old_files_of_pytorch(archive: Path) -> None:
    expected = open_checkpoint(archive).read(["char_embed"])["char_embed"]
    state = torch.load(archive / "weights.th", weights_only=True)
    torch.save(state, archive / "renamed.bin", _use_new_zipfile_serialization=False)
    (archive / "weights.th").unlink()
    assert matches(archive)
    assert (open_checkpoint(archive).read(["char_embed"])["char_embed"] == expected).all()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({f"{BILM}_elmo_lstm.forward_layer_0.peephole": torch.ones(2)}, "got _elmo_lstm.forward_layer_0.peephole."),
        ({f"{BILM}_elmo_lstm.forward_layer_2.state_projection.weight": torch.ones(6, 10)}, "forward_layer_2.input"),
        ({f"{BILM}_token_embedder._projection.bias": None}, "Expected _token_embedder._projection.bias in the ELMo of"),
        (
            {f"{BILM}_token_embedder._projection.weight": None},
            "Expected _token_embedder._projection.weight in AllenNLP",
        ),
        ({f"{BILM}_token_embedder.char_conv_1.weight": None}, "got _token_embedder.char_conv_1.bias"),
        ({f"{BILM}_token_embedder._projection.bias": torch.ones(5)}, "of shape (6,), got (5,)"),
        ({f"{BILM}_token_embedder.char_conv_0.weight": torch.ones(3, 4)}, "with 3 dimensions, got shape (3, 4)"),
        ({f"{BILM}_token_embedder._char_embedding_weights": torch.ones(())}, "with 2 dimensions, got shape ()"),
        ({f"{BILM}_token_embedder._projection.bias": torch.ones(6).to_sparse()}, "to be a plain tensor"),
        ({f"{BILM}_token_embedder._projection.bias": torch.ones(1).expand(6)}, "truncated or corrupt PyTorch file"),
    ],
)
def test_missing_unknown_or_misshapen_tensors(change: dict[str, Any], part: str, archive: Path) -> None:
    state = torch.load(archive / "weights.th", weights_only=True) | change
    save(archive, {key: value for key, value in state.items() if value is not None})
    assert_rejected(
        archive, part, "weights.th" if "dimensions" not in part and "_projection.weight" not in part else ""
    )


def test_files_without_an_elmo(archive: Path) -> None:
    contents: list[tuple[Any, str]] = [
        ({"a.weight": torch.ones(2)}, "Expected the weights of an ELMo"),
        ([torch.ones(2)], "Expected a state dict in"),
        ({}, "got none"),
        ({"new\nline": torch.ones(2)}, r"'new\nline'"),
    ]
    for content, part in contents:
        save(archive, content)
        assert_rejected(archive, part)
    (archive / "weights.th").unlink()
    assert not matches(archive)
    assert_rejected(archive, "one weight file (weights.th)", "got none", error=FileNotFoundError)
    state = tagger_state(read_arrays(write_hdf5(archive.parent / "old")))
    torch.save(state, archive / "a.bin")
    torch.save(state, archive / "b.bin")
    assert_rejected(archive, "got a.bin, b.bin", error=FileNotFoundError)
    torch.save(state, archive / "best.th")
    assert open_checkpoint(archive).files["weights"].origin == "best.th"


def write_hdf5(folder: Path) -> Path:
    write_checkpoint(folder)
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_round_trip_with_a_scalar_mix(packed: bool, archive: Path) -> None:
    source, expected = archive, torch.load(archive / "weights.th", weights_only=True)
    if packed:
        source = archive.parent / "model.tar.gz"
        with tarfile.open(source, "w:gz") as file:
            file.add(archive, ".")
    model, back = archive.parent / "model", archive.parent / "back"
    record = convert(source, model)
    assert record.unused_arrays == ("encoder._module.weight_ih_l0", "tag_projection_layer._module.weight")
    assert record.config.conversion["format"] == "AllenNLP model"
    assert ElmoModel.from_pretrained(model).scalar_mixes[0].weights.tolist() == MIX[0]
    assert "an AllenNLP model of type `simple_tagger`" in (model / "README.md").read_text()
    export(model, back)
    write_checkpoint(archive.parent / "old")
    arrays = {name: array.tobytes() for name, array in read_arrays(archive.parent / "old").items()}
    assert {name: data for name, (_, _, data) in read_datasets(back / "lm_weights.hdf5").items()} == arrays
    assert json.loads((back / "options.json").read_text()) == OPTIONS
    mix_again = torch.load(back / "scalar_mix.th", weights_only=True)
    assert len(mix_again) == 4
    assert all(torch.equal(tensor, expected[f"{EMBEDDER}_elmo.{name}"]) for name, tensor in mix_again.items())


@pytest.mark.parametrize(("value", "part"), [(np.nan, "NaN or infinity"), (np.inf, "NaN or infinity")])
def test_values_that_are_not_finite(value: float, part: str, archive: Path) -> None:
    state = torch.load(archive / "weights.th", weights_only=True)
    state[f"{BILM}_token_embedder._projection.bias"][2] = value
    save(archive, state)
    opened: OpenCheckpoint = open_checkpoint(archive)
    with pytest.raises(ValueError, match=rf"Expected finite values in {BILM}_token_embedder._projection.bias"):
        opened.read(opened.shapes)
    state[f"{BILM}_token_embedder._projection.bias"] = torch.zeros(6, dtype=torch.float64)
    save(archive, state)
    with pytest.raises(ValueError, match="to be float32, got float64"):
        open_checkpoint(archive).read(opened.shapes)


def test_matches_by_content(archive: Path, tmp_path: Path) -> None:
    assert matches(archive)
    assert matches(archive / "weights.th")
    assert not matches(archive / "config.json")
    assert not matches(archive.parent)
    assert not matches(archive / "nowhere")
    torch.save({"encoder.weight": torch.ones(2)}, tmp_path / "encoder.pkl")
    assert not matches(tmp_path / "encoder.pkl")


_PEER = """
import importlib.machinery, json, sys, types
stub = types.ModuleType("torchvision")  # imported at import time, never called by ELMo
stub.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
sys.modules.setdefault("torchvision", stub)
import numpy, torch
from allennlp.modules.elmo import batch_to_ids
from allennlp.modules.token_embedders.elmo_token_embedder import ElmoTokenEmbedder

folder, sentences = sys.argv[1], json.loads(sys.argv[2])
torch.manual_seed(0)
files = f"{folder}/options.json", f"{folder}/lm_weights.hdf5"
embedder = ElmoTokenEmbedder(*files, requires_grad=True, projection_dim=7)
embedder.eval()
with torch.no_grad():
    for parameter in embedder.parameters():  # as if fine-tuned
        parameter.add_(0.1 * torch.randn_like(parameter))
model = torch.nn.Module()
model.text_field_embedder = torch.nn.Module()
model.text_field_embedder.token_embedder_elmo = embedder
torch.save(model.state_dict(), f"{folder}/weights.th")
with torch.no_grad():
    numpy.save(f"{folder}/vectors.npy", embedder._elmo(batch_to_ids(sentences))["elmo_representations"][0].numpy())
"""


def test_vectors_match_allennlp(tmp_path: Path) -> None:
    python = os.environ.get("ELMO_ALLENNLP_PYTHON")
    if not python:
        pytest.skip("set ELMO_ALLENNLP_PYTHON to an interpreter that imports AllenNLP 2.10.1")
    write_checkpoint(tmp_path)
    sentences = [sentence for sentence in SENTENCES if sentence]
    subprocess.run([python, "-c", _PEER, str(tmp_path), json.dumps(sentences)], check=True, capture_output=True)
    opened = open_checkpoint(tmp_path / "weights.th")
    assert f"{EMBEDDER}_projection.weight" in opened.unused_arrays
    with torch.no_grad():
        got = build_model(opened)(**inputs(sentences)).last_hidden_state.numpy()
    expected = np.load(tmp_path / "vectors.npy")
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < TENSORFLOW
