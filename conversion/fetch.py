# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Where a checkpoint comes from: a folder, files, addresses or a known name, made into local files.

Downloads use the standard library and lie in `HF_HOME`, beside those of huggingface_hub.
"""

import contextlib
import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants
from tqdm import tqdm

from .checkpoints import FILES, Checkpoint, checkpoints, find

_CHUNK = 1 << 20
_TIMEOUT = 60.0
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
            while chunk := file.read(_CHUNK):
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


def cache_folder() -> Path:
    """Where downloads are kept."""
    return Path(constants.HF_HOME) / "modeling_elmo"


def download(url: str, size: int | None = None, sha256: str | None = None) -> Path:
    """The file at an address, from the cache if it has been downloaded before.

    Args:
        url: http or https.
        size: its bytes, if known.
        sha256: its digest in hexadecimal, if known.
    Raises:
        ConnectionError: it cannot be fetched, or ends early.
        ValueError: it has another size or digest than expected.
    """
    basename = PurePosixPath(unquote(urlsplit(url).path)).name or "file"
    target = cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{basename}"
    if target.is_file() and size in (None, target.stat().st_size):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{basename}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            announced, digest, received = _receive(url, file.write, basename)
        for expected in (announced, size):
            if expected not in (None, received):
                raise ValueError(f"{url} must have {expected} bytes; got {received}.")
        if sha256 not in (None, digest):
            raise ValueError(f"{url} must have the sha256 {sha256}; got {digest}.")
        part.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    return target


def _receive(url: str, write: Callable[[bytes], object], label: str) -> tuple[int | None, str, int]:
    """Pass a download to `write`; returns the size that the server announced, the digest and the size received."""
    digest, received = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            length = response.headers.get("Content-Length")
            announced = int(length) if length and length.isdigit() else None
            with tqdm(total=announced, desc=label, unit="B", unit_scale=True) as bar:
                while chunk := response.read(_CHUNK):
                    write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    bar.update(len(chunk))
    except urllib.error.HTTPError as error:
        raise ConnectionError(f"{url} must be there to download; the server answered {error.code} {error.reason}.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(f"{url} must be reachable to download; got {reason}.") from error
    return announced, digest.hexdigest(), received


def _one(folder: Path, what: str, candidates: list[Path]) -> Path:
    if len(candidates) == 1:
        return candidates[0]
    found = ", ".join(sorted(path.name for path in candidates)) or "none"
    raise FileNotFoundError(f"{folder} must have one {what}, or it must be named; got {found}.")


def _options_in(folder: Path) -> Path:
    exact = folder / "options.json"
    return exact if exact.is_file() else _one(folder, "options file (options.json)", list(folder.glob("*options*.json")))


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
        ConnectionError, ValueError: see `download`.
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
            raise FileNotFoundError(f"weights at an address must come with the options' path or address; got only {text}.")
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
