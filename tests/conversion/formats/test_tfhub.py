# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""TF Hub's and DeepPavlov's modules and Spark NLP's saved stages, written by TensorFlow, against the oracle."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.converted_model import model_of
from helpers.write_checkpoint import OPTIONS, changed, random_arrays
from helpers.write_tensorflow import (
    SPARK_METADATA,
    agrees_with_the_oracle,
    hub_variables,
    refused,
    tensorflow,
    write_bundle,
    write_hub,
    write_spark,
)

from modeling_elmo.conversion.formats import spark_nlp, tensorflow_checkpoint, tfhub
from modeling_elmo.conversion.formats.base import Opened
from modeling_elmo.conversion.source.fetch import SourceFile

tensorflow()
MIX, GAMMA = np.float32([0.3, -1.0, 0.7]), np.float32(1.25)
GOOGLE = {"aggregation/weights": MIX, "aggregation/scaling": GAMMA}
DEEPPAVLOV = {"elmo_output_ELMo_W": MIX, "elmo_output_ELMo_gamma": GAMMA.reshape(1)}
ARCHITECTURES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "usual": (OPTIONS, {}),
    "262 rows": (OPTIONS, {"character_rows": 262}),
    "one layer": (changed(lstm={"n_layers": 1}), {}),
    "three layers, no highway": (changed(lstm={"n_layers": 3}, char_cnn={"n_highway": 0}), {}),
    "no cell projection": (changed(lstm={"dim": 6}), {}),
    "no character projection": (changed(lstm={"projection_dim": 12, "dim": 20}), {"character_projection": False}),
}


def mix_of(options: dict[str, Any]) -> dict[str, Any]:
    return {"aggregation/weights": np.resize(MIX, options["lstm"]["n_layers"] + 1), "aggregation/scaling": GAMMA}


def opened_hub(folder: Path, variables: dict[str, Any], options: dict[str, Any] | None = None) -> Opened:
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
    opened = opened_hub(tmp_path, {**hub_variables(arrays), **mix_of(options)})
    assert opened.options == options
    assert opened.options_text is None
    assert opened.left_out == ()
    assert opened.files.keys() == {"weights", "index"}
    ((weights, gamma),) = opened.scalar_mixes
    assert (weights.tobytes(), gamma) == (mix_of(options)["aggregation/weights"].tobytes(), float(GAMMA))
    agrees_with_the_oracle(opened, options, arrays, boundaries=False)


def test_deeppavlovs_modules_have_boundaries_and_states(tmp_path: Path) -> None:
    arrays = random_arrays(OPTIONS, character_rows=262)
    states = {f"bilm{part}": np.zeros((4, 6), np.float32) for part in ("/Variable", "/Variable_7", "_1/Variable_1")}
    opened = opened_hub(tmp_path, {**hub_variables(arrays), **DEEPPAVLOV, **states})
    assert set(opened.left_out) == states.keys()
    assert opened.note is not None
    assert "saw sentence boundaries" in opened.note
    agrees_with_the_oracle(opened, OPTIONS, arrays)


def test_a_graph_saved_without_a_mix(tmp_path: Path) -> None:
    arrays = random_arrays(OPTIONS)
    write_bundle(tmp_path / "model.ckpt", {**hub_variables(arrays), "global_step": np.int64(1)})
    opened = tfhub.open_checkpoint(tmp_path)
    assert (opened.scalar_mixes, opened.left_out) == ((), ("global_step",))
    agrees_with_the_oracle(opened, OPTIONS, arrays, boundaries=False)


@pytest.mark.parametrize("module", ["module/", "module_1/"])
def test_the_prefix_of_a_module_in_a_graph(module: str, tmp_path: Path) -> None:
    arrays = random_arrays(OPTIONS)
    mix = {f"{module}{name}": array for name, array in GOOGLE.items()}
    opened = opened_hub(tmp_path, {**hub_variables(arrays, module), **mix})
    agrees_with_the_oracle(opened, OPTIONS, arrays, boundaries=False)
    assert len(opened.scalar_mixes) == 1


