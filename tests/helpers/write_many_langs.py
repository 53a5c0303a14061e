# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Random models in the format of ELMoForManyLangs, a NumPy reference implementation, and the original program."""

import copy
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.converted_model import build_model

from modeling_elmo import ElmoModel, ElmoTokenizer
from modeling_elmo.conversion.convert import lexicon_tokenizer
from modeling_elmo.conversion.formats import many_langs

Array = np.ndarray

ARCHITECTURE: dict[str, Any] = {
    "encoder": {"name": "elmo", "projection_dim": 6, "cell_clip": 0.9, "proj_clip": 0.7, "dim": 10, "n_layers": 2},
    "token_embedder": {
        "name": "cnn",
        "activation": "relu",
        "filters": [[1, 3], [2, 4], [3, 5]],
        "n_highway": 2,
        "word_dim": 7,
        "char_dim": 4,
        "max_characters_per_token": 50,
    },
    "classifier": {"name": "sampled_softmax", "n_samples": 8},
    "dropout": 0.1,
}
LONGEST = "y" * 48  # longer words are truncated to this length
WORDS = [
    "<oov>",
    "<bos>",
    "<eos>",
    "<pad>",
    "the",
    "bank",
    "Müller",
    "東京",
    "2024",
    "b",
    "a\u00a0b",
    "\u3000",
    LONGEST,
    "🙂",
]
CHARACTERS = [*"thebankyMülr東京20ab", "\u3000", "<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>", "é", "🙂"]
CHARACTERS = list(dict.fromkeys(CHARACTERS))


def architecture_with(**sections: Any) -> dict[str, Any]:
    """Return ARCHITECTURE with replaced keys: `architecture_with(token_embedder={"word_dim": 0})`."""
    architecture = copy.deepcopy(ARCHITECTURE)
    for key, value in sections.items():
        architecture[key].update(value)
    return architecture


def random_state(architecture: dict[str, Any], seed: int = 0) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the arrays of `token_embedder.pkl` and `encoder.pkl`, large enough that gates saturate and clips bind."""
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> Array:
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 1
        return (random.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)

    embedder, encoder = architecture["token_embedder"], architecture["encoder"]
    size, cells = encoder["projection_dim"], encoder["dim"]
    tokens: dict[str, Array] = {}
    features = 0
    if embedder["word_dim"]:
        features += embedder["word_dim"]
        tokens["word_emb_layer.embedding.weight"] = random.standard_normal((len(WORDS), features)).astype(np.float32)
    if embedder["char_dim"]:
        table = random.standard_normal((len(CHARACTERS), embedder["char_dim"])).astype(np.float32)
        tokens["char_emb_layer.embedding.weight"] = table
        for i, (width, count) in enumerate(embedder["filters"]):
            tokens[f"convolutions.{i}.weight"] = draw(count, embedder["char_dim"], width)
            tokens[f"convolutions.{i}.bias"] = draw(count)
        filters = sum(count for _, count in embedder["filters"])
        for k in range(embedder["n_highway"]):
            tokens[f"highways._layers.{k}.weight"] = draw(2 * filters, filters)
            tokens[f"highways._layers.{k}.bias"] = draw(2 * filters)
        features += filters
    tokens["projection.weight"], tokens["projection.bias"] = draw(size, features), draw(size)
    cell: dict[str, Array] = {}
    for layer in range(encoder["n_layers"]):
        for direction in ("forward", "backward"):
            root = f"{direction}_layer_{layer}"
            cell[f"{root}.input_linearity.weight"] = draw(4 * cells, size)
            cell[f"{root}.state_linearity.weight"] = draw(4 * cells, size)
            cell[f"{root}.state_linearity.bias"] = draw(4 * cells)
            cell[f"{root}.state_projection.weight"] = 2 * draw(size, cells)
    return tokens, cell


def write_model(folder: Path, architecture: dict[str, Any] = ARCHITECTURE, seed: int = 0, zipped: bool = True) -> None:
    """Write a model folder. With `zipped=False`, it has the format before PyTorch 1.6, as the published models."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in zip(("token_embedder.pkl", "encoder.pkl"), random_state(architecture, seed), strict=True):
        state = {key: torch.from_numpy(array) for key, array in arrays.items()}
        torch.save(state, folder / name, _use_new_zipfile_serialization=zipped)
    for name, entries in (("word.dic", WORDS), ("char.dic", CHARACTERS)):
        lines = [f"{entry}\t{index}\n" for index, entry in enumerate(entries)]
        (folder / name).write_text("".join(lines), encoding="utf-8", newline="\n")
    (folder / "config.json").write_text(json.dumps({"seed": 1, "config_path": "/home/somebody/configs/cnn.json"}))
    (folder / "cnn.json").write_text(json.dumps(architecture))


def sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


