# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Where a checkpoint comes from: a folder, files, addresses or a known name, made into local files."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from .archives import is_archive
from .checkpoints import Checkpoint, checkpoints, find
from .download import CHUNK, download


@dataclass(frozen=True)
class SourceFile:
    """A local file and where it came from: its name, or its address."""

    path: Path
    origin: str

    def sha256(self) -> str:
        """The digest of its bytes, in hexadecimal."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """What is known of an old checkpoint before it is opened.

    Attributes:
        path: its folder, its weights or an archive with it, on this machine.
        options, vocab, softmax: files in place of those that a reader finds beside the weights.
        checkpoint: its entry in the list of known ones.
    """

    path: SourceFile
    options: SourceFile | None = None
    vocab: SourceFile | None = None
    softmax: SourceFile | None = None
    checkpoint: Checkpoint | None = None


def is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _locate(argument: str | Path, what: str, checkpoint: Checkpoint | None = None) -> SourceFile:
    """A file that was named: a path or an address."""
    text = os.fspath(argument)
    if not is_url(text):
        if not Path(text).is_file():
            raise FileNotFoundError(f"the {what} file must exist; {text} does not.")
        return SourceFile(Path(text), Path(text).name)
    if checkpoint is None:
        return SourceFile(download(text), text)
    return SourceFile(download(text, checkpoint.sizes.get(what), checkpoint.sha256.get(what)), text)


def resolve(
    source: str | Path,
    weights: str | Path | None = None,
    options: str | Path | None = None,
    vocab: str | Path | None = None,
    softmax: str | Path | None = None,
    language_model: bool = False,
) -> Source:
    """The local files of a checkpoint, downloaded where they must be.

    Args:
        source: a folder, a weight file or an archive, or the address of one of the latter; or a known checkpoint's
            name (see `checkpoints.toml`) or any of its addresses. What exists as a path is a path.
        weights, options, vocab, softmax: paths or addresses in place of those that `source` leads to.
        language_model: of a known checkpoint, get softmax and vocabulary too.

    Raises:
        FileNotFoundError: there is no such source, or it has not the files.
        ConnectionError, ValueError: see `download.download`.
    """
    text = os.fspath(source)
    exists = os.path.exists(text) or os.path.exists(f"{text}.index")  # the prefix of a TensorFlow checkpoint
    checkpoint = None
    parts: dict[str, str | Path | None] = {"options": options, "vocab": vocab, "softmax": softmax}
    if not exists and (checkpoint := find(text)) is not None:
        weights = weights or checkpoint.weights
        wanted = ("options", "vocab", "softmax") if language_model else ("options",)
        parts |= {what: parts[what] or checkpoint.url(what) for what in wanted}
        if weights is None or parts["options"] is None:
            raise FileNotFoundError(
                f"the checkpoint {checkpoint.name!r} has no lasting address; get its files from {checkpoint.page} "
                "and give their folder."
            )
    elif not exists and not is_url(text):
        names = ", ".join(known.name for known in checkpoints())
        raise FileNotFoundError(f"the source must be a folder, a file, an address or one of {names}; got {text!r}.")

    if weights is not None:
        path = _locate(weights, "weights", checkpoint)
    elif is_url(text):
        path = SourceFile(download(text), text)
        if parts["options"] is None and not is_archive(path.path):  # what lies beside a download is of other models
            raise FileNotFoundError(f"weights at an address must come with the options' path or address; got {text}.")
    else:
        path = SourceFile(Path(text), Path(text).name)
    found = {what: _locate(part, what, checkpoint) for what, part in parts.items() if part is not None}
    if weights is not None and "options" not in found and not is_url(text):  # the source's own, with other weights
        found["options"] = find_options(Path(text) if Path(text).is_dir() else Path(text).parent)
    return Source(path, checkpoint=checkpoint, **found)


def find_options(folder: Path) -> SourceFile:
    """`options.json` of a folder, or the only `*options*.json`; FileNotFoundError unless there is one."""
    exact = folder / "options.json"
    found = [exact] if exact.is_file() else sorted(path for path in folder.glob("*options*.json") if path.is_file())
    if len(found) != 1:
        raise FileNotFoundError(
            f"{folder} must have one options file (options.json), or it must be named; "
            f"got {', '.join(path.name for path in found) or 'none'}."
        )
    return SourceFile(found[0], found[0].name)
