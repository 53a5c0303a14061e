# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Exported softmax, vocabulary, and scalar mixes, and loading them with AllenNLP's `Elmo` and simple_elmo."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.converted_model import build_model
from helpers.small_models import SENTENCES, inputs, max_difference, randomize_weights, tiny_config, tiny_model
from helpers.tolerances import TENSORFLOW
from helpers.write_checkpoint import read_datasets

from modeling_elmo import ElmoConfig, ElmoForPreTraining, ElmoForTokenClassification, ElmoModel
from modeling_elmo.conversion.export import export
from modeling_elmo.conversion.formats import hdf5_checkpoint
from modeling_elmo.vocabulary import LMVocabulary

WORDS = ["<S>", "</S>", "<UNK>", "the", "bank"]
WORDY = [sentence for sentence in SENTENCES if sentence]


def save_language_model(folder: Path, **fields: Any) -> ElmoForPreTraining:
    model = randomize_weights(
        ElmoForPreTraining(tiny_config(word_vocab_size=5, word_bos_id=0, word_eos_id=1, **fields))
    )
    model.save_pretrained(folder)
    LMVocabulary(WORDS).write(folder)
    return model


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_trained_mix_goes_into_a_state_dict_for_allennlp_and_comes_back(tmp_path: Path) -> None:
    model = tiny_model(num_output_representations=2)
    model.save_pretrained(tmp_path / "model")
    summary = export(tmp_path / "model", tmp_path / "old").summary()
    assert files(tmp_path / "old") == ["lm_weights.hdf5", "options.json", "scalar_mix.th"]
    assert "Wrote scalar_mix.th: the trained scalar mix" in summary
    assert "Not exported" not in summary
    state = torch.load(tmp_path / "old" / "scalar_mix.th", weights_only=True)
    names = ["gamma", *(f"scalar_parameters.{layer}" for layer in range(3))]
    assert sorted(state) == [f"scalar_mix_{number}.{name}" for number in range(2) for name in names]
    for number, mix in enumerate(model.scalar_mixes):
        numbers = [state[f"scalar_mix_{number}.{name}"] for name in names]
        assert all(tensor.shape == (1,) and tensor.untyped_storage().nbytes() == 4 for tensor in numbers)
        assert torch.equal(torch.cat(numbers), torch.cat([mix.gamma, mix.weights]))
    opened = hdf5_checkpoint.open_checkpoint(tmp_path / "old")
    assert opened.files["scalar_mix"].origin == "scalar_mix.th"
    again = build_model(opened)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


@pytest.mark.parametrize("change", ["gamma", "weights"])
def test_a_mix_is_written_where_any_of_its_numbers_is_trained(change: str, tmp_path: Path) -> None:
    model = ElmoModel(tiny_config())
    model.save_pretrained(tmp_path / "model")
    assert export(tmp_path / "model", tmp_path / "old").notes == ()
    assert files(tmp_path / "old") == ["lm_weights.hdf5", "options.json"]
    with torch.no_grad():
        getattr(model.scalar_mixes[0], change)[0] = 1.5
    model.save_pretrained(tmp_path / "model")
    export(tmp_path / "model", tmp_path / "old", overwrite=True)
    assert "scalar_mix.th" in files(tmp_path / "old")


def test_the_mix_of_a_head_and_layer_norm(tmp_path: Path) -> None:
    config = tiny_config(num_labels=3, mix_layer_norm="with_boundaries")
    randomize_weights(ElmoForTokenClassification(config)).save_pretrained(tmp_path / "model")
    summary = export(tmp_path / "model", tmp_path / "old").summary()
    assert "scalar_mix.th" in files(tmp_path / "old")
    assert "with do_layer_norm=True" in summary
    assert "Not exported: the head (" in summary


def test_a_softmax_goes_into_its_own_file_with_the_vocabulary(tmp_path: Path) -> None:
    for kind in ("full", "sampled"):
        model = save_language_model(tmp_path / kind, softmax=kind)
        record = export(tmp_path / kind, tmp_path / "old", overwrite=True)
        assert {"lm_softmax_weights.hdf5", "vocab.txt"} <= set(files(tmp_path / "old"))
        assert "Wrote lm_softmax_weights.hdf5" in record.summary()
        assert "Not exported" not in record.summary()
        weight, bias = model.softmax.linear.weight, model.softmax.linear.bias
        assert read_datasets(tmp_path / "old" / "lm_softmax_weights.hdf5") == {
            "softmax/W": ("float32", (5, 8), weight.detach().numpy().tobytes()),
            "softmax/b": ("float32", (5,), bias.detach().numpy().tobytes()),
        }
        assert not any(name.startswith("softmax") for name in read_datasets(tmp_path / "old" / "lm_weights.hdf5"))
        assert (tmp_path / "old" / "vocab.txt").read_text().split("\n")[:-1] == WORDS
        opened = hdf5_checkpoint.open_checkpoint(tmp_path / "old")
        assert opened.softmax is not None
        assert all(np.array_equal(a, b.detach()) for a, b in zip(opened.softmax(), (weight, bias), strict=True))
        assert opened.files["vocab"].origin == "vocab.txt"


def test_an_adaptive_softmax_is_not_exported(tmp_path: Path) -> None:
    save_language_model(tmp_path / "model", softmax="adaptive", adaptive_softmax_div_value=2.0)
    summary = export(tmp_path / "model", tmp_path / "old").summary()
    assert "Not exported: the head (softmax.adaptive." in summary
    assert not {"lm_softmax_weights.hdf5", "vocab.txt"} & set(files(tmp_path / "old"))


