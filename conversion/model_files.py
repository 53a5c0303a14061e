# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The files of a model folder that transformers does not write by itself: exact weights, and the remote code."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from modeling_elmo.model.configuration_elmo import ElmoConfig

from .mapping.tensor_ops import Array

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def state_dict(arrays: Mapping[str, Array], config: ElmoConfig, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The model's tensors, with the scalar mix, which is no part of the old files: zeros, the mean of all layers.

    Raises ValueError where a weight is beyond the range of float16.
    """
    state = {name: torch.from_numpy(array).to(dtype) for name, array in arrays.items()}
    for name, tensor in state.items():
        if dtype == torch.float16 and not tensor.isfinite().all():
            raise ValueError(f"weights must be in float16's range, up to 65504; {name} is not: choose bfloat16.")
    if config.has_scalar_mix:
        for k in range(config.num_output_representations):
            state[f"scalar_mixes.{k}.weights"] = torch.zeros(config.num_hidden_layers + 1, dtype=dtype)
            state[f"scalar_mixes.{k}.gamma"] = torch.ones(1, dtype=dtype)
    return state


def write_weights(path: Path, state: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file that is the same, byte by byte, whenever its contents are."""
    save_file(state, path, {"format": "pt", **metadata})
    # The library writes the metadata in a random order; sorted, they take the same room.
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:
            file.seek(8)
            file.write(text.ljust(length))
