# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Runtime choices, which belong to the configuration object and not to the saved model, and old field names."""

import copy
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.small_models import SENTENCES, inputs, tiny_config, tiny_model
from transformers import AutoConfig, AutoModel, PretrainedConfig

from modeling_elmo import ElmoConfig, ElmoModel
from modeling_elmo.model.configuration_elmo import RUNTIME_FIELDS

CHOICES = {"lstm_implementation": "eager", "lstm_weight_dtype": "int8", "word_cache_size": 7}


def choices(config: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in RUNTIME_FIELDS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def edit_config(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


# ---------------------------------------------------------------- runtime choices


def test_runtime_choices_are_not_saved(tmp_path: Path) -> None:
    config = tiny_config(**CHOICES)
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    for fields in (saved, config.to_dict(), config.to_diff_dict(), json.loads(config.to_json_string(use_diff=False))):
        assert not set(fields) & set(RUNTIME_FIELDS)
    assert choices(ElmoConfig.from_pretrained(tmp_path)) == choices(tiny_config())


def test_copies_and_pickles_keep_runtime_choices() -> None:
    config = tiny_config(**CHOICES)
    model = ElmoModel(config)
    for other in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert choices(other) == CHOICES
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), AutoModel.from_config(config)):
        assert choices(other.config) == CHOICES


@pytest.mark.parametrize("auto", [ElmoModel, AutoModel])
def test_runtime_choices_when_loading(auto: Any, folder: Path) -> None:
    config = ElmoConfig.from_pretrained(folder)
    for options in ({}, {"config": config}, {"config": str(folder)}):
        assert choices(auto.from_pretrained(folder, **options, **CHOICES).config) == CHOICES
    assert choices(config) == choices(tiny_config()), "the passed configuration is not modified"
    assert choices(auto.from_pretrained(folder, config=tiny_config(**CHOICES)).config) == CHOICES
    assert choices(AutoConfig.from_pretrained(folder, **CHOICES)) == CHOICES
    for options in ({}, {"config": config}):
        with pytest.raises(ValueError, match=r"Expected `lstm_implementation` to be one of .*, got 'magic'"):
            auto.from_pretrained(folder, **options, lstm_implementation="magic")


def test_an_invalid_choice_is_rejected_when_set() -> None:
    config = tiny_config()
    with pytest.raises(ValueError, match=r"Expected `lstm_implementation` to be one of .*, got 'cuda'"):
        config.lstm_implementation = "cuda"
    with pytest.raises(ValueError, match="Expected `lstm_weight_dtype` to be one of None, 'int8', got 'float32'"):
        config.lstm_weight_dtype = "float32"
    with pytest.raises(AttributeError, match="Cannot set `recurrence` of ElmoConfig: its name is `lstm_impl"):
        config.recurrence = "cpu"


def test_a_saved_int8_model_loads_in_float32_and_trains(folder: Path, tmp_path: Path) -> None:
    ElmoModel.from_pretrained(folder, lstm_weight_dtype="int8").save_pretrained(tmp_path / "again")
    model = ElmoModel.from_pretrained(tmp_path / "again").train()
    assert choices(model.config) == choices(tiny_config())
    model(**inputs(SENTENCES))[0].sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), tiny_model().parameters(), strict=True))


# ---------------------------------------------------------------- old names


@pytest.mark.parametrize(
    ("old", "new"), [("auto", "auto"), ("reference", "eager"), ("cpu", "packed"), ("cuda", "triton")]
)
def test_old_lstm_implementations(old: str, new: str, folder: Path) -> None:
    assert tiny_config(recurrence=old).lstm_implementation == new
    assert ElmoConfig.from_pretrained(folder, recurrence=old).lstm_implementation == new
    edit_config(folder, recurrence=old)
    config = ElmoConfig.from_pretrained(folder)
    assert config.lstm_implementation == new
    assert ElmoConfig.from_pretrained(folder, lstm_implementation="auto").lstm_implementation == "auto"
    assert not hasattr(config, "recurrence")


