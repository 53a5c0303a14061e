# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Tests run the code blocks of the README and the model card and compare their output with the text."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.small_models import ROOT
from helpers.write_checkpoint import OPTIONS, write_checkpoint

from elmo_cli import main
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.demo import write_demo

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working directory with the converted model `my-elmo` of the documents."""
    monkeypatch.chdir(tmp_path)
    write_demo("old")
    convert("old", "my-elmo", language="en")
    return tmp_path


def test_readme_code(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    for line in re.findall(r"print\(.*?\)  *# (\[.*\])$", README, re.MULTILINE):
        assert line in printed
    assert names["output"].last_hidden_state.shape == (2, 9, 64)
    assert names["output"].word_emb.shape == (2, 9, 32)
    assert [len(rows) for rows in names["corpus"]["embedding"]] == [6, 5]
    assert [len(rows) for rows in names["vectors"]] == [6, 2]
    assert names["means"].shape == (2, 64)


def test_model_card_code(here: Path) -> None:
    card = (here / "my-elmo" / "README.md").read_text(encoding="utf-8")
    assert "${" not in card
    assert "| `elmo` | 64 |" in card
    assert "| `word_emb` | 32 |" in card
    assert "license" not in card.split("---")[1], "unknown values must be omitted"
    names: dict[str, Any] = {}
    for block in blocks(card, "python"):
        exec(compile(block, "model card", "exec"), names)
    assert names["output"].elmo.shape == (2, 6, 64)
    assert [len(rows) for rows in names["corpus"]["elmo"]] == [6, 5]


def test_readme_commands(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands run unchanged, except those that require the network."""
    lines = [line for block in blocks(README, "bash") for line in block.splitlines() if line.startswith("elmo ")]
    assert len(lines) == 6
    (here / "in.txt").write_text("We sat on the bank.\nGood.\n")
    write_checkpoint(here / "FOLDER", OPTIONS)
    for line in lines:
        arguments = shlex.split(line, comments=True)[1:]
        if arguments[0] == "convert" and arguments[1] == "FOLDER":
            assert main([*arguments, "--overwrite"]) == 0
        elif arguments[0] in ("export", "embed", "publish"):
            assert main(arguments) == 0
    assert (here / "exported" / "lm_weights.hdf5").is_file()
    assert (here / "out.parquet" / "part-00000000.parquet").is_file()
    capsys.readouterr()


def test_first_example_prints_what_the_readme_shows() -> None:
    run = [sys.executable, str(ROOT / "examples" / "first_steps.py")]
    output = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    (shown,) = blocks(README, "text")
    assert shown == output


def test_the_conversion_example_runs(tmp_path: Path) -> None:
    run = [sys.executable, str(ROOT / "examples" / "convert_checkpoint.py"), str(tmp_path)]
    output = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "RANDOM" in output
    assert "maximum difference: 0.0e+00" in output
    assert "9 words, 64 dimensions" in output
