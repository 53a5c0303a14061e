# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What every figure is stamped with: the machine, the versions, the command."""

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import transformers


def cpu_name() -> str:
    """The processor's name as the system gives it, with its instruction sets that matter here."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split("\t: ", 1) if "\t: " in line else (line, "") for line in text.splitlines())
    name = next((value for key, value in fields.items() if key.strip() == "model name"), platform.processor())
    flags = next((value.split() for key, value in fields.items() if key.strip() == "flags"), [])
    sets = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(sets)})"


def in_turns(ways: Mapping[str, Callable[[], object]], repeat: int) -> dict[str, list[float]]:
    """Seconds of each run of each way; they take turns, so that a slow spell of the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def stamp() -> dict[str, str | int]:
    """Machine, versions and command, for JSON or print."""
    return {
        "command": " ".join(["python", *sys.argv]),
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
