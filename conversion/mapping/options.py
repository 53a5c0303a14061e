# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`options.json` to `ElmoConfig` and back.

The keys are those of bilm-tf and AllenNLP. Training options (`batch_size`, `n_epochs`, ...) describe no
part of the model and are passed over.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from modeling_elmo.model.configuration_elmo import (
    ALPHABET_SIZE,
    CHARACTER_INPUT,
    CNN_ACTIVATIONS,
    WORD_INPUT,
    ElmoConfig,
)

from .layouts import Contents

Options = dict[str, Any]
_MISSING = object()


def parse(text: str, name: str = "options.json") -> Options:
    """The options in a JSON text; ValueError if it is not a JSON object."""
    try:
        options = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} must be JSON; {error}.") from error
    if not isinstance(options, dict):
        raise ValueError(f"{name} must be a JSON object with the key 'lstm'; got {type(options).__name__}.")
    return options


def _value(section: Mapping[str, Any], key: str, default: Any) -> Any:
    value = section.get(key.rpartition(".")[2], default)
    if value is _MISSING:
        raise ValueError(f"options must have {key}; it is missing.")
    return value


def _section(options: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = _value(options, key, _MISSING)
    if not isinstance(value, dict):
        raise TypeError(f"option {key} must be an object; got {value!r}.")
    return value


def _integer(section: Mapping[str, Any], key: str, default: Any = _MISSING, least: int = 1) -> int:
    value = _value(section, key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"option {key} must be an integer; got {value!r}.")
    if value < least:
        raise ValueError(f"option {key} must be at least {least}; got {value}.")
    return value


def _flag(section: Mapping[str, Any], key: str, default: bool) -> bool:
    value = _value(section, key, default)
    if not isinstance(value, bool):
        raise TypeError(f"option {key} must be true or false; got {value!r}.")
    return value


def _clip(section: Mapping[str, Any], key: str) -> float | None:
    value = _value(section, key, None)
    if not value:  # missing, null, 0 and false all meant no clipping
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"option {key} must be a number or null; got {value!r}.")
    if not 0 < value < math.inf:
        raise ValueError(f"option {key} must be positive and finite; got {value}.")
    return float(value)


def _filters(section: Mapping[str, Any]) -> list[list[int]]:
    value = _value(section, "char_cnn.filters", _MISSING)
    well_formed = (
        isinstance(value, list)
        and value
        and all(
            isinstance(pair, list) and len(pair) == 2 and all(type(number) is int and number > 0 for number in pair)
            for pair in value
        )
    )
    if not well_formed:
        raise TypeError(f"option char_cnn.filters must be a list of [width, count] pairs; got {value!r}.")
    return value


def _character_fields(options: Mapping[str, Any], contents: Contents) -> dict[str, Any]:
    cnn = _section(options, "char_cnn")
    rows = ALPHABET_SIZE if contents.code_point_rows is None else contents.code_point_rows + 1
    characters = _integer(cnn, "char_cnn.n_characters", rows)
    if characters not in (rows - 1, rows):  # with or without the id of "no word here"
        raise ValueError(f"option char_cnn.n_characters must be {rows - 1} or {rows}; got {characters}.")
    activation = _value(cnn, "char_cnn.activation", _MISSING)
    if activation not in CNN_ACTIVATIONS:
        raise ValueError(f"option char_cnn.activation must be 'relu' or 'tanh'; got {activation!r}.")
    filters = _filters(cnn)
    size, num_filters = _integer(_section(options, "lstm"), "lstm.projection_dim"), sum(count for _, count in filters)
    if not contents.has_character_projection and num_filters != size:
        raise ValueError(
            f"without CNN_proj in the weight file the filters' number must be lstm.projection_dim, {size}; "
            f"got {num_filters}."
        )
    embedding = cnn.get("embedding")
    if not isinstance(embedding, dict):
        raise TypeError(f"option char_cnn.embedding must be an object with the key 'dim'; got {embedding!r}.")
    return {
        "filters": filters,
        "cnn_activation": activation,
        "num_highway_layers": _integer(cnn, "char_cnn.n_highway", 0, least=0),
        "character_embedding_size": _integer(embedding, "char_cnn.embedding.dim"),
        "max_characters_per_token": _integer(cnn, "char_cnn.max_characters_per_token"),
        "use_character_projection": contents.has_character_projection,
        "vocab_size": rows,
        "lexicon_size": None if contents.lexicon_rows is None else contents.lexicon_rows + 1,
    }


