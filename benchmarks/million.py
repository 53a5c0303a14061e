# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Many sentences through `elmo embed`: memory from the first to the last tenth, and kills that must leave no trace.

    python benchmarks/million.py FOLDER [--sentences 1000000] [--words 25] [--kills 20]

An undisturbed run is watched while it goes. A second one is killed (SIGKILL) at random moments and resumed each time;
at the end every file must be the same, byte by byte. The model is tiny and random, the vectors are pooled, so that the
figures are those of the way and not of the model. FOLDER gets input and outputs and is left as it is.
"""

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from encoder import TINY, make_text
from machine import stamp

from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer


def write_inputs(folder: Path, sentences: int, words: int) -> None:
    """`in.txt` and `model`, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    ElmoModel(ElmoConfig(**TINY)).save_pretrained(folder / "model")
    ElmoTokenizer().save_pretrained(folder / "model")
    some = make_text(min(sentences, 50_000), mean=words)
    with (folder / "in.txt").open("w", encoding="utf-8") as file:
        for number in range(sentences):
            file.write(f"{some[number % len(some)]} {number}\n")


def resident(process: subprocess.Popen) -> int:
    """Bytes of a process that are in memory, without the files that are mapped."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def watch(process: subprocess.Popen, output: Path, shards: int) -> list[tuple[float, int]]:
    """Share of the shards that are there and bytes in memory, all the time until the process ends."""
    seen = []
    while process.poll() is None:
        done = sum(1 for _ in output.glob("part-*")) if output.exists() else 0
        seen.append((done / shards, resident(process)))
        time.sleep(0.05)
    return seen


def digests(output: Path) -> dict[str, str]:
    """The sha256 of every file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(output.iterdir())}


def main() -> int:
    """Measure and print one JSON object; returns 1 if a kill left a trace."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=25, help="a sentence, about")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--shard-rows", type=int, default=10_000)
    parser.add_argument("--pooling", default="mean", help="mean, max or none")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    write_inputs(folder, arguments.sentences, arguments.words)
    shards = -(-arguments.sentences // arguments.shard_rows)

    def start(output: Path, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "modeling_elmo.cli", "embed", str(folder / "in.txt"), str(output)]
        command += ["--model", str(folder / "model"), "--shard-rows", str(arguments.shard_rows), *options]
        command += [] if arguments.pooling == "none" else ["--pooling", arguments.pooling]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    figures: dict[str, Any] = {"sentences": arguments.sentences, "shards": shards}
    whole = folder / "whole.parquet"
    begun = time.perf_counter()
    process = start(whole, "--overwrite")
    memory = watch(process, whole, shards)
    figures["seconds"] = round(time.perf_counter() - begun, 1)
    if process.returncode:
        raise SystemExit("the undisturbed run failed: no figures")
    tenths = [[size for share, size in memory if low < share <= low + 0.1 and share < 1] for low in (0.0, 0.9)]
    first, last = (max(tenth, default=0) for tenth in tenths)
    figures["most_megabytes"] = {"first tenth": first >> 20, "last tenth": last >> 20}
    figures["growth"] = round(last / first - 1, 3) if first else None
    figures["output_megabytes"] = sum(path.stat().st_size for path in whole.iterdir()) >> 20

    killed = folder / "killed.parquet"
    shutil.rmtree(killed, ignore_errors=True)
    chance = random.Random(arguments.seed)
    kills = 0
    while kills < arguments.kills:
        process = start(killed, "--resume")
        begun = time.perf_counter()
        # Early enough that all kills come before the end. 4 s: to start Python.
        moment = chance.uniform(0.1, 1) * figures["seconds"] / max(arguments.kills, 1) + 4
        while process.poll() is None and time.perf_counter() - begun < moment:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    if start(killed, "--resume").wait():
        raise SystemExit("the run that was killed could not be resumed: no figures")
    figures["kills"] = kills
    figures["identical"] = digests(whole) == digests(killed)
    print(json.dumps({**stamp(), **figures}, indent=2))
    return 0 if figures["identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