def test_old_fields_are_read_and_not_written() -> None:
    old = {"softmax": "sampled", "adaptive_softmax_factor": 3.0, "trainable_parts": ["layers"]}
    new = {"softmax_type": "sampled", "adaptive_softmax_div_value": 3.0, "trainable_modules": ["layers"]}
    assert tiny_config(**old).to_dict() == tiny_config(**new).to_dict()
    assert ElmoConfig.from_dict(tiny_config().to_dict(), **old).to_dict() == tiny_config(**new).to_dict()
    assert new.items() <= tiny_config(**old).to_dict().items()
    assert not set(old) & set(tiny_config(**old).to_dict())


@pytest.mark.parametrize("auto", [ElmoModel, AutoModel])
def test_saved_int8_weights_load_in_float32_with_one_warning(auto: Any, folder: Path) -> None:
    edit_config(folder, recurrence="int8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = auto.from_pretrained(folder)
    assert choices(model.config) == choices(tiny_config())
    messages = [str(warning.message) for warning in caught if "recurrence" in str(warning.message)]
    assert messages == [
        "Ignoring the saved `recurrence` = 'int8', because the saved weights are not int8. "
        "Pass lstm_weight_dtype='int8' to quantize the LSTM weights."
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"recurrence": "cpu", "lstm_implementation": "auto"}, "`lstm_implementation` or its old name `recurrence`"),
        ({"softmax": "full", "softmax_type": "full"}, "Expected `softmax_type` or its old name `softmax`, got both"),
        ({"trainable_parts": [], "trainable_modules": []}, "`trainable_modules` or its old name `trainable_parts`"),
        ({"adaptive_softmax_factor": 4.0, "adaptive_softmax_div_value": 4.0}, "got both. Remove `adaptive_softmax_f"),
        ({"recurrence": "gpu"}, "Expected `recurrence` to be one of 'auto', 'reference', 'cpu', .*, got 'gpu'"),
        ({"recurrence": "eager"}, "Expected `recurrence` to be one of .*, got 'eager'"),
    ],
)
def test_clashes_and_unknown_values(fields: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_config(**fields)
    with pytest.raises(ValueError, match=message):
        ElmoModel.from_pretrained(folder, **fields)
    edit_config(folder, **fields)
    with pytest.raises(ValueError, match=message):
        AutoConfig.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "similar"),
    [("recurence", "recurrence"), ("lstm_implementaton", "lstm_implementation"), ("softmax_typ", "softmax_type")],
)
def test_a_misspelled_field_is_reported(name: str, similar: str, folder: Path) -> None:
    with pytest.warns(UserWarning, match=f"Unknown field `{name}` of ElmoConfig. Did you mean `{similar}`?"):
        tiny_config(**{name: "auto"})
    with pytest.raises(TypeError, match=name):
        ElmoModel.from_pretrained(folder, **{name: "auto"})


def test_fields_of_transformers_are_not_reported() -> None:
    fields = {**PretrainedConfig().to_dict(), "sep_token_id": 5, "decoder_start_token_id": 5, "conversion": {}}
    del fields["model_type"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny_config(**{**fields, **tiny_config().to_dict()})


# ---------------------------------------------------------------- auto_map


def test_auto_map_entries_of_merged_modules_are_replaced() -> None:
    saved = {
        "AutoModel": "my_elmo.MyModel",
        "AutoModelForPreTraining": "pretraining_elmo.ElmoForPreTraining",
        "AutoModelForTokenClassification": "heads_elmo.ElmoForTokenClassification",
    }
    config = tiny_config(auto_map=saved)
    assert config.auto_map == {
        "AutoModel": "my_elmo.MyModel",
        "AutoModelForPreTraining": "modeling_elmo.ElmoForPreTraining",
        "AutoModelForTokenClassification": "modeling_elmo.ElmoForTokenClassification",
    }
    assert saved["AutoModelForPreTraining"] == "pretraining_elmo.ElmoForPreTraining"
