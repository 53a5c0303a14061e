# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What the old calls take: names of files as models, lists of words as character ids; see `compat`."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..bundled import locate
from ..model.modeling_elmo import ElmoModel
from ..model.tokenization_elmo import ElmoTokenizer

_ORIGINAL = "https://allennlp.s3.amazonaws.com/models/elmo/2x4096_512_2048cnn_2xhighway/"
DEFAULT_OPTIONS_FILE = _ORIGINAL + "elmo_2x4096_512_2048cnn_2xhighway_options.json"
DEFAULT_WEIGHT_FILE = _ORIGINAL + "elmo_2x4096_512_2048cnn_2xhighway_weights.hdf5"
Words = Sequence[str]
# AllenNLP's biLM has no dropout of its own, also while it trains.
_NO_DROPOUT = {"lstm_dropout": 0.0, "output_dropout": 0.0}


def load_model(options_file: str | os.PathLike[str] | None, weight_file: str | os.PathLike[str] | None) -> ElmoModel:
    """The model that an old pair of files, or a new name, stands for, without dropout.

    Args:
        options_file, weight_file: paths or addresses of `options.json` and the HDF5 weights, which are converted in
            memory. Or one name, as either of them with the other None or the same: the folder or Hub repository of a
            converted model, or anything else that `elmo convert` takes.

    Raises:
        FileNotFoundError, ConnectionError, ValueError: see `modeling_elmo.conversion.convert`.
        OSError: there is no such model on the Hub.
    """
    names = {str(name) for name in (options_file, weight_file) if name is not None}
    if not names:
        raise ValueError("options_file and weight_file must be files or the name of a model; got None.")
    from ..conversion.convert import load
    from ..conversion.source.checkpoints import find
    from ..conversion.source.fetch import resolve

    if len(names) == 2:
        loaded = load(resolve(str(weight_file), options=str(options_file)), **_NO_DROPOUT)
    else:
        name = locate(names.pop())
        is_old = Path(name).exists() or find(name) is not None
        if not is_old or (Path(name) / "config.json").is_file():
            return ElmoModel.from_pretrained(name, **_NO_DROPOUT)
        loaded = load(resolve(name), **_NO_DROPOUT)
    model = ElmoModel(loaded.config)
    model.load_state_dict(loaded.state)
    return model


@lru_cache(maxsize=1)
def _tokenizer(max_characters_per_token: int) -> ElmoTokenizer:
    return ElmoTokenizer(max_characters_per_token=max_characters_per_token)


def batch_to_ids(batch: Sequence[Words]) -> Tensor:
    """Character ids [sentences, words, 50] of lists of words, rows of zeros where there is no word."""
    for index, words in enumerate(batch):
        if isinstance(batch, str) or isinstance(words, str):
            raise TypeError(f"batch must be a list of lists of words; item {index} is the string {words!r}.")
    if not len(batch):
        return torch.zeros(0, 0, 50, dtype=torch.long)
    encoded = _tokenizer(50)([list(words) for words in batch], is_split_into_words=True, padding=True)
    return torch.as_tensor(np.asarray(encoded["input_ids"]), dtype=torch.long).view(len(batch), -1, 50)