def test_what_no_shape_tells_may_be_given(tmp_path: Path) -> None:
    arrays = random_arrays(OPTIONS)
    variables = {**hub_variables(arrays), **GOOGLE}
    assumed = opened_hub(tmp_path / "1", variables)
    assert assumed.note == (
        "The module has no options: clips of 3, skip connections, relu and 50 characters a word are those of the "
        "released ELMo model; whether its LSTMs saw sentence boundaries is not documented, and this model adds none "
        "(`sentence_boundaries`)."
    )
    some = {
        "lstm": {"cell_clip": 0.5, "proj_clip": None, "use_skip_connections": False},
        "char_cnn": {"activation": "tanh", "max_characters_per_token": 9},
    }
    opened = opened_hub(tmp_path / "2", variables, some)
    options = changed(**some)
    assert opened.options == options
    assert opened.note is not None
    assert "clips" not in opened.note
    assert opened.files["options"].origin == "options.json"
    agrees_with_the_oracle(opened, options, arrays, boundaries=False)
    refused(lambda: model_of(opened_hub(tmp_path / "3", variables, changed(lstm={"dim": 9}))), "must have shape")


def test_paths_that_lead_to_a_module(tmp_path: Path) -> None:
    opened_hub(tmp_path / "hub", {**hub_variables(random_arrays(OPTIONS)), **GOOGLE})
    for path in ("", "variables", "variables/variables", "variables/variables.index"):
        assert tfhub.matches(tmp_path / "hub" / path)
        assert tfhub.open_checkpoint(tmp_path / "hub" / path).options == OPTIONS
    write_bundle(tmp_path / "adam" / "variables", {"beta1_power": np.float32(1), **hub_variables({"x": MIX})})
    assert tfhub.matches(tmp_path / "adam")  # TensorFlow writes "beta1_power" and then only "ilm/x"
    shutil.rmtree(tmp_path / "hub" / "variables")
    assert not tfhub.matches(tmp_path / "hub")
    refused(lambda: tfhub.open_checkpoint(tmp_path / "hub"), "one TensorFlow checkpoint", error=FileNotFoundError)


