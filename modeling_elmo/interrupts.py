# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Signals that end a command: context managers run, and threads that wait for input stop."""

import contextlib
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, BinaryIO

_POLL_SECONDS = 0.2
_stop = threading.Event()


def _interrupt(number: int, frame: FrameType | None) -> None:
    _stop.set()
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    _stop.set()
    raise SystemExit(128 + number)


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT and SystemExit on SIGTERM. Has an effect in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _stop.clear()
    previous: dict[int, Any] = {}
    try:
        for number, handler in ((signal.SIGINT, _interrupt), (signal.SIGTERM, _terminate)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and background jobs of shells set it
                previous[number] = signal.signal(number, handler)
        yield
    finally:
        for restored, old_handler in previous.items():
            signal.signal(restored, old_handler)


class _StandardInput(io.RawIOBase):
    """File descriptor whose reads end with InterruptedError after a signal, in any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        is_ready = False
        while not is_ready:
            if _stop.is_set():
                raise InterruptedError("Interrupted.")
            is_ready = bool(select.select([self._descriptor], [], [], _POLL_SECONDS)[0])
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def standard_input() -> BinaryIO:
    """Return standard input as a binary file. Threads that read it do not delay the end of the process."""
    if os.name != "posix":  # `select` supports only sockets on Windows
        return sys.stdin.buffer
    try:
        descriptor = sys.stdin.fileno()
    except (OSError, ValueError):  # replaced by an object without a descriptor
        return sys.stdin.buffer
    return io.BufferedReader(_StandardInput(descriptor))
