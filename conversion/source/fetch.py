# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Resolution of a checkpoint source (folder, files, URLs, or a known name) to local files."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modeling_elmo.messages import format_names
from modeling_elmo.optional import import_h5py

from .archives import is_archive
from .checkpoints import Checkpoint, checkpoints, find_checkpoint
from .download import download, file_sha256
from .urls import is_url, redact, url_file_name

_HDF5_SUFFIXES = (".hdf5", ".h5")


@dataclass(frozen=True)
class SourceFile:
    """A local file and its origin.

    Attributes:
        path: Path of the file.
        origin: Name or URL, for messages and for the record in `config.json`. It contains no secrets (see
            `urls.redact`).
        is_download: Whether the file is in the cache of downloads.
    """

    path: Path
    origin: str
    is_download: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", redact(self.origin))

    def sha256(self) -> str:
        """Return the digest of the file in hexadecimal."""
        return file_sha256(self.path)


@dataclass(frozen=True)
class Source:
    """Local files of a checkpoint that is not opened yet.

    Attributes:
        path: Folder, weight file, or archive.
        options: Options file, instead of the one next to the weights.
        vocab: Vocabulary, instead of the one next to the weights.
        softmax: Softmax weights, instead of those next to the weights.
        checkpoint: Entry in the list of known checkpoints, if any.
    """

    path: SourceFile
    options: SourceFile | None = None
    vocab: SourceFile | None = None
    softmax: SourceFile | None = None
    checkpoint: Checkpoint | None = None

    def discard_downloads(self) -> None:
        """Remove the downloaded files from the cache, because they cannot be read."""
        for file in (self.path, self.options, self.vocab, self.softmax):
            if file is not None and file.is_download:
                file.path.unlink(missing_ok=True)


def single_path(paths: Sequence[Path], folder: Path, description: str) -> Path:
    """Return the only path.

    Args:
        paths: Candidates.
        folder: Folder of the candidates, for the message.
        description: Description of the file, for the message.

    Raises:
        FileNotFoundError: If there is no path or more than one.
    """
    if len(paths) != 1:
        names = format_names(path.name for path in paths)
        raise FileNotFoundError(f"Expected one {description} in {folder}, got {names}. Pass the path of the file.")
    return paths[0]


def _locate(
    path_or_url: str | Path, file_role: str, checkpoint: Checkpoint | None = None, force_download: bool = False
) -> SourceFile:
    text = os.fspath(path_or_url)
    if not is_url(text):
        if not Path(text).is_file():
            raise FileNotFoundError(f"Expected the {file_role} in {redact(text)}, which does not exist.")
        return SourceFile(Path(text), Path(text).name)
    size = checkpoint.sizes.get(file_role) if checkpoint else None
    sha256 = checkpoint.sha256.get(file_role) if checkpoint else None
    return SourceFile(download(text, size, sha256, force=force_download), text, is_download=True)


def _is_hdf5_url(text: str) -> bool:
    return is_url(text) and PurePosixPath(url_file_name(text)).suffix.lower() in _HDF5_SUFFIXES


def _check_packages(paths_or_urls: Iterable[str | Path | None]) -> None:
    """Check that the packages that read the files of these URLs are installed, before a long download.

    Raises:
        ImportError: If one is missing.
    """
    if any(_is_hdf5_url(os.fspath(each)) for each in paths_or_urls if each is not None):
        import_h5py()


def resolve_source(
    source: str | Path,
    weights: str | Path | None = None,
    options: str | Path | None = None,
    vocab: str | Path | None = None,
    softmax: str | Path | None = None,
    language_model: bool = False,
    force_download: bool = False,
) -> Source:
    """Return the local files of a checkpoint, downloaded if necessary.

    Args:
        source: Folder, weight file, or archive; URL of a weight file or an archive; or the name of a known checkpoint
            (see `checkpoints.toml`) or any of its URLs. An existing path takes precedence over a name.
        weights: Path or URL of the weights, instead of those of `source`.
        options: Path or URL of the options, instead of those of `source`.
        vocab: Path or URL of the vocabulary, instead of that of `source`.
        softmax: Path or URL of the softmax, instead of that of `source`.
        language_model: Whether to download the softmax and the vocabulary of a known checkpoint.
        force_download: Whether to download files that are in the cache again.

    Raises:
        FileNotFoundError: If the source or one of its files does not exist.
        ImportError: If h5py is required and not installed. Nothing is downloaded then.
        ConnectionError, ValueError: See `download.download`.
    """
    text = os.fspath(source)
    exists = os.path.exists(text) or os.path.exists(f"{text}.index")  # the prefix of a TensorFlow checkpoint
    checkpoint = None
    parts: dict[str, str | Path | None] = {"options": options, "vocab": vocab, "softmax": softmax}
    if not exists and (checkpoint := find_checkpoint(text)) is not None:
        weights = weights or checkpoint.weights
        required = ("options", "vocab", "softmax") if language_model else ("options",)
        parts |= {file_role: parts[file_role] or checkpoint.url(file_role) for file_role in required}
        if weights is None or parts["options"] is None:
            raise FileNotFoundError(
                f"Cannot download the checkpoint {checkpoint.name!r}: it has no permanent URL. Get its files from "
                f"{checkpoint.page} and pass their folder."
            )
    elif not exists and not is_url(text):
        names = ", ".join(known.name for known in checkpoints())
        raise FileNotFoundError(
            f"Expected `source` to be a folder, a file, a URL, or one of {names}, got {redact(text)!r}."
        )

    weights_file = weights or (text if not exists and is_url(text) else None)
    missing_options = FileNotFoundError(
        f"Cannot convert weights from a URL without options, got {redact(text)}. Pass `options`."
    )
    # The cache contains files of other checkpoints, so the options cannot be looked up next to the weights.
    needs_options = weights is None and weights_file is not None and parts["options"] is None
    if needs_options and _is_hdf5_url(text):
        raise missing_options
    _check_packages((weights_file, *parts.values()))
    # The weights are the largest file, so they come last.
    files = {
        file_role: _locate(part, file_role, checkpoint, force_download)
        for file_role, part in parts.items()
        if part is not None
    }
    if weights_file is not None:
        path = _locate(weights_file, "weights", checkpoint, force_download)
        if needs_options and not is_archive(path.path):
            Source(path).discard_downloads()
            raise missing_options
    else:
        path = SourceFile(Path(text), Path(text).name)
    if weights is not None and "options" not in files and not is_url(text):
        files["options"] = find_options(Path(text) if Path(text).is_dir() else Path(text).parent)
    return Source(path, checkpoint=checkpoint, **files)


def find_options(folder: Path) -> SourceFile:
    """Return `options.json` of a folder, or its only `*options*.json`.

    Raises:
        FileNotFoundError: If there is none, or more than one.
    """
    path = folder / "options.json"
    if not path.is_file():
        candidates = sorted(file for file in folder.glob("*options*.json") if file.is_file())
        path = single_path(candidates, folder, "options file (options.json)")
    return SourceFile(path, path.name)
