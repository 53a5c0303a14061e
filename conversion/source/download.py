# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Download of files over HTTP, with a cache in `HF_HOME` next to that of huggingface_hub.

A download that was interrupted continues if the server supports it: it must send a strong ETag and accept ranges. Three
hidden files next to the cached file serve this purpose: `.part` (the bytes so far), `.etag` (their version), and
`.lock`.
"""

import base64
import hashlib
import http.client
import os
import queue
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from huggingface_hub import constants
from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]
from tqdm import tqdm

from modeling_elmo.files import fsync_folder

from .urls import INVALID_URL, is_url, redact, redact_url, url_file_name

CHUNK_SIZE = 1 << 20  # bytes
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)
_RANGE_NOT_SATISFIABLE = 416
_TRANSIENT_ERRORS = (
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
    TimeoutError,
    http.client.IncompleteRead,
    http.client.BadStatusLine,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
_SAFE_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"  # reserved characters and escapes


@dataclass(frozen=True)
class DownloadLimits:
    """Limits on time and attempts.

    Attributes:
        stall_seconds: Maximum time without a byte.
        response_seconds: Maximum time until the headers of a response are complete.
        grace_seconds: Duration after which the mean rate must reach `min_bytes_per_second`. A file of n bytes thus
            takes at most `grace_seconds + n / min_bytes_per_second`, all attempts together.
        min_bytes_per_second: See `grace_seconds`.
        max_attempts: Maximum number of attempts.
        backoff_seconds: Pause before the second attempt. It doubles before each further attempt.
    """

    stall_seconds: float = 60.0
    response_seconds: float = 120.0
    grace_seconds: float = 300.0
    min_bytes_per_second: float = 20_000.0
    max_attempts: int = 5
    backoff_seconds: float = 1.0


LIMITS = DownloadLimits()


class _DownloadError(Exception):
    """A failed attempt, with a reason that contains no part of the URL."""

    def __init__(self, reason: str, is_transient: bool = False) -> None:
        super().__init__(reason)
        self.is_transient = is_transient


@dataclass
class _Progress:
    """Time and bytes of all attempts."""

    limits: DownloadLimits
    received: int = 0
    start: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        seconds = time.monotonic() - self.start
        if seconds > self.limits.grace_seconds + self.received / self.limits.min_bytes_per_second:
            raise _DownloadError(f"the server is too slow ({self.received:,} bytes in {seconds:.0f} seconds)")


@dataclass(frozen=True)
class _Partial:
    """Bytes of an incomplete download, and the ETag of the file that they belong to."""

    path: Path
    etag_path: Path

    def resume_point(self) -> tuple[int, str | None]:
        """Return the number of bytes and their ETag. Without an ETag the download cannot resume."""
        if not self.path.is_file() or not self.etag_path.is_file():
            return 0, None
        etag = self.etag_path.read_text(encoding="ascii", errors="replace")
        return (self.path.stat().st_size, etag) if _is_strong(etag) else (0, None)

    def restart(self, etag: str | None) -> None:
        """Discard the bytes, and record the ETag of those to come."""
        self.discard()
        if etag is not None and _is_strong(etag):
            self.etag_path.write_text(etag, encoding="ascii")

    def discard(self) -> None:
        """Delete both files."""
        self.path.unlink(missing_ok=True)
        self.etag_path.unlink(missing_ok=True)


def _is_strong(etag: str) -> bool:
    return re.fullmatch(r'"[\x21\x23-\x7e]*"', etag) is not None


def cache_folder() -> Path:
    """Return the folder of the downloaded files."""
    return Path(constants.HF_HOME) / "modeling_elmo"


def file_sha256(path: Path) -> str:
    """Return the digest of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_SIZE):
            digest.update(chunk)
    return digest.hexdigest()


def download(
    url: str,
    size: int | None = None,
    sha256: str | None = None,
    *,
    force: bool = False,
    limits: DownloadLimits | None = None,
) -> Path:
    """Download a file, or return it from the cache.

    Args:
        url: HTTP or HTTPS URL. User info is sent as basic authentication, but not to the target of a redirect.
        size: Expected size in bytes, if known.
        sha256: Expected digest in hexadecimal, if known.
        force: Whether to ignore the cache.
        limits: Limits on time and attempts. Defaults to `LIMITS`.

    Returns:
        Path in the cache.

    Raises:
        ConnectionError: If the download fails.
        ValueError: If the URL is invalid, or the file has an unexpected size or digest.
    """
    shown_url, name = redact(url), url_file_name(url)
    target = cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{name}"

    def is_cached() -> bool:
        return not force and target.is_file() and size in (None, target.stat().st_size)

    if is_cached():
        return target
    _new_request(url)  # raises ValueError
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial(target.with_name(f".{target.name}.part"), target.with_name(f".{target.name}.etag"))
    with WeakFileLock(target.with_name(f".{target.name}.lock")):
        if is_cached():  # another process has downloaded it
            return target
        if force:
            partial.discard()
        try:
            _receive_with_retries(url, partial, name, _Progress(limits or LIMITS))
        except _DownloadError as error:
            if partial.resume_point()[1] is None:
                partial.discard()
            raise ConnectionError(f"Cannot download {shown_url}: {error}.") from None
        try:
            _check_file(partial.path, shown_url, size, sha256)
        except ValueError:
            partial.discard()
            raise
        partial.path.replace(target)
        partial.discard()
    fsync_folder(target.parent)
    return target