def test_a_language_model_without_its_vocabulary(tmp_path: Path) -> None:
    save_language_model(tmp_path / "model")
    (tmp_path / "model" / "vocab.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"Cannot export the language model in .*: vocab\.txt is missing\."):
        export(tmp_path / "model", tmp_path / "old")
    assert files(tmp_path) == ["model"]


def test_half_precision_softmax_and_mix(tmp_path: Path) -> None:
    model = save_language_model(tmp_path / "model").bfloat16()
    model.save_pretrained(tmp_path / "half")
    LMVocabulary(WORDS).write(tmp_path / "half")
    export(tmp_path / "half", tmp_path / "old")
    opened = hdf5_checkpoint.open_checkpoint(tmp_path / "old")
    assert opened.softmax is not None
    assert np.array_equal(opened.softmax()[0], model.softmax.linear.weight.float().detach())
    assert np.array_equal(opened.scalar_mixes[0][0], model.elmo.scalar_mixes[0].weights.float().detach())


def test_models_that_the_hdf5_format_cannot_represent(tmp_path: Path) -> None:
    config = ElmoConfig(**{**tiny_config().to_dict(), "character_bow_id": 5, "character_eow_id": 6})
    ElmoModel(config).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="its own alphabet or lexicon: the HDF5 format encodes words as UTF-8 bytes"):
        export(tmp_path / "model", tmp_path / "old")
    ElmoModel(tiny_config(sentence_boundaries=False)).save_pretrained(tmp_path / "model")
    assert "add <S> and </S> to each sentence" in export(tmp_path / "model", tmp_path / "old").summary()


@pytest.mark.parametrize("content", [b"", b"no file of PyTorch's", b"PK\x03\x04"])
def test_a_corrupt_mix_is_rejected(content: bytes, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    export(tmp_path / "model", tmp_path / "old")
    mix = tmp_path / "old" / "scalar_mix.th"
    state = torch.load(mix, weights_only=True)
    mix.write_bytes(content)
    with pytest.raises(ValueError, match=r"scalar_mix.th .*: truncated or corrupt PyTorch file"):
        hdf5_checkpoint.open_checkpoint(tmp_path / "old")
    del state["scalar_mix_0.scalar_parameters.2"]
    torch.save(state, mix)
    with pytest.raises(ValueError, match=r"Expected gamma and 3 scalar_parameters in scalar_mix_0 of"):
        hdf5_checkpoint.open_checkpoint(tmp_path / "old")
    torch.save({**state, "other": torch.ones(1)}, mix)
    with pytest.raises(ValueError, match=r"Expected only scalar mixes in scalar_mix\.th, got 'other'"):
        hdf5_checkpoint.open_checkpoint(tmp_path / "old")


_ALLENNLP = """
import importlib.machinery, json, sys, types
stub = types.ModuleType("torchvision")  # imported at import time, never called by ELMo
stub.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
sys.modules.setdefault("torchvision", stub)
import numpy, torch
from allennlp.modules.elmo import Elmo, batch_to_ids

folder, sentences = sys.argv[1], json.loads(sys.argv[2])
elmo = Elmo(f"{folder}/options.json", f"{folder}/lm_weights.hdf5", 2, dropout=0).eval()
state = torch.load(f"{folder}/scalar_mix.th", weights_only=True)
missing, unexpected = elmo.load_state_dict(state, strict=False)
assert not unexpected and all(name.startswith("_elmo_lstm.") for name in missing), (missing, unexpected)
with torch.no_grad():
    vectors = elmo(batch_to_ids(sentences))["elmo_representations"]
numpy.save(f"{folder}/vectors.npy", torch.stack(vectors).numpy())
"""

_SIMPLE_ELMO = """
import json, logging, os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.compat.v1's LSTMCell lives in Keras 2
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import numpy
from simple_elmo import ElmoModel

folder, sentences = sys.argv[1], json.loads(sys.argv[2])
model = ElmoModel()
model.load(folder, max_batch_size=len(sentences))
numpy.save(f"{folder}/vectors.npy", model.get_elmo_vectors(sentences, warmup=False, layers="all"))
"""


def run_peer(variable: str, program: str, package: str, folder: Path) -> np.ndarray:
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"set {variable} to an interpreter that imports {package}")
    done = subprocess.run([python, "-c", program, str(folder), json.dumps(WORDY)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return np.load(folder / "vectors.npy")


def test_allennlp_takes_weights_and_mixes(tmp_path: Path) -> None:
    model = tiny_model(num_output_representations=2)
    model.save_pretrained(tmp_path / "model")
    export(tmp_path / "model", tmp_path / "old")
    got = run_peer("ELMO_ALLENNLP_PYTHON", _ALLENNLP, "AllenNLP 2.10.1", tmp_path / "old")
    with torch.no_grad():
        expected = model(**inputs(WORDY)).elmo_representations
    assert max_difference(torch.from_numpy(got).transpose(0, 1), expected) < TENSORFLOW


def test_simple_elmo_takes_weights_and_vocabulary(tmp_path: Path) -> None:
    model = save_language_model(tmp_path / "model").elmo
    export(tmp_path / "model", tmp_path / "old")
    (tmp_path / "old" / "lm_weights.hdf5").rename(tmp_path / "old" / "model.hdf5")
    got = run_peer("ELMO_SIMPLE_ELMO_PYTHON", _SIMPLE_ELMO, "simple_elmo 0.9.2", tmp_path / "old")
    with torch.no_grad():
        layers = torch.stack(model(**inputs(WORDY), output_hidden_states=True).hidden_states, dim=1)
    words = torch.tensor([[word < len(sentence) for word in range(layers.shape[2])] for sentence in WORDY])
    theirs = torch.from_numpy(got) * words[:, None, :, None]  # its layer 0 is not zero at padding
    assert max_difference(theirs, layers) < TENSORFLOW
