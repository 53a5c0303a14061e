# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Outputs of TF Hub's `google/elmo`. See `compat`."""

import copy
import os
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from ..bundled import resolve_model_name
from ..encode.batches import Words
from ..encoder import ElmoEncoder


@lru_cache(maxsize=2)
def _encoder(name: str) -> ElmoEncoder:
    return ElmoEncoder.from_pretrained(name)


def tfhub_outputs(
    texts: Sequence[str] | Sequence[Words],
    sequence_len: Sequence[int] | None = None,
    model: str | os.PathLike[str] | ElmoEncoder | None = None,
) -> dict[str, np.ndarray]:
    """Return the outputs of TF Hub's `google/elmo`, padded with zeros.

    Args:
        texts: Strings, which are split at spaces (signature `default`), or lists of words (signature `tokens`).
        sequence_len: Number of words to use of each list, [B]. Defaults to all. Only for lists of words.
        model: Encoder, or a name or folder whose encoder is cached. Defaults to the bundled model.

    Returns:
        float32 arrays: `word_emb` [B, T, P]; `lstm_outputs1`, `lstm_outputs2`, and `elmo` [B, T, 2P]; `default`
        [B, 2P], the mean of `elmo` over the words of each text, as in elmo/3; `sequence_len` [B], int32. The versions
        elmo/1 and elmo/2 included the padding in the mean.

    Raises:
        TypeError: If `texts` is one string, or mixes strings and lists of words.
        ValueError: If `sequence_len` does not match `texts`, or the model normalizes its layers.
    """
    if isinstance(texts, str):
        raise TypeError("Expected `texts` to be a list of strings or of lists of words, got one string.")
    if any(isinstance(text, str) for text in texts):
        if sequence_len is not None:
            raise ValueError("Expected `sequence_len` with lists of words only, got strings. Omit it.")
        words = [text.split(" ") for text in texts if isinstance(text, str)]
        if len(words) != len(texts):
            raise TypeError("Expected `texts` to be all strings or all lists of words, got both.")
        words = [[word for word in sentence if word] for sentence in words]
    else:
        words = [list(sentence) for sentence in texts]
        if sequence_len is not None:
            if len(sequence_len) != len(words):
                raise ValueError(f"Expected `sequence_len` of length {len(words)}, got {len(sequence_len)}.")
            for row, (sentence, length) in enumerate(zip(words, sequence_len, strict=True)):
                if not 0 <= length <= len(sentence):
                    raise ValueError(f"Expected `sequence_len[{row}]` in 0..{len(sentence)}, got {length}.")
            words = [sentence[:length] for sentence, length in zip(words, sequence_len, strict=True)]
    encoder = model if isinstance(model, ElmoEncoder) else _encoder(resolve_model_name(model))
    config = encoder.model.config
    if config.mix_layer_norm is not None:
        raise ValueError(
            f"Expected a model without layer normalization, as TF Hub's, got mix_layer_norm={config.mix_layer_norm!r}."
        )
    layers = encoder.encode(words, layer="all", dtype="float32")
    mix = copy.deepcopy(encoder.model.scalar_mixes[0]).float().cpu()
    size = config.projection_size
    names = [f"lstm_outputs{index}" for index in range(1, config.num_hidden_layers + 1)]
    outputs = {"word_emb": _pad([array[:, 0, :size] for array in layers])}
    for index, name in enumerate(names, start=1):
        outputs[name] = _pad([array[:, index] for array in layers])
    with torch.no_grad():
        outputs["elmo"] = _pad([mix(torch.from_numpy(array).unbind(1)).numpy() for array in layers])
    lengths = np.array([len(sentence) for sentence in words], dtype=np.int32)
    outputs["default"] = outputs["elmo"].sum(1) / np.maximum(lengths, 1)[:, None].astype(np.float32)
    outputs["sequence_len"] = lengths
    return outputs


def _pad(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Pad arrays [words, D] with zeros to [B, T, D]."""
    max_words = max((len(array) for array in arrays), default=0)
    padded = np.zeros((len(arrays), max_words, arrays[0].shape[1] if arrays else 0), dtype=np.float32)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded
