# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""TensorFlow's V2 checkpoints ("bundles"): a table of names and shapes, `PREFIX.index`, and numbers in data files.

They are read by TensorFlow itself, which is imported only here, when it is needed, and only after `tensorflow_index`
has found nothing in the table that would end the process.
"""

import glob
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modeling_elmo.optional import import_tensorflow

from ..mapping.layouts import Shape
from ..mapping.tensor_ops import Array
from ..source.fetch import SourceFile
from .tensorflow_index import MAGIC, DamagedIndexError, Index, read_index

_FILE = re.compile(r"(.+)\.(?:index|meta|data-\d{5}-of-\d{5})")
_LATEST = re.compile(r'^model_checkpoint_path:\s*"(?:.*[/\\])?([^"/\\]+)"', re.MULTILINE)

# Kept by training programs beside the model's variables: counters, and what optimizers remember of a variable.
_COUNTERS = ("global_step", "train_perplexity", "beta1_power", "beta2_power")
_SLOT = re.compile(r"(.+)/(?:Adagrad|Adam|Adam_1|Momentum|RMSProp|RMSProp_1|Adadelta|Adadelta_1|Ftrl|Ftrl_1)")


def index_of(prefix: Path) -> Path:
    """The file with names and shapes."""
    return prefix.with_name(f"{prefix.name}.index")


def data_of(prefix: Path) -> list[Path]:
    """The files with numbers, in order."""
    return sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*-of-*"))


def _is_bundle(prefix: Path) -> bool:
    index = index_of(prefix)
    if not index.is_file():
        return False
    if data_of(prefix):  # then it is one whose index may be damaged
        return True
    with index.open("rb") as file:
        file.seek(max(0, index.stat().st_size - len(MAGIC)))
        return file.read() == MAGIC


def _latest(folder: Path) -> Path | None:
    """The checkpoint that the file `checkpoint` names; it lies in the same folder, wherever training wrote it."""
    record = folder / "checkpoint"
    match = _LATEST.search(record.read_text(encoding="utf-8")) if record.is_file() else None
    return folder / match[1] if match else None


def find(path: Path) -> list[Path]:
    """The prefixes of the checkpoints that a path leads to; none where it leads to none. Never raises.

    Args:
        path: a folder (the checkpoint that its file `checkpoint` names, or all), one of a checkpoint's files, or a
            prefix.
    """
    try:
        if path.is_dir():
            latest = _latest(path)
            if latest is not None and _is_bundle(latest):
                return [latest]
            found = [index.with_name(index.name.removesuffix(".index")) for index in sorted(path.glob("?*.index"))]
        else:
            match = _FILE.fullmatch(path.name)
            found = [path.with_name(match[1]) if match else path]
        return [prefix for prefix in found if _is_bundle(prefix)]
    except (OSError, ValueError):
        return []


def find_one(path: Path) -> Path:
    """The prefix of the checkpoint that a path leads to; FileNotFoundError unless there is one."""
    found = find(path)
    if len(found) != 1:
        names = ", ".join(prefix.name for prefix in found) or "none"
        raise FileNotFoundError(f"{path} must lead to one TensorFlow checkpoint, or it must be named; got {names}.")
    return found[0]


def mentions(prefix: Path, part: str) -> bool:
    """Whether a part of a variable's name stands in the index: a cheap look, without TensorFlow. Never raises."""
    try:
        return any(part in name for name in read_index(index_of(prefix)).variables)
    except DamagedIndexError:  # a guess, for the sentence about the damage
        with index_of(prefix).open("rb") as file:
            return part.encode() in file.read(1 << 20)
    except OSError:
        return False


def is_training_state(name: str, names: Collection[str]) -> bool:
    """Whether the variable called `name`, one of `names`, is a training program's and no part of the model."""
    slot = _SLOT.fullmatch(name)
    return name in _COUNTERS or (slot is not None and slot[1] in names)


