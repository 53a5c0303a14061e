# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Read randomly changed files until the time is over: `python tests/fuzz/fuzz.py --seconds 120`.

Each case must end in success or in a documented exception, within limits of time and memory, and without ending the
process. A child process runs the cases. For each failure, the script prints target and seed and keeps the files; repeat
it with `--target TARGET --seed SEED`, and add it to `seeds.txt` once it is fixed. The exit code is 1 after a failure.
"""

import argparse
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # instead of this folder, whose name is that of this file
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
from fuzz.targets import TARGETS, run_case  # noqa: E402

MAX_SECONDS = 20.0  # of one case
MAX_BYTES = 512 << 20  # additional memory of one case
CASES_PER_CHILD = 200


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_children(names: list[str], first: int, root: Path, deadline: float, count: int | None, keep: Path) -> int:
    """Run cases in child processes until the deadline, and return the exit code.

    Args:
        names: Targets, which take turns.
        first: First seed.
        root: Folder with the valid files of each target in `bases`.
        deadline: Value of `time.monotonic()` at the end.
        count: Maximum number of cases. None means no limit.
        keep: Folder to copy the files of failures to.
    """
    number = num_failures = 0
    while time.monotonic() < deadline and (count is None or number < count):
        cases = [(names[i % len(names)], first + i // len(names)) for i in range(number, number + CASES_PER_CHILD)]
        cases = cases if count is None else cases[: count - number]
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _run_cases(cases, root, writer)
            os._exit(0)
        os.close(writer)
        done, reason = _watch(reader, child, deadline)
        os.close(reader)
        number += done
        if reason is not None:
            name, seed = cases[done]
            print(f"{name} {seed}: {reason}", flush=True)
            number += 1
            num_failures += 1
            shutil.copytree(root / "work", keep / f"{name}-{seed}", dirs_exist_ok=True, ignore=_special_files)
    print(f"{number} cases, {num_failures} failures")
    return 1 if num_failures else 0


def _special_files(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not Path(folder, name).is_file() and not Path(folder, name).is_dir()]


def _run_cases(cases: list[tuple[str, int]], root: Path, writer: int) -> None:
    """Run cases in the child process. Write a line per success, and a line with a reason at the first failure."""
    torch.set_num_threads(1)
    for descriptor in (1, 2):  # reports of libraries on each model
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    work = root / "work"
    tempfile.tempdir = str(work / "temporary")
    for name, seed in cases:
        before = _peak()
        shutil.rmtree(work, ignore_errors=True)
        (work / "temporary").mkdir(parents=True)
        try:
            run_case(name, seed, root / "bases" / name, work / "case")
            if _peak() - before > MAX_BYTES:
                raise AssertionError(f"{(_peak() - before) >> 20} MB of memory")
            if any((work / "temporary").iterdir()):
                raise AssertionError("temporary files are left")
        except BaseException as error:
            (work / "traceback.txt").write_text(traceback.format_exc(), errors="replace")
            os.write(writer, f"{type(error).__name__}: {str(error)[:300]!r}\n".encode("utf-8", "replace"))
            return
        os.write(writer, b".\n")


def _watch(reader: int, child: int, deadline: float) -> tuple[int, str | None]:
    """Return the number of successful cases of the child, and the reason of a failure."""
    data, reason = b"", None
    while True:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return data.count(b".\n"), None
        if not select.select([reader], [], [], MAX_SECONDS)[0]:
            os.kill(child, signal.SIGKILL)
            reason = f"more than {MAX_SECONDS} seconds"
        elif chunk := os.read(reader, 1 << 16):
            data += chunk
            continue
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        lines = data.decode().splitlines()
        if reason is None and status != 0:
            reason = f"the process ended with {status}"
        if reason is None and lines and lines[-1] != ".":
            reason = lines.pop()
        return lines.count("."), reason


def main() -> int:
    """Parse the command line, run the cases, and return the exit code."""
    parser = argparse.ArgumentParser(description="Read randomly changed files.", allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=120, help="time to run")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="reader to test (default: all)")
    parser.add_argument("--seed", type=int, help="run only the case with this seed (default: a random first seed)")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for the files of failures")
    arguments = parser.parse_args()
    names = arguments.target or list(TARGETS)
    first = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "little")
    print(f"first seed {first}, targets {', '.join(names)}", flush=True)
    count = None if arguments.seed is None else len(names)
    with tempfile.TemporaryDirectory() as root:
        for name in names:
            Path(root, "bases", name).mkdir(parents=True)
            TARGETS[name].prepare(Path(root, "bases", name))
        deadline = time.monotonic() + arguments.seconds
        return run_children(names, first, Path(root), deadline, count, arguments.keep)


if __name__ == "__main__":
    sys.exit(main())