class NumpyManyLangs:
    """Reference implementation in float64, one word at a time, on the original arrays."""

    def __init__(self, architecture: dict[str, Any], seed: int = 0) -> None:
        self.encoder, self.embedder = architecture["encoder"], architecture["token_embedder"]
        tokens, cells = random_state(architecture, seed)
        self.arrays = {name: array.astype(np.float64) for name, array in {**tokens, **cells}.items()}

    def character_ids(self, word: str) -> list[int]:
        content = [CHARACTERS.index(c if c in CHARACTERS else "<oov>") for c in word]
        if word in ("<bos>", "<eos>"):
            content = [CHARACTERS.index(word)]
        ids = [CHARACTERS.index("<eow>"), *content, CHARACTERS.index("<bow>")]
        return ids + [CHARACTERS.index("<pad>")] * (self.embedder["max_characters_per_token"] - len(ids))

    def features(self, word: str) -> Array:
        characters = self.arrays["char_emb_layer.embedding.weight"][self.character_ids(word)]
        activation = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[self.embedder["activation"]]
        parts = []
        for i, (width, _) in enumerate(self.embedder["filters"]):
            kernel, bias = self.arrays[f"convolutions.{i}.weight"], self.arrays[f"convolutions.{i}.bias"]
            starts = range(len(characters) - width + 1)
            windows = [np.einsum("kd,ndk->n", characters[t : t + width], kernel) + bias for t in starts]
            parts.append(activation(np.max(windows, axis=0)))
        x = np.concatenate(parts)
        for k in range(self.embedder["n_highway"]):
            name = f"highways._layers.{k}"
            new, gate = np.split(self.arrays[f"{name}.weight"] @ x + self.arrays[f"{name}.bias"], 2)
            x = sigmoid(gate) * x + (1 - sigmoid(gate)) * np.maximum(new, 0)
        return x

    def word_vector(self, word: str) -> Array:
        word = word[: self.embedder["max_characters_per_token"] - 2]
        parts = []
        if self.embedder["word_dim"]:
            index = WORDS.index(word if word in WORDS else "<oov>")
            parts.append(self.arrays["word_emb_layer.embedding.weight"][index])
        if self.embedder["char_dim"]:
            parts.append(self.features(word))
        return self.arrays["projection.weight"] @ np.concatenate(parts) + self.arrays["projection.bias"]

    def run_layer(self, root: str, inputs: Array) -> Array:
        a = {name.removeprefix(f"{root}."): array for name, array in self.arrays.items() if name.startswith(root)}
        cell_clip, clip = self.encoder["cell_clip"], self.encoder["proj_clip"]
        h, c = np.zeros(self.encoder["projection_dim"]), np.zeros(self.encoder["dim"])
        outputs = []
        for x in inputs:
            gates = a["input_linearity.weight"] @ x + a["state_linearity.weight"] @ h + a["state_linearity.bias"]
            i, f, g, o = np.split(gates, 4)
            c = sigmoid(i) * np.tanh(g) + sigmoid(f) * c
            c = np.clip(c, -cell_clip, cell_clip) if cell_clip else c
            h = a["state_projection.weight"] @ (sigmoid(o) * np.tanh(c))
            h = np.clip(h, -clip, clip) if clip else h
            outputs.append(h)
        return np.stack(outputs)

    def run(self, words: Sequence[str]) -> Array:
        """Return all layers of a sentence without its boundaries, [layers + 1, words, 2 * projection_size]."""
        vectors = np.stack([self.word_vector(word) for word in ["<bos>", *words, "<eos>"]])
        layers = [np.concatenate([vectors, vectors], axis=1)]
        streams = [vectors, vectors[::-1]]
        for layer in range(self.encoder["n_layers"]):
            after = []
            for name, stream in zip(("forward", "backward"), streams, strict=True):
                outputs = self.run_layer(f"{name}_layer_{layer}", stream)
                after.append(outputs + stream if layer else outputs)
            streams = after
            layers.append(np.concatenate([streams[0], streams[1][::-1]], axis=1))
        return np.stack(layers)[:, 1:-1]


def open_model(folder: Path) -> tuple[ElmoModel, ElmoTokenizer]:
    """Return model and tokenizer of a folder, as `convert` builds them."""
    opened = many_langs.open_checkpoint(folder)
    model = build_model(opened)
    width = model.config.max_characters_per_token
    tokenizer = lexicon_tokenizer(opened.lexicon, splitter="whitespace", max_characters_per_token=width)
    return model, tokenizer


_PROGRAM = """
import json, sys
import numpy
from elmoformanylangs import Embedder
folder, sentences, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
layers = Embedder(folder, batch_size=len(sentences)).sents2elmo(sentences, output_layer=-2)
numpy.savez(out, *layers)
"""


def run_package(python: str, folder: Path, sentences: Sequence[Sequence[str]], out: Path) -> list[Array]:
    """Return the vectors of ELMoForManyLangs for one batch: [layers + 1, words, 2 * projection_size] per sentence."""
    command = [python, "-c", _PROGRAM, str(folder), json.dumps(sentences), str(out)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    with np.load(out) as arrays:
        return [arrays[name] for name in arrays.files]
