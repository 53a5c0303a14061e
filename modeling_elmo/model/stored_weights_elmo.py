# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Comparison of a saved configuration with the size of the weight files, before the model is built.

A configuration of a few bytes can describe a model of any size. Its weights must be stored in the same folder.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers.utils import cached_file

from .configuration_elmo import CHARACTER_INPUT, ElmoConfig

_CONFIG_FILE = "config.json"
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_MAX_WEIGHTS_PER_BYTE = 2  # quantized to 4 bits
_MAX_CONFIG_BYTES = 1 << 22
# A model below both sizes takes little memory, so missing weights are left to the checks of loading.
_MAX_UNCHECKED_WEIGHTS, _MAX_UNCHECKED_TENSORS = 1_000_000, 1000
_MIN_BYTES_PER_TENSOR = 40  # its entry in the header
_MAX_TENSORS = 10_000  # each is an object in memory
_RETURN_NONE = {
    "_raise_exceptions_for_gated_repo": False,
    "_raise_exceptions_for_missing_entries": False,
    "_raise_exceptions_for_connection_errors": False,
}
_HUB_OPTIONS = ("cache_dir", "force_download", "proxies", "token", "revision", "local_files_only", "subfolder")


def num_weights(config: ElmoConfig, has_softmax: bool = False) -> int:
    """Return the number of stored values of the base model: parameters, initial state, and alignment matrices.

    Args:
        config: Configuration of the model.
        has_softmax: Whether to add the softmax of the language model. For an adaptive softmax, this is a lower bound.
    """
    P, C, H, F = config.projection_size, config.cell_size, config.output_size, config.num_filters
    D, L = config.num_directions, config.num_hidden_layers
    if config.input_type == CHARACTER_INPUT:
        count = config.vocab_size * config.character_embedding_size
        count += sum(n * (width * config.character_embedding_size + 1) for width, n in config.filters)
        count += (config.num_highway_layers or 0) * 2 * F * (F + 1)
        count += (config.char_projection_input_size + 1) * P if config.use_character_projection else 0
        count += (config.lexicon_size or 0) * (config.lexicon_embedding_size or 0)
    else:
        count = config.vocab_size * P
    count += D * (P + (L - 1) * H) * 4 * C  # input_linearity
    count += D * L * ((H + 1) * 4 * C + (C * H if config.use_cell_projection else 0))
    count += config.num_output_representations * (L + 2) if config.has_scalar_mix else 0
    count += L * D * (H + C) if config.stored_initial_state else 0
    count += D**2 * (P**2 + L * H**2) if config.aligned else 0
    if has_softmax and config.word_vocab_size:
        count += config.word_vocab_size * (1 if config.softmax_type == "adaptive" else H + 1)
    return count


def _num_tensors(config: ElmoConfig) -> int:
    """Return a lower bound of the number of stored tensors of the base model."""
    mixes = 2 * config.num_output_representations if config.has_scalar_mix else 0
    cells = 3 * config.num_directions * config.num_hidden_layers
    if config.input_type != CHARACTER_INPUT:
        return mixes + cells
    return mixes + cells + 2 * len(config.filters) + 4 * (config.num_highway_layers or 0)


