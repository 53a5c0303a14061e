# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Removal of secrets from URLs and texts, and the file name of a URL."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

INVALID_URL = "***"  # follows the scheme of an invalid URL, which is not shown
# A scheme of one letter is a Windows drive. The bound keeps the search linear in long texts.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,30}:/")
_URL = re.compile(_SCHEME.pattern + r"+[^\s'\"<>`\\]+")
_QUERY = re.compile(r"\?[\w.%~-]+=[^\s'\"<>`\\]*")  # wget keeps the query of a URL in the file name
_TOKEN = re.compile(r"\bhf_(?=\w*[A-Z0-9])[\w-]{6,}(?:\.[\w-]+)*|(?<=\bBearer )[^\s'\"]+")
_UNSAFE_CHARACTERS = re.compile(r"[^\w.+-]")
_MAX_NAME = 100  # characters


def is_url(text: str) -> bool:
    """Return whether a text is an HTTP or HTTPS URL."""
    return text.lower().startswith(("http://", "https://"))


def redact_url(url: str) -> str:
    """Return a URL without user info, query, and fragment, which can contain secrets. An invalid one is cut to `***`.

    Example:
        >>> redact_url("https://me:password@host.org/weights.hdf5?token=abc#top")
        'https://host.org/weights.hdf5'
    """
    scheme, _, rest = url.partition(":")
    try:
        # pathlib removes one of the two slashes.
        parts = urlsplit(f"{scheme}://{rest.removeprefix('/')}" if not rest.startswith("//") else url)
        parts.port  # noqa: B018 (raises ValueError for an unescaped character in the password)
    except ValueError:
        return f"{scheme}://{INVALID_URL}"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def redact(text: str, *secrets: str | None) -> str:
    """Return a text without secrets: each URL as `redact_url` returns it, no query, and no access token.

    Use it for every text that can contain a URL before the text is stored, printed, or raised.

    Args:
        text: Error message, file name, or other text.
        secrets: Further secrets to replace.
    """

    def without_punctuation(match: re.Match[str]) -> str:
        url = match[0].rstrip(".,;:)")
        return redact_url(url) + match[0][len(url) :]

    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    if _SCHEME.match(text):  # a single URL, which can contain quotes and whitespace
        text = redact_url(text)
    return _TOKEN.sub("***", _QUERY.sub("", _URL.sub(without_punctuation, text)))


def url_file_name(url: str) -> str:
    """Return the file name in the path of a URL, as a safe name for a local file."""
    try:
        name = PurePosixPath(unquote(urlsplit(url).path)).name
    except ValueError:
        return "file"
    return _UNSAFE_CHARACTERS.sub("_", redact(name))[-_MAX_NAME:] or "file"
