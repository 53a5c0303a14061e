# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Modules of TF Hub and DeepPavlov and saved stages of Spark NLP, written by TensorFlow, compared with the oracle."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.converted_model import build_model
from helpers.raises import assert_raises_with
from helpers.write_checkpoint import OPTIONS, options_with, random_arrays
from helpers.write_tensorflow import (
    SPARK_METADATA,
    assert_matches_oracle,
    hub_variables,
    tensorflow,
    write_bundle,
    write_hub,
    write_spark,
)

from modeling_elmo.conversion.formats import spark_nlp, tensorflow_checkpoint, tfhub
from modeling_elmo.conversion.formats.base import OpenCheckpoint
from modeling_elmo.conversion.source.fetch import SourceFile

tensorflow()
MIX, GAMMA = np.float32([0.3, -1.0, 0.7]), np.float32(1.25)
GOOGLE = {"aggregation/weights": MIX, "aggregation/scaling": GAMMA}
DEEPPAVLOV = {"elmo_output_ELMo_W": MIX, "elmo_output_ELMo_gamma": GAMMA.reshape(1)}
ARCHITECTURES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "usual": (OPTIONS, {}),
    "262 rows": (OPTIONS, {"character_rows": 262}),
    "one layer": (options_with(lstm={"n_layers": 1}), {}),
    "three layers, no highway": (options_with(lstm={"n_layers": 3}, char_cnn={"n_highway": 0}), {}),
    "no cell projection": (options_with(lstm={"dim": 6}), {}),
    "no character projection": (options_with(lstm={"projection_dim": 12, "dim": 20}), {"character_projection": False}),
}


def scalar_mix(options: dict[str, Any]) -> dict[str, Any]:
    return {"aggregation/weights": np.resize(MIX, options["lstm"]["n_layers"] + 1), "aggregation/scaling": GAMMA}


def open_hub(folder: Path, variables: dict[str, Any], options: dict[str, Any] | None = None) -> OpenCheckpoint:
    write_hub(folder, variables)
    assert tfhub.matches(folder)
    assert not tensorflow_checkpoint.matches(folder)
    if options is None:
        return tfhub.open_checkpoint(folder)
    (folder / "options.json").write_text(json.dumps(options))
    return tfhub.open_checkpoint(folder, SourceFile(folder / "options.json", "options.json"))


@pytest.mark.parametrize("case", ARCHITECTURES)
def test_the_architecture_follows_from_the_shapes(case: str, tmp_path: Path) -> None:
    options, variant = ARCHITECTURES[case]
    arrays = random_arrays(options, **variant)
    opened = open_hub(tmp_path, {**hub_variables(arrays), **scalar_mix(options)})
    assert opened.options == options
    assert opened.options_text is None
    assert opened.unused_arrays == ()
    assert opened.files.keys() == {"weights", "index"}
    ((weights, gamma),) = opened.scalar_mixes
    assert (weights.tobytes(), gamma) == (scalar_mix(options)["aggregation/weights"].tobytes(), float(GAMMA))
    assert_matches_oracle(opened, options, arrays, boundaries=False)


def test_deeppavlovs_modules_have_boundaries_and_states(tmp_path: Path) -> None:
    arrays = random_arrays(OPTIONS, character_rows=262)
    states = {f"bilm{part}": np.zeros((4, 6), np.float32) for part in ("/Variable", "/Variable_7", "_1/Variable_1")}
    opened = open_hub(tmp_path, {**hub_variables(arrays), **DEEPPAVLOV, **states})
    assert set(opened.unused_arrays) == states.keys()
    assert opened.note is not None
    assert "were trained with sentence boundaries" in opened.note
    assert_matches_oracle(opened, OPTIONS, arrays)


def test_a_graph_saved_without_a_mix(tmp_path: Path) -> None:
    arrays = random_arrays(OPTIONS)
    write_bundle(tmp_path / "model.ckpt", {**hub_variables(arrays), "global_step": np.int64(1)})
    opened = tfhub.open_checkpoint(tmp_path)
    assert (opened.scalar_mixes, opened.unused_arrays) == ((), ("global_step",))
    assert_matches_oracle(opened, OPTIONS, arrays, boundaries=False)


@pytest.mark.parametrize("module", ["module/", "module_1/"])
def test_the_prefix_of_a_module_in_a_graph(module: str, tmp_path: Path) -> None:
    arrays = random_arrays(OPTIONS)
    mix = {f"{module}{name}": array for name, array in GOOGLE.items()}
    opened = open_hub(tmp_path, {**hub_variables(arrays, module), **mix})
    assert_matches_oracle(opened, OPTIONS, arrays, boundaries=False)
    assert len(opened.scalar_mixes) == 1


