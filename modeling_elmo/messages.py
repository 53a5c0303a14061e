# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Formatting of names in messages."""

from collections.abc import Iterable

_MAX_CHARACTERS = 80
_MAX_NAMES = 8


def format_name(name: str) -> str:
    """Return the `repr` of a name that may come from an untrusted file, cut at 80 characters."""
    return repr(name if len(name) <= _MAX_CHARACTERS else f"{name[:_MAX_CHARACTERS]}...")


def format_names(names: Iterable[str]) -> str:
    """Return at most 8 of the names, separated by commas, with the number of the others; "none" without names.

    A name that is not printable appears as its `repr`.
    """
    shown = [name if name.isprintable() else repr(name) for name in names]
    if not shown:
        return "none"
    rest = f" and {len(shown) - _MAX_NAMES} more" if len(shown) > _MAX_NAMES else ""
    return ", ".join(shown[:_MAX_NAMES]) + rest
