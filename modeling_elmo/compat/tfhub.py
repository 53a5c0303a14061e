# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The outputs of TF Hub's `google/elmo`; see `compat`."""

import copy
import os
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from ..bundled import locate
from ..encoder import ElmoEncoder
from .inputs import Words


@lru_cache(maxsize=2)
def _encoder(name: str) -> ElmoEncoder:
    return ElmoEncoder.from_pretrained(name)


def tfhub_outputs(
    texts: Sequence[str] | Sequence[Words],
    sequence_len: Sequence[int] | None = None,
    model: str | os.PathLike[str] | ElmoEncoder | None = None,
) -> dict[str, np.ndarray]:
    """The outputs of TF Hub's `google/elmo`, padded with zeros.

    Args:
        texts: strings, split at blanks (signature `default`), or lists of words (signature `tokens`).
        sequence_len: how many of each list's words count; all by default. For lists of words only.
        model: an encoder, or a name or folder, which stays loaded; None for the bundled model.

    Returns:
        float32 arrays: `word_emb` [B, T, P], `lstm_outputs1`, `lstm_outputs2` and `elmo` [B, T, 2P]; `default` [B, 2P],
        the mean of `elmo` over each text's words (as elmo/3; 1 and 2 counted the padding); `sequence_len` [B].
    """
    if isinstance(texts, str):
        raise TypeError("texts must be a list of strings or of lists of words; got one string.")
    if any(isinstance(text, str) for text in texts):
        if sequence_len is not None:
            raise ValueError("sequence_len is for lists of words; got it with strings.")
        words = [text.split(" ") for text in texts if isinstance(text, str)]
        if len(words) != len(texts):
            raise TypeError("texts must be all strings or all lists of words; got both.")
        words = [[word for word in sentence if word] for sentence in words]
    else:
        words = [list(sentence) for sentence in texts]
        if sequence_len is not None:
            if len(sequence_len) != len(words):
                raise ValueError(f"sequence_len must have {len(words)} numbers; got {len(sequence_len)}.")
            for number, (sentence, length) in enumerate(zip(words, sequence_len, strict=True)):
                if not 0 <= length <= len(sentence):
                    raise ValueError(f"sequence_len must be in 0..{len(sentence)} in row {number}; got {length}.")
            words = [sentence[:length] for sentence, length in zip(words, sequence_len, strict=True)]
    encoder = model if isinstance(model, ElmoEncoder) else _encoder(locate(model))
    config = encoder.model.config
    if config.mix_layer_norm is not None:
        raise ValueError(f"TF Hub's model has no layer normalisation; this one has {config.mix_layer_norm!r}.")
    layers = encoder.encode(words, layer="all", dtype="float32")
    mix = copy.deepcopy(encoder.model.scalar_mixes[0]).float().cpu()
    size = config.projection_size
    names = [f"lstm_outputs{index}" for index in range(1, config.num_hidden_layers + 1)]
    outputs = {"word_emb": _padded([array[:, 0, :size] for array in layers])}
    for index, name in enumerate(names, start=1):
        outputs[name] = _padded([array[:, index] for array in layers])
    with torch.no_grad():
        outputs["elmo"] = _padded([mix(torch.from_numpy(array).unbind(1)).numpy() for array in layers])
    lengths = np.array([len(sentence) for sentence in words], dtype=np.int32)
    outputs["default"] = outputs["elmo"].sum(1) / np.maximum(lengths, 1)[:, None].astype(np.float32)
    outputs["sequence_len"] = lengths
    return outputs


def _padded(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """[B, T, D] of arrays [words, D], zeros behind each."""
    longest = max((len(array) for array in arrays), default=0)
    padded = np.zeros((len(arrays), longest, arrays[0].shape[1] if arrays else 0), dtype=np.float32)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded
