# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The same weights in every format, as a folder and as an archive, convert to the same model."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from helpers.oracle import Array
from helpers.tolerances import ORACLE
from helpers.write_allennlp import MIX, state_dict, tagger_state
from helpers.write_checkpoint import OPTIONS, random_arrays, read_datasets
from helpers.write_many_langs import write_model
from helpers.write_tensorflow import hub_variables, write_hub, write_spark, write_training
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from elmo_cli import main
from modeling_elmo import ElmoForPreTraining, ElmoModel
from modeling_elmo.conversion import formats
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.formats import hdf5_checkpoint
from modeling_elmo.conversion.formats.base import Format
from modeling_elmo.conversion.source.fetch import SourceFile
from modeling_elmo.scorer import ElmoScorer

WORDS = ["<S>", "</S>", "<UNK>", "the", "bank", "of"]
Arrays = dict[str, Array]


def arrays() -> Arrays:
    """Return arrays whose biases are rounded, so that adding and subtracting the forget bias is exact."""
    found = random_arrays(OPTIONS, softmax=len(WORDS))
    return {name: (array * 1024).round() / 1024 if name.endswith("/B") else array for name, array in found.items()}


def without_softmax(found: Arrays) -> Arrays:
    return {name: array for name, array in found.items() if not name.startswith("softmax")}


def write_hdf5(folder: Path, found: Arrays, name: str = "lm_weights.hdf5") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(OPTIONS))
    with h5py.File(folder / name, "w") as file:
        for dataset, array in found.items():
            file.create_dataset(dataset, data=array)


def nlpl(folder: Path, found: Arrays) -> None:
    write_hdf5(folder, found, "model.hdf5")
    (folder / "meta.json").write_text("{}")
    with gzip.open(folder / "vocab.txt.gz", "wt") as file:
        file.write("\n".join(WORDS))


def training(folder: Path, found: Arrays) -> None:
    renamed = {name.replace("RNN/MultiRNNCell/Cell", "rnn/multi_rnn_cell/cell_"): a for name, a in found.items()}
    leaves = {"LSTMCell/W_0": "lstm_cell/kernel", "LSTMCell/B": "lstm_cell/bias"}
    leaves["LSTMCell/W_P_0"] = "lstm_cell/projection/kernel"
    for old, new in leaves.items():
        renamed = {name.replace(old, new): array for name, array in renamed.items()}
    write_training(folder, OPTIONS, renamed)
    (folder / "vocab.txt").write_text("\n".join(WORDS))


def allennlp(folder: Path, found: Arrays) -> None:
    folder.mkdir(parents=True)
    (folder / "options.json").write_text(json.dumps(OPTIONS))
    torch.save(tagger_state(without_softmax(found)), folder / "weights.th")


WRITERS: dict[str, Callable[[Path, Arrays], None]] = {
    "bilm-tf HDF5": write_hdf5,
    "bilm-tf HDF5, NLPL": nlpl,
    "TensorFlow checkpoint": training,
    "TF Hub module": lambda folder, found: write_hub(folder, hub_variables(without_softmax(found))),
    "Spark NLP model": lambda folder, found: write_spark(folder, hub_variables(without_softmax(found))),
    "AllenNLP model": allennlp,
}
TENSORFLOW = ("TensorFlow checkpoint", "TF Hub module", "Spark NLP model")


@pytest.mark.parametrize("packed", ["", "zip", "gztar"])
@pytest.mark.parametrize("name", WRITERS)
def test_the_same_weights_make_the_same_model(
    name: str, packed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in TENSORFLOW:
        pytest.importorskip("tensorflow", reason="TensorFlow's checkpoints are written and read by tensorflow")
    found = arrays()
    write_hdf5(tmp_path / "hdf5", found)
    convert(tmp_path / "hdf5", tmp_path / "expected")
    source = tmp_path / "source"
    WRITERS[name](source, found)
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS))
    if packed:
        source = Path(shutil.make_archive(str(tmp_path / "packed"), packed, source))
    options = ["--options", str(tmp_path / "options.json")] if name in TENSORFLOW else []
    assert main(["convert", str(source), str(tmp_path / "model"), *options]) == 0
    assert f"found: {name.partition(',')[0]}" in capsys.readouterr().out
    expected, ours = (load_file(tmp_path / folder / "model.safetensors") for folder in ("expected", "model"))
    mix = [key for key in ours if key.startswith("scalar_mixes")]
    assert {key: t for key, t in ours.items() if key not in mix}.keys() == {key for key in expected if key not in mix}
    for key, tensor in ours.items():
        assert torch.equal(tensor, expected[key]) or key in mix
    if name == "AllenNLP model":
        assert ours["scalar_mixes.0.weights"].tolist() == MIX[0]
        assert ours["scalar_mixes.0.gamma"].tolist() == [MIX[1]]
    files = AutoModel.from_pretrained(tmp_path / "model").config.conversion["files"]
    assert ("archive" in files) == bool(packed)
    assert "weights" in files


