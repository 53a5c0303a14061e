# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`elmo embed --resume`: the output is bit-identical after an interruption at any moment."""

import json
from pathlib import Path

import pytest
import torch
from helpers.run_python import run
from helpers.small_models import SENTENCES, tiny_model

from elmo_cli import main
from modeling_elmo import ElmoTokenizer

OPTIONS = ("--shard-rows", "20", "--max-tokens-per-batch", "60", "--errors", "skip")
OUTPUTS = ("out.parquet", "out.hdf5")  # a folder, and a file merged from shards

# The parent process has not run a model, so a fork loses no threads. A child is killed
# after a time, or kills itself at the n-th call that completes a file.
KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import modeling_elmo.cli
from elmo_cli import main

def die(at):
    calls = 0
    def dying(function):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == at:
                if at % 2:
                    function(*args, **kwargs)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return call
    os.fsync, Path.replace, Path.unlink = dying(os.fsync), dying(Path.replace), dying(Path.unlink)

def attempt(arguments, seconds=None, calls=None):
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.dup2(2, 1)
        if calls is not None:
            die(calls)
        code = 70
        try:
            code = main(arguments)
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return "killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

rng = random.Random(0)
result = {}
for output in OUTPUTS:
    arguments = ["embed", "in.txt", "disturbed/" + output, "--model", MODEL, "--device", "cpu", "--resume", *OPTIONS]
    outcomes = []
    while not outcomes or outcomes[-1] == "killed":
        by_time = len(outcomes) % 4 == 1
        kill = {"seconds": rng.uniform(0.1, 0.6)} if by_time else {"calls": rng.randint(1, 20)}
        outcomes.append(attempt(arguments, **kill))
    again = attempt(arguments, calls=10**9)
    result[output] = [outcomes.count("killed"), outcomes[-1], again]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with `model` and `in.txt`, which has a bad row."""
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained(tmp_path / "model")
    ElmoTokenizer().save_pretrained(tmp_path / "model")
    lines = [" ".join(words).encode() for _ in range(40) for words in SENTENCES]
    lines[57] = b"\xff"
    (tmp_path / "in.txt").write_bytes(b"\n".join(lines))
    (tmp_path / "disturbed").mkdir()
    return tmp_path


def embed(output: str, *options: str) -> int:
    return main(["embed", "in.txt", output, "--model", "model", "--device", "cpu", *(options or OPTIONS)])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_kills_leave_no_trace(here: Path) -> None:
    constants = f"MODEL, OPTIONS, OUTPUTS = 'model', {OPTIONS}, {OUTPUTS}\n"
    result = run(constants + KILLS)
    for output in OUTPUTS:
        assert embed(f"undisturbed/{output}") == 0
        kills, code, again = result[output]
        assert kills >= 3
        assert (code, again) == (0, 0)
    undisturbed, disturbed = contents(here / "undisturbed"), contents(here / "disturbed")
    assert sorted(disturbed) == sorted(undisturbed)
    assert [name for name in undisturbed if disturbed[name] != undisturbed[name]] == []
    assert len(undisturbed) == 13 + 2


def test_existing_shards_are_not_encoded_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert embed("out.parquet", *OPTIONS) == 0
    whole = contents(here / "out.parquet")
    (here / "out.parquet" / "part-00000003.parquet").unlink()
    (here / "out.parquet" / "part-00000005.parquet").write_bytes(whole["part-00000005.parquet"][:-9])
    capsys.readouterr()
    assert embed("out.parquet", *OPTIONS, "--resume", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["shards"], summary["resumed_shards"], summary["rows"]) == (12, 10, 240)
    assert contents(here / "out.parquet") == whole


def test_shards_of_another_version_are_kept_with_a_warning(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert embed("out.parquet", *OPTIONS) == 0
    (here / "out.parquet" / "part-00000003.parquet").unlink()
    manifest = here / "out.parquet.manifest.json"
    fields = json.loads(manifest.read_text())
    fields["written_by"]["torch"] = "2.6.0"
    manifest.write_text(json.dumps(fields))
    for expected in (
        f"written with torch 2.6.0, and the remaining ones use {torch.__version__}. Vectors may differ in the last",
        "",
    ):
        capsys.readouterr()
        assert embed("out.parquet", *OPTIONS, "--resume", "--json") == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["resumed_shards"] == (11 if expected else 12)
        warned = [line for line in captured.err.splitlines() if "version" in line or "written" in line]
        assert len(warned) == bool(expected)
        assert expected in captured.err


@pytest.mark.parametrize("output", ["out.parquet", "out.npz"])
def test_resume_rejects_another_job(here: Path, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert embed(output, *OPTIONS) == 0
    before = contents(here)
    capsys.readouterr()
    for options, change in [
        ((*OPTIONS, "--layer", "word_emb"), "options layer from 'elmo' to 'word_emb'"),
        ((*OPTIONS[:4], "--errors", "stop"), "options errors from 'skip' to 'stop'"),
        ((*OPTIONS, "--pooling", "max", "--dtype", "float16"), "pooling from None to 'max', options dtype from"),
        ((*OPTIONS, "--splitter", "whitespace"), "Changed: model."),
        ((*OPTIONS, "--input-format", "jsonl"), "Changed: input format from 'text' to 'jsonl'."),
    ]:
        assert embed(output, *options, "--resume") == 1
        error = capsys.readouterr().err
        assert error.startswith(f"elmo: error: Cannot resume {output}: {output}")
        assert "belongs to another job. Changed: " in error
        assert change in error
    with (here / "in.txt").open("ab") as file:
        file.write(b"\none more")
    assert embed(output, *OPTIONS, "--resume") == 1
    assert "Changed: input." in capsys.readouterr().err
    tiny_model(seed=1).save_pretrained(here / "model")
    assert embed(output, *OPTIONS, "--resume") == 1
    assert "Changed: input, model." in capsys.readouterr().err
    after = contents(here)
    assert {name: after[name] for name in before if name.startswith("out.")} == {
        name: data for name, data in before.items() if name.startswith("out.")
    }


def test_a_job_that_a_bad_row_stopped_resumes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopping = (*OPTIONS[:4], "--errors", "stop")
    assert embed("out.parquet", *stopping) == 1
    assert "Cannot embed in.txt, line 58: expected UTF-8 text" in capsys.readouterr().err
    shards = sorted(path.name for path in (here / "out.parquet").glob("part-*"))
    assert shards == ["part-00000000.parquet", "part-00000001.parquet"], "the shards before the bad row are kept"
    assert "complete" not in json.loads((here / "out.parquet.manifest.json").read_text())
    assert embed("out.parquet", *OPTIONS, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["resumed_shards"] == 2
    assert embed("undisturbed.parquet", *OPTIONS) == 0
    assert contents(here / "out.parquet") == contents(here / "undisturbed.parquet")


def test_resume_starts_a_missing_output(here: Path) -> None:
    assert embed("out.npz", *OPTIONS, "--resume") == 0
    (here / "out.npz").unlink()
    assert embed("out.npz", *OPTIONS[:4], "--errors", "empty", "--resume") == 0, "only the manifest exists"
