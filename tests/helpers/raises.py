# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Assertion on error messages."""

from collections.abc import Callable
from typing import Any

import pytest


def assert_raises_with(
    action: Callable[[], Any], *parts: str, error: type[Exception] | tuple[type[Exception], ...] = ValueError
) -> None:
    """Assert that the action raises an error whose message is one printable line with all parts and a final period."""
    with pytest.raises(error) as caught:
        action()
    message = str(caught.value)
    for part in parts:
        assert part in message, message
    assert message.isprintable(), repr(message)
    assert message.endswith("."), message
