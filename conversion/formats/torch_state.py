# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""State dicts that `torch.save` wrote, read without running what is in them."""

import io
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ..mapping.tensor_ops import Array

_ZIP = b"PK\x03\x04"
_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # PyTorch before 1.6 begins its files with this number
_NAMES_WITHIN = 1 << 24  # the names of the tensors come first
_ZIP_DAMAGE = (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, OverflowError, struct.error, zlib.error)
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def mentions(path: Path, name: bytes) -> bool:
    """Whether a file that `torch.save` wrote has a tensor whose name has this in it; never raises."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_LEGACY))
            if start == _LEGACY:
                return name in start + file.read(_NAMES_WITHIN)
            if not start.startswith(_ZIP):
                return False
        with zipfile.ZipFile(path) as archive:
            names = [member for member in archive.namelist() if member.endswith("/data.pkl")]
            with archive.open(names[0]) if names else io.BytesIO() as pickled:
                return name in pickled.read(_NAMES_WITHIN)
    except _ZIP_DAMAGE:
        return False


def _damaged(path: Path) -> str:
    return f"{path} must be a whole file of PyTorch's; it is cut short or damaged ({path.stat().st_size} bytes)."


def _is_whole(path: Path) -> bool:
    """Whether the checksums of a zip are right, which PyTorch does not look at; True of other files."""
    with path.open("rb") as file:
        if not file.read(len(_ZIP)).startswith(_ZIP):
            return True
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except _ZIP_DAMAGE:
        return False


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a state dict by name, on the CPU; what is no tensor is passed over.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, is no state dict, or is a pickle with code, which is not run.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the weight file must exist; {path} does not.")
    if not _is_whole(path):
        raise ValueError(_damaged(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protocols that a damaged file seems to have
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise ValueError(
                f"{path} must hold tensors only (a state dict); it is a pickle with code, which is not run."
            ) from error
        raise ValueError(_damaged(path)) from error
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes lead the unpickler to any
        raise ValueError(_damaged(path)) from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} must hold a state dict; got {type(state).__name__}.")
    tensors = {
        name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    for name, tensor in tensors.items():
        if tensor.is_sparse or tensor.is_quantized or tensor.is_meta:
            raise ValueError(f"{name} of {path} must be a plain tensor; it is sparse, quantised or empty.")
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():  # repeats one number as many
            raise ValueError(_damaged(path))
    return tensors


def to_array(name: str, tensor: torch.Tensor) -> Array:
    """A tensor as float32 array, without loss; ValueError if it has another type or holds NaN or infinity."""
    if tensor.dtype not in _FLOATS:  # what is wider would not come back bit-identical
        raise ValueError(f"{name} must be float32; got {str(tensor.dtype).removeprefix('torch.')}.")
    array: Array = tensor.detach().float().numpy()
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must hold finite numbers; got NaN or infinity.")
    return array
