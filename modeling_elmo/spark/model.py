# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Model folders on Spark: lookup on the driver, distribution to the workers, and one load per worker."""

import atexit
import hashlib
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
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

# Archives that the driver serves to the workers, by application and name.
_archives: set[tuple[str, str]] = set()
# Kept files by model folder and fingerprint.
_kept_folders: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class KeptModel:
    """Model of a transformer on the driver. Its files remain if the model folder is deleted or replaced.

    PySpark deletes an old folder before it asks a transformer to save itself, and the model can be in that folder.

    Attributes:
        path: Model path, see `local_model_folder`.
        folder: Folder with the kept files, which exists as long as the process.
        fingerprint: Fingerprint of the model folder when the files were kept.
    """

    path: str
    folder: str
    fingerprint: str

    def is_unchanged(self) -> bool:
        """Return whether the model folder still exists on the driver and has the same files."""
        try:
            return _folder_fingerprint(local_model_folder(self.path)) == self.fingerprint
        except OSError:
            return False


def keep_model(path: str) -> KeptModel:
    """Keep the files of a model folder: as hard links, or as copies if the temporary folder has another file system.

    Args:
        path: Model path, see `local_model_folder`.

    Raises:
        FileNotFoundError: If the driver has no model at this path.
        OSError: If the temporary folder has too little space.
    """
    source = local_model_folder(path).absolute()
    fingerprint = _folder_fingerprint(source)
    kept = _kept_folders.get((str(source), fingerprint))
    if kept is None or not is_model_folder(kept):  # some systems delete old files of the temporary folder
        folder = create_temporary_folder()
        try:
            for file in list_model_files(source):
                _link_or_copy(file, folder / file.name)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise OSError(
                f"Cannot keep the model {str(source)!r} in {str(folder.parent)!r}: {error}. "
                "Set TMPDIR to a folder with more space."
            ) from error
        kept = _kept_folders[str(source), fingerprint] = str(folder)
    return KeptModel(path, kept, fingerprint)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)  # `os.link` does not follow the symbolic links of the Hub's cache
    except OSError:
        shutil.copyfile(source, target)


def create_temporary_folder() -> Path:
    """Create a folder that is removed when the process exits."""
    folder = Path(tempfile.mkdtemp(prefix="elmo-spark-"))
    atexit.register(_remove_folder, folder, os.getpid())
    return folder


def _remove_folder(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a forked process inherits the function, but not the folder
        shutil.rmtree(folder, ignore_errors=True)


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


def distribute_model(context: Any, model: KeptModel, ship: bool) -> str:
    """Return the model path for the workers, and send them the files if necessary.

    Args:
        context: Spark context.
        model: Model to distribute.
        ship: Whether to send the files even if the workers may be able to read them.
    """
    if ship:
        return _ship_folder(context, Path(model.folder))
    if context.master.startswith("local"):  # the workers run on this machine
        return model.folder
    return model.path if model.is_unchanged() else _ship_folder(context, Path(model.folder))


def _ship_folder(context: Any, folder: Path) -> str:
    """Send the folder to all workers, once per Spark context, and return its name there.

    It is sent as an archive, because Spark does not send local folders to other machines.
    """
    name = f"elmo-{_folder_fingerprint(folder)}"
    if (context.applicationId, name) not in _archives:
        archive = create_temporary_folder() / f"{name}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
            for file in list_model_files(folder):
                zipped.write(file, file.name)
        context.addArchive(f"{archive}#{name}")
        _archives.add((context.applicationId, name))
    return name