def test_options_that_shapes_do_not_determine(tmp_path: Path) -> None:
    arrays = random_arrays(OPTIONS)
    variables = {**hub_variables(arrays), **GOOGLE}
    assumed = open_hub(tmp_path / "1", variables)
    assert assumed.note == (
        "The module contains no options. As in the released ELMo model, clip values of 3, skip connections, relu, and "
        "50 characters per word were assumed. It is not documented whether its LSTMs were trained with sentence "
        "boundaries. This model adds none (`sentence_boundaries`)."
    )
    some = {
        "lstm": {"cell_clip": 0.5, "proj_clip": None, "use_skip_connections": False},
        "char_cnn": {"activation": "tanh", "max_characters_per_token": 9},
    }
    opened = open_hub(tmp_path / "2", variables, some)
    options = options_with(**some)
    assert opened.options == options
    assert opened.note is not None
    assert "clip values" not in opened.note
    assert opened.files["options"].origin == "options.json"
    assert_matches_oracle(opened, options, arrays, boundaries=False)
    assert_raises_with(
        lambda: build_model(open_hub(tmp_path / "3", variables, options_with(lstm={"dim": 9}))),
        "of shape (12, 36), got (12, 40)",
    )


def test_paths_of_a_module(tmp_path: Path) -> None:
    open_hub(tmp_path / "hub", {**hub_variables(random_arrays(OPTIONS)), **GOOGLE})
    for path in ("", "variables", "variables/variables", "variables/variables.index"):
        assert tfhub.matches(tmp_path / "hub" / path)
        assert tfhub.open_checkpoint(tmp_path / "hub" / path).options == OPTIONS
    write_bundle(tmp_path / "adam" / "variables", {"beta1_power": np.float32(1), **hub_variables({"x": MIX})})
    assert tfhub.matches(tmp_path / "adam")  # TensorFlow writes "beta1_power" and then only "ilm/x"
    shutil.rmtree(tmp_path / "hub" / "variables")
    assert not tfhub.matches(tmp_path / "hub")
    assert_raises_with(
        lambda: tfhub.open_checkpoint(tmp_path / "hub"), "one TensorFlow checkpoint", error=FileNotFoundError
    )


