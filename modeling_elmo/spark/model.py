# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Model folders on Spark: lookup on the driver, distribution to the workers, and one load per worker."""

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
from ..loading import load_config as load_model_config
from ..model.configuration_elmo import ElmoConfig

CONFIG = "config.json"

# Archives that the driver serves to the workers. Their folders exist as long as the process.
_archives: dict[tuple[str, str], tempfile.TemporaryDirectory] = {}


def resolve_model(name: str, remote_loc: str | None = None) -> str:
    """Return the path of a model folder. A repository of the Hub is downloaded.

    Args:
        name: Folder, or `owner/name` on the Hub. With `remote_loc`, a folder in it.
        remote_loc: Folder that contains model folders.

    Raises:
        ValueError: If the model does not exist.
    """
    folder = Path(name) if remote_loc is None else Path(remote_loc, name)
    if is_model_folder(folder):
        return str(folder.absolute())
    if remote_loc is None and not folder.exists() and name.count("/") == 1 and not name.startswith((".", "/")):
        return snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt"])
    raise ValueError(
        f"Expected a model folder with {CONFIG} or a repository of the Hub, 'owner/name', got {str(folder)!r}. "
        "Create a model folder with `elmo convert`."
    )


def local_model_folder(path: str) -> Path:
    """Return the folder of a model path: the path itself, or the file that `addFile` or `addArchive` gave this name.

    Raises:
        FileNotFoundError: If this machine has neither.
    """
    folder = Path(path)
    if not is_model_folder(folder) and not folder.is_absolute():
        folder = Path(SparkFiles.get(path))
    if is_model_folder(folder):
        return folder
    if TaskContext.get() is None:
        raise FileNotFoundError(f"No model found at {path!r} on the driver. Load the model again from another folder.")
    raise FileNotFoundError(
        f"No model found at {path!r} on this worker. Use a path that all workers can read, or setShipModel(True)."
    )


def is_model_folder(path: str | Path) -> bool:
    """Return whether the folder exists on this machine and contains a model."""
    return Path(path, CONFIG).is_file()


def load_config(path: str) -> ElmoConfig:
    """Load the configuration of the model at `path`, see `local_model_folder`."""
    return load_model_config(local_model_folder(path))


def load_worker_encoder(path: str, device: str | None, dtype: str | None) -> ElmoEncoder:
    """Return the encoder of this worker process and load it on the first call.

    Args:
        path: Model path, see `local_model_folder`.
        device: Device to compute on. Defaults to the GPU that Spark assigned to the task, any GPU, or the CPU.
        dtype: Dtype of the model. Defaults to that of the saved weights.
    """
    folder = local_model_folder(path)
    return _load_encoder(str(folder), _folder_fingerprint(folder), device or _task_device(), dtype)


@lru_cache(maxsize=2)
def _load_encoder(folder: str, fingerprint: str, device: str | None, dtype: str | None) -> ElmoEncoder:
    # `fingerprint` is only a cache key: a worker outlives changes of the folder.
    if TaskContext.get() is not None:
        disable_progress_bar()  # a worker has no terminal
    # The weights are memory-mapped, so the workers of a machine share one copy.
    return ElmoEncoder.from_pretrained(folder, device=device, dtype=dtype)


def _task_device() -> str | None:
    """Return the GPU that Spark assigned to the task, or None."""
    context = TaskContext.get()
    gpus = context.resources().get("gpu") if context is not None else None
    return f"cuda:{gpus.addresses[0]}" if gpus is not None and gpus.addresses else None


def list_model_files(folder: Path) -> list[Path]:
    """Return the files of a model folder, without hidden ones."""
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))


def _folder_fingerprint(folder: Path) -> str:
    """Return a hash of the names, sizes, and times of the files."""
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in list_model_files(folder)]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:16]


def distribute_model(context: Any, path: str) -> str:
    """Send the model folder to all workers, once per Spark context, and return its name there.

    It is sent as an archive, because Spark does not send local folders to other machines.
    """
    folder = local_model_folder(path)
    name = f"elmo-{_folder_fingerprint(folder)}"
    if (context.applicationId, name) not in _archives:
        archive_folder = tempfile.TemporaryDirectory(prefix="elmo-spark-")
        archive = Path(archive_folder.name, f"{name}.zip")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
            for file in list_model_files(folder):
                zipped.write(file, file.name)
        context.addArchive(f"{archive}#{name}")
        _archives[context.applicationId, name] = archive_folder
    return name
