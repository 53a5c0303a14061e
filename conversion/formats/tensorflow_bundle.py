# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""TensorFlow's V2 checkpoints ("bundles"): a table of names and shapes, `PREFIX.index`, and data files with the values.

TensorFlow itself reads them. It is imported on first use, and only opens an index in which `tensorflow_index` has found
nothing that would abort the process.
"""

import glob
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modeling_elmo.messages import format_names
from modeling_elmo.optional import import_tensorflow

from ..mapping.layouts import Shape
from ..mapping.tensor_ops import Array, check_finite_values
from ..source.fetch import SourceFile, single_path
from .tensorflow_index import MAGIC, CorruptIndexError, Index, read_index

_FILE = re.compile(r"(.+)\.(?:index|meta|data-\d{5}-of-\d{5})")
_LATEST = re.compile(r'^model_checkpoint_path:\s*"(?:.*[/\\])?([^"/\\]+)"', re.MULTILINE)

# Variables of training programs: counters, and the slots in which optimizers store the state of a variable.
_COUNTERS = ("global_step", "train_perplexity", "beta1_power", "beta2_power")
_SLOT = re.compile(r"(.+)/(?:Adagrad|Adam|Adam_1|Momentum|RMSProp|RMSProp_1|Adadelta|Adadelta_1|Ftrl|Ftrl_1)")


def index_path(prefix: Path) -> Path:
    """Return the file with names and shapes."""
    return prefix.with_name(f"{prefix.name}.index")


def data_paths(prefix: Path) -> list[Path]:
    """Return the files with the values, in order."""
    paths = prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*-of-*")
    return sorted(path for path in paths if path.is_file())


def _is_bundle(prefix: Path) -> bool:
    index = index_path(prefix)
    if not index.is_file():
        return False
    if data_paths(prefix):  # the index may be corrupt
        return True
    with index.open("rb") as file:
        file.seek(max(0, index.stat().st_size - len(MAGIC)))
        return file.read() == MAGIC


def _latest_prefix(folder: Path) -> Path | None:
    """Return the checkpoint that the file `checkpoint` names. Its folder may have moved since training."""
    file = folder / "checkpoint"
    match = _LATEST.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    return folder / match[1] if match else None


def find_bundles(path: Path) -> list[Path]:
    """Return the prefixes of the checkpoints at a path. Never raises.

    Args:
        path: Folder (the checkpoint that its file `checkpoint` names, or all checkpoints), file of a checkpoint, or
            prefix.
    """
    try:
        if path.is_dir():
            latest = _latest_prefix(path)
            if latest is not None and _is_bundle(latest):
                return [latest]
            prefixes = [index.with_name(index.name.removesuffix(".index")) for index in sorted(path.glob("?*.index"))]
        else:
            match = _FILE.fullmatch(path.name)
            prefixes = [path.with_name(match[1]) if match else path]
        return [prefix for prefix in prefixes if _is_bundle(prefix)]
    except (OSError, ValueError):
        return []


def find_bundle(path: Path) -> Path:
    """Return the prefix of the only checkpoint at a path.

    Raises:
        FileNotFoundError: If there is none, or more than one.
    """
    return single_path(find_bundles(path), path, "TensorFlow checkpoint")


def contains_name(prefix: Path, part: str) -> bool:
    """Return whether a variable name in the index contains `part`. Does not import TensorFlow and never raises."""
    try:
        return any(part in name for name in read_index(index_path(prefix)).variables)
    except CorruptIndexError:  # guess, so that opening the checkpoint reports the corruption
        with index_path(prefix).open("rb") as file:
            return part.encode() in file.read(1 << 20)
    except OSError:
        return False


def is_training_state(name: str, names: Collection[str]) -> bool:
    """Return whether the variable `name`, one of `names`, belongs to the training program and not to the model."""
    slot = _SLOT.fullmatch(name)
    return name in _COUNTERS or (slot is not None and slot[1] in names)


@contextmanager
def _as_value_error(message: str) -> Iterator[None]:
    """Convert TensorFlow's exceptions to ValueError with this message."""
    errors = import_tensorflow().errors
    try:
        yield
    except (errors.OpError, RuntimeError, ValueError, SystemError, MemoryError) as error:
        raise ValueError(message) from error


