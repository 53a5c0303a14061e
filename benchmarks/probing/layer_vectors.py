# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Vectors of selected words: all layers from one pass, stored in files, so that memory holds one layer at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from readers import Words, model_words

from modeling_elmo import ElmoEncoder

LAYERS = ("word_emb", "lstm_outputs1", "lstm_outputs2", "elmo")
_SENTENCES_PER_CALL = 1000


def _split_layers(encoder: ElmoEncoder, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the vectors by layer name from all layers [words, layers, D]. The scalar mix of the model is `elmo`."""
    layers = rows.unbind(1)
    names = [name for name in LAYERS if name != "elmo"]
    vectors = dict(zip(names, layers, strict=True))
    with torch.inference_mode():
        vectors["elmo"] = encoder.model.scalar_mixes[0](layers)
    vectors["word_emb"] = vectors["word_emb"][:, : encoder.model.config.projection_size]  # drop the copy
    return vectors


def write_vectors(
    encoder: ElmoEncoder, sentences: Sequence[Words], word_indices: Sequence[Sequence[int]], folder: Path
) -> dict[str, Path]:
    """Compute the vectors of the selected words and write one file per layer.

    Args:
        encoder: Encoder of a model with two LSTM layers and a scalar mix.
        sentences: Lists of words.
        word_indices: Indices of the selected words of each sentence.
        folder: Folder of the files `LAYER.npy`, float16 [selected words, D].

    Returns:
        NumPy files by layer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(map(len, word_indices))
    files = {layer: folder / f"{layer}.npy" for layer in LAYERS}
    arrays: dict[str, np.ndarray] = {}
    done = 0
    for start in range(0, len(sentences), _SENTENCES_PER_CALL):
        part = slice(start, start + _SENTENCES_PER_CALL)
        vectors = encoder.encode([model_words(words) for words in sentences[part]], layer="all", dtype="float32")
        rows = [array[list(indices)] for array, indices in zip(vectors, word_indices[part], strict=True)]
        for layer, values in _split_layers(encoder, torch.from_numpy(np.concatenate(rows))).items():
            if layer not in arrays:
                shape = (total, values.shape[1])
                arrays[layer] = np.lib.format.open_memmap(files[layer], "w+", dtype=np.float16, shape=shape)
            arrays[layer][done : done + len(values)] = values.numpy()
        done += sum(map(len, rows))
    for array in arrays.values():
        array.flush()
    return files


def load_vectors(file: Path) -> np.ndarray:
    """Return all vectors of a layer, float32 [words, D]."""
    return np.load(file, mmap_mode="r").astype(np.float32)


def all_word_indices(sentences: Sequence[Words]) -> list[range]:
    """Return the indices of all words, for `write_vectors`."""
    return [range(len(words)) for words in sentences]
