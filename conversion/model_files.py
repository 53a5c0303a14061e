# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Configuration and weights of a model folder, read and written without building the model."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from modeling_elmo.model.configuration_elmo import ElmoConfig
from modeling_elmo.model.stored_weights_elmo import check_num_weights

from .mapping.options import parse
from .mapping.tensor_ops import Array

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX_FILE = "model.safetensors.index.json"
BASE_MODEL_PREFIX = "elmo."  # of the weights of the base model in a model with a head
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def check_model_folder(folder: Path) -> None:
    """Check that a folder contains `config.json`.

    Raises:
        FileNotFoundError: If it does not.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise FileNotFoundError(f"Expected a model folder with {CONFIG_FILE}, got {folder}, which does not contain it.")


def read_config(folder: Path, **changes: Any) -> ElmoConfig:
    """Return the configuration of a model folder.

    Args:
        folder: Model folder.
        changes: Configuration fields that override those of the file.

    Raises:
        FileNotFoundError: If the folder does not contain `config.json`.
        ValueError: If it is no JSON object, or of another model type.
    """
    check_model_folder(folder)
    path = folder / CONFIG_FILE
    fields = parse(path.read_text(encoding="utf-8"), str(path))
    if fields.get("model_type") != ElmoConfig.model_type:
        raise ValueError(f"Expected model_type {ElmoConfig.model_type!r} in {path}, got {fields.get('model_type')!r}.")
    paths = weight_files(folder)
    if all(file.is_file() for file in paths):
        check_num_weights(
            ElmoConfig.from_dict(fields), sum(file.stat().st_size for file in paths), folder / WEIGHTS_FILE
        )
    return ElmoConfig.from_dict({**fields, **changes})


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder: one file, or the shards that the index lists."""
    index = folder / WEIGHTS_INDEX_FILE
    if not index.is_file():
        return [folder / WEIGHTS_FILE]
    parts = parse(index.read_text(encoding="utf-8"), str(index)).get("weight_map")
    if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
        raise ValueError(f"Expected an object weight_map of file names in {index}.")
    return sorted({folder / name for name in parts.values()})


@contextmanager
def open_weights(path: Path) -> Iterator[Any]:
    """Open a safetensors file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is corrupt or truncated.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected the weights in {path}, which does not exist.")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"Cannot read {path}: it is corrupt or truncated ({error}).") from error


def read_weights(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors of all weight files of a model folder, and the metadata without `format`."""
    state: dict[str, torch.Tensor] = {}
    metadata: dict[str, str] = {}
    for path in weight_files(folder):
        with open_weights(path) as file:
            state |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            metadata |= file.metadata() or {}
    metadata.pop("format", None)
    return state, metadata


def state_dict(arrays: Mapping[str, Array], config: ElmoConfig) -> dict[str, torch.Tensor]:
    """Return the tensors of the model, with uniform scalar mixes, which the checkpoints do not contain."""
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if config.has_scalar_mix:
        for k in range(config.num_output_representations):
            state[f"scalar_mixes.{k}.weights"] = torch.zeros(config.num_hidden_layers + 1)
            state[f"scalar_mixes.{k}.gamma"] = torch.ones(1)
    return state


def cast_weights(state: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return the tensors in another dtype.

    Raises:
        ValueError: If a finite weight exceeds the range of float16.
    """
    cast = {name: tensor.to(dtype) for name, tensor in state.items()}
    for name, tensor in cast.items() if dtype == torch.float16 else ():
        if bool((state[name].isfinite() & ~tensor.isfinite()).any()):
            raise ValueError(f"Cannot store {name} in float16: it exceeds 65504. Choose bfloat16.")
    return cast


def write_weights(path: Path, state: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file. Equal contents give equal bytes."""
    save_file(state, path, {"format": "pt", **metadata})
    # safetensors writes the metadata in random order. The sorted header has the same length.
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:
            file.seek(8)
            file.write(text.ljust(length))
