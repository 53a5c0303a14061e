# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Random TensorFlow checkpoints in the formats of bilm-tf's training, TF Hub, and Spark NLP, compared with the oracle.

The arrays have bilm-tf's HDF5 names, which the oracle reads. The functions of this module rename them for each format.
"""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.converted_model import build_model
from helpers.oracle import Array, NumpyElmo, mix
from helpers.small_models import inputs
from helpers.tolerances import ORACLE
from helpers.write_checkpoint import to_default_names

from modeling_elmo import ElmoTokenizer
from modeling_elmo.conversion.formats.base import OpenCheckpoint

SENTENCES = [["the", "bank", "of", "the", "Themse"], ["<UNK>"], []]
SPARK_METADATA = {
    "class": "com.johnsnowlabs.nlp.embeddings.ElmoEmbeddings",
    "timestamp": 1580488815299,
    "sparkVersion": "2.4.4",
    "uid": "ELMO_EMBEDDINGS_0123456789ab",
    "paramMap": {"batchSize": 32, "dimension": 512, "poolingLayer": "word_emb", "storageRef": "elmo"},
}


def tensorflow() -> Any:
    return pytest.importorskip("tensorflow", reason="TensorFlow's checkpoints are written and read by tensorflow")


def write_bundle(prefix: Path, arrays: dict[str, Any]) -> None:
    """Write `PREFIX.index` and `PREFIX.data-00000-of-00001` with the operation that TensorFlow's savers call."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    tensorflow().raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )


def training_variables(arrays: dict[str, Array]) -> dict[str, Any]:
    """Return all variables that bilm-tf's training program saves."""
    variables: dict[str, Any] = {f"lm/{name}": array for name, array in arrays.items()}
    variables |= {f"{name}/Adagrad": np.ones_like(array) for name, array in variables.items()}
    return {**variables, "global_step": np.int64(935588), "train_perplexity": np.float32(39.0)}


def write_training(folder: Path, options: dict[str, Any], arrays: dict[str, Array], step: int = 7) -> Path:
    """Write the output folder of bilm-tf's training and return the checkpoint's prefix."""
    prefix = folder / f"model.ckpt-{step}"
    write_bundle(prefix, training_variables(arrays))
    (folder / "options.json").write_text(json.dumps(options), encoding="utf-8")
    name = f"/home/somebody/{prefix.name}"
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n')
    return prefix


def hub_variables(arrays: dict[str, Array], module: str = "") -> dict[str, Any]:
    """Return the variables of google/elmo, without its scalar mix."""
    leaves = {"W_0": "kernel", "B": "bias", "W_P_0": "projection/kernel"}

    def name(old: str) -> str:
        new = re.sub(r"LSTMCell/(\w+)$", lambda match: f"rnn/lstm_cell/{leaves[match[1]]}", old)
        return f"{module}bilm/{new}"

    return {name(old): array for old, array in arrays.items()}


def write_hub(folder: Path, variables: dict[str, Any]) -> None:
    write_bundle(folder / "variables" / "variables", variables)
    (folder / "saved_model.pb").write_bytes(b"a graph, which is not read")
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")


def write_spark(folder: Path, variables: dict[str, Any]) -> None:
    """Write a saved stage of Spark NLP."""
    parts = folder.parent / f"{folder.name} parts"
    write_bundle(parts / "variables", variables)
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / "part-00000").write_text(json.dumps(SPARK_METADATA) + "\n", encoding="utf-8")
    (folder / "metadata" / "_SUCCESS").touch()
    with zipfile.ZipFile(folder / "elmo_tensorflow", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("saved_model.pb", b"a graph, which is not read")
        for path in sorted(parts.iterdir()):
            archive.write(path, path.name)
            path.unlink()
    parts.rmdir()


def assert_matches_oracle(
    opened: OpenCheckpoint,
    options: dict[str, Any],
    arrays: dict[str, Array],
    variant: str = "usual",
    boundaries: bool = True,
) -> None:
    """Assert that the model computes the same vectors as the oracle with these options and arrays."""
    model = build_model(opened, torch.float64)
    tokenizer = ElmoTokenizer(max_characters_per_token=model.config.max_characters_per_token)
    if opened.words:
        tokenizer = ElmoTokenizer(vocab_file=str(opened.files["vocab"].path))
    with torch.inference_mode():
        output = model(**inputs(SENTENCES, tokenizer), output_hidden_states=True)
    oracle = NumpyElmo(options, to_default_names(arrays, variant), opened.words)
    for row, words in enumerate(SENTENCES):
        if not words and not boundaries:
            continue
        layers, _ = oracle.run(words, boundaries=boundaries)
        layers = [layer[1:-1] if boundaries else layer for layer in layers]
        for got, expected in zip(output.hidden_states, layers, strict=True):
            np.testing.assert_allclose(got[row, : len(words)].numpy(), expected, rtol=0, atol=ORACLE)
        for weights, gamma in opened.scalar_mixes:
            expected = mix(layers, weights, gamma)
            np.testing.assert_allclose(output.last_hidden_state[row, : len(words)], expected, rtol=0, atol=ORACLE)
