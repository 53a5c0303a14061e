# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Cross-lingual alignment: matrices that map the layers of a model to the space of another language.

Reference: Schuster et al. 2019, "Cross-lingual alignment of contextual word embeddings" (arXiv:1902.09492). It
publishes one matrix W per layer and language; a vector x becomes W x.
"""

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modeling_elmo.files import REWRITTEN_FOLDER, atomic_folder

from .mapping.tensor_ops import Array
from .model_files import (
    BASE_MODEL_PREFIX,
    CONFIG_FILE,
    WEIGHTS_FILE,
    WEIGHTS_INDEX_FILE,
    read_config,
    read_weights,
    weight_files,
    write_weights,
)

_TORCH_SIGNATURES = (b"PK\x03\x04", b"\x80")  # first bytes of the new and the old format of `torch.save`

# Globals that PyTorch's safe loader must allow, because the published files contain NumPy arrays.
_ARRAY_TYPES: list[Any] = [np.ndarray, np.dtype, type(np.dtype(np.float32)), type(np.dtype(np.float64))]


def _numpy_globals() -> list[Any]:
    # NumPy 2 moved this function; old files contain its former name.
    reconstruct = np.zeros(1).__reduce__()[0]
    names = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
    return [*_ARRAY_TYPES, *((reconstruct, name) for name in names)]


def read_matrix(path: str | Path) -> Array:
    """Return a matrix as float32.

    Args:
        path: Text file with one row per line, or a tensor or array that `torch.save` wrote.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is corrupt, contains something else, or is a pickle with code, which is not executed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a matrix file, got {path}, which does not exist.")
    with path.open("rb") as file:
        start = file.read(4)
    try:
        with torch.serialization.safe_globals(_numpy_globals()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about empty and corrupt files
            if not start.startswith(_TORCH_SIGNATURES):
                return np.loadtxt(path, dtype=np.float32, ndmin=2, encoding="utf-8")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, (torch.Tensor, np.ndarray)):
            raise ValueError(f"it contains a {type(content).__name__}")
        return torch.as_tensor(content).detach().to(torch.float32).numpy()
    except MemoryError:
        raise
    except Exception as error:  # corrupt bytes make the unpickler raise any exception
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100].rstrip(".")
        raise ValueError(f"Expected a matrix in text or written by torch.save in {path}, got: {reason}.") from error


def add_alignment(folder: str | Path, matrices: Sequence[str | Path | Array]) -> None:
    """Store one matrix per layer in a model folder, which is replaced atomically.

    The layers of the model and their scalar mix are then aligned. `word_emb`, which has half the size, is not.

    Args:
        folder: Model folder that `convert` or `save_pretrained` wrote.
        matrices: One matrix [D, D] per layer, as arrays or files (see `read_matrix`). The first is that of the word
            vectors, which are doubled as in AllenNLP.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a matrix or their number does not fit the model, or a file is corrupt.
    """
    folder = Path(folder)
    config = read_config(folder, aligned=True)
    if len(matrices) != len(config.hidden_sizes):
        raise ValueError(f"Expected one matrix per layer, {len(config.hidden_sizes)}, got {len(matrices)}.")
    arrays = []
    for layer, (matrix, size) in enumerate(zip(matrices, config.hidden_sizes, strict=True)):
        array = np.asarray(read_matrix(matrix) if isinstance(matrix, (str, Path)) else matrix, np.float32)
        if array.shape != (size, size):
            raise ValueError(f"Expected a matrix of shape ({size}, {size}) for layer {layer}, got {array.shape}.")
        if not np.isfinite(array).all():
            raise ValueError(f"Expected finite values in the matrix of layer {layer}, got NaN or infinity.")
        arrays.append(array)

    state, metadata = read_weights(folder)
    prefix = BASE_MODEL_PREFIX if any(name.startswith(BASE_MODEL_PREFIX) for name in state) else ""
    dtype = next(iter(state.values())).dtype
    for layer, array in enumerate(arrays):
        state[f"{prefix}alignment_{layer}"] = torch.from_numpy(np.ascontiguousarray(array)).to(dtype)
    replaced = [WEIGHTS_INDEX_FILE, *(path.name for path in weight_files(folder))]
    with atomic_folder(folder, REWRITTEN_FOLDER, overwrite=True) as temporary:
        ignored = shutil.ignore_patterns(*replaced, CONFIG_FILE, "__pycache__")
        shutil.copytree(folder, temporary, ignore=ignored, dirs_exist_ok=True)
        config.save_pretrained(temporary)
        write_weights(temporary / WEIGHTS_FILE, state, metadata)
