# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""State dicts that `torch.save` wrote, read without executing code from the file."""

import io
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch

from modeling_elmo.messages import format_names

from ..mapping.tensor_ops import Array, check_finite_values

_ZIP = b"PK\x03\x04"
_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # first bytes of files of PyTorch before 1.6
_MAX_HEADER_BYTES = 1 << 24  # the names of the tensors precede their values
_ZIP_ERRORS = (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, OverflowError, struct.error, zlib.error)
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def contains_name(path: Path, part: bytes) -> bool:
    """Return whether a file that `torch.save` wrote has a tensor whose name contains `part`. Never raises."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_LEGACY))
            if start == _LEGACY:
                return part in start + file.read(_MAX_HEADER_BYTES)
            if not start.startswith(_ZIP):
                return False
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.namelist() if member.endswith("/data.pkl")]
            with archive.open(members[0]) if members else io.BytesIO() as header:
                return part in header.read(_MAX_HEADER_BYTES)
    except _ZIP_ERRORS:
        return False


def _corrupt_message(path: Path) -> str:
    size = path.stat().st_size
    return f"Cannot read {path} ({size} bytes): truncated or corrupt PyTorch file. Download or copy the file again."


def _has_valid_checksums(path: Path) -> bool:
    """Return whether a zip file is stored without compression and has valid checksums, or it is no zip file.

    PyTorch checks neither.
    """
    with path.open("rb") as file:
        if not file.read(len(_ZIP)).startswith(_ZIP):
            return True
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            # `torch.save` does not compress. Compressed or overlapping members can expand to any size.
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                return False
            if sum(member.file_size for member in members) > path.stat().st_size:
                return False
            return archive.testzip() is None
    except _ZIP_ERRORS:
        return False


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict by name, on the CPU. Other values are skipped.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is corrupt, is not a state dict, or is a pickle with code, which is not executed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Cannot read weight file {path}: it does not exist.")
    if not _has_valid_checksums(path):
        raise ValueError(_corrupt_message(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, for corrupt files
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise ValueError(
                f"Expected only tensors (a state dict) in {path}, got a pickle with code, which is not executed."
            ) from error
        raise ValueError(_corrupt_message(path)) from error
    except MemoryError:
        raise
    except Exception as error:  # the unpickler raises any exception for corrupt bytes
        raise ValueError(_corrupt_message(path)) from error
    if not isinstance(state, Mapping):
        raise ValueError(f"Expected a state dict in {path}, got {type(state).__name__}.")
    tensors = {
        name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    for name, tensor in tensors.items():
        if tensor.is_sparse or tensor.is_quantized or tensor.is_meta:
            raise ValueError(
                f"Expected {format_names([name])} of {path} to be a plain tensor, got a sparse, quantized, or meta one."
            )
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():  # expanded from fewer values
            raise ValueError(_corrupt_message(path))
    return tensors


def to_array(name: str, tensor: torch.Tensor) -> Array:
    """Convert a tensor to a float32 array without loss.

    Raises:
        ValueError: If it has another type or contains NaN or infinity.
    """
    if tensor.dtype not in _FLOATS:  # wider floats would not be bit-identical on export
        raise ValueError(
            f"Expected {format_names([name])} to be float32, got {str(tensor.dtype).removeprefix('torch.')}."
        )
    array: Array = tensor.detach().float().numpy()
    check_finite_values(array, format_names([name]))
    return array
