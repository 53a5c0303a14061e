# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What determines an encoder's vectors, in bytes that are the same in every process."""

import copy
import hashlib
import inspect
import json
from typing import Any

import torch
from safetensors.torch import load, save

from .configuration_elmo import ElmoConfig
from .modeling_elmo import ElmoModel
from .tokenization_elmo import ElmoTokenizer


def config_json(model: Any) -> str:
    """The configuration's own fields; the others tell where a model came from."""
    fields = model.config.to_dict()
    return json.dumps({name: fields[name] for name in inspect.signature(ElmoConfig).parameters if name in fields})


def weights_bytes(model: Any) -> bytes:
    """The weights as the contents of a safetensors file, whose order does not depend on the module's."""
    return save({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()})


def nameless(tokenizer: ElmoTokenizer) -> ElmoTokenizer:
    """The tokenizer without a memory of where it came from, and by which token."""
    own = inspect.signature(type(tokenizer)).parameters
    tokenizer = copy.copy(tokenizer)
    tokenizer.name_or_path = ""
    tokenizer.init_kwargs = {name: value for name, value in tokenizer.init_kwargs.items() if name in own}
    return tokenizer


def rebuilt_model(config: str, weights: bytes) -> ElmoModel:
    """The model of `config_json` and `weights_bytes`."""
    with torch.device("meta"):
        model = ElmoModel(ElmoConfig(**json.loads(config)))
    model.load_state_dict(load(weights), assign=True)
    return model


def fingerprint(model: Any, tokenizer: ElmoTokenizer) -> str:
    """A sha256 of weights, configuration and tokenizer."""
    added = {index: str(token) for index, token in sorted(tokenizer.added_tokens_decoder.items())}
    switches = [tokenizer.split_special_tokens, bool(getattr(tokenizer, "do_lower_case", False))]
    words = [tokenizer.splitter, tokenizer.alphabet.width, tokenizer.alphabet.vocab, added, *switches]
    lexicon = getattr(tokenizer.alphabet, "lists", None)
    words += [] if lexicon is None else [lexicon]
    digest = hashlib.sha256(weights_bytes(model))
    digest.update(config_json(model).encode())
    digest.update(json.dumps(words).encode())
    return digest.hexdigest()
