# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Lock of an output, so that at most one job writes it."""

import contextlib
import json
import os
import platform
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Time in which the creator of a lock writes its record, in seconds. An empty lock that is older is stale.
_MAX_CREATION_TIME = 1.0


@dataclass(frozen=True)
class _Owner:
    """Process that holds a lock. The field names are saved.

    Attributes:
        host: Name of the machine.
        boot: Identifier of the machine's current run, or "" if it is unknown.
        pid_namespace: Namespace of `pid`, or "" if it is unknown. Containers have their own.
        pid: Id of the process.
        start: Start time of the process in clock ticks since boot, or "" if it is unknown. Ids are reused.
        since: Time when the lock was created, for messages.
        token: Random text that identifies the lock.
    """

    host: str
    boot: str
    pid_namespace: str
    pid: int
    start: str
    since: str
    token: str

    @classmethod
    def current(cls) -> "_Owner":
        """Return the record of this process."""
        namespace = ""
        with contextlib.suppress(OSError):
            namespace = os.readlink("/proc/self/ns/pid")
        return cls(
            host=platform.node(),
            boot=_read_text("/proc/sys/kernel/random/boot_id"),
            pid_namespace=namespace,
            pid=os.getpid(),
            start=_process_start(os.getpid()),
            since=time.strftime("%Y-%m-%d %H:%M:%S"),
            token=secrets.token_hex(8),
        )

    def is_stale(self, current: "_Owner") -> bool:
        """Return whether the process has certainly ended: it ran on this machine, and no longer does."""
        if os.name != "posix" or self.host != current.host:
            return False
        if self.boot != current.boot:
            return True
        if self.pid_namespace != current.pid_namespace:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # a process of another user
            pass
        return _process_start(self.pid) != self.start


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """Return the start time of a process, or "" if it is unknown or the process has ended but was not waited for."""
    # The name of the program, in parentheses, can contain spaces.
    fields = _read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else ""


class OutputLock:
    """Lock of an output: the file `.NAME.lock` beside it, which records its owner.

    The lock of a process that has ended is taken over. Use it as a context manager. It is released on exit, also after
    SIGTERM and SIGHUP, which end the process with an exception meanwhile.

    Args:
        output: Output to lock. Its parent must exist.
        warn: Function that prints a warning.

    Raises:
        BlockingIOError: If another job writes the output.
    """

    def __init__(self, output: Path, warn: Callable[[str], None]) -> None:
        self.output = output
        self.path = output.with_name(f".{output.name}.lock")
        self._warn = warn
        self._owner = _Owner.current()
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> "OutputLock":
        with contextlib.ExitStack() as stack:
            stack.enter_context(_exit_on_signals())
            while not (self._try_create() or self._try_take_over()):
                pass
            stack.callback(self._release)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._exit.close()

    def check(self) -> None:
        """Check that this job still holds the lock.

        Raises:
            BlockingIOError: If another job has taken it.
        """
        owner = self._read()
        if owner != self._owner:
            raise BlockingIOError(f"Cannot complete {self.output}: another job has removed the lock {self.path}.")

    def _read(self) -> _Owner | None:
        """Return the owner, or None if the lock does not exist or its record is incomplete."""
        try:
            return _Owner(**json.loads(self.path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _record(self) -> bytes:
        return json.dumps(asdict(self._owner)).encode()

    def _try_create(self) -> bool:
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self._record())
        except OSError:  # the disk is full
            self.path.unlink(missing_ok=True)
            raise
        return True

    def _try_take_over(self) -> bool:
        """Take over a stale lock. Return False if it has changed meanwhile."""
        deadline = time.monotonic() + _MAX_CREATION_TIME
        while (owner := self._read()) is None and time.monotonic() < deadline:
            if not self.path.exists():
                return False
            time.sleep(0.01)
        if owner is not None and not owner.is_stale(self._owner):
            where = f"process {owner.pid} on {owner.host} has been writing it since {owner.since}"
            is_visible = (owner.host, owner.pid_namespace) == (self._owner.host, self._owner.pid_namespace)
            hint = "" if is_visible else f" If it no longer runs, delete {self.path}."
            raise BlockingIOError(f"Cannot write {self.output}: {where}.{hint}")
        try:
            file = self.path.open("r+b")
        except FileNotFoundError:
            return False
        with file:
            # Of several processes that find a stale lock, one takes it. The others then read the new record.
            with contextlib.suppress(OSError):
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX)
            if self._read() != owner or not _is_open_file(self.path, file.fileno()):
                return False
            file.write(self._record())
            file.truncate()
        previous = "a job" if owner is None else f"process {owner.pid} of {owner.since}"
        self._warn(f"Took over the lock of {self.output} from {previous}, which has ended.")
        return True

    def _release(self) -> None:
        if self._read() == self._owner:
            self.path.unlink(missing_ok=True)


def _is_open_file(path: Path, handle: int) -> bool:
    """Return whether a path still names an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Raise `SystemExit` on signals that would end the process without cleaning up."""

    def stop(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    is_main = threading.current_thread() is threading.main_thread()  # only it can set handlers
    replaced = [number for number in numbers if is_main and signal.getsignal(number) == signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)
