# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`compat` against the original programs: TensorFlow's reference vectors, and AllenNLP if it is installed.

`ELMO_ALLENNLP_PYTHON` is the path of an interpreter that can import AllenNLP 2.10.1. It does not need torchvision,
which ELMo never calls.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from helpers.reference_data import reference_folder
from helpers.small_models import SENTENCES
from helpers.tolerances import SAME_BATCH, TENSORFLOW
from helpers.write_checkpoint import write_checkpoint

from modeling_elmo.compat import Elmo, ElmoEmbedder, batch_to_ids

Batches = list[list[list[str]]]

# The number of rows grows and shrinks, and some sentences have no words or unusual ones.
DRIFT: Batches = [
    SENTENCES[:2],
    SENTENCES[2:6],
    [SENTENCES[5]],
    [["a"], [], ["bank", "of", "the", "river"]],
    SENTENCES,
    SENTENCES[3:5],
    [SENTENCES[0]] * 4,
]
# Keyword arguments of `Elmo`. Dropout is always 0.
CALLS: dict[str, dict[str, Any]] = {
    "uniform": {},
    "middle": {"scalar_mix_parameters": [-9e10, 1.0, -9e10]},
    "logits": {"scalar_mix_parameters": [0.0, 0.0, 1.0]},
    "boundaries": {"keep_sentence_boundaries": True},
    "normalized": {"do_layer_norm": True},
    "two": {"num_output_representations": 2},
}

_PEER = """
import importlib.machinery, json, sys, types
stub = types.ModuleType("torchvision")  # imported at import time, never called by ELMo
stub.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
sys.modules.setdefault("torchvision", stub)
import numpy, torch
from allennlp.modules.elmo import Elmo, _ElmoBiLm, batch_to_ids
from allennlp.nn.util import remove_sentence_boundaries

options, weights, output, request = sys.argv[1:]
request = json.loads(request)
dtype = getattr(torch, request["dtype"])
arrays = {}
with torch.no_grad():
    for name, keywords in request["calls"].items():
        model = Elmo(options, weights, **{"num_output_representations": 1, "dropout": 0, **keywords}).to(dtype).eval()
        for i, batch in enumerate(request["batches"]):
            result = model(batch_to_ids(batch))
            for k, representation in enumerate(result["elmo_representations"]):
                arrays[f"{name} {i} {k}"] = representation.numpy()
            arrays[f"{name} {i} mask"] = result["mask"].numpy()
    bilm = _ElmoBiLm(options, weights).to(dtype).eval()
    for i, batch in enumerate(request["batches"]):
        ids = batch_to_ids(batch)
        result = bilm(ids)
        layers = [remove_sentence_boundaries(layer, result["mask"])[0] for layer in result["activations"]]
        arrays[f"layers {i}"] = torch.stack(layers, dim=1).numpy()
        arrays[f"ids {i}"] = ids.numpy()
numpy.savez(output, **arrays)
"""


def fixture(name: str) -> tuple[Path, Batches]:
    """A folder of reference data and its batches: sentence i of every list."""
    folder = reference_folder(name)
    lists = json.loads(next(folder.glob("*sentences.json")).read_text(encoding="utf-8"))
    return folder, [[sentence.split() for sentence in batch] for batch in zip(*lists, strict=True)]


@pytest.mark.parametrize("name", ["allennlp", "bilm-tf"])
def test_carried_states_are_tensorflows(name: str) -> None:
    folder, batches = fixture(name)
    files = str(folder / "options.json"), str(folder / "lm_weights.hdf5")
    top = Elmo(*files, 1, dropout=0, scalar_mix_parameters=[-9e10, -9e10, 1], stateful=True)
    embedder = ElmoEmbedder(*files, stateful=True)
    for i, batch in enumerate(batches):
        by_module = top(batch_to_ids(batch))["elmo_representations"][0].numpy()
        by_embedder = embedder.embed_batch(batch)
        for k in range(2):
            with h5py.File(folder / f"lm_embeddings_{k}.hdf5") as file:
                expected = np.concatenate(list(file[str(i)][()]), axis=-1)
            assert np.abs(by_module[k, : len(batch[k])] - expected).max() <= TENSORFLOW
            assert np.abs(by_embedder[k][2] - expected).max() <= TENSORFLOW
    again = ElmoEmbedder(*files).embed_batch(batches[-1])
    assert max(np.abs(a - b).max() for a, b in zip(again, by_embedder, strict=True)) > 0.01, (
        "the carried states change the vectors"
    )


def peer_arrays(files: tuple[str, str], batches: Batches, dtype: str, output: Path) -> Any:
    """Return the arrays that AllenNLP computes for consecutive `batches` with each of the CALLS."""
    python = os.environ.get("ELMO_ALLENNLP_PYTHON")
    if not python:
        pytest.skip("AllenNLP needs a separate environment: set ELMO_ALLENNLP_PYTHON to its interpreter")
    request = json.dumps({"batches": batches, "calls": CALLS, "dtype": dtype})
    run = subprocess.run([python, "-c", _PEER, *files, str(output), request], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return np.load(output)


@pytest.mark.parametrize(
    ("source", "dtype", "tolerance"),
    [
        ("allennlp", "float32", TENSORFLOW),
        # In float64, the remaining difference is AllenNLP's forget bias, which it adds in float32.
        ("allennlp", "float64", SAME_BATCH),
        ("random", "float64", SAME_BATCH),
    ],
)
def test_carried_states_are_allennlps(source: str, dtype: str, tolerance: float, tmp_path: Path) -> None:
    if source == "random":
        write_checkpoint(tmp_path)
        folder, batches = tmp_path, DRIFT
    else:
        folder, batches = fixture(source)
    files = str(folder / "options.json"), str(folder / "lm_weights.hdf5")
    theirs = peer_arrays(files, batches, dtype, tmp_path / "peer.npz")
    for name, keywords in CALLS.items():
        elmo = Elmo(*files, **{"num_output_representations": 1, "dropout": 0, **keywords}, stateful=True)
        elmo = elmo.to(getattr(torch, dtype)).eval()
        for i, batch in enumerate(batches):
            ids = batch_to_ids(batch)
            assert np.array_equal(ids.numpy(), theirs[f"ids {i}"])
            with torch.no_grad():
                ours = elmo(ids)
            mask = ours["mask"].numpy()
            assert np.array_equal(mask, theirs[f"{name} {i} mask"])
            assert len(ours["elmo_representations"]) == keywords.get("num_output_representations", 1)
            for k, representation in enumerate(ours["elmo_representations"]):
                expected = theirs[f"{name} {i} {k}"]
                assert representation.shape == expected.shape
                assert np.abs(representation.numpy() - expected)[mask].max(initial=0) <= tolerance, f"{name}, batch {i}"
    embedder = ElmoEmbedder(*files, stateful=True)
    embedder.elmo_bilm.to(getattr(torch, dtype))
    for i, batch in enumerate(batches):
        ours, _ = embedder.batch_to_embeddings(batch)
        assert np.abs(ours.numpy() - theirs[f"layers {i}"]).max(initial=0) <= tolerance, f"layers of batch {i}"
