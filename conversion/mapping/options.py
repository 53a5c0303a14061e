# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion of `options.json` to `ElmoConfig` and back.

The keys are those of bilm-tf and AllenNLP. Training options (`batch_size`, `n_epochs`, ...) are ignored, because they
do not describe the model.
"""

import json
from collections.abc import Mapping
from typing import Any

from modeling_elmo.messages import format_value
from modeling_elmo.model.configuration_elmo import CHARACTER_INPUT, NUM_CHARACTERS, WORD_INPUT, ElmoConfig
from modeling_elmo.model.configuration_elmo import _check_filters as check_filters
from modeling_elmo.model.configuration_elmo import _check_positive_int as check_positive_integer

from ..source.fetch import SourceFile
from .layouts import WeightFileInfo

Options = dict[str, Any]
_MAX_BYTES = 1 << 22  # a parsed JSON file takes up to 30 times as much memory
_MISSING = object()


def parse(text: str, name: str = "options.json") -> Options:
    """Parse a JSON object.

    Args:
        text: Content of the file.
        name: Name of the file, for messages.

    Raises:
        ValueError: If the text is not a JSON object.
    """
    try:
        options = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Cannot parse {name} as JSON: {error}.") from error
    if not isinstance(options, dict):
        raise ValueError(f"Expected a JSON object in {name}, got {type(options).__name__}.")
    return options


def read_options(file: SourceFile) -> tuple[Options, str]:
    """Return the parsed options and their text.

    Raises:
        ValueError: If the file is too large, or is not a JSON object in UTF-8.
    """
    size = file.path.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"Expected at most {_MAX_BYTES} bytes in {file.origin}, got {size}.")
    try:
        text = file.path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"Cannot decode {file.origin} as UTF-8: {error}.") from error
    return parse(text, file.origin), text


def fill_defaults(options: Options, defaults: Options) -> Options:
    """Return the options with missing keys taken from the defaults, section by section."""
    filled = {**defaults, **options}
    for section, values in defaults.items():
        if isinstance(options.get(section), dict):
            filled[section] = {**values, **options[section]}
    return filled


def _get(section: Mapping[str, Any], key: str, default: Any = _MISSING) -> Any:
    """Return the option with the dotted name `key` from its section."""
    value = section.get(key.rpartition(".")[2], default)
    if value is _MISSING:
        raise ValueError(f"Expected options with {key}, which is missing.")
    return value


def get_section(options: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the options below a key.

    Raises:
        TypeError, ValueError: If the key is missing or its value is not an object.
    """
    value = _get(options, key)
    if not isinstance(value, dict):
        raise TypeError(f"Expected option {key} to be an object, got {format_value(value)}.")
    return value


def get_integer(section: Mapping[str, Any], key: str, default: Any = _MISSING, allow_zero: bool = False) -> int:
    """Return a positive integer.

    Args:
        section: Options that contain the last part of the key.
        key: Dotted name, such as "lstm.dim".
        default: Value of a missing key. By default, the key is required.
        allow_zero: Whether 0 is valid as well.

    Raises:
        TypeError, ValueError: If the key is missing or has another value.
    """
    value = _get(section, key, default)
    if allow_zero and type(value) is int and value == 0:
        return value
    return check_positive_integer(key, value)


def get_filters(section: Mapping[str, Any], key: str) -> list[list[int]]:
    """Return the convolution filters, [width, count] per filter.

    Raises:
        TypeError, ValueError: If the key is missing or has another value.
    """
    return check_filters(_get(section, key))


def _get_flag(section: Mapping[str, Any], key: str, default: bool) -> bool:
    value = _get(section, key, default)
    if not isinstance(value, bool):
        raise TypeError(f"Expected option {key} to be true or false, got {format_value(value)}.")
    return value


def _check_count(key: str, count: int, info: WeightFileInfo) -> int:
    """Return a number of layers or filters. Each of them has arrays in the weight file."""
    if info.num_arrays is not None and count > info.num_arrays:
        raise ValueError(
            f"Expected option {key} to be at most {info.num_arrays}, the number of arrays in the weight file, "
            f"got {format_value(count)}."
        )
    return count


