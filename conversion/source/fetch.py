# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Resolution of a checkpoint source (folder, files, URLs, or a known name) to local files."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeling_elmo.messages import format_names

from .archives import is_archive
from .checkpoints import Checkpoint, checkpoints, find_checkpoint
from .download import CHUNK_SIZE, download


@dataclass(frozen=True)
class SourceFile:
    """A local file and its origin: its name or URL."""

    path: Path
    origin: str

    def sha256(self) -> str:
        """Return the digest of the file in hexadecimal."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK_SIZE):
                digest.update(chunk)
        return digest.hexdigest()


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


def is_url(text: str) -> bool:
    """Return whether a text is an HTTP or HTTPS URL."""
    return text.startswith(("http://", "https://"))


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


def _locate(path_or_url: str | Path, file_role: str, checkpoint: Checkpoint | None = None) -> SourceFile:
    text = os.fspath(path_or_url)
    if not is_url(text):
        if not Path(text).is_file():
            raise FileNotFoundError(f"Expected the {file_role} in {text}, which does not exist.")
        return SourceFile(Path(text), Path(text).name)
    if checkpoint is None:
        return SourceFile(download(text), text)
    return SourceFile(download(text, checkpoint.sizes.get(file_role), checkpoint.sha256.get(file_role)), text)


def resolve_source(
    source: str | Path,
    weights: str | Path | None = None,
    options: str | Path | None = None,
    vocab: str | Path | None = None,
    softmax: str | Path | None = None,
    language_model: bool = False,
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

    Raises:
        FileNotFoundError: If the source or one of its files does not exist.
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
        raise FileNotFoundError(f"Expected `source` to be a folder, a file, a URL, or one of {names}, got {text!r}.")

    if weights is not None:
        path = _locate(weights, "weights", checkpoint)
    elif is_url(text):
        path = SourceFile(download(text), text)
        # The cache contains files of other checkpoints, so the options cannot be looked up next to the weights.
        if parts["options"] is None and not is_archive(path.path):
            raise FileNotFoundError(f"Cannot convert weights from a URL without options, got {text}. Pass `options`.")
    else:
        path = SourceFile(Path(text), Path(text).name)
    files = {file_role: _locate(part, file_role, checkpoint) for file_role, part in parts.items() if part is not None}
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