BIAS = "bilm/RNN_1/RNN/MultiRNNCell/Cell0/rnn/lstm_cell/bias"
CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], list[str]]] = {
    "missing": (lambda v: v.pop(BIAS), ["RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/B (40,)", "no such array"]),
    "missing layer": (
        lambda v: v.pop(BIAS.replace("RNN_1", "RNN_0")),
        ["a TF Hub module with RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/B", "got no such variable"],
    ),
    "missing filter": (lambda v: v.pop("bilm/CNN/W_cnn_1"), ["of shape"]),
    "missing table": (lambda v: v.pop("bilm/char_embed"), ["with char_embed", "no such variable"]),
    "words": (
        lambda v: v.update({"bilm/embedding": v.pop("bilm/char_embed")}),
        ["with char_embed", "no such variable"],
    ),
    "unknown": (lambda v: v.update({"bilm/extra": MIX}), ["extra (3,)", "no other array"]),
    "half a mix": (lambda v: v.pop("aggregation/scaling"), ["aggregation/weights (3,)", "no other array"]),
    "mix of another size": (
        lambda v: v.update({"aggregation/weights": np.zeros(4, np.float32)}),
        ["aggregation/weights of shape (3,), one weight per layer", "got shapes (4,) and ()"],
    ),
    "mix that is not finite": (
        lambda v: v.update({"aggregation/scaling": np.float32(np.inf)}),
        ["aggregation/scaling", "NaN or infinity"],
    ),
    "wrong shape": (
        lambda v: v.update({BIAS: np.zeros(44, np.float32)}),
        ["RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/B of shape (40,), got (44,)"],
    ),
    "wrong rank": (
        lambda v: v.update({"bilm/CNN/W_cnn_0": MIX}),
        ["CNN/W_cnn_0, an array of 4 dimensions, got shape (3,)"],
    ),
    "empty": (
        lambda v: v.update({"bilm/char_embed": np.zeros((262, 0), np.float32)}),
        ["char_embed, an array of 2 dimensions, got shape (262, 0)"],
    ),
    "the same twice": (
        lambda v: v.update({"char_embed": v["bilm/char_embed"]}),
        ["every variable once", "got bilm/char_embed and char_embed"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_missing_unknown_or_wrong_variables(change: str, tmp_path: Path) -> None:
    edit, parts = CHANGES[change]
    variables = {**hub_variables(random_arrays(OPTIONS)), **GOOGLE}
    edit(variables)
    assert_raises_with(lambda: build_model(open_hub(tmp_path, variables)), *parts)


def test_truncated_module_files(tmp_path: Path) -> None:
    write_hub(tmp_path, {**hub_variables(random_arrays(OPTIONS)), **GOOGLE})
    for end, places in (("index", 25), ("data-00000-of-00001", 15)):
        path = tmp_path / "variables" / f"variables.{end}"
        whole = path.read_bytes()
        for length in np.linspace(0, len(whole) - 1, places).astype(int):
            path.write_bytes(whole[:length])
            assert tfhub.matches(tmp_path)
            assert_raises_with(lambda: build_model(tfhub.open_checkpoint(tmp_path)), "truncated", f"({length} bytes)")
        path.write_bytes(whole)


@pytest.mark.parametrize("module", ["", "module/"])
def test_a_saved_stage_of_spark_nlp(module: str, tmp_path: Path) -> None:
    arrays = random_arrays(OPTIONS, character_rows=262)
    mix = {f"{module}{name}": array for name, array in GOOGLE.items()}
    write_spark(tmp_path / "elmo", {**hub_variables(arrays, module), **mix})
    assert spark_nlp.matches(tmp_path / "elmo")
    assert not tfhub.matches(tmp_path / "elmo")
    opened = spark_nlp.open_checkpoint(tmp_path / "elmo")
    assert (opened.format, opened.options) == ("Spark NLP model", OPTIONS)
    names = {role: file.origin for role, file in opened.files.items()}
    assert names == {"weights": "elmo_tensorflow", "metadata": "metadata/part-00000"}
    assert_matches_oracle(opened, OPTIONS, arrays, boundaries=False)
    assert len(opened.scalar_mixes) == 1


def test_options_of_a_spark_nlp_stage(tmp_path: Path) -> None:
    write_spark(tmp_path / "elmo", hub_variables(random_arrays(OPTIONS)))
    (tmp_path / "some.json").write_text('{"lstm": {"cell_clip": 1.5}}')
    opened = spark_nlp.open_checkpoint(tmp_path / "elmo", SourceFile(tmp_path / "some.json", "some.json"))
    assert opened.options == options_with(lstm={"cell_clip": 1.5})
    assert opened.files["options"].origin == "some.json"


def test_other_folders_are_no_spark_nlp_stage(tmp_path: Path) -> None:
    write_spark(tmp_path / "elmo", hub_variables(random_arrays(OPTIONS)))
    metadata = tmp_path / "elmo" / "metadata" / "part-00000"
    metadata.write_text(json.dumps({**SPARK_METADATA, "class": "com.johnsnowlabs.nlp.embeddings.BertEmbeddings"}))
    assert not spark_nlp.matches(tmp_path / "elmo")
    metadata.write_bytes(b"\xff[[[[")
    assert spark_nlp.matches(tmp_path / "elmo")  # because of the other file
    (tmp_path / "elmo" / "elmo_tensorflow").unlink()
    for path in (tmp_path / "elmo", metadata, tmp_path, tmp_path / "nothing"):
        assert not spark_nlp.matches(path)
    assert_raises_with(lambda: spark_nlp.open_checkpoint(tmp_path / "elmo"), "elmo_tensorflow", error=FileNotFoundError)


def test_a_corrupt_inner_archive(tmp_path: Path) -> None:
    write_spark(tmp_path / "elmo", hub_variables(random_arrays(OPTIONS)))
    inner = tmp_path / "elmo" / "elmo_tensorflow"
    whole = inner.read_bytes()
    for length in np.linspace(0, len(whole) - 1, 15).astype(int):
        inner.write_bytes(whole[:length])
        assert_raises_with(lambda: build_model(spark_nlp.open_checkpoint(tmp_path / "elmo")), "elmo_tensorflow")
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("saved_model.pb", b"")
    assert_raises_with(lambda: spark_nlp.open_checkpoint(tmp_path / "elmo"), "one TensorFlow checkpoint in", "got 0")
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("../variables.index", b"")
    assert_raises_with(lambda: spark_nlp.open_checkpoint(tmp_path / "elmo"), "is outside the archive's folder")
