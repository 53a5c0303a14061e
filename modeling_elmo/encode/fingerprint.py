# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What determines an encoder's vectors, in bytes that are the same in every process."""

import copy
import hashlib
import inspect
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..model.configuration_elmo import ElmoConfig
from ..model.modeling_elmo import ElmoModel
from ..model.tokenization_elmo import ElmoTokenizer

StoredWeight = tuple[str, str, tuple[int, ...], bytes]  # name, dtype, shape, bytes


def config_json(model: Any) -> str:
    """The configuration's own fields; the others tell where a model came from."""
    fields = model.config.to_dict()
    return json.dumps({name: fields[name] for name in inspect.signature(ElmoConfig).parameters if name in fields})


def _weights(model: Any) -> Iterator[tuple[str, str, tuple[int, ...], memoryview]]:
    """Name, dtype, shape and bytes of each weight, in an order that is not the module's."""
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().cpu().reshape(-1)
        yield name, str(flat.dtype).removeprefix("torch."), tuple(tensor.shape), flat.view(torch.uint8).numpy().data


def stored_weights(model: Any) -> list[StoredWeight]:
    """The weights in plain types, which are pickled without a second copy of hundreds of megabytes."""
    return [(name, dtype, shape, bytes(data)) for name, dtype, shape, data in _weights(model)]


def nameless(tokenizer: ElmoTokenizer) -> ElmoTokenizer:
    """The tokenizer without a memory of where it came from, and by which token."""
    own = inspect.signature(type(tokenizer)).parameters
    tokenizer = copy.copy(tokenizer)
    tokenizer.name_or_path = ""
    tokenizer.init_kwargs = {name: value for name, value in tokenizer.init_kwargs.items() if name in own}
    return tokenizer


def rebuilt_model(config: str, weights: list[StoredWeight]) -> ElmoModel:
    """The model of `config_json` and `stored_weights`."""
    with torch.device("meta"):
        model = ElmoModel(ElmoConfig(**json.loads(config)))
    model.load_state_dict({name: _restored(dtype, shape, data) for name, dtype, shape, data in weights}, assign=True)
    return model


def _restored(dtype: str, shape: tuple[int, ...], data: bytes) -> Tensor:
    if not data:  # of which `frombuffer` makes nothing
        return torch.empty(shape, dtype=getattr(torch, dtype))
    return torch.frombuffer(bytearray(data), dtype=getattr(torch, dtype)).reshape(shape)


def fingerprint(model: Any, tokenizer: ElmoTokenizer) -> str:
    """A sha256 of weights, configuration and tokenizer."""
    added = {index: str(token) for index, token in sorted(tokenizer.added_tokens_decoder.items())}
    switches = [tokenizer.split_special_tokens, bool(getattr(tokenizer, "do_lower_case", False))]
    words = [tokenizer.splitter, tokenizer.alphabet.width, tokenizer.alphabet.vocab, added, *switches]
    lexicon = getattr(tokenizer.alphabet, "lists", None)
    words += [] if lexicon is None else [lexicon]
    digest = hashlib.sha256()
    for name, dtype, shape, data in _weights(model):
        digest.update(json.dumps([name, dtype, shape]).encode())
        digest.update(data)
    digest.update(config_json(model).encode())
    digest.update(json.dumps(words).encode())
    return digest.hexdigest()
