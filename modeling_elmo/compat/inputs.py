# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Inputs of the old calls: models by file names, and character ids of lists of words. See `compat`."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bundled import resolve_model_name
from ..encode.batches import Words
from ..loading import load_pretrained
from ..model.modeling_elmo import ElmoModel
from ..model.tokenization_elmo import ElmoTokenizer

_ORIGINAL = "https://allennlp.s3.amazonaws.com/models/elmo/2x4096_512_2048cnn_2xhighway/"
DEFAULT_OPTIONS_FILE = _ORIGINAL + "elmo_2x4096_512_2048cnn_2xhighway_options.json"
DEFAULT_WEIGHT_FILE = _ORIGINAL + "elmo_2x4096_512_2048cnn_2xhighway_weights.hdf5"
# AllenNLP's biLM has no dropout, even in training mode.
_NO_DROPOUT: dict[str, Any] = {"lstm_dropout": 0.0, "output_dropout": 0.0}


def load_model(options_file: str | os.PathLike[str] | None, weight_file: str | os.PathLike[str] | None) -> ElmoModel:
    """Load a model without dropout, from a pair of old files or by one name.

    A name is the folder or Hub repository of a converted model, or any other source that `elmo convert` takes. Pass it
    as one argument, and None or the same name as the other.

    Args:
        options_file: Path or URL of `options.json`, or a name.
        weight_file: Path or URL of the HDF5 weights, which are converted in memory, or a name.

    Raises:
        ValueError: If both arguments are None, the files are no valid checkpoint, or weights are missing or not finite.
        FileNotFoundError: If a file does not exist.
        ConnectionError: If a download fails.
        OSError: If the Hub has no such model.
    """
    names = {str(name) for name in (options_file, weight_file) if name is not None}
    if not names:
        raise ValueError("Expected `options_file` and `weight_file`, or the name of a model, got None.")
    from ..conversion.convert import load
    from ..conversion.source.checkpoints import find_checkpoint
    from ..conversion.source.fetch import resolve_source

    if len(names) == 2:
        loaded = load(resolve_source(str(weight_file), options=str(options_file)), **_NO_DROPOUT)
    else:
        name = resolve_model_name(names.pop())
        is_old = Path(name).exists() or find_checkpoint(name) is not None
        if not is_old or (Path(name) / "config.json").is_file():
            return load_pretrained(ElmoModel, name, **_NO_DROPOUT)
        loaded = load(resolve_source(name), **_NO_DROPOUT)
    model = ElmoModel(loaded.config)
    model.load_state_dict(loaded.state)
    return model


@lru_cache(maxsize=1)
def _tokenizer(max_characters_per_token: int) -> ElmoTokenizer:
    return ElmoTokenizer(max_characters_per_token=max_characters_per_token)


def batch_to_ids(batch: Sequence[Words]) -> Tensor:
    """Return the character ids of lists of words, [sentences, words, 50], with zeros as padding.

    Raises:
        TypeError: If a sentence is a string.
    """
    for index, words in enumerate(batch):
        if isinstance(batch, str) or isinstance(words, str):
            raise TypeError(f"Expected `batch` to be a list of lists of words, got the string {words!r} at {index}.")
    if not len(batch):
        return torch.zeros(0, 0, 50, dtype=torch.long)
    encoded = _tokenizer(50)([list(words) for words in batch], is_split_into_words=True, padding=True)
    return torch.as_tensor(np.asarray(encoded["input_ids"]), dtype=torch.long).view(len(batch), -1, 50)