def _character_fields(options: Mapping[str, Any], info: WeightFileInfo) -> dict[str, Any]:
    cnn = get_section(options, "char_cnn")
    rows = NUM_CHARACTERS if info.code_point_rows is None else info.code_point_rows + 1
    characters = get_integer(cnn, "char_cnn.n_characters", rows)
    if characters not in (rows - 1, rows):  # bilm-tf counts the padding id for inference only
        raise ValueError(f"Expected option char_cnn.n_characters to be {rows - 1} or {rows}, got {characters}.")
    embedding = get_section(cnn, "char_cnn.embedding")
    filters, num_highways = get_filters(cnn, "char_cnn.filters"), get_integer(cnn, "char_cnn.n_highway", 0, True)
    _check_count("char_cnn.filters", len(filters), info)
    return {
        "filters": filters,
        "cnn_activation": _get(cnn, "char_cnn.activation"),
        "num_highway_layers": _check_count("char_cnn.n_highway", num_highways, info),
        "character_embedding_size": get_integer(embedding, "char_cnn.embedding.dim"),
        "max_characters_per_token": get_integer(cnn, "char_cnn.max_characters_per_token"),
        "use_character_projection": info.has_character_projection,
        "vocab_size": rows,
        "lexicon_size": None if info.lexicon_rows is None else info.lexicon_rows + 1,
    }


def _word_fields(options: Mapping[str, Any], info: WeightFileInfo) -> dict[str, Any]:
    rows = info.word_rows or 0
    words = get_integer(options, "n_tokens_vocab", rows)
    if words != rows:
        raise ValueError(f"Expected embedding with {words} rows (n_tokens_vocab), one row per word, got {rows}.")
    return {"vocab_size": rows + 1}  # the model has the padding id 0, the file does not


def config_from_options(options: Mapping[str, Any], info: WeightFileInfo, **fields: Any) -> ElmoConfig:
    """Return the configuration for the options of a checkpoint.

    Args:
        options: Parsed `options.json`.
        info: Properties of the weight file. It determines whether cells have a projection (AllenNLP: always; bilm-tf:
            only if it reduces the size) and, without the option `bidirectional`, the number of directions.
        fields: Additional fields of the configuration.

    Raises:
        TypeError, ValueError: If a key is missing or invalid, or contradicts the weight file.
    """
    lstm = get_section(options, "lstm")
    if "char_cnn" in options:
        input_type, table = CHARACTER_INPUT, "char_embed"
        rows = info.character_rows if info.code_point_rows is None else info.code_point_rows
    else:
        input_type, table, rows = WORD_INPUT, "embedding", info.word_rows
    if rows is None:
        found = "char_cnn" if input_type == CHARACTER_INPUT else "no char_cnn"
        raise ValueError(f"Expected {table} in the weight file for options with {found}, but it is missing.")
    cell, projection = get_integer(lstm, "lstm.dim"), get_integer(lstm, "lstm.projection_dim")
    if cell > projection and not info.has_cell_projection:
        raise ValueError(
            f"Expected {info.layout.path(info.layout.projection, 0, 0)} ({cell}, {projection}) in the weight file, "
            f"because lstm.dim {cell} exceeds lstm.projection_dim {projection}, but it is missing."
        )
    input_fields = _character_fields if input_type == CHARACTER_INPUT else _word_fields
    layers = _check_count("lstm.n_layers", get_integer(lstm, "lstm.n_layers", 1), info)
    if not info.has_cell_projection and cell != projection:  # a mix needs layers of equal size
        fields.setdefault("pooling_layer", f"lstm_outputs{layers}")
    return ElmoConfig(
        input_type=input_type,
        projection_size=projection,
        cell_size=cell,
        use_cell_projection=info.has_cell_projection,
        num_hidden_layers=layers,
        bidirectional=_get_flag(options, "bidirectional", info.bidirectional),
        use_skip_connections=_get_flag(lstm, "lstm.use_skip_connections", False),
        cell_clip=_get(lstm, "lstm.cell_clip", None),
        projection_clip=_get(lstm, "lstm.proj_clip", None),
        **input_fields(options, info),
        **fields,
    )


def _to_number(value: float | None) -> float | int | None:
    return int(value) if value is not None and value.is_integer() else value


def options_from_config(config: ElmoConfig) -> Options:
    """Return the options of a configuration, with the keys that bilm-tf and AllenNLP read."""
    options: Options = {
        "lstm": {
            "use_skip_connections": config.use_skip_connections,
            "projection_dim": config.projection_size,
            # null disables clipping in both programs. bilm-tf interprets 0 as a bound of 0.
            "cell_clip": _to_number(config.cell_clip),
            "proj_clip": _to_number(config.projection_clip),
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
            "n_characters": NUM_CHARACTERS,
            "max_characters_per_token": config.max_characters_per_token,
        }
    else:
        options["n_tokens_vocab"] = config.vocab_size - 1
    if not config.bidirectional:
        options["bidirectional"] = False
    return options