def _word_fields(options: Mapping[str, Any], contents: Contents) -> dict[str, Any]:
    rows = contents.word_rows or 0
    words = _integer(options, "n_tokens_vocab", rows)
    if words != rows:
        raise ValueError(f"embedding must have one row a word, {words} by n_tokens_vocab; got {rows}.")
    return {"vocab_size": rows + 1}  # id 0, no word here, comes before the file's rows


def config_from_options(options: Mapping[str, Any], contents: Contents, **fields: Any) -> ElmoConfig:
    """The configuration that old options describe.

    Args:
        options: the parsed `options.json`.
        contents: what the weight file holds, where the options leave it open: whether cells are projected
            (AllenNLP always does, bilm-tf only down to a smaller size) and, without `bidirectional`, the directions.
        fields: further fields of the configuration.

    Raises:
        TypeError, ValueError: if a key is missing or wrong, or the file contradicts it.
    """
    lstm = _section(options, "lstm")
    if "char_cnn" in options:
        input_type, table = CHARACTER_INPUT, "char_embed"
        rows = contents.character_rows if contents.code_point_rows is None else contents.code_point_rows
    else:
        input_type, table, rows = WORD_INPUT, "embedding", contents.word_rows
    if rows is None:
        has = "char_cnn" if input_type == CHARACTER_INPUT else "no char_cnn"
        raise ValueError(f"options with {has} must come with weights that have {table}; it is missing.")
    cell, projection = _integer(lstm, "lstm.dim"), _integer(lstm, "lstm.projection_dim")
    if cell > projection and not contents.has_cell_projection:
        raise ValueError(
            f"options with lstm.dim {cell} over lstm.projection_dim {projection} must come with weights that have "
            f"{contents.layout.path(contents.layout.projection, 0, 0)} ({cell}, {projection}); it is missing."
        )
    specific = _character_fields if input_type == CHARACTER_INPUT else _word_fields
    layers = _integer(lstm, "lstm.n_layers", 1)
    if not contents.has_cell_projection and cell != projection:  # layers of two sizes cannot be mixed
        fields.setdefault("pooling_layer", f"lstm_outputs{layers}")
    return ElmoConfig(
        input_type=input_type,
        projection_size=projection,
        cell_size=cell,
        use_cell_projection=contents.has_cell_projection,
        num_hidden_layers=layers,
        bidirectional=_flag(options, "bidirectional", contents.bidirectional),
        use_skip_connections=_flag(lstm, "lstm.use_skip_connections", False),
        cell_clip=_clip(lstm, "lstm.cell_clip"),
        projection_clip=_clip(lstm, "lstm.proj_clip"),
        **specific(options, contents),
        **fields,
    )


def _number(value: float | None) -> float | int | None:
    return int(value) if value is not None and value.is_integer() else value


def options_from_config(config: ElmoConfig) -> Options:
    """The old options of a configuration, in the keys that bilm-tf and AllenNLP both read."""
    options: Options = {
        "lstm": {
            "use_skip_connections": config.use_skip_connections,
            "projection_dim": config.projection_size,
            "cell_clip": _number(config.cell_clip),  # null is none to both; bilm-tf takes 0 for a bound of 0
            "proj_clip": _number(config.projection_clip),
            "dim": config.cell_size,
            "n_layers": config.num_hidden_layers,
        }
    }
    if config.input_type == CHARACTER_INPUT:
        options["char_cnn"] = {
            "activation": config.cnn_activation,
            "filters": config.filters,
            "n_highway": config.num_highway_layers,
            "embedding": {"dim": config.character_embedding_size},
            "n_characters": ALPHABET_SIZE,
            "max_characters_per_token": config.max_characters_per_token,
        }
    else:
        options["n_tokens_vocab"] = config.vocab_size - 1
    if not config.bidirectional:
        options["bidirectional"] = False
    return options
