# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Stress-test `elmo embed`: memory growth over many sentences, and byte-identical output after repeated kills.

    python benchmarks/resume_stress.py FOLDER [--sentences 1000000] [--words 25] [--num-kills 20]

The first run is uninterrupted, and its memory is sampled. The second run is killed (SIGKILL) at random times and
resumed each time; its files must have the same bytes. The model is minimal and random and the vectors are pooled, so
that the figures describe the command and not the model. FOLDER receives the input and the outputs, which are kept.
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
from machine import environment_info

from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer


def write_inputs(folder: Path, sentences: int, words: int) -> None:
    """Write `in.txt` and `model`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    ElmoModel(ElmoConfig(**TINY)).save_pretrained(folder / "model")
    ElmoTokenizer().save_pretrained(folder / "model")
    texts = make_text(min(sentences, 50_000), mean=words)
    with (folder / "in.txt").open("w", encoding="utf-8") as file:
        for number in range(sentences):
            file.write(f"{texts[number % len(texts)]} {number}\n")


def resident_memory(process: subprocess.Popen) -> int:
    """Return the anonymous resident memory of a process in bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def sample_memory(process: subprocess.Popen, output: Path, shards: int) -> list[tuple[float, int]]:
    """Return samples of (share of completed shards, memory in bytes) until the process ends."""
    samples = []
    while process.poll() is None:
        done = sum(1 for _ in output.glob("part-*")) if output.exists() else 0
        samples.append((done / shards, resident_memory(process)))
        time.sleep(0.05)
    return samples


def digests(output: Path) -> dict[str, str]:
    """Return the sha256 of every file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(output.iterdir())}


def main() -> int:
    """Measure and print one JSON object. Return 1 if a kill changed the output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=25, help="mean number of words per sentence (default: 25)")
    parser.add_argument("--num-kills", type=int, default=20, help="number of kills (default: 20)")
    parser.add_argument("--shard-rows", type=int, default=10_000)
    parser.add_argument("--pooling", default="mean", help="mean (default), max, or none")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    write_inputs(folder, arguments.sentences, arguments.words)
    shards = -(-arguments.sentences // arguments.shard_rows)

    def start(output: Path, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "modeling_elmo", "embed", str(folder / "in.txt"), str(output)]
        command += ["--model", str(folder / "model"), "--shard-rows", str(arguments.shard_rows), *options]
        command += [] if arguments.pooling == "none" else ["--pooling", arguments.pooling]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    figures: dict[str, Any] = {"sentences": arguments.sentences, "shards": shards}
    uninterrupted = folder / "uninterrupted.parquet"
    start_time = time.perf_counter()
    process = start(uninterrupted, "--overwrite")
    memory = sample_memory(process, uninterrupted, shards)
    figures["seconds"] = round(time.perf_counter() - start_time, 1)
    if process.returncode:
        raise SystemExit("The uninterrupted run failed.")
    tenths = [[size for share, size in memory if low < share <= low + 0.1 and share < 1] for low in (0.0, 0.9)]
    first, last = (max(tenth, default=0) for tenth in tenths)
    figures["peak_megabytes"] = {"first tenth": first >> 20, "last tenth": last >> 20}
    figures["growth"] = round(last / first - 1, 3) if first else None
    figures["output_megabytes"] = sum(path.stat().st_size for path in uninterrupted.iterdir()) >> 20

    killed = folder / "killed.parquet"
    shutil.rmtree(killed, ignore_errors=True)
    rng = random.Random(arguments.seed)
    kills = 0
    while kills < arguments.num_kills:
        process = start(killed, "--resume")
        start_time = time.perf_counter()
        # Early enough that all kills precede the end of the run. Python starts within 4 seconds.
        kill_after = rng.uniform(0.1, 1) * figures["seconds"] / max(arguments.num_kills, 1) + 4
        while process.poll() is None and time.perf_counter() - start_time < kill_after:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    if start(killed, "--resume").wait():
        raise SystemExit("The killed run could not be resumed.")
    figures["kills"] = kills
    figures["identical"] = digests(uninterrupted) == digests(killed)
    print(json.dumps({**environment_info(), **figures}, indent=2))
    return 0 if figures["identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
