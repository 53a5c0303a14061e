# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Fuzzed readers on a few random cases each, and on the seeds that once failed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from fuzz.mutations import mutate_bytes, mutate_json
from fuzz.targets import TARGETS, run_case

SEEDS = [line.split() for line in Path(__file__).with_name("seeds.txt").read_text().splitlines()]
NUM_CASES = 15


@pytest.mark.parametrize("name", TARGETS)
def test_cases(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "temporary").mkdir()
    TARGETS[name].prepare(tmp_path / "base")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    seeds = [*range(NUM_CASES), *(int(seed) for target, seed in SEEDS if target == name)]
    messages = [run_case(name, seed, tmp_path / "base", tmp_path / str(seed)) for seed in seeds]
    assert any(messages) or name == "model"  # whose errors are printed
    assert list((tmp_path / "temporary").iterdir()) == []


def test_equal_seeds_give_equal_changes() -> None:
    from random import Random

    value = {"a": [1, 2, {"b": "c"}], "d": 1.5}
    for seed in range(50):
        assert mutate_json(Random(seed), value) == mutate_json(Random(seed), value)
        assert mutate_bytes(Random(seed), b"abcdef") == mutate_bytes(Random(seed), b"abcdef")


@pytest.mark.slow
def test_the_script_reports_its_seed_and_its_cases() -> None:
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), "--target", "inputs", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "first seed 7, targets inputs\n1 cases, 0 failures\n"
