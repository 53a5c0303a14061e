# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Where a checkpoint comes from: a folder, files, addresses or a known name, made into local files."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .checkpoints import FILES, Checkpoint, checkpoints, find
from .download import CHUNK, download

_WEIGHT_SUFFIXES = (".hdf5", ".h5")


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
    """The files of an old checkpoint, and its entry in the list of known ones."""

    options: SourceFile
    weights: SourceFile
    vocab: SourceFile | None = None
    checkpoint: Checkpoint | None = None


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _one(folder: Path, what: str, candidates: list[Path]) -> Path:
    if len(candidates) == 1:
        return candidates[0]
    found = ", ".join(sorted(path.name for path in candidates)) or "none"
    raise FileNotFoundError(f"{folder} must have one {what}, or it must be named; got {found}.")


def _options_in(folder: Path) -> Path:
    exact = folder / "options.json"
    return (
        exact if exact.is_file() else _one(folder, "options file (options.json)", list(folder.glob("*options*.json")))
    )


def _weights_in(folder: Path) -> Path:
    files = [path for path in folder.iterdir() if path.suffix in _WEIGHT_SUFFIXES and "softmax" not in path.name]
    named = [path for path in files if "weights" in path.name]  # beside them may lie stored embeddings
    return _one(folder, "weight file (*.hdf5)", named or files)


def _locate(argument: str | Path, what: str, checkpoint: Checkpoint | None = None) -> SourceFile:
    """A file that was named: a path or an address."""
    text = os.fspath(argument)
    if not _is_url(text):
        if not Path(text).is_file():
            raise FileNotFoundError(f"the {what} file must exist; {text} does not.")
        return SourceFile(Path(text), Path(text).name)
    if checkpoint is None:
        return SourceFile(download(text), text)
    return SourceFile(download(text, checkpoint.sizes.get(what), checkpoint.sha256.get(what)), text)


def _from_folder(folder: Path) -> Callable[[str], str | Path | None]:
    def choose(what: str) -> Path | None:
        if what == "vocab":
            return folder / "vocab.txt" if (folder / "vocab.txt").is_file() else None
        return _options_in(folder) if what == "options" else _weights_in(folder)

    return choose


def resolve(
    source: str | Path,
    weights: str | Path | None = None,
    options: str | Path | None = None,
    vocab: str | Path | None = None,
) -> Source:
    """The local files of a checkpoint, downloaded where they must be.

    Args:
        source: a folder with `options.json` and one weight file; a weight file or its address; or a known
            checkpoint's name (see `checkpoints.toml`) or any of its addresses. What exists as a path is a path.
        weights, options, vocab: paths or addresses in place of those that `source` leads to.

    Raises:
        FileNotFoundError: there is no such source, or it has not the files.
        ConnectionError, ValueError: see `download.download`.
    """
    text, path = os.fspath(source), Path(source)
    checkpoint = None
    defaults: Callable[[str], str | Path | None]
    if path.is_dir():
        defaults = _from_folder(path)
    elif path.is_file():
        beside = _from_folder(path.parent)
        defaults = lambda what: path if what == "weights" else beside(what)  # noqa: E731
    elif (checkpoint := find(text)) is not None:
        defaults = checkpoint.url
        if checkpoint.weights is None and (weights is None or options is None):
            raise FileNotFoundError(
                f"the checkpoint {checkpoint.name!r} has no lasting address; get its files from {checkpoint.page} "
                "and give their folder."
            )
    elif _is_url(text):
        defaults = {"weights": text}.get
        if options is None:
            raise FileNotFoundError(f"weights at an address must come with the options' path or address; got {text}.")
    else:
        names = ", ".join(known.name for known in checkpoints())
        raise FileNotFoundError(f"the source must be a folder, a file, an address or one of {names}; got {text!r}.")

    given = dict(zip(FILES, (options, weights, None, vocab), strict=True))

    def locate(what: str) -> SourceFile | None:
        if given[what] is not None:
            return _locate(given[what] or "", what)
        default = defaults(what)
        return None if default is None else _locate(default, what, checkpoint)

    found_options, found_weights = locate("options"), locate("weights")
    if found_options is None or found_weights is None:
        raise FileNotFoundError(f"{text} must lead to an options file and a weight file; got only one of them.")
    found_vocab = locate("vocab") if vocab is not None or not (checkpoint and checkpoint.vocab) else None
    return Source(found_options, found_weights, found_vocab, checkpoint)