BIAS = "bilm/RNN_1/RNN/MultiRNNCell/Cell0/rnn/lstm_cell/bias"
CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], list[str]]] = {
    "missing": (lambda v: v.pop(BIAS), ["RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/B (40,)", "no such array"]),
    "missing layer": (
        lambda v: v.pop(BIAS.replace("RNN_1", "RNN_0")),
        ["a TF Hub module must have RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/B", "got no such variable"],
    ),
    "missing filter": (lambda v: v.pop("bilm/CNN/W_cnn_1"), ["must have"]),
    "missing table": (lambda v: v.pop("bilm/char_embed"), ["must have char_embed", "no such variable"]),
    "words": (
        lambda v: v.update({"bilm/embedding": v.pop("bilm/char_embed")}),
        ["must have char_embed", "no such variable"],
    ),
    "unknown": (lambda v: v.update({"bilm/extra": MIX}), ["extra (3,)", "no other array"]),
    "half a mix": (lambda v: v.pop("aggregation/scaling"), ["aggregation/weights (3,)", "no other array"]),
    "mix of another size": (
        lambda v: v.update({"aggregation/weights": np.zeros(4, np.float32)}),
        ["aggregation/weights must have one weight a layer, shape (3,)", "got shapes (4,) and ()"],
    ),
    "mix that is not finite": (
        lambda v: v.update({"aggregation/scaling": np.float32(np.inf)}),
        ["aggregation/scaling", "NaN or infinity"],
    ),
    "wrong shape": (
        lambda v: v.update({BIAS: np.zeros(44, np.float32)}),
        ["RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/B must have shape (40,); got (44,)"],
    ),
    "wrong rank": (
        lambda v: v.update({"bilm/CNN/W_cnn_0": MIX}),
        ["CNN/W_cnn_0, an array of 4 dimensions; got shape (3,)"],
    ),
    "empty": (
        lambda v: v.update({"bilm/char_embed": np.zeros((262, 0), np.float32)}),
        ["char_embed, an array of 2 dimensions; got shape (262, 0)"],
    ),
    "the same twice": (
        lambda v: v.update({"char_embed": v["bilm/char_embed"]}),
        ["every variable once; got bilm/char_embed and char_embed"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_variables_that_are_not_elmos(change: str, tmp_path: Path) -> None:
    edit, parts = CHANGES[change]
    variables = {**hub_variables(random_arrays(OPTIONS)), **GOOGLE}
    edit(variables)
    refused(lambda: model_of(opened_hub(tmp_path, variables)), *parts)


def test_module_files_cut_short_anywhere(tmp_path: Path) -> None:
    write_hub(tmp_path, {**hub_variables(random_arrays(OPTIONS)), **GOOGLE})
    for end, places in (("index", 25), ("data-00000-of-00001", 15)):
        path = tmp_path / "variables" / f"variables.{end}"
        whole = path.read_bytes()
        for length in np.linspace(0, len(whole) - 1, places).astype(int):
            path.write_bytes(whole[:length])
            assert tfhub.matches(tmp_path)
            refused(lambda: model_of(tfhub.open_checkpoint(tmp_path)), "cut short", str(length))
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
    names = {what: file.origin for what, file in opened.files.items()}
    assert names == {"weights": "elmo_tensorflow", "metadata": "metadata/part-00000"}
    agrees_with_the_oracle(opened, OPTIONS, arrays, boundaries=False)
    assert len(opened.scalar_mixes) == 1


def test_options_of_a_spark_nlp_stage(tmp_path: Path) -> None:
    write_spark(tmp_path / "elmo", hub_variables(random_arrays(OPTIONS)))
    (tmp_path / "some.json").write_text('{"lstm": {"cell_clip": 1.5}}')
    opened = spark_nlp.open_checkpoint(tmp_path / "elmo", SourceFile(tmp_path / "some.json", "some.json"))
    assert opened.options == changed(lstm={"cell_clip": 1.5})
    assert opened.files["options"].origin == "some.json"


def test_what_is_no_spark_nlp_stage(tmp_path: Path) -> None:
    write_spark(tmp_path / "elmo", hub_variables(random_arrays(OPTIONS)))
    metadata = tmp_path / "elmo" / "metadata" / "part-00000"
    metadata.write_text(json.dumps({**SPARK_METADATA, "class": "com.johnsnowlabs.nlp.embeddings.BertEmbeddings"}))
    assert not spark_nlp.matches(tmp_path / "elmo")
    metadata.write_bytes(b"\xff[[[[")
    assert spark_nlp.matches(tmp_path / "elmo")  # by the other file
    (tmp_path / "elmo" / "elmo_tensorflow").unlink()
    for path in (tmp_path / "elmo", metadata, tmp_path, tmp_path / "nothing"):
        assert not spark_nlp.matches(path)
    refused(lambda: spark_nlp.open_checkpoint(tmp_path / "elmo"), "elmo_tensorflow", error=FileNotFoundError)


def test_a_damaged_inner_archive(tmp_path: Path) -> None:
    write_spark(tmp_path / "elmo", hub_variables(random_arrays(OPTIONS)))
    inner = tmp_path / "elmo" / "elmo_tensorflow"
    whole = inner.read_bytes()
    for length in np.linspace(0, len(whole) - 1, 15).astype(int):
        inner.write_bytes(whole[:length])
        refused(lambda: model_of(spark_nlp.open_checkpoint(tmp_path / "elmo")), "elmo_tensorflow")
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("saved_model.pb", b"")
    refused(lambda: spark_nlp.open_checkpoint(tmp_path / "elmo"), "one TensorFlow checkpoint inside; got 0")
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("../variables.index", b"")
    refused(lambda: spark_nlp.open_checkpoint(tmp_path / "elmo"), "inside its own folder")