def _check_file(path: Path, shown_url: str, size: int | None, sha256: str | None) -> None:
    received = path.stat().st_size
    if size not in (None, received):
        raise ValueError(f"Expected {size} bytes from {shown_url}, got {received}. Try again.")
    if sha256 is not None and sha256 != (digest := file_sha256(path)):
        raise ValueError(f"Expected the sha256 {sha256} for {shown_url}, got {digest}.")


def _new_request(url: str, headers: Mapping[str, str] | None = None) -> urllib.request.Request:
    parts = urlsplit(url) if is_url(url) and not redact_url(url).endswith(INVALID_URL) else None
    if parts is None or not parts.hostname:
        raise ValueError(f"Cannot download {redact(url)}: the URL is invalid.")
    user_info, _, host = parts.netloc.rpartition("@")
    path, query = (quote(part, safe=_SAFE_CHARACTERS) for part in (parts.path, parts.query))
    request = urllib.request.Request(urlunsplit((parts.scheme, host, path, query, "")), headers=dict(headers or {}))
    if user_info:
        credentials = base64.b64encode(unquote(user_info).encode()).decode("ascii")
        request.add_unredirected_header("Authorization", f"Basic {credentials}")
    return request


def _receive_with_retries(url: str, partial: _Partial, label: str, progress: _Progress) -> None:
    limits, pause, attempt = progress.limits, progress.limits.backoff_seconds, 1
    while True:
        try:
            return _receive(url, partial, label, progress)
        except _DownloadError as error:
            if not error.is_transient or attempt >= limits.max_attempts:
                raise
        time.sleep(pause)
        progress.check()
        pause, attempt = 2 * pause, attempt + 1


def _receive(url: str, partial: _Partial, label: str, progress: _Progress) -> None:
    """Add the missing bytes to `partial`.

    Raises:
        _DownloadError: If some are missing afterwards.
    """
    offset, etag = partial.resume_point()
    request = _new_request(url, {"Range": f"bytes={offset}-", "If-Range": etag} if offset and etag else None)
    try:
        with _open(request, progress.limits) as response:
            if response.status == http.client.PARTIAL_CONTENT:
                _check_range(response, offset, etag, partial)
            else:
                offset = 0
                partial.restart(response.headers.get("ETag"))
            _append(response, partial.path, offset, label, progress)
    except _DownloadError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _describe(error, partial) from None


def _check_range(response: Any, offset: int, etag: str | None, partial: _Partial) -> None:
    """Check that a partial response continues the bytes so far."""
    content_range = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    same_file = response.headers.get("ETag", etag) == etag
    if content_range is None or int(content_range[1]) != offset or not same_file:
        partial.discard()
        raise _DownloadError("the server returned another range than requested", is_transient=True)


def _append(response: Any, path: Path, offset: int, label: str, progress: _Progress) -> None:
    length = response.headers.get("Content-Length")
    total = offset + int(length) if length and length.isdigit() else None
    with (
        path.open("ab") as file,
        tqdm(total=total, initial=offset, desc=label, unit="B", unit_scale=True) as bar,
    ):
        # `read1` returns after each packet, so that the limits apply to servers that send single bytes.
        while (total is None or offset < total) and (chunk := response.read1(CHUNK_SIZE)):
            file.write(chunk)
            offset += len(chunk)
            progress.received += len(chunk)
            bar.update(len(chunk))
            progress.check()
        file.flush()
        os.fsync(file.fileno())
    if total not in (None, offset):
        raise _DownloadError(f"the server sent {offset} of {total} bytes", is_transient=True)


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """Handler that follows redirects within one scheme and from HTTP to HTTPS."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """See `HTTPRedirectHandler.redirect_request`."""
        if urlsplit(newurl).scheme not in (req.type, "https"):
            raise urllib.error.HTTPError(req.full_url, code, msg, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(request: urllib.request.Request, limits: DownloadLimits) -> Any:
    """Return the response. A thread waits for it, because the time of all headers together has no limit in urllib."""
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(urllib.request.build_opener(_RedirectHandler).open(request, timeout=limits.stall_seconds))
        except Exception as error:
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = results.get(timeout=limits.response_seconds)
    except queue.Empty:
        raise _DownloadError(f"no response within {limits.response_seconds:g} seconds") from None
    if isinstance(result, Exception):
        raise result
    return result


def _describe(error: Exception, partial: _Partial) -> _DownloadError:
    """Return the error of an attempt. Messages of libraries can contain the URL, so they are not used."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if 300 <= error.code < 400:
            return _DownloadError(f"the server returned {error.code}, a redirect that is not allowed")
        if error.code == _RANGE_NOT_SATISFIABLE:
            partial.discard()
        phrase = http.client.responses.get(error.code, "")
        is_transient = error.code in (*_TRANSIENT_STATUS, _RANGE_NOT_SATISFIABLE)
        return _DownloadError(f"the server returned {error.code} {phrase}".rstrip(), is_transient)
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return _DownloadError("the server did not respond in time", is_transient=True)
    reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or type(error).__name__
    return _DownloadError(str(reason), isinstance(error, _TRANSIENT_ERRORS))
