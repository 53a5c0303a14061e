# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The model folder on its way through Spark: found on the driver, shipped to workers, loaded once a worker, saved."""

import hashlib
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from pyspark import SparkFiles, TaskContext
from transformers.utils.logging import disable_progress_bar

from ..encoder import ElmoEncoder
from ..model.configuration_elmo import ElmoConfig

CONFIG = "config.json"

# Archives that the driver serves to the workers; the folders live as long as the process.
_archives: dict[tuple[str, str], tempfile.TemporaryDirectory] = {}


def resolve(name: str, remote_loc: str | None = None) -> str:
    """The folder of a model: a folder's path, or a repository of the Hub, which is downloaded.

    Args:
        name: a folder, or the Hub's `owner/name`; with `remote_loc` a folder in that one.
        remote_loc: a folder of model folders.

    Raises:
        ValueError: there is no such model.
    """
    folder = Path(name) if remote_loc is None else Path(remote_loc, name)
    if (folder / CONFIG).is_file():
        return str(folder.absolute())
    if remote_loc is None and not folder.exists() and name.count("/") == 1 and not name.startswith((".", "/")):
        return snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt"])
    raise ValueError(
        f"the model must be a folder with {CONFIG}, as `elmo convert` writes, or a repository of the Hub, 'owner/name';"
        f" got {str(folder)!r}."
    )


def locate(path: str) -> Path:
    """The folder behind a model path: the path itself, else what `addFile` or `addArchive` calls so.

    Raises:
        FileNotFoundError: this machine has neither.
    """
    folder = Path(path)
    if not (folder / CONFIG).is_file() and not folder.is_absolute():
        folder = Path(SparkFiles.get(path))
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"there is no model in {path!r} on this machine: put it where every worker finds it, or setShipModel(True)."
        )
    return folder


def is_model(path: str) -> bool:
    """Whether the folder `path` of this machine holds a model."""
    return Path(path, CONFIG).is_file()


def load_config(path: str) -> ElmoConfig:
    """The configuration of the model at `path`."""
    return ElmoConfig.from_pretrained(locate(path))


def worker_encoder(path: str, device: str | None, dtype: str | None) -> ElmoEncoder:
    """The encoder of this worker process, loaded when first asked for.

    Args:
        path: as for `locate`.
        device: where to compute; None for the GPU that Spark gave the task, else for any GPU, else the CPU.
        dtype: of the model; None for that of the stored weights.
    """
    folder = locate(path)
    return _load(str(folder), _stamp(folder), device or _task_device(), dtype)


@lru_cache(maxsize=2)
def _load(folder: str, stamp: str, device: str | None, dtype: str | None) -> ElmoEncoder:
    # The stamp is there for the cache: workers live on when a folder is written anew.
    if TaskContext.get() is not None:
        disable_progress_bar()  # a worker has no terminal
    # Loading maps the weights' file into memory, so that the workers of a machine share one copy.
    return ElmoEncoder.from_pretrained(folder, device=device, dtype=dtype)


def _task_device() -> str | None:
    context = TaskContext.get()
    gpus = context.resources().get("gpu") if context is not None else None
    return f"cuda:{gpus.addresses[0]}" if gpus is not None and gpus.addresses else None


def model_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))


def _stamp(folder: Path) -> str:
    """Changes when a file of the folder does."""
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in model_files(folder)]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:16]


def ship(context: Any, path: str) -> str:
    """Send the model folder to all workers, once a Spark context; returns the name it has there.

    As an archive, for Spark sends no local folders to other machines.
    """
    folder = locate(path)
    name = f"elmo-{_stamp(folder)}"
    if (context.applicationId, name) not in _archives:
        place = tempfile.TemporaryDirectory(prefix="elmo-spark-")
        archive = Path(place.name, f"{name}.zip")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
            for file in model_files(folder):
                zipped.write(file, file.name)
        context.addArchive(f"{archive}#{name}")
        _archives[context.applicationId, name] = place
    return name
