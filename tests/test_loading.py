# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Every way to load a model rejects another model type and missing, surplus, misshapen, and non-finite weights."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from helpers.raises import assert_raises_with
from helpers.small_models import tiny_config, tiny_model
from helpers.write_checkpoint import write_checkpoint
from safetensors.torch import load_file, save_file

import elmo_cli
from modeling_elmo import (
    ElmoEncoder,
    ElmoForPreTraining,
    ElmoForTokenClassification,
    ElmoModel,
    ElmoScorer,
    ElmoTokenizer,
)
from modeling_elmo.compat.inputs import load_model
from modeling_elmo.conversion.verify import _load as load_to_verify
from modeling_elmo.loading import find_nonfinite, load_config, load_pretrained
from modeling_elmo.training.train import TrainOptions, load_training_model
from modeling_elmo.vocabulary import SPECIAL_TOKENS, LMVocabulary

WORDS = [*SPECIAL_TOKENS, "the", "bank"]
WEIGHT = "elmo.layers.1.directions.0.state_projection.weight"
SOFTMAX = "softmax.linear.bias"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a base model and a language model."""
    folder = tmp_path_factory.mktemp("saved")
    tiny_model().save_pretrained(folder / "base")
    config = tiny_config(word_vocab_size=len(WORDS), word_bos_id=0, word_eos_id=1)
    ElmoForPreTraining(config).save_pretrained(folder / "lm")
    for name in ("base", "lm"):
        ElmoTokenizer().save_pretrained(folder / name)
    LMVocabulary(WORDS).write(folder / "lm")
    (folder / "in.txt").write_text("the bank\n")
    return folder


@pytest.fixture
def lm(saved: Path, tmp_path: Path) -> Path:
    """Return a copy of the language model to edit."""
    return Path(shutil.copytree(saved / "lm", tmp_path / "lm"))


def edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def edit_config(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def set_value(value: float) -> Callable[[dict[str, torch.Tensor]], Any]:
    return lambda weights: weights[WEIGHT][1, 2].fill_(value)


LOADERS: dict[str, Callable[[Path], Any]] = {
    "encoder": ElmoEncoder.from_pretrained,
    "scorer": ElmoScorer.from_pretrained,
    "compat": lambda folder: load_model(str(folder), None),
    "verify": load_to_verify,
    "train": lambda folder: load_training_model(TrainOptions(text=[], output=folder / "new", model=str(folder))),
    "train with a new vocabulary": lambda folder: load_training_model(
        TrainOptions(text=[], output=folder / "new", model=str(folder), vocabulary=folder / "vocab.txt")
    ),
}
FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "model type": (lambda folder: edit_config(folder, model_type="distilbert"), "model_type 'distilbert'"),
    "no model type": (lambda folder: edit_config(folder, model_type=None), "model_type None"),
    "missing": (lambda folder: edit_weights(folder, lambda weights: weights.pop(WEIGHT)), "missing: "),
    "surplus": (
        lambda folder: edit_weights(folder, lambda weights: weights.update({f"{WEIGHT}_2": torch.ones(2)})),
        "unexpected: ",
    ),
    "misshapen": (
        lambda folder: edit_weights(folder, lambda weights: weights.update({WEIGHT: torch.ones(2, 3)})),
        "of another shape: ",
    ),
    "another layer count": (lambda folder: edit_config(folder, num_hidden_layers=3), "missing: "),
    "NaN": (lambda folder: edit_weights(folder, set_value(np.nan)), "NaN or infinite"),
    "infinity": (lambda folder: edit_weights(folder, set_value(-np.inf)), "NaN or infinite"),
    "truncated": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-10]),
        "corrupt or truncated",
    ),
}
NAMES_THE_WEIGHT = ("missing", "surplus", "misshapen", "NaN", "infinity")


@pytest.mark.parametrize("fault", FAULTS)
def test_every_loader_rejects_the_folder(lm: Path, fault: str) -> None:
    damage, message = FAULTS[fault]
    damage(lm)
    names = [WEIGHT.removeprefix("elmo.")] if fault in NAMES_THE_WEIGHT else []
    for load in LOADERS.values():
        assert_raises_with(lambda load=load: load(lm), message, str(lm), *names)


def test_intact_folders_load_without_a_report(
    saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base model ignores the softmax, the classifier of a task, and heads of other classes."""
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    folders = [saved / "lm", saved / "base"]
    ElmoForTokenClassification(tiny_config(num_labels=3)).save_pretrained(tmp_path / "tagger")
    shutil.copytree(tmp_path / "tagger", tmp_path / "parser")
    edit_config(tmp_path / "parser", architectures=["ElmoForParsing"])
    edit_weights(tmp_path / "parser", lambda weights: weights.update({"arcs.weight": weights.pop("classifier.weight")}))
    for folder in [*folders, tmp_path / "tagger", tmp_path / "parser"]:
        model = load_pretrained(ElmoModel, folder)
        weights = load_file(folder / "model.safetensors")
        name = WEIGHT if WEIGHT in weights else WEIGHT.removeprefix("elmo.")
        assert torch.equal(model.state_dict()[WEIGHT.removeprefix("elmo.")], weights[name])
    assert not caplog.records
    edit_weights(tmp_path / "parser", lambda weights: weights.update({"elmo.layers.7.weight": torch.ones(1)}))
    with pytest.raises(ValueError, match=r"unexpected: (elmo\.)?layers\.7\.weight\)"):
        load_pretrained(ElmoModel, tmp_path / "parser")


