# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Download of files over HTTP, with a cache in `HF_HOME` next to that of huggingface_hub."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants
from tqdm import tqdm

from modeling_elmo.files import atomic_file

CHUNK_SIZE = 1 << 20  # bytes
_TIMEOUT = 60.0  # seconds


def cache_folder() -> Path:
    """Return the folder of the downloaded files."""
    return Path(constants.HF_HOME) / "modeling_elmo"


def download(url: str, size: int | None = None, sha256: str | None = None) -> Path:
    """Download a file, or return it from the cache.

    Args:
        url: HTTP or HTTPS URL.
        size: Expected size in bytes, if known.
        sha256: Expected digest in hexadecimal, if known.

    Returns:
        Path in the cache.

    Raises:
        ConnectionError: If the download fails.
        ValueError: If the file is truncated, or has an unexpected size or digest.
    """
    basename = PurePosixPath(unquote(urlsplit(url).path)).name or "file"
    target = cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{basename}"
    if target.is_file() and size in (None, target.stat().st_size):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target, concurrent=True) as file:
        announced, digest, received = _receive(url, file.write, basename)
        for expected in (announced, size):
            if expected not in (None, received):
                raise ValueError(f"Expected {expected} bytes from {url}, got {received}. Try again.")
        if sha256 not in (None, digest):
            raise ValueError(f"Expected the sha256 {sha256} for {url}, got {digest}.")
    return target


def _receive(url: str, write: Callable[[bytes], object], label: str) -> tuple[int | None, str, int]:
    """Pass a download to `write`, and return the announced size, the digest, and the received size."""
    digest, received = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            length = response.headers.get("Content-Length")
            announced = int(length) if length and length.isdigit() else None
            with tqdm(total=announced, desc=label, unit="B", unit_scale=True) as bar:
                while chunk := response.read(CHUNK_SIZE):
                    write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    bar.update(len(chunk))
    except urllib.error.HTTPError as error:
        raise ConnectionError(f"Cannot download {url}: the server returned {error.code} {error.reason}.") from error
    except (OSError, ValueError) as error:
        raise ConnectionError(f"Cannot download {url}: {getattr(error, 'reason', error)}.") from error
    return announced, digest.hexdigest(), received
