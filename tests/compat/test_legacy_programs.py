# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Old programs run with a changed import only, and their results are those of the NumPy oracle.

With `ELMO_ALLENNLP_PYTHON` (see `test_peer.py`), the programs that use `Elmo` also run under AllenNLP.
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
from helpers.small_models import build_oracle
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
    """Return the layers [3, words + 2, D] of each sentence, computed by the oracle."""
    oracle = build_oracle(compat.load_model(*files).double())
    return [np.stack(oracle.run(words)[0]) for words in sentences]


def pad(arrays: Layers) -> np.ndarray:
    result = np.zeros((len(arrays), max(map(len, arrays)), arrays[0].shape[-1]))
    for row, array in zip(result, arrays, strict=True):
        row[: len(array)] = array
    return result


def mix_layers(sentences: Layers, *logits: float) -> np.ndarray:
    weights = np.exp(np.array(logits) - max(logits))
    return pad([np.einsum("l,ltd->td", weights / weights.sum(), layers) for layers in sentences])


def compute_similarities(sentences: Layers) -> np.ndarray:
    means = np.stack([layers.mean((0, 1)) for layers in sentences])
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit @ unit.T


def normalize(with_boundaries: Layers) -> np.ndarray:
    all_words = np.concatenate(with_boundaries, axis=1)
    mean, deviation = all_words.mean((1, 2)), all_words.std((1, 2))
    rows = [((x[:, 1:-1] - mean[:, None, None]) / deviation[:, None, None]).mean((0, 1)) for x in with_boundaries]
    return np.stack(rows).reshape(2, len(with_boundaries) // 2, -1)


def expected_result(name: str, files: tuple[str, str], names: dict[str, Any]) -> Layers:
    """Return the expected `result`."""
    with_boundaries = layers_of(files, SENTENCES)
    sentences = [layers[:, 1:-1] for layers in with_boundaries]
    mean = mix_layers(sentences, 0, 0, 0)
    stacked = np.stack([pad([layers[k] for layers in sentences]) for k in range(3)], axis=1)
    mask = np.array([[i < len(words) for i in range(mean.shape[1])] for words in SENTENCES])
    if name == "PROTEINS":
        (residues,) = (layers[:, 1:-1].sum(0) for layers in layers_of(files, [list("SEQVENCE")]))
        return [residues, residues.mean(0)]
    if name == "PARSER":
        weight = names["ElmoFeatures"](5).project.weight.detach().numpy()
        return [np.concatenate([layers.mean(0) for layers in with_boundaries]) @ weight.T]
    choices: dict[str, Callable[[], Layers]] = {
        "TWO_REPRESENTATIONS": lambda: [2 * mean, np.concatenate([mean, mean], axis=2)],
        "THREE_INSTANCES": lambda: [
            mix_layers(sentences, *(1 if k == chosen else low for k in range(3)))
            for chosen in range(3)
            for low in (0, -9e10)
        ],
        "CACHED_WORDS": lambda: [mean, mask],
        "PARAGRAPHS": lambda: [normalize(with_boundaries)],
        "FINE_TUNING": lambda: [mean],
        "SENTENCE_SIMILARITY": lambda: [compute_similarities(sentences)],
        "PROBING": lambda: sentences,
        "CONCATENATION": lambda: [*(np.concatenate(list(layers), axis=-1) for layers in sentences), stacked],
    }
    return choices[name]()


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "TAGGER"])
def test_program(name: str, files: tuple[str, str], tmp_path: Path) -> None:
    names = run(name, files, tmp_path)
    expected = expected_result(name, files, names)
    for ours, theirs in zip(names["result"], expected, strict=name != "FINE_TUNING"):
        assert np.shape(ours) == theirs.shape
        assert np.abs(np.float64(ours) - theirs).max() <= 50 * PACKED
    if name == "FINE_TUNING":
        norm, all_trained = names["result"][1]
        assert norm > 0
        assert all_trained


def test_a_tagger_trains_its_mix_but_not_the_bilm(files: tuple[str, str], tmp_path: Path) -> None:
    names = run("TAGGER", files, tmp_path)
    scores, mask, (_, mix_trains, bilm_is_frozen) = names["result"]
    assert scores.shape == (*mask.shape, 3)
    assert mask.sum(1).tolist() == [len(words) for words in SENTENCES]
    assert mix_trains, "the biLM has no other mix"
    assert bilm_is_frozen
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
        pytest.skip("AllenNLP needs a separate environment: set ELMO_ALLENNLP_PYTHON to its interpreter")
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
            # Scores and gradients of float32 networks amplify the rounding errors of the vectors.
            assert np.abs(np.float64(ours) - expected_by_peer).max() <= BATCHING_ORIGINAL, name
