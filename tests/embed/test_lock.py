# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""At most one job writes an output. The lock of a process that has ended is taken over, with a message."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers.run_python import run
from helpers.small_models import SENTENCES, tiny_model

from elmo_cli import main
from modeling_elmo import ElmoTokenizer
from modeling_elmo.embed import lock
from modeling_elmo.embed.job import EmbedJob
from modeling_elmo.embed.lock import OutputLock


def fail(message: str) -> None:
    pytest.fail(f"unexpected warning: {message}")


def write_owner(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**dataclasses.asdict(lock._Owner.current()), **changes}))


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_a_lock_has_one_owner_and_is_released(tmp_path: Path) -> None:
    output = tmp_path / "out.npz"
    with OutputLock(output, fail) as held:
        record = json.loads((tmp_path / ".out.npz.lock").read_text())
        assert (record["pid"], record["host"]) == (os.getpid(), os.uname().nodename)
        message = f"Cannot write {output}: process {os.getpid()} on {record['host']} has been writing it since 2"
        with pytest.raises(BlockingIOError, match=message.replace(".", r"\.")), OutputLock(output, fail):
            pass
        held.check()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), OutputLock(output, fail):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["pid", "start", "boot", "empty"])
def test_a_stale_lock_is_taken_over(tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_MAX_CREATION_TIME", 0.05)
    path = tmp_path / ".out.npz.lock"
    if change == "empty":
        path.touch()
    else:
        write_owner(path, **{change: ended_process() if change == "pid" else "another"}, since="a long time ago" * 9)
    warnings: list[str] = []
    with OutputLock(tmp_path / "out.npz", warnings.append) as held:
        held.check()
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert len(warnings) == 1
    assert warnings[0].startswith(f"Took over the lock of {tmp_path / 'out.npz'} from ")
    assert warnings[0].endswith(", which has ended.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["host", "pid_namespace"])
def test_the_lock_of_another_machine_is_respected(tmp_path: Path, change: str) -> None:
    path = tmp_path / ".out.npz.lock"
    write_owner(path, **{change: "elsewhere"}, pid=ended_process())
    before = path.read_bytes()
    with pytest.raises(BlockingIOError) as caught, OutputLock(tmp_path / "out.npz", fail):
        pass
    assert str(caught.value).endswith(f" If it no longer runs, delete {path}.")
    assert path.read_bytes() == before


def test_one_of_many_takes_over_a_stale_lock(tmp_path: Path) -> None:
    pid = ended_process()
    for _ in range(20):
        write_owner(tmp_path / ".out.npz.lock", pid=pid)
        outcomes: list[str] = []
        barrier, done = threading.Barrier(8), threading.Barrier(8)

        def work(outcomes: list[str] = outcomes, barrier: threading.Barrier = barrier, done=done) -> None:
            barrier.wait()
            try:
                with OutputLock(tmp_path / "out.npz", lambda message: None):
                    done.wait()
                    outcomes.append("worked")
            except BlockingIOError:
                done.wait()
                outcomes.append("refused")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["refused"] * 7 + ["worked"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_release_the_lock(tmp_path: Path, number: signal.Signals) -> None:
    previous = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as caught, OutputLock(tmp_path / "out.npz", fail):
            os.kill(os.getpid(), number)
        assert caught.value.code == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, previous)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_replaced_is_kept(tmp_path: Path) -> None:
    path = tmp_path / ".out.npz.lock"
    with OutputLock(tmp_path / "out.npz", fail) as held:
        write_owner(path, host="elsewhere")
        with pytest.raises(BlockingIOError, match=r"another job has removed the lock"):
            held.check()
    assert json.loads(path.read_text())["host"] == "elsewhere"


# -------------------------------------------------------------------- jobs


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with `model` and `in.txt`."""
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained(tmp_path / "model")
    ElmoTokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "in.txt").write_text("".join(" ".join(words) + "\n" for _ in range(40) for words in SENTENCES))
    return tmp_path


def embed(output: str, *options: str) -> int:
    return main(["embed", "in.txt", output, "--model", "model", "--device", "cpu", "--shard-rows", "20", *options])


@pytest.mark.parametrize("output", ["out.parquet", "out.npz"])
@pytest.mark.parametrize("option", [(), ("--resume",), ("--overwrite",)])
def test_a_second_job_refuses(
    here: Path,
    output: str,
    option: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert embed(f"alone-{output}") == 0
    encode = EmbedJob._encode
    codes: list[int] = []

    def encode_and_start_another(self: EmbedJob, *arguments: object) -> None:
        encode(self, *arguments)
        if not codes:
            codes.append(-1)
            codes.append(embed(output, *option))

    monkeypatch.setattr(EmbedJob, "_encode", encode_and_start_another)
    capsys.readouterr()
    assert embed(output) == 0
    assert codes == [-1, 1]
    error = capsys.readouterr().err
    assert error.startswith(f"elmo: error: Cannot write {output}: process {os.getpid()} on ")
    assert error.count("\n") == 1
    alone, both = here / f"alone-{output}", here / output
    if alone.is_dir():
        assert {path.name: path.read_bytes() for path in both.iterdir()} == {
            path.name: path.read_bytes() for path in alone.iterdir()
        }
    else:
        assert both.read_bytes() == alone.read_bytes()


def test_a_killed_job_leaves_a_lock_that_is_taken_over(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_owner(here / ".out.npz.lock", pid=(pid := ended_process()), since="yesterday")
    assert embed("out.npz") == 0
    assert capsys.readouterr().err == (
        f"elmo: warning: Took over the lock of out.npz from process {pid} of yesterday, which has ended.\n"
    )
    assert not (here / ".out.npz.lock").exists()


# The parent process has not run a model, so a fork loses no threads.
PAIRS = """
import os
import modeling_elmo.cli
from elmo_cli import main

def start(output, number):
    child = os.fork()
    if not child:
        os.dup2(os.open(f"{output}.{number}.log", os.O_WRONLY | os.O_CREAT), 2)
        code = 70
        try:
            code = main(["embed", "in.txt", output, "--model", "model", "--device", "cpu", "--shard-rows", "20"])
        finally:
            os._exit(code)
    return child

result = []
for number in range(20):
    output = f"{number}.{('parquet', 'arrow', 'npz', 'hdf5')[number % 4]}"
    children = [start(output, one) for one in range(2)]
    result.append(sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.mark.slow
def test_of_two_simultaneous_jobs_one_works_and_one_refuses(here: Path) -> None:
    assert run(PAIRS) == [[0, 1]] * 20
    for suffix in ("parquet", "arrow", "npz", "hdf5"):
        assert embed(f"alone.{suffix}") == 0
    for number in range(20):
        suffix = ("parquet", "arrow", "npz", "hdf5")[number % 4]
        both, alone = here / f"{number}.{suffix}", here / f"alone.{suffix}"
        for path in [alone] if alone.is_file() else alone.iterdir():
            assert (both if alone.is_file() else both / path.name).read_bytes() == path.read_bytes()
        logs = [(here / f"{both.name}.{one}.log").read_text() for one in range(2)]
        errors = [line for text in logs for line in text.splitlines() if line.startswith("elmo: error: ")]
        assert len(errors) == 1
        assert "has been writing it since" in errors[0] or "already exists. Pass --resume" in errors[0]
    assert not list(here.glob(".*.lock"))
