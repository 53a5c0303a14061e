# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Files from http addresses, kept in `HF_HOME` beside the downloads of huggingface_hub."""

import contextlib
import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants
from tqdm import tqdm

CHUNK = 1 << 20
_TIMEOUT = 60.0


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
                while chunk := response.read(CHUNK):
                    write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    bar.update(len(chunk))
    except urllib.error.HTTPError as error:
        raise ConnectionError(
            f"{url} must be there to download; the server answered {error.code} {error.reason}."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(f"{url} must be reachable to download; got {reason}.") from error
    return announced, digest.hexdigest(), received
