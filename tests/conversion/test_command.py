# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The conversion commands, and the official fixtures end to end."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch
from helpers.reference_data import reference_folder
from helpers.tolerances import TENSORFLOW
from helpers.write_checkpoint import read_datasets, write_checkpoint
from transformers import AutoModel, AutoTokenizer

from elmo_cli import main
from modeling_elmo.conversion import card
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.verify import TOLERANCE, verify


def fixture(name: str) -> Path:
    return reference_folder(name)


@pytest.mark.parametrize(("name", "comparisons"), [("allennlp", 4), ("bilm-tf", 2)])
def test_fixtures_convert_verify_and_go_back(
    name: str, comparisons: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, model, back = str(fixture(name)), str(tmp_path / "model"), str(tmp_path / "back")
    assert main(["convert", source, model, "--language", "en"]) == 0
    assert main(["verify", model, source]) == 0
    printed = capsys.readouterr().out
    assert printed.count(" ok") == comparisons
    assert main(["export", model, back]) == 0
    assert read_datasets(tmp_path / "back" / "lm_weights.hdf5") == read_datasets(fixture(name) / "lm_weights.hdf5")
    assert (tmp_path / "back" / "options.json").read_bytes() == (fixture(name) / "options.json").read_bytes()


def test_the_verification_tolerance_is_the_tests() -> None:
    assert TOLERANCE == TENSORFLOW


def test_verification_fails_on_other_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(fixture("allennlp"), tmp_path / "model")
    assert main(["verify", str(tmp_path / "model"), str(fixture("bilm-tf"))]) == 1
    assert capsys.readouterr().out.count("FAIL") == 2
    rows = verify(tmp_path / "model", fixture("allennlp") / "lm_embeddings_1.hdf5")
    assert [row.passed for row in rows] == [True]
    assert rows[0].num_vectors > 100


def test_verification_without_reference_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path / "old")
    assert main(["verify", str(tmp_path / "model"), str(tmp_path)]) == 1
    convert(tmp_path / "old", tmp_path / "model")
    assert main(["verify", str(tmp_path / "model"), str(tmp_path)]) == 1
    assert main(["verify", str(tmp_path / "model"), str(tmp_path / "nowhere")]) == 1
    with h5py.File(tmp_path / "lm_embeddings_0.hdf5", "w") as file:
        file["0"] = torch.zeros(2, 3, 16).numpy()
    assert main(["verify", str(tmp_path / "model"), str(tmp_path)]) == 1
    (tmp_path / "sentences.json").write_text('[["the bank"]]')
    assert main(["verify", str(tmp_path / "model"), str(tmp_path)]) == 1
    errors = capsys.readouterr().err.splitlines()
    errors = [line for line in errors if line.startswith("elmo: error: ")]
    parts = ["config.json", "lm_embeddings_0.hdf5 or", "or one of spark-nlp", "sentences.json", "(3, 32) for"]
    for line, part in zip(errors, parts, strict=True):
        assert part in line


@pytest.mark.parametrize(
    "arguments",
    [[], ["unknown"], ["convert"], ["convert", "a"], ["convert", "a", "b", "--splitter", "x"], ["export", "a"],
     ["verify", "a", "b", "--tolerance", "-1"]],
)  # fmt: skip
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: elmo" in capsys.readouterr().err


@pytest.mark.slow
def test_a_failure_is_one_line_and_exits_with_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modeling_elmo", "convert", str(tmp_path / "nowhere"), str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("elmo: error: Expected `source` to be a folder")
    assert done.stderr.count("\n") == 1


def test_options_reach_the_conversion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path / "old", softmax=3)
    write_checkpoint(tmp_path / "other", seed=1)
    model = str(tmp_path / "model")
    arguments = ["convert", str(tmp_path / "old"), model, "--weights", str(tmp_path / "other" / "lm_weights.hdf5")]
    arguments += ["--dtype", "bfloat16", "--splitter", "characters", "--license", "mit", "--language", "pt"]
    assert main([*arguments, "--name", "My ELMo"]) == 0
    readme = (tmp_path / "model" / "README.md").read_text()
    assert "license: mit\nlanguage: pt\n" in readme
    assert "# My ELMo" in readme
    assert main(arguments) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "old"), model, "--overwrite"]) == 0
    assert "Unused arrays, which do not affect the vectors: softmax/W, softmax/b." in capsys.readouterr().out


@pytest.mark.slow
def test_converted_folder_loads_as_remote_code_where_the_package_is_not(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old")
    convert(tmp_path / "old", tmp_path / "model", language="en")
    script = f"""
import sys
sys.modules["modeling_elmo"] = None
import torch
from transformers import AutoModel, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({str(tmp_path / "model")!r}, trust_remote_code=True)
model = AutoModel.from_pretrained({str(tmp_path / "model")!r}, trust_remote_code=True).eval()
with torch.inference_mode():
    vectors = model(**tokenizer("The bank wasn't open.", return_tensors="pt"))[0]
torch.save(vectors, {str(tmp_path / "vectors.pt")!r})
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, cwd=tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModel.from_pretrained(tmp_path / "model").eval()
    with torch.inference_mode():
        vectors = model(**tokenizer("The bank wasn't open.", return_tensors="pt"))[0]
    assert torch.equal(vectors, torch.load(tmp_path / "vectors.pt", weights_only=True))
    assert vectors.shape == (1, 6, 12)


def test_model_card_fields() -> None:
    assert card.render("${a} costs $$5", {"a": "it"}) == "it costs $5"
    with pytest.raises(ValueError, match="to be among a, got b, c"):
        card.render("${c} ${a} $b", {"a": "it"})
    assert "license" not in card.metadata(None, None)
    assert card.metadata("en", "mit").startswith("license: mit\nlanguage: en\nlibrary_name: transformers\n")