@contextmanager
def _refusing(sentence: str) -> Iterator[None]:
    """Turns what TensorFlow raises into ValueError with the sentence."""
    errors = import_tensorflow().errors
    try:
        yield
    except (errors.OpError, RuntimeError, ValueError, SystemError, MemoryError) as error:
        raise ValueError(sentence) from error


def _damaged(prefix: Path) -> str:
    index = index_of(prefix)
    return (
        f"{index} must be the whole index of a TensorFlow checkpoint; it is cut short or damaged "
        f"({index.stat().st_size} bytes)."
    )


@dataclass(frozen=True)
class Bundle:
    """An open checkpoint.

    Attributes:
        prefix: its files' names without their ends.
        shapes: names and shapes of all its variables.
    """

    prefix: Path
    shapes: Mapping[str, Shape]

    def read(self, names: Iterable[str]) -> dict[str, Array]:
        """The float32 arrays of these variables; ValueError where one is missing, damaged or not finite."""
        arrays: dict[str, Array] = {}
        reader = _reader(self.prefix)
        types = reader.get_variable_to_dtype_map()
        for name in names:
            if name not in types:
                raise ValueError(f"{self.prefix} must have the variable {name}; got {', '.join(self.shapes)}.")
            if types[name].name != "float32":  # wider or narrower numbers would not go back bit-identically
                raise ValueError(f"variable {name} of {self.prefix} must be float32; got {types[name].name}.")
            with _refusing(f"variable {name} of {self.prefix} must be readable; its numbers are damaged."):
                array = np.asarray(reader.get_tensor(name))
            if not np.isfinite(array).all():
                raise ValueError(f"variable {name} of {self.prefix} must hold finite numbers; got NaN or infinity.")
            arrays[name] = array
        return arrays

    def files(self) -> dict[str, SourceFile]:
        """Its files by what they are: "index", "weights", and "weights_1", ... if the numbers lie in several."""
        shards = {f"weights_{i}" if i else "weights": path for i, path in enumerate(data_of(self.prefix))}
        return {what: SourceFile(path, path.name) for what, path in {**shards, "index": index_of(self.prefix)}.items()}


def _reader(prefix: Path) -> Any:
    """TensorFlow's reader, which checks the index's checksums."""
    tensorflow = import_tensorflow()
    with _refusing(_damaged(prefix)):
        return tensorflow.train.load_checkpoint(str(prefix))


def _check_data(prefix: Path, index: Index) -> None:
    """Refuse a checkpoint whose data files are missing or too small, before any number is read."""
    files = data_of(prefix)
    if [path.name for path in files] != [
        f"{prefix.name}.data-{i:05}-of-{index.shards:05}" for i in range(index.shards)
    ]:
        got = ", ".join(path.name for path in files) or "none"
        raise FileNotFoundError(f"{index_of(prefix)} must have its {index.shards} data files beside it; got {got}.")
    for i, path in enumerate(files):
        needed = max([v.offset + v.size for v in index.variables.values() if v.shard == i], default=0)
        if path.stat().st_size < needed:
            raise ValueError(
                f"{path} must have {needed} bytes by its index; it is cut short ({path.stat().st_size} bytes)."
            )


def open_bundle(prefix: Path) -> Bundle:
    """The checkpoint with this prefix.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: its index is damaged, or its data files are cut short.
        ImportError: tensorflow is not installed.
    """
    import_tensorflow()
    try:
        index = read_index(index_of(prefix))
    except DamagedIndexError as error:
        raise ValueError(_damaged(prefix)) from error
    _check_data(prefix, index)
    shapes = {name: variable.shape for name, variable in index.variables.items()}
    with _refusing(_damaged(prefix)):
        seen = _reader(prefix).get_variable_to_shape_map()
    if shapes != {name: tuple(shape) for name, shape in seen.items()}:
        raise ValueError(_damaged(prefix))
    return Bundle(prefix, shapes)
