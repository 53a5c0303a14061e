# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`elmo embed --resume` recognizes finished outputs of commit a814f96 and rejects half-finished ones."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.small_models import ROOT, tiny_model

from elmo_cli import main
from modeling_elmo.embed.shards import ShardFolder

DATA = ROOT / "tests" / "data"
OPTIONS: dict[str, tuple[str, ...]] = {
    "out.parquet": ("--shard-rows", "4"),
    "out.hdf5": ("--shard-rows", "4", "--use-sentence-keys", "--layers", "top"),
}
REJECTED = "Cannot resume {}: an older version of modeling_elmo wrote it. Pass --overwrite to restart."


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with the finished outputs, their input, and their model."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(DATA / "embedded_by_a814f96", tmp_path, dirs_exist_ok=True)
    (model,) = (DATA / "spark_saved_by_a814f96").glob("pipeline/stages/*/model")
    shutil.copytree(model, tmp_path / "model")
    return tmp_path


def embed(output: str, *options: str, model: str = "model") -> int:
    return main(["embed", "in.txt", output, "--model", model, "--device", "cpu", "--json", *OPTIONS[output], *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("out*") if path.is_file()}


@pytest.mark.parametrize(("output", "sentences", "skipped"), [("out.parquet", 6, 0), ("out.hdf5", 4, 2)])
def test_a_finished_output_is_recognized(
    here: Path, output: str, sentences: int, skipped: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(here)
    assert embed(output, "--resume") == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert (summary["sentences"], summary["skipped_sentences"], summary["rows"]) == (sentences, skipped, 6)
    assert "left_out" not in summary
    assert captured.err == (
        f"elmo: warning: An older version wrote {output}. Compared the name of the model, but not its weights.\n"
    )
    assert contents(here) == before


@pytest.mark.parametrize("output", OPTIONS)
def test_a_finished_output_of_another_job_is_rejected(
    here: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(here)
    tiny_model(seed=1).save_pretrained(here / "other")
    shutil.copyfile(here / "model" / "tokenizer_config.json", here / "other" / "tokenizer_config.json")
    assert embed(output, "--resume", model="other") == 1
    assert "Changed: model name from 'model' to 'other'." in capsys.readouterr().err
    with (here / "in.txt").open("a") as file:
        file.write("one more\n")
    assert embed(output, "--resume") == 1
    assert "Changed: input." in capsys.readouterr().err
    assert contents(here) == before


def test_a_half_finished_folder_is_rejected(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out.parquet" / "part-00001.parquet").unlink()
    before = contents(here)
    assert embed("out.parquet", "--resume") == 1
    assert capsys.readouterr().err == f"elmo: error: {REJECTED.format('out.parquet')}\n"
    assert contents(here) == before
    assert embed("out.parquet", "--overwrite") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 6


def test_a_half_finished_file_is_rejected(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = here / "out.hdf5.parts"
    parts.mkdir()
    (here / "out.hdf5.manifest.json").rename(parts / "_manifest.json")
    (here / "out.hdf5").unlink()
    assert embed("out.hdf5", "--resume") == 1
    assert capsys.readouterr().err == f"elmo: error: {REJECTED.format('out.hdf5')}\n"
    assert embed("out.hdf5", "--overwrite") == 0
    assert json.loads(capsys.readouterr().out)["skipped_sentences"] == 2


def test_statistics_of_older_shards_are_read(here: Path) -> None:
    metadata = pq.read_schema(here / "out.parquet" / "part-00000.parquet").metadata
    assert b"left_out" in metadata[b"elmo_embed"]
    saved, corrupt = ShardFolder(here / "out.parquet", "parquet").read_saved()
    assert corrupt == []
    counts = [(index, part.statistics.rows, part.statistics.skipped_sentences) for index, part in saved.items()]
    assert counts == [(0, 4, 0), (1, 2, 0)]


def test_a_finished_output_is_replaced(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for output in OPTIONS:
        assert embed(output, "--overwrite") == 0
        assert json.loads(capsys.readouterr().out)["rows"] == 6
        assert embed(output, "--resume") == 0
        assert capsys.readouterr().err == ""
