# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`examples/train_tagger.py`: reading of CoNLL files, training, and tagging of raw text."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from helpers.small_models import ROOT, randomize_weights, tiny_config
from transformers import AutoModelForTokenClassification, pipeline

from modeling_elmo import ElmoModel, ElmoTokenizer


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_tagger", ROOT / "examples" / "train_tagger.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_file(folder: Path, text: str) -> Path:
    path = folder / "file.conll"
    path.write_bytes(text.encode())
    return path


def test_conll_u(example: ModuleType, tmp_path: Path) -> None:
    def row(index: str, form: str, upos: str) -> str:
        return "\t".join([index, form, form.lower(), upos, "XX", "_", "0", "root", "_", "_"]) + "\n"

    text = (
        "# text = He can't.\n"
        + row("1", "He", "PRON")
        + row("2-3", "can't", "_")
        + row("2", "ca", "AUX")
        + row("3", "n't", "PART")
        + row("3.1", "go", "VERB")
        + row("4", ".", "PUNCT")
        + "\n# no words\n\n"
        + row("1", "#", "SYM")
        + row("2", "1 000", "NUM")
    )
    assert example.read_conll(write_file(tmp_path, text)) == [
        (["He", "ca", "n't", "."], ["PRON", "AUX", "PART", "PUNCT"]),
        (["#", "1 000"], ["SYM", "NUM"]),
    ]
    assert example.read_conll(write_file(tmp_path, text), column=5)[1].tags == ["XX", "XX"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_older_formats(newline: str, example: ModuleType, tmp_path: Path) -> None:
    blanks = newline.join(["-DOCSTART- -X- O O", "", "# NN B-NP O", "Bonn NNP I-NP B-LOC", "", "", "x NN B-NP O"])
    assert example.read_conll(write_file(tmp_path, blanks), column=4) == [
        (["#", "Bonn"], ["O", "B-LOC"]),
        (["x"], ["O"]),
    ]
    tabs = newline.join(["#\tO", "New York\tB-LOC", "", ""])
    assert example.read_conll(write_file(tmp_path, tabs)) == [(["#", "New York"], ["O", "B-LOC"])]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("one\tO\ntwo\n", None, r"a tag in column 2 of .*, line 2, got 'two'"),
        ("one O\n", 3, r"a tag in column 3 of .*, line 1, got 'one O'"),
        ("one O\n", 0, r"a tag in column 0 of .*, line 1"),
        ("\n\n", None, "Expected sentences in .*, got none"),
    ],
)
def test_invalid_conll_files(text: str, column: int | None, message: str, example: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        example.read_conll(write_file(tmp_path, text), column)


def test_from_files_to_tags_of_raw_text(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    randomize_weights(ElmoModel(tiny_config(projection_size=16)), seed=1).half().save_pretrained(tmp_path / "model")
    ElmoTokenizer().save_pretrained(tmp_path / "model")
    sentences = ["The/DET bank/NOUN lends/VERB ./PUNCT", "A/DET bank/NOUN", "The/DET river/NOUN runs/VERB ./PUNCT"] * 4
    rows = "\n\n".join(sentence.replace("/", "\t").replace(" ", "\n") for sentence in sentences)
    (tmp_path / "train.tsv").write_text(rows)
    (tmp_path / "dev.tsv").write_text("The\tDET\nbank\tNOUN\nlends\tVERB\n.\tX\n")  # a tag outside the training data
    text = "  The river lends."
    options = {
        "train": tmp_path / "train.tsv",
        "dev": tmp_path / "dev.tsv",
        "model": tmp_path / "model",
        "output": tmp_path / "tagger",
        "epochs": 40,
        "learning-rate": 0.1,
        "text": text,
    }
    example.main([f"--{name}={value}" for name, value in options.items()])
    printed = capsys.readouterr().out
    assert "12 sentences, 40 words, 5 tags; " in printed
    assert "0.7500" in printed, "three of four tags are correct; the unknown one counts"
    assert re.findall(r"^ *(\d+) +(\d+)  (\S+) +(\S+) +\d\.\d+$", printed, re.MULTILINE) == [
        ("2", "5", "The", "DET"),
        ("6", "11", "river", "NOUN"),
        ("12", "17", "lends", "VERB"),
        ("17", "18", ".", "PUNCT"),
    ]
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "tagger")
    assert model.dtype == torch.float32
    assert model.config.trainable_modules == []
    original = ElmoModel.from_pretrained(tmp_path / "model", dtype=torch.float32)
    frozen = dict(model.elmo.named_parameters())
    assert all(
        torch.equal(parameter, frozen[name]) == ("scalar_mixes" not in name)
        for name, parameter in original.named_parameters()
    )
    tagger = pipeline("token-classification", model=str(tmp_path / "tagger"), ignore_labels=[])
    assert [entity["entity"] for entity in tagger(["A", "bank"], is_split_into_words=True)[0]] == ["DET", "NOUN"]
