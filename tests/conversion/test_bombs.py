# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Files that declare or expand to huge sizes raise one sentence, quickly and in little memory."""

from pathlib import Path
from typing import Any

import pytest
from helpers.run_python import run
from helpers.small_models import ROOT
from helpers.write_bombs import CHECKPOINTS, CONFIGS, write_models

MAX_BYTES = 1 << 30
MAX_SECONDS = 20  # a few on idle cores

# Runs in a new process, whose peak memory contains nothing else.
SCRIPT = """
import resource, sys, time
from pathlib import Path
from transformers import AutoModel
from modeling_elmo import ElmoEncoder, ElmoForPreTraining
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.export import export

root = Path({root!r})
result = {{}}

def peak_memory():
    # Linux passes ru_maxrss on from the parent process, so read the peak of this program alone.
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def attempt(name, function):
    started, error = time.monotonic(), None
    try:
        function()
    except Exception as caught:
        error = [type(caught).__name__, str(caught)]
    peak = peak_memory()
    result[name] = [error, time.monotonic() - started, peak]

{body}
"""
CONVERT = """
for folder in sorted(root.iterdir()):
    files = list(folder.glob("a.*"))
    attempt(folder.name, lambda: convert(files[0] if files else folder, root / "model"))
"""
LOAD = """
for folder in sorted(root.iterdir()):
    attempt(folder.name, lambda: ElmoEncoder.from_pretrained(folder).encode(["We sat ."]))
    attempt(folder.name + " (AutoModel)", lambda: AutoModel.from_pretrained(folder))
    attempt(folder.name + " (language model)", lambda: ElmoForPreTraining.from_pretrained(folder))
    attempt(folder.name + " (export)", lambda: export(folder, root / "old", overwrite=True))
"""


def results(root: Path, body: str) -> dict[str, Any]:
    script = SCRIPT.format(root=str(root), body=body)
    outcome: dict[str, Any] = run(script, {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    for name, (error, seconds, peak) in outcome.items():
        assert peak < MAX_BYTES, name
        assert seconds < MAX_SECONDS, name
        if error is not None:
            documented = ("ValueError", "TypeError", "FileNotFoundError")
            assert error[0] in (*documented, "RecursionError" if "AutoModel" in name else ""), (name, error)
            assert error[1].isprintable(), name
            assert len(error[1]) < 1500, name
    return outcome


@pytest.mark.slow
def test_checkpoints(tmp_path: Path) -> None:
    for name, write in CHECKPOINTS.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    outcome = results(tmp_path, CONVERT)
    assert outcome.keys() == CHECKPOINTS.keys()
    messages = {
        "options: layers": "Expected option lstm.n_layers to be at most 29",
        "options: highways": "Expected option char_cnn.n_highway to be at most 29",
        "options: filters": "Expected `filters` to be a list",
        "options: cells": "of shape (12, 4000000000), got (12, 40)",
        "options: projection": "CNN_proj/W_proj of shape (12, 1000000000), got (12, 6)",
        "options: characters": "Expected `max_characters_per_token` to be at most 1024, got 1000000000.",
        "options: nesting": "Cannot parse options.json as JSON",
        "options: size": "Expected at most 4194304 bytes in options.json",
        "options: long values": "got 'xxx",
        "vocabulary of newlines": "Expected one word per line, 3, in vocab.txt.gz, got more.",
        "scalar mix of many layers": "",
        "compressed state": "truncated or corrupt PyTorch file",
        "sparse tar": "member 'weights.hdf5' is a sparse file",
        "archive of zeros": "it has more than ",
        "HDF5 of zeros": "Expected at most 20 bytes of weights per byte of ",
        "HDF5 of few chunks": "some of its values are not stored",
        "HDF5 of one chunk": "some of its values are not stored",
        "HDF5 link to a pipe": "Expected an ELMo weight file",
    }
    for name, (error, _, _) in outcome.items():
        assert error is not None, name
        assert messages.get(name, "") in error[1], (name, error)


@pytest.mark.slow
def test_model_folders(tmp_path: Path) -> None:
    write_models(tmp_path)
    outcome = results(tmp_path, LOAD)
    loaded = {name for name, (error, _, _) in outcome.items() if error is None}
    # Only the language model uses the softmax, and only the encoder uses the tokenizer.
    assert loaded == {"words", "words (AutoModel)", "tokenizer (AutoModel)", "tokenizer (export)"}
    for name in CONFIGS.keys() - {"words", "labels", "characters", "long value", "unknown fields", "many filters"}:
        error, _, _ = outcome[name]
        assert "model.safetensors" in error[1], (name, error)
        assert "config.json describes " in error[1], (name, error)
    assert "it is nested too deeply" in outcome["nesting"][0][1]