def check_num_weights(config: ElmoConfig, num_bytes: int, path: str | Path, has_softmax: bool = False) -> None:
    """Check that a weight file can contain the model.

    Args:
        config: Configuration of the model.
        num_bytes: Size of the weight file, or of all its parts.
        path: Weight file, for the message.
        has_softmax: Whether the model has a softmax.

    Raises:
        ValueError: If the file is too small, or the model has too many tensors.
    """
    count, num_tensors = num_weights(config, has_softmax), _num_tensors(config)
    if count <= _MAX_UNCHECKED_WEIGHTS and num_tensors <= _MAX_UNCHECKED_TENSORS:
        return
    if count > _MAX_WEIGHTS_PER_BYTE * num_bytes or num_tensors * _MIN_BYTES_PER_TENSOR > num_bytes:
        number = f"{count:,}" if count < 10**30 else "more than 10**30"
        raise ValueError(
            f"Cannot read {path} ({num_bytes:,} bytes): {_CONFIG_FILE} describes {number} weights, so one of them is "
            "corrupt or truncated. Copy or convert the model again."
        )
    if num_tensors > _MAX_TENSORS:
        raise ValueError(f"Expected {_CONFIG_FILE} of {path} to describe at most {_MAX_TENSORS} tensors.")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object of a model folder.

    Raises:
        ValueError: If the file is too large, is nested too deeply, or is not a JSON object in UTF-8.
    """
    path = Path(path)
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ValueError(f"Expected at most {_MAX_CONFIG_BYTES} bytes in {path}, got {path.stat().st_size}.")
    try:
        fields = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Cannot read {path} as JSON in UTF-8: {error}.") from error
    if not isinstance(fields, dict):
        raise ValueError(f"Expected a JSON object in {path}, got {type(fields).__name__}.")
    return fields


def check_stored_weights(
    base_class: Any, name: str | os.PathLike[str], options: dict[str, Any], has_softmax: bool
) -> None:
    """Check a model folder or repository before the model is built.

    A source without configuration or weights is not checked, because loading it fails.

    Args:
        base_class: Class of the base model.
        name: Folder or repository.
        options: Arguments of `from_pretrained`.
        has_softmax: Whether the model to load has a softmax.

    Raises:
        ValueError: If the configuration or the weight file is corrupt, or they do not match.
    """
    hub = {key: options[key] for key in _HUB_OPTIONS if options.get(key) is not None}

    def find(file: str) -> Path | None:
        path = cached_file(name, file, **hub, **_RETURN_NONE)
        return None if path is None else Path(path)

    config_path = find(_CONFIG_FILE)
    if config_path is None:
        return
    fields = read_json(config_path)
    if fields.get("model_type", ElmoConfig.model_type) != ElmoConfig.model_type:
        return
    config = _parse_config(fields, config_path)
    variant = f".{options['variant']}" if options.get("variant") else ""
    for file in _WEIGHT_FILES:
        stem, suffix = os.path.splitext(file)
        if (weights := find(f"{stem}{variant}{suffix}")) is not None:
            check_num_weights(config, weights.stat().st_size, weights, has_softmax)
            if suffix == ".safetensors":
                _check_shapes(base_class, config, weights, options.get("ignore_mismatched_sizes", False))
            return
        if (index := find(f"{file}.index{variant}.json")) is not None:
            parts = read_json(index).get("weight_map")
            paths = [find(str(part)) for part in set(map(str, parts.values()))] if isinstance(parts, dict) else []
            num_bytes = sum(path.stat().st_size for path in paths if path is not None)
            check_num_weights(config, num_bytes, index, has_softmax)
            return


def _parse_config(fields: dict[str, Any], path: Path) -> ElmoConfig:
    """Return the configuration. Errors that do not name a field name the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # loading the model repeats them
            config: ElmoConfig = ElmoConfig.from_dict(fields)
    except ValueError:
        raise
    except Exception as error:  # transformers does not validate its own fields
        raise ValueError(f"Cannot read {path}: a field has an invalid value ({error}).") from error
    return config


def _check_shapes(base_class: Any, config: ElmoConfig, path: Path, only_header: bool) -> None:
    """Check the header of a safetensors file, and the shapes of the tensors that the model shares with it."""
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise ValueError(f"Cannot read {path}: it is corrupt or truncated ({error}). Copy the file again.") from error
    if only_header or getattr(config, "quantization_config", None) is not None:  # quantized weights have other shapes
        return
    with torch.device("meta"):
        expected = {name: list(tensor.shape) for name, tensor in base_class(config).state_dict().items()}
    for stored_name, shape in stored.items():
        name = stored_name.removeprefix(f"{base_class.base_model_prefix}.")
        if expected.get(name, shape) != shape:
            raise ValueError(f"Expected {name} of shape {expected[name]} in {path} by its {_CONFIG_FILE}, got {shape}.")
