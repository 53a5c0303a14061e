# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Formatting of names in messages. The names may come from untrusted files."""

from collections.abc import Iterable

_MAX_CHARACTERS = 80
_MAX_NAME = 120  # AllenNLP's tensors have names of more than 80 characters
_MAX_NAMES = 8


def _shorten(text: str, size: int = _MAX_CHARACTERS) -> str:
    return text if len(text) <= size else f"{text[:size]}..."


def format_name(name: str) -> str:
    """Return the `repr` of a name, cut at 80 characters."""
    return repr(_shorten(name))


def format_names(names: Iterable[str]) -> str:
    """Return at most 8 of the names, separated by commas, with the number of the others; "none" without names.

    Each name is cut at 120 characters. A name that is not printable appears as its `repr`.
    """
    shown = [name if name.isprintable() else repr(name) for name in (_shorten(name, _MAX_NAME) for name in names)]
    if not shown:
        return "none"
    rest = f" and {len(shown) - _MAX_NAMES} more" if len(shown) > _MAX_NAMES else ""
    return ", ".join(shown[:_MAX_NAMES]) + rest


def format_value(value: object) -> str:
    """Return the `repr` of a value that a file contains, cut at 80 characters."""
    try:
        return _shorten(repr(value))
    except (ValueError, RecursionError):  # integers of thousands of digits, and deep nesting
        return f"a {type(value).__name__}"
