# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Helpers of all benchmarks: interleaved timing, and a description of the machine for every result."""

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import transformers


def cpu_name() -> str:
    """Return the name of the processor and its relevant instruction sets."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split("\t: ", 1) if "\t: " in line else (line, "") for line in text.splitlines())
    name = next((value for key, value in fields.items() if key.strip() == "model name"), platform.processor())
    flags = next((value.split() for key, value in fields.items() if key.strip() == "flags"), [])
    sets = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(sets)})"


def run_interleaved(functions: Mapping[str, Callable[[], object]], repeat: int) -> dict[str, list[float]]:
    """Run the functions alternately, so that noise of the machine affects all of them, and return seconds per run."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeat):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def environment_info() -> dict[str, str | int]:
    """Return machine, versions, and command, for a JSON report."""
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