def _corrupt_message(prefix: Path) -> str:
    index = index_path(prefix)
    return (
        f"Cannot read {index} ({index.stat().st_size} bytes): truncated or corrupt index of a TensorFlow checkpoint. "
        "Download or copy the file again."
    )


@dataclass(frozen=True)
class Bundle:
    """Open checkpoint.

    Attributes:
        prefix: Common part of its files' paths.
        shapes: Names and shapes of all its variables.
    """

    prefix: Path
    shapes: Mapping[str, Shape]

    def read(self, names: Iterable[str]) -> dict[str, Array]:
        """Return variables as float32 arrays.

        Raises:
            ValueError: If a variable is missing, corrupt, not float32, or not finite.
        """
        arrays: dict[str, Array] = {}
        reader = _open_reader(self.prefix)
        types = reader.get_variable_to_dtype_map()
        for name in names:
            if name not in types:
                raise ValueError(f"Expected the variable {name} in {self.prefix}, got {format_names(self.shapes)}.")
            if types[name].name != "float32":  # other floats would not be bit-identical on export
                raise ValueError(f"Expected variable {name} of {self.prefix} to be float32, got {types[name].name}.")
            with _as_value_error(f"Cannot read variable {name} of {self.prefix}: its values are corrupt."):
                array = np.asarray(reader.get_tensor(name))
            check_finite_values(array, f"variable {name} of {self.prefix}")
            arrays[name] = array
        return arrays

    def files(self) -> dict[str, SourceFile]:
        """Return its files by role: "index", "weights", and "weights_1", ... for further data files."""
        shards = {f"weights_{i}" if i else "weights": path for i, path in enumerate(data_paths(self.prefix))}
        paths = {**shards, "index": index_path(self.prefix)}
        return {role: SourceFile(path, path.name) for role, path in paths.items()}


def _open_reader(prefix: Path) -> Any:
    """Return TensorFlow's reader, which verifies the checksums of the index."""
    tensorflow = import_tensorflow()
    with _as_value_error(_corrupt_message(prefix)):
        return tensorflow.train.load_checkpoint(str(prefix))


def _check_data(prefix: Path, index: Index) -> None:
    """Check that the data files exist and have the size that the index requires."""
    paths = data_paths(prefix)
    expected = [f"{prefix.name}.data-{i:05}-of-{index.shards:05}" for i in range(index.shards)]
    sizes = [0] * index.shards
    ends = [0] * index.shards
    for variable in index.variables.values():
        sizes[variable.shard] += variable.size  # variables do not overlap
        ends[variable.shard] = max(ends[variable.shard], variable.offset + variable.size)
    if [path.name for path in paths] != expected:
        names = format_names(path.name for path in paths)
        raise FileNotFoundError(f"Expected {index.shards} data files next to {index_path(prefix)}, got {names}.")
    for i, path in enumerate(paths):
        min_size = max(sizes[i], ends[i])
        if path.stat().st_size < min_size:
            raise ValueError(
                f"Cannot read {path} ({path.stat().st_size} bytes): truncated, its index requires {min_size} bytes. "
                "Download or copy the file again."
            )


def open_bundle(prefix: Path) -> Bundle:
    """Open the checkpoint with this prefix.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If its index is corrupt, or a data file is truncated.
        ImportError: If tensorflow is not installed.
    """
    import_tensorflow()
    try:
        index = read_index(index_path(prefix))
    except CorruptIndexError as error:
        raise ValueError(_corrupt_message(prefix)) from error
    _check_data(prefix, index)
    shapes = {name: variable.shape for name, variable in index.variables.items()}
    with _as_value_error(_corrupt_message(prefix)):
        tensorflow_shapes = _open_reader(prefix).get_variable_to_shape_map()
    if shapes != {name: tuple(shape) for name, shape in tensorflow_shapes.items()}:
        raise ValueError(_corrupt_message(prefix))
    return Bundle(prefix, shapes)