def test_a_language_model_requires_a_softmax(saved: Path, lm: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the bank\n")
    base = str(saved / "base")
    for load in (
        ElmoScorer.from_pretrained,
        lambda name: load_training_model(TrainOptions(text=[text], output=tmp_path / "new", model=name)),
    ):
        assert_raises_with(lambda load=load: load(base), "Expected a language model with a softmax, got ", base)
    # The configuration of a base model that was cut out of a language model still names a vocabulary.
    edit_weights(lm, lambda weights: [weights.pop(name) for name in list(weights) if name.startswith("softmax")])
    assert_raises_with(
        lambda: ElmoScorer.from_pretrained(lm), "Expected a language model with a softmax, got ", str(lm)
    )
    assert isinstance(ElmoEncoder.from_pretrained(lm), ElmoEncoder)


def test_one_missing_weight_of_the_softmax_is_named(lm: Path) -> None:
    edit_weights(lm, lambda weights: weights.pop(SOFTMAX))
    assert_raises_with(lambda: ElmoScorer.from_pretrained(lm), f"(missing: {SOFTMAX})")


def test_many_names_are_shortened(lm: Path) -> None:
    edit_weights(lm, lambda weights: [weights.pop(name) for name in list(weights) if ".layers." in name])
    with pytest.raises(ValueError, match=r"missing: \S+, \S+, \S+, and \d+ more\)"):
        ElmoEncoder.from_pretrained(lm)


def test_a_model_of_another_type_is_rejected(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.DistilBertConfig(dim=32, n_layers=1, n_heads=2, hidden_dim=32, vocab_size=500)
    transformers.DistilBertModel(config).save_pretrained(tmp_path / "distilbert")
    for load in (load_config, *list(LOADERS.values())[:3]):
        assert_raises_with(lambda load=load: load(tmp_path / "distilbert"), "Expected an ELMo model", "'distilbert'")


@pytest.mark.parametrize("fault", ["model type", "missing", "NaN"])
@pytest.mark.parametrize("name", ["embed", "perplexity", "substitutes", "train"])
def test_commands_fail_and_write_nothing(
    saved: Path, lm: Path, capsys: pytest.CaptureFixture[str], fault: str, name: str
) -> None:
    FAULTS[fault][0](lm)
    text = str(saved / "in.txt")
    before = sorted(lm.parent.rglob("*"))
    commands = {
        "embed": ["embed", text, str(lm.parent / "out.npz"), "--model", str(lm), "--quiet"],
        "perplexity": ["perplexity", str(lm), text],
        "substitutes": ["substitutes", str(lm), "the ___"],
        "train": ["train", text, "--output", str(lm.parent / "new"), "--model", str(lm), "--max-steps", "1"],
    }
    assert elmo_cli.main(commands[name]) == 1
    output = capsys.readouterr()
    assert FAULTS[fault][1] in output.err
    assert output.out == ""
    assert sorted(lm.parent.rglob("*")) == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nonfinite_weights_can_be_allowed(saved: Path, lm: Path, value: float) -> None:
    edit_weights(lm, set_value(value))
    output = lm.parent / "out.npz"
    arguments = ["embed", str(saved / "in.txt"), str(output), "--model", str(lm), "--quiet"]
    assert elmo_cli.main(arguments) == 1
    assert not output.exists()
    assert elmo_cli.main([*arguments, "--allow-nonfinite"]) == 0
    assert output.exists()
    encoder = ElmoEncoder.from_pretrained(lm, allow_nonfinite=True)
    assert find_nonfinite(encoder.model.state_dict()) == WEIGHT.removeprefix("elmo.")


def test_conversion_accepts_nonfinite_weights_only_if_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path / "old")
    with h5py.File(tmp_path / "old" / "lm_weights.hdf5", "r+") as file:
        file["CNN/b_cnn_1"][2] = np.nan
    arguments = ["convert", str(tmp_path / "old"), str(tmp_path / "new")]
    assert elmo_cli.main(arguments) == 1
    assert "Expected finite values in dataset CNN/b_cnn_1" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert elmo_cli.main([*arguments, "--allow-nonfinite", "--dtype", "float16"]) == 0
    assert find_nonfinite(load_file(tmp_path / "new" / "model.safetensors")) == "char_encoder.convolutions.1.bias"
    assert (
        elmo_cli.main(["convert", str(tmp_path / "old"), str(tmp_path / "again")]) == 1
    )  # the option does not persist
    with pytest.raises(ValueError, match="NaN or infinity"):
        load_model(str(tmp_path / "old"), None)


def test_spark_reads_the_configuration_of_elmo_models_only(lm: Path) -> None:
    pytest.importorskip("pyspark", reason="needs the extra `spark`")
    from modeling_elmo.spark.model import load_config as load_spark_config

    assert load_spark_config(str(lm)).projection_size == 8
    edit_config(lm, model_type="distilbert")
    assert_raises_with(lambda: load_spark_config(str(lm)), "Expected an ELMo model", "'distilbert'")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_find_nonfinite(dtype: torch.dtype) -> None:
    largest = torch.full((3, 5), torch.finfo(dtype).max, dtype=dtype)  # the sum overflows
    assert find_nonfinite({"a": largest, "b": torch.arange(3), "c": torch.ones((), dtype=dtype)}) is None
    for value in (np.nan, np.inf, -np.inf):
        other = largest.clone()
        other[1, 2] = value
        assert find_nonfinite({"a": largest, "b": other}) == "b"
    both = torch.tensor([np.inf, -np.inf], dtype=dtype)
    assert find_nonfinite({"a": both}) == "a"
