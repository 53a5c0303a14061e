# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""A model's vectors of chosen words: every layer from one pass, in files, so that memory holds one layer at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from readers import Words, model_words

from modeling_elmo import ElmoEncoder

LAYERS = ("word_emb", "lstm_outputs1", "lstm_outputs2", "elmo")
_SENTENCES_AT_ONCE = 1000


def _by_layer(encoder: ElmoEncoder, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """The vectors of each layer from `[words, L + 1, D]`: the model's own mix for `elmo`, and word vectors once."""
    layers = rows.unbind(1)
    names = [name for name in LAYERS if name != "elmo"]
    found = dict(zip(names, layers, strict=True))
    with torch.inference_mode():
        found["elmo"] = encoder.model.scalar_mixes[0](layers)
    found["word_emb"] = found["word_emb"][:, : encoder.model.config.projection_size]  # the rest repeats it
    return found


def write_vectors(
    encoder: ElmoEncoder, sentences: Sequence[Words], wanted: Sequence[Sequence[int]], folder: Path
) -> dict[str, Path]:
    """Compute the vectors of the wanted words and write one file a layer.

    Args:
        encoder: a model of two LSTM layers with a scalar mix.
        sentences: lists of words.
        wanted: indices of words of each sentence.
        folder: where the files go, `LAYER.npy`, float16 [wanted words, D].

    Returns:
        The files by layer; `numpy.load` reads them, memory-mapped if wished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(map(len, wanted))
    files = {layer: folder / f"{layer}.npy" for layer in LAYERS}
    arrays: dict[str, np.ndarray] = {}
    done = 0
    for start in range(0, len(sentences), _SENTENCES_AT_ONCE):
        part = slice(start, start + _SENTENCES_AT_ONCE)
        vectors = encoder.encode([model_words(words) for words in sentences[part]], layer="all", dtype="float32")
        rows = [each[list(indices)] for each, indices in zip(vectors, wanted[part], strict=True)]
        for layer, values in _by_layer(encoder, torch.from_numpy(np.concatenate(rows))).items():
            if layer not in arrays:
                shape = (total, values.shape[1])
                arrays[layer] = np.lib.format.open_memmap(files[layer], "w+", dtype=np.float16, shape=shape)
            arrays[layer][done : done + len(values)] = values.numpy()
        done += sum(map(len, rows))
    for array in arrays.values():
        array.flush()
    return files


def load(file: Path) -> np.ndarray:
    """All vectors of a layer, float32 [words, D]."""
    return np.load(file, mmap_mode="r").astype(np.float32)


def every_word(sentences: Sequence[Words]) -> list[range]:
    """The indices of all words, for `write_vectors`."""
    return [range(len(words)) for words in sentences]
