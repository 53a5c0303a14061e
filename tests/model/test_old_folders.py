# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Model folders that commit a814f96 saved: the same vectors, and remote code after they are saved again.

`data/saved_by_a814f96` has a language model, a tagger, and what that commit computed with them in float64, rounded to
float32: `randomize_weights` with seeds 1 and 2, sentences of `helpers.small_models`. Rounding makes the comparison
exact on every machine, because different kernels differ in the last digits of float64 only.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.run_python import run
from helpers.small_models import ROOT, SENTENCES
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

FOLDERS = ROOT / "tests" / "data" / "saved_by_a814f96"
REFERENCE = load_file(FOLDERS / "reference.safetensors")
AUTO_CLASSES = (
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForTokenClassification,
    AutoModelForSequenceClassification,
)


def encode(folder: Path) -> dict[str, Tensor]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return dict(tokenizer(SENTENCES, is_split_into_words=True, padding=True, return_tensors="pt"))


def assert_reference(name: str, values: Tensor) -> None:
    assert torch.equal(values.float().reshape(REFERENCE[name].shape), REFERENCE[name]), name


def test_language_model() -> None:
    folder = FOLDERS / "language_model"
    model = AutoModelForPreTraining.from_pretrained(folder, dtype=torch.float64).eval()
    config = model.config
    assert (config.softmax_type, config.adaptive_softmax_div_value) == ("adaptive", 2.0)
    assert (config.lstm_implementation, config.lstm_weight_dtype, config.word_cache_size) == ("eager", None, 7)
    with torch.no_grad():
        output = model(**encode(folder), labels=REFERENCE["labels"], output_hidden_states=True)
        vectors = AutoModel.from_pretrained(folder, dtype=torch.float64).eval()(**encode(folder))[0]
    for name in ("loss", "forward_log_probs", "backward_log_probs"):
        assert_reference(name, output[name])
    for index, layer in enumerate(output.hidden_states):
        assert_reference(f"hidden_states_{index}", layer)
    assert_reference("elmo", vectors)


def test_tagger() -> None:
    folder = FOLDERS / "tagger"
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float64).eval()
    assert (model.config.trainable_modules, model.config.lstm_implementation) == (["layers.1"], "packed")
    trained = {name for name, parameter in model.elmo.layers.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"1"}
    with torch.no_grad():
        assert_reference("logits", model(**encode(folder)).logits)


def test_saved_again_it_loads_as_remote_code_with_every_auto_class(tmp_path: Path) -> None:
    saved = json.loads((FOLDERS / "language_model" / "config.json").read_text())
    assert saved["auto_map"]["AutoModelForPreTraining"].startswith("pretraining_elmo."), "the data tests nothing"
    folders = []
    for number, auto in enumerate(AUTO_CLASSES):
        folder = tmp_path / auto.__name__
        # Saving into the folder that was loaded must work too.
        shutil.copytree(FOLDERS / "language_model", folder)
        auto.from_pretrained(folder if number else FOLDERS / "language_model").save_pretrained(folder)
        AutoTokenizer.from_pretrained(FOLDERS / "language_model").save_pretrained(folder)
        references = json.loads((folder / "config.json").read_text())["auto_map"].values()
        assert all((folder / f"{reference.split('.')[0]}.py").is_file() for reference in references)
        folders.append(str(folder))
    code = f"""
import torch
from transformers import (
    AutoConfig, AutoModel, AutoModelForPreTraining, AutoModelForSequenceClassification, AutoModelForTokenClassification,
    AutoTokenizer,
)
autos = (AutoModel, AutoModelForPreTraining, AutoModelForTokenClassification, AutoModelForSequenceClassification)
result = []
for folder in {folders!r}:
    assert AutoConfig.from_pretrained(folder, trust_remote_code=True).softmax_type == "adaptive"
    result.append([type(auto.from_pretrained(folder, trust_remote_code=True)).__name__ for auto in autos])
folder = {folders[0]!r}
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
batch = tokenizer({SENTENCES!r}, is_split_into_words=True, padding=True, return_tensors="pt")
model = AutoModel.from_pretrained(folder, trust_remote_code=True, dtype=torch.float64).eval()
with torch.no_grad():
    result.append(model(**batch)[0].float().tolist())
"""
    *names, vectors = run(code, {"HF_HOME": str(tmp_path / "cache")}, without_package=True)
    assert names == [
        ["ElmoModel", "ElmoForPreTraining", "ElmoForTokenClassification", "ElmoForSequenceClassification"]
    ] * len(AUTO_CLASSES)
    assert_reference("elmo", torch.tensor(vectors))


@pytest.mark.parametrize("name", ["language_model", "tagger"])
def test_no_old_key_is_written(name: str, tmp_path: Path) -> None:
    AutoConfig.from_pretrained(FOLDERS / name).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    old_keys = {"recurrence", "softmax", "adaptive_softmax_factor", "trainable_parts", "word_cache_size"}
    assert not old_keys & saved.keys()
    assert old_keys <= json.loads((FOLDERS / name / "config.json").read_text()).keys()
