# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Measure the machine's limits: matrix-product throughput and memory bandwidth.

    python benchmarks/roofline.py THREADS [DEVICE]

The matrix shapes are those of ELMo's LSTM, and squares. The result is one JSON object.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from modeling_elmo.model.linear_elmo import linear

SHAPES = [
    (32, 512, 16384),
    (128, 512, 16384),
    (256, 512, 16384),
    (128, 4096, 512),
    (1024,) * 3,
    (2048,) * 3,
    (8192,) * 3,
]


def median_seconds(function: Callable[[], object], device: str) -> float:
    """Return the median of seven timings of at least 50 ms each."""
    synchronize = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    function()
    timings = []
    for _ in range(7):
        synchronize()
        start, runs = time.perf_counter(), 0
        while time.perf_counter() - start < 0.05:
            function()
            synchronize()
            runs += 1
        timings.append((time.perf_counter() - start) / runs)
    return statistics.median(timings)


@torch.inference_mode()
def measure_roofline(device: str = "cpu") -> dict[str, dict[str, float]]:
    """Return GFLOP/s by dtype and shape, and the memory read bandwidth in GB/s."""
    rates: dict[str, dict[str, float]] = {}
    shapes = SHAPES if device.startswith("cuda") else SHAPES[:-1]  # the last one takes seconds on a CPU
    for dtype in (torch.float32, torch.bfloat16):
        row = rates.setdefault(str(dtype).removeprefix("torch."), {})
        for n, inner, outer in shapes:
            inputs = torch.randn(n, inner, dtype=dtype, device=device)
            weight = torch.randn(outer, inner, dtype=dtype, device=device)
            gflop = 2e-9 * n * inner * outer
            for name, apply in (("packed", linear), ("F.linear", torch.nn.functional.linear)):
                row[f"{n}x{inner}x{outer} {name}"] = round(
                    gflop / median_seconds(partial(apply, inputs, weight), device)
                )
    large = torch.ones(2**27, device=device)  # 512 MB
    rates["memory GB/s"] = {"sum of 512 MB": round(2**29 / 1e9 / median_seconds(large.sum, device), 1)}
    return rates


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps(measure_roofline(*sys.argv[2:])))
