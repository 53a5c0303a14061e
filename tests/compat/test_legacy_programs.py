# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Old programs run with another import and nothing else, and compute what they did by the NumPy oracle.

With `ELMO_ALLENNLP_PYTHON` (see `test_compat_peer.py`) those with `Elmo` also run under AllenNLP itself.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import legacy_programs
from helpers.small_models import oracle_of
from helpers.tolerances import BATCHING_ORIGINAL, PACKED
from helpers.write_checkpoint import write_checkpoint

from modeling_elmo import compat

SENTENCES = [
    ["The", "bank", "lends", "money", "."],
    ["Good", "."],
    ["We", "sat", "on", "the", "bank", "of", "the", "river", "."],
    ["東京", "!"],
]
PROGRAMS = {name: source for name, source in vars(legacy_programs).items() if name.isupper()}
IMPORTS = {"allennlp.modules.elmo": "modeling_elmo.compat", "allennlp.commands.elmo": "modeling_elmo.compat"}
Layers = list[np.ndarray]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("old")
    write_checkpoint(folder)
    return str(folder / "options.json"), str(folder / "lm_weights.hdf5")


def run(name: str, files: tuple[str, str], folder: Path) -> dict[str, Any]:
    source = PROGRAMS[name]
    for old, new in IMPORTS.items():
        source = source.replace(f"from {old} import", f"from {new} import")
    assert "allennlp" not in source
    names = {"OPTIONS": files[0], "WEIGHTS": files[1], "SENTENCES": SENTENCES, "FOLDER": str(folder)}
    exec(compile(source, name, "exec"), names)
    return names


def layers_of(files: tuple[str, str], sentences: list[list[str]]) -> Layers:
    """For each sentence [3, words + 2, D] by the oracle."""
    oracle = oracle_of(compat.load_model(*files).double())
    return [np.stack(oracle.run(words)[0]) for words in sentences]


def padded(arrays: Layers) -> np.ndarray:
    result = np.zeros((len(arrays), max(map(len, arrays)), arrays[0].shape[-1]))
    for row, array in zip(result, arrays, strict=True):
        row[: len(array)] = array
    return result


def mixed(each: Layers, *logits: float) -> np.ndarray:
    shares = np.exp(np.array(logits) - max(logits))
    return padded([np.einsum("l,ltd->td", shares / shares.sum(), layers) for layers in each])


def similarities(each: Layers) -> np.ndarray:
    means = np.stack([layers.mean((0, 1)) for layers in each])
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit @ unit.T


def normalised(framed: Layers) -> np.ndarray:
    everything = np.concatenate(framed, axis=1)
    mean, deviation = everything.mean((1, 2)), everything.std((1, 2))
    rows = [((x[:, 1:-1] - mean[:, None, None]) / deviation[:, None, None]).mean((0, 1)) for x in framed]
    return np.stack(rows).reshape(2, len(framed) // 2, -1)


def expected(name: str, files: tuple[str, str], names: dict[str, Any]) -> Layers:
    """What `result` has to be."""
    framed = layers_of(files, SENTENCES)
    each = [layers[:, 1:-1] for layers in framed]
    mean = mixed(each, 0, 0, 0)
    stacked = np.stack([padded([layers[k] for layers in each]) for k in range(3)], axis=1)
    mask = np.array([[i < len(words) for i in range(mean.shape[1])] for words in SENTENCES])
    if name == "PROTEINS":
        (residues,) = (layers[:, 1:-1].sum(0) for layers in layers_of(files, [list("SEQVENCE")]))
        return [residues, residues.mean(0)]
    if name == "PARSER":
        weight = names["ElmoFeatures"](5).project.weight.detach().numpy()
        return [np.concatenate([layers.mean(0) for layers in framed]) @ weight.T]
    choices: dict[str, Callable[[], Layers]] = {
        "TWO_REPRESENTATIONS": lambda: [2 * mean, np.concatenate([mean, mean], axis=2)],
        "THREE_INSTANCES": lambda: [
            mixed(each, *(1 if k == chosen else low for k in range(3))) for chosen in range(3) for low in (0, -9e10)
        ],
        "CACHED_WORDS": lambda: [mean, mask],
        "PARAGRAPHS": lambda: [normalised(framed)],
        "FINE_TUNING": lambda: [mean],
        "SENTENCE_SIMILARITY": lambda: [similarities(each)],
        "PROBING": lambda: each,
        "CONCATENATION": lambda: [*(np.concatenate(list(layers), axis=-1) for layers in each), stacked],
    }
    return choices[name]()


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "TAGGER"])
def test_program(name: str, files: tuple[str, str], tmp_path: Path) -> None:
    names = run(name, files, tmp_path)
    right = expected(name, files, names)
    for ours, theirs in zip(names["result"], right, strict=name != "FINE_TUNING"):
        assert np.shape(ours) == theirs.shape
        assert np.abs(np.float64(ours) - theirs).max() <= 50 * PACKED
    if name == "FINE_TUNING":
        norm, all_trained = names["result"][1]
        assert norm > 0
        assert all_trained


def test_a_tagger_trains_its_mix_and_not_the_bilm(files: tuple[str, str], tmp_path: Path) -> None:
    names = run("TAGGER", files, tmp_path)
    scores, mask, (_, mix_trains, bilm_rests) = names["result"]
    assert scores.shape == (*mask.shape, 3)
    assert mask.sum(1).tolist() == [len(words) for words in SENTENCES]
    assert mix_trains, "and the biLM has no mix of its own beside it"
    assert bilm_rests
    after, _ = names["model"](SENTENCES)
    assert not torch.allclose(after, torch.from_numpy(scores)), "a step changes the scores"


_PEER = """
import importlib.machinery, json, sys, types
stub = types.ModuleType("torchvision")
stub.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
sys.modules.setdefault("torchvision", stub)
import numpy
request = json.load(sys.stdin)
arrays = {}
for name, source in request["programs"].items():
    names = dict(request["names"])
    exec(compile(source, name, "exec"), names)
    arrays.update({f"{name} {i}": numpy.asarray(array) for i, array in enumerate(names["result"])})
numpy.savez(request["output"], **arrays)
"""


def test_programs_under_allennlp(files: tuple[str, str], tmp_path: Path) -> None:
    python = os.environ.get("ELMO_ALLENNLP_PYTHON")
    if not python:
        pytest.skip("AllenNLP needs an environment of its own: set ELMO_ALLENNLP_PYTHON to its interpreter")
    programs = {name: source for name, source in PROGRAMS.items() if "allennlp.modules.elmo" in source}
    assert len(programs) == 7
    names = {"OPTIONS": files[0], "WEIGHTS": files[1], "SENTENCES": SENTENCES, "FOLDER": str(tmp_path)}
    request = json.dumps({"programs": programs, "names": names, "output": str(tmp_path / "peer.npz")})
    process = subprocess.run([python, "-c", _PEER], input=request, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    theirs = np.load(tmp_path / "peer.npz")
    for name in programs:
        for i, ours in enumerate(run(name, files, tmp_path)["result"]):
            expected_by_peer = theirs[f"{name} {i}"]
            assert np.shape(ours) == expected_by_peer.shape
            # Scores and derivatives of float32 networks: a long way from the vectors.
            assert np.abs(np.float64(ours) - expected_by_peer).max() <= BATCHING_ORIGINAL, name
