# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo in NumPy and float64, one sentence and one word at a time, written from the formulas.

It reads weights by the names of bilm-tf, so it shares neither name table, character ids, nor packing with the package.
"""

from typing import Any

import numpy as np

Array = np.ndarray
State = tuple[Array, Array]  # hidden [H], cell [C]


def sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def raw_character_ids(word: str, width: int) -> list[int]:
    """Return the ids of a word in bilm-tf, before the shift by one that reserves 0 for padding."""
    if word in ("<S>", "</S>"):
        content = [256 if word == "<S>" else 257]
    else:
        content = list(word.encode("utf-8", "ignore")[: width - 2])
    ids = [258, *content, 259]
    return ids + [260] * (width - len(ids))


class NumpyElmo:
    """BiLM of an `options.json` file and the arrays of its HDF5 file.

    Args:
        options: The parsed `options.json`.
        arrays: Arrays by the dataset names of bilm-tf (`char_embed`, `RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_0`, ...).
        vocabulary: Words of a word-input biLM, in the order of its `embedding` array.
    """

    def __init__(self, options: dict[str, Any], arrays: dict[str, Array], vocabulary: list[str] | None = None) -> None:
        self.options = options
        self.arrays = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
        self.lstm = options["lstm"]
        self.num_layers = self.lstm.get("n_layers", 1)
        self.num_directions = 2 if options.get("bidirectional", True) else 1
        self.vocabulary = vocabulary

    def word_vector(self, word: str) -> Array:
        if "char_cnn" not in self.options:
            assert self.vocabulary is not None
            known = word if word in self.vocabulary else "<UNK>"
            return self.arrays["embedding"][self.vocabulary.index(known)]
        cnn = self.options["char_cnn"]
        activation = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[cnn["activation"]]
        table = self.arrays["char_embed"][-261:]
        characters = table[raw_character_ids(word, cnn["max_characters_per_token"])]
        features = []
        for i, (width, _) in enumerate(cnn["filters"]):
            kernel, bias = self.arrays[f"CNN/W_cnn_{i}"][0], self.arrays[f"CNN/b_cnn_{i}"]
            windows = [
                np.einsum("kd,kdn->n", characters[t : t + width], kernel) + bias
                for t in range(len(characters) - width + 1)
            ]
            features.append(activation(np.max(windows, axis=0)))
        x = np.concatenate(features)
        for i in range(cnn.get("n_highway") or 0):
            a = {
                name: self.arrays[f"CNN_high_{i}/{name}"]
                for name in ("W_carry", "b_carry", "W_transform", "b_transform")
            }
            gate = sigmoid(x @ a["W_carry"] + a["b_carry"])
            x = gate * np.maximum(x @ a["W_transform"] + a["b_transform"], 0) + (1 - gate) * x
        if "CNN_proj/W_proj" in self.arrays:
            x = x @ self.arrays["CNN_proj/W_proj"] + self.arrays["CNN_proj/b_proj"]
        return x

    def run_layer(self, direction: int, layer: int, inputs: Array, state: State | None) -> tuple[Array, State]:
        """Run one direction of a layer: [T, input] in its time order to [T, H], without the skip connection."""
        root = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
        kernel, bias = self.arrays[f"{root}/W_0"], self.arrays[f"{root}/B"]
        projection = self.arrays.get(f"{root}/W_P_0")
        size = len(bias) // 4
        h, c = state or (np.zeros(len(kernel) - inputs.shape[1]), np.zeros(size))
        outputs = np.zeros((len(inputs), len(h)))
        for t, x in enumerate(inputs):
            i, j, f, o = np.split(np.concatenate([x, h]) @ kernel + bias, 4)
            c = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(j)
            if self.lstm.get("cell_clip"):
                c = np.clip(c, -self.lstm["cell_clip"], self.lstm["cell_clip"])
            h = sigmoid(o) * np.tanh(c)
            if projection is not None:
                h = h @ projection
                if self.lstm.get("proj_clip"):
                    h = np.clip(h, -self.lstm["proj_clip"], self.lstm["proj_clip"])
            outputs[t] = h
        return outputs, (h, c)

    def run(
        self, words: list[str], states: dict[tuple[int, int], State] | None = None, boundaries: bool = True
    ) -> tuple[list[Array], dict[tuple[int, int], State]]:
        """Return all layers of one sentence, [T + 2, directions * size] (T without boundaries), and the final states.

        `states` maps (layer, direction) to the final states of the previous sentence.
        """
        states = dict(states or {})
        tokens = ["<S>", *words, "</S>"] if boundaries else words
        vectors = np.stack([self.word_vector(token) for token in tokens])
        inputs = [vectors, vectors[::-1]][: self.num_directions]
        layers = [np.concatenate([vectors] * self.num_directions, axis=1)]
        for layer in range(self.num_layers):
            outputs_by_direction = []
            for direction, layer_input in enumerate(inputs):
                key = (layer, direction)
                outputs, states[key] = self.run_layer(direction, layer, layer_input, states.get(key))
                if layer and self.lstm.get("use_skip_connections"):
                    outputs = outputs + layer_input
                outputs_by_direction.append(outputs)
            inputs = outputs_by_direction
            layers.append(np.concatenate([inputs[0], *[reverse[::-1] for reverse in inputs[1:]]], axis=1))
        return layers, states


def mix(layers: list[Array], weights: Array | None = None, gamma: float = 1.0) -> Array:
    """Return `gamma * sum_l softmax(weights)_l * layers_l`."""
    weights = np.zeros(len(layers)) if weights is None else np.asarray(weights, np.float64)
    normed_weights = np.exp(weights - weights.max())
    return gamma * np.einsum("l,lth->th", normed_weights / normed_weights.sum(), np.stack(layers))