@pytest.mark.parametrize("name", ["bilm-tf HDF5, NLPL", "TensorFlow checkpoint"])
def test_round_trip_of_a_language_model_with_its_softmax(name: str, tmp_path: Path) -> None:
    if name in TENSORFLOW:
        pytest.importorskip("tensorflow", reason="TensorFlow's checkpoints are written and read by tensorflow")
    found = arrays()
    WRITERS[name](tmp_path / "source", found)
    assert main(["convert", str(tmp_path / "source"), str(tmp_path / "model"), "--language-model"]) == 0
    model = ElmoForPreTraining.from_pretrained(tmp_path / "model")
    assert torch.equal(model.softmax.linear.weight, torch.from_numpy(found["softmax/W"]))
    assert torch.equal(model.softmax.linear.bias, torch.from_numpy(found["softmax/b"]))
    plain = convert(tmp_path / "source", tmp_path / "plain")
    assert plain.unused_arrays[:2] == ("softmax/W", "softmax/b")
    both = [ElmoModel.from_pretrained(tmp_path / folder).state_dict() for folder in ("model", "plain")]
    assert all(torch.equal(both[0][key], tensor) for key, tensor in both[1].items())

    (score,) = ElmoScorer.from_pretrained(str(tmp_path / "model")).score([["the", "bank"]])
    tokens = AutoTokenizer.from_pretrained(tmp_path / "model")([["the", "bank"]], is_split_into_words=True)
    output = model.eval()(torch.tensor(tokens["input_ids"]), labels=torch.tensor([[3, 4]]))
    assert abs(score.forward[0] - float(output.forward_log_probs[0, 0].detach())) <= 1e6 * ORACLE

    assert main(["export", str(tmp_path / "model"), str(tmp_path / "back")]) == 0
    softmax = read_datasets(tmp_path / "back" / "lm_softmax_weights.hdf5")
    assert softmax["softmax/W"][2] == found["softmax/W"].tobytes()
    again = convert(tmp_path / "back", tmp_path / "again", language_model=True)
    assert again.has_softmax
    assert (tmp_path / "again" / "model.safetensors").read_bytes()[-100:] == (
        tmp_path / "model" / "model.safetensors"
    ).read_bytes()[-100:]


def test_many_langs_from_a_zip_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "en.model")
    source = shutil.make_archive(str(tmp_path / "136"), "zip", tmp_path, "en.model")
    assert main(["convert", source, str(tmp_path / "model")]) == 0
    assert "found: ELMoForManyLangs model" in capsys.readouterr().out
    assert (tmp_path / "model" / "lexicon.json").is_file()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModel.from_pretrained(tmp_path / "model").eval()
    batch = tokenizer([["the", "Bank"]], is_split_into_words=True, return_tensors="pt")
    assert model(**batch)[0].shape == (1, 2, model.config.hidden_size)


def test_sources_without_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("a file of something else")
    for source in ("empty", "text.txt"):
        assert main(["convert", str(tmp_path / source), str(tmp_path / "model")]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("elmo: error: ")]
    assert len(errors) == 2
    names = ", ".join(format.NAME for format in formats.FORMATS)
    assert f"empty to be one of {names}, got a folder with no file." in errors[0]
    assert f"text.txt to be one of {names}, got another file." in errors[1]
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("format", formats.FORMATS, ids=lambda format: format.NAME)
def test_other_formats_reject_a_softmax_file(format: Format, tmp_path: Path) -> None:
    file = SourceFile(tmp_path / "softmax.hdf5", "softmax.hdf5")
    message = "Expected one weight file" if format is hdf5_checkpoint else "Cannot use softmax file"
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        format.open_checkpoint(tmp_path, softmax=file)


def test_a_softmax_file_for_other_weights(tmp_path: Path) -> None:
    write_model(tmp_path / "en.model")
    write_hdf5(tmp_path / "lm", arrays(), "lm_weights.hdf5")
    softmax = tmp_path / "lm" / "lm_weights.hdf5"
    with pytest.raises(ValueError, match=r"softmax file lm_weights\.hdf5: ELMoForManyLangs model weights have no"):
        convert(tmp_path / "en.model", tmp_path / "model", softmax=softmax)
    write_hdf5(tmp_path / "plain", without_softmax(arrays()))
    assert "softmax/W" in convert(tmp_path / "plain", tmp_path / "model", softmax=softmax).unused_arrays


def test_a_language_model_without_words_or_softmax(tmp_path: Path) -> None:
    found: Any = arrays()
    write_hdf5(tmp_path / "no words", found)
    with pytest.raises(FileNotFoundError, match="without the vocabulary of its softmax"):
        convert(tmp_path / "no words", tmp_path / "model", language_model=True)
    write_hdf5(tmp_path / "no softmax", without_softmax(found))
    with pytest.raises(FileNotFoundError, match="without a softmax"):
        convert(tmp_path / "no softmax", tmp_path / "model", language_model=True)
    assert "_char_embedding_weights" in next(iter(state_dict(without_softmax(found))))
    assert not (tmp_path / "model").exists()
