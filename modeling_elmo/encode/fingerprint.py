# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Fingerprint and serialization of an encoder, identical in every process."""

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

# Version of the lists that `fingerprint` hashes. Increase it if an entry is added, removed, or changes its meaning.
_SCHEMA = 1

# Fields of `ElmoConfig` that do not change the vectors of an encoder.
UNHASHED_FIELDS = frozenset(
    {
        # `encode` names the layer and uses the first mix, whose weights are hashed.
        "pooling_layer",
        "num_output_representations",
        "scalar_mix_parameters",
        # Training, heads, and the softmax of the language model.
        "freeze_scalar_mix",
        "output_dropout",
        "lstm_dropout",
        "classifier_dropout",
        "scalar_mix_l2",
        "trainable_modules",
        "sentence_pooling",
        "word_vocab_size",
        "word_bos_id",
        "word_eos_id",
        "softmax_type",
        "num_sampled_words",
        "adaptive_softmax_cutoffs",
        "adaptive_softmax_div_value",
        "initializer_range",
        # The cache returns the vectors that it stored, and the padding id is fixed.
        "word_cache_size",
        "pad_token_id",
    }
)


def hashed_config_values(config: ElmoConfig) -> list[tuple[str, Any]]:
    """Return the configured values that change the vectors, with names that stay if a field is renamed."""
    return [
        ("vocab_size", config.vocab_size),
        ("input_type", config.input_type),
        ("max_characters_per_token", config.max_characters_per_token),
        ("character_embedding_size", config.character_embedding_size),
        ("filters", config.filters),
        ("cnn_activation", config.cnn_activation),
        ("num_highway_layers", config.num_highway_layers),
        ("use_character_projection", config.use_character_projection),
        ("projection_size", config.projection_size),
        ("cell_size", config.cell_size),
        ("use_cell_projection", config.use_cell_projection),
        ("num_hidden_layers", config.num_hidden_layers),
        ("bidirectional", config.bidirectional),
        ("use_skip_connections", config.use_skip_connections),
        ("cell_clip", config.cell_clip),
        ("projection_clip", config.projection_clip),
        ("forget_bias", config.forget_bias),
        ("sentence_boundaries", config.sentence_boundaries),
        ("mix_layer_norm", config.mix_layer_norm),
        ("stored_initial_state", config.stored_initial_state),
        ("bos_token_id", config.bos_token_id),
        ("eos_token_id", config.eos_token_id),
        ("character_bow_id", config.character_bow_id),
        ("character_eow_id", config.character_eow_id),
        ("character_pad_id", config.character_pad_id),
        ("lexicon_size", config.lexicon_size),
        ("lexicon_embedding_size", config.lexicon_embedding_size),
        ("lexicon_bos_id", config.lexicon_bos_id),
        ("lexicon_eos_id", config.lexicon_eos_id),
        ("aligned", config.aligned),
        ("lstm_weight_dtype", config.lstm_weight_dtype),
        # Implementations differ in the last digits. "auto" depends on the machine, like the rounding of its kernels.
        ("lstm_implementation", config.lstm_implementation),
    ]


def hashed_tokenizer_values(tokenizer: ElmoTokenizer) -> list[tuple[str, Any]]:
    """Return the properties of the tokenizer that change the ids of a sentence."""
    added = {index: (str(token), token.single_word) for index, token in tokenizer.added_tokens_decoder.items()}
    return [
        ("splitter", tokenizer.splitter),
        ("num_ids_per_word", tokenizer.alphabet.width),
        ("vocabulary", tokenizer.alphabet.vocab),
        ("lexicon", getattr(tokenizer.alphabet, "lists", None)),
        ("added_tokens", sorted(added.items())),
        ("split_special_tokens", tokenizer.split_special_tokens),
        ("lower_case", bool(getattr(tokenizer, "do_lower_case", False))),
    ]


def fingerprint(model: Any, tokenizer: ElmoTokenizer) -> str:
    """Return a SHA-256 of the weights, their dtypes, and the values of configuration and tokenizer that matter."""
    digest = hashlib.sha256()
    for name, dtype, shape, data in _iter_weights(model):
        digest.update(json.dumps([name, dtype, shape]).encode())
        digest.update(data)
    values = [_SCHEMA, hashed_config_values(model.config), hashed_tokenizer_values(tokenizer)]
    digest.update(json.dumps(values).encode())
    return digest.hexdigest()


def config_json(model: Any) -> str:
    """Serialize the fields of the configuration, runtime choices included, without the origin of the model."""
    parameters = inspect.signature(ElmoConfig).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    return json.dumps({name: getattr(model.config, name) for name in names})


def stored_weights(model: Any) -> list[StoredWeight]:
    """Serialize the weights to plain types, so that pickling does not copy them twice."""
    return [(name, dtype, shape, bytes(data)) for name, dtype, shape, data in _iter_weights(model)]


def without_source(tokenizer: ElmoTokenizer) -> ElmoTokenizer:
    """Return a copy of the tokenizer without its source path and access token."""
    parameters = inspect.signature(type(tokenizer)).parameters
    tokenizer = copy.copy(tokenizer)
    tokenizer.name_or_path = ""
    tokenizer.init_kwargs = {name: value for name, value in tokenizer.init_kwargs.items() if name in parameters}
    return tokenizer


def rebuild_model(config: str, weights: list[StoredWeight]) -> ElmoModel:
    """Build the model that `config_json` and `stored_weights` describe."""
    with torch.device("meta"):
        model = ElmoModel(ElmoConfig(**json.loads(config)))
    model.load_state_dict({name: _to_tensor(dtype, shape, data) for name, dtype, shape, data in weights}, assign=True)
    return model


def _iter_weights(model: Any) -> Iterator[tuple[str, str, tuple[int, ...], memoryview]]:
    """Yield name, dtype, shape, and bytes of each weight, sorted by name."""
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().cpu().reshape(-1)
        yield name, str(flat.dtype).removeprefix("torch."), tuple(tensor.shape), flat.view(torch.uint8).numpy().data


def _to_tensor(dtype: str, shape: tuple[int, ...], data: bytes) -> Tensor:
    if not data:  # `torch.frombuffer` rejects empty buffers
        return torch.empty(shape, dtype=getattr(torch, dtype))
    return torch.frombuffer(bytearray(data), dtype=getattr(torch, dtype)).reshape(shape)
