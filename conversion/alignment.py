# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Matrices that turn the layers of a model into the space of another language's, stored with its weights.

Source: Schuster et al. 2019, "Cross-lingual alignment of contextual word embeddings" (arXiv:1902.09492), who published
a matrix W for each layer and language: a vector x becomes W x.
"""

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from modeling_elmo.files import atomic_folder
from modeling_elmo.model.configuration_elmo import ElmoConfig

from .mapping.options import parse
from .mapping.tensor_ops import Array
from .model_files import write_weights

MARKER = "config.json"
_WEIGHTS = "model.safetensors"
_BASE_PREFIX = "elmo."  # of the model inside one with a head
_PICKLES = (b"PK\x03\x04", b"\x80")  # how `torch.save`'s files begin, new and old

# The published files hold NumPy arrays, of which PyTorch's safe loader allows only what is named here.
_ARRAYS: list[Any] = [np.ndarray, np.dtype, type(np.dtype(np.float32)), type(np.dtype(np.float64))]


def _numpy_globals() -> list[Any]:
    reconstruct = np.zeros(1).__reduce__()[0]  # NumPy 2 has moved the function that old files name
    names = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
    return [*_ARRAYS, *((reconstruct, name) for name in names)]


def read_matrix(path: str | Path) -> Array:
    """A matrix as float32: numbers in text, a row a line, or a tensor or array that `torch.save` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, holds something else, or is a pickle with code, which is not run.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"the matrix must be a file; {path} does not exist.")
    with path.open("rb") as file:
        start = file.read(4)
    try:
        with torch.serialization.safe_globals(_numpy_globals()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a damaged file seems to have, or has not
            if not start.startswith(_PICKLES):
                return np.loadtxt(path, dtype=np.float32, ndmin=2, encoding="utf-8")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, (torch.Tensor, np.ndarray)):
            raise ValueError(f"it holds a {type(content).__name__}")
        return torch.as_tensor(content).detach().to(torch.float32).numpy()
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes lead the unpickler to any
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100].rstrip(".")
        raise ValueError(f"{path} must be a matrix, in text or written by torch.save; {reason}.") from error


def add_alignment(folder: str | Path, matrices: Sequence[str | Path | Array]) -> None:
    """Store a matrix for each layer in a model folder, which is replaced as a whole or not at all.

    From then on the model's layers, and their mix with them, are aligned; `word_emb` of half the size is not.

    Args:
        folder: what `convert` or `save_pretrained` wrote.
        matrices: one for each layer, the word vectors' (doubled, as AllenNLP does) first: files (see `read_matrix`) or
            arrays [D, D].

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a matrix or their number does not fit the model, or a file is damaged.
    """
    folder = Path(folder)
    path = folder / MARKER
    if not path.is_file():
        raise FileNotFoundError(f"a model folder must have {MARKER}; {folder} has none.")
    fields = parse(path.read_text(encoding="utf-8"), str(path))
    if fields.get("model_type") != "elmo":
        raise ValueError(f"{path} must have the model_type 'elmo'; got {fields.get('model_type')!r}.")
    config = ElmoConfig.from_dict({**fields, "aligned": True})
    if len(matrices) != len(config.hidden_sizes):
        raise ValueError(
            f"a model of {len(config.hidden_sizes)} layers must get a matrix for each; got {len(matrices)}."
        )
    arrays = []
    for layer, (given, size) in enumerate(zip(matrices, config.hidden_sizes, strict=True)):
        array = np.asarray(read_matrix(given) if isinstance(given, (str, Path)) else given, np.float32)
        if array.shape != (size, size):
            raise ValueError(f"the matrix of layer {layer} must have shape ({size}, {size}); got {array.shape}.")
        if not np.isfinite(array).all():
            raise ValueError(f"the matrix of layer {layer} must hold finite numbers; got NaN or infinity.")
        arrays.append(array)

    state, metadata = _read_weights(folder / _WEIGHTS)
    prefix = _BASE_PREFIX if any(name.startswith(_BASE_PREFIX) for name in state) else ""
    dtype = next(iter(state.values())).dtype
    for layer, array in enumerate(arrays):
        state[f"{prefix}alignment_{layer}"] = torch.from_numpy(np.ascontiguousarray(array)).to(dtype)
    with atomic_folder(folder, True, MARKER) as new:
        ignored = shutil.ignore_patterns(_WEIGHTS, MARKER, "__pycache__")
        shutil.copytree(folder, new, ignore=ignored, dirs_exist_ok=True)
        config.save_pretrained(new)
        write_weights(new / _WEIGHTS, state, metadata)


def _read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"a model folder must have its weights in one file, {path.name}; {path.parent} has none."
        )
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return state, {key: value for key, value in (file.metadata() or {}).items() if key != "format"}
    except SafetensorError as error:
        raise ValueError(f"{path} must be a whole safetensors file; {error}.") from error
