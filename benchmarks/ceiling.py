# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What the machine can do at most: rates of matrix products in ELMo's shapes and squares, memory bandwidth.

python ceiling.py THREADS [DEVICE]
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from modeling_elmo.model.linear_elmo import product

SHAPES = [
    (32, 512, 16384),
    (128, 512, 16384),
    (256, 512, 16384),
    (128, 4096, 512),
    (1024,) * 3,
    (2048,) * 3,
    (8192,) * 3,
]


def seconds(work: Callable[[], object], device: str) -> float:
    """Median of seven timings of at least 50 ms each."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    work()
    timings = []
    for _ in range(7):
        wait()
        start, runs = time.perf_counter(), 0
        while time.perf_counter() - start < 0.05:
            work()
            wait()
            runs += 1
        timings.append((time.perf_counter() - start) / runs)
    return statistics.median(timings)


@torch.inference_mode()
def ceiling(device: str = "cpu") -> dict[str, dict[str, float]]:
    """GFLOP/s by dtype and shape, and the bandwidth of reading memory in GB/s."""
    rates: dict[str, dict[str, float]] = {}
    shapes = SHAPES if device.startswith("cuda") else SHAPES[:-1]  # the last takes seconds on a CPU
    for dtype in (torch.float32, torch.bfloat16):
        row = rates.setdefault(str(dtype).removeprefix("torch."), {})
        for n, inner, outer in shapes:
            rows = torch.randn(n, inner, dtype=dtype, device=device)
            weight = torch.randn(outer, inner, dtype=dtype, device=device)
            work = 2e-9 * n * inner * outer
            for name, multiply in (("packed", product), ("F.linear", torch.nn.functional.linear)):
                row[f"{n}x{inner}x{outer} {name}"] = round(work / seconds(partial(multiply, rows, weight), device))
    large = torch.ones(2**27, device=device)  # 512 MB
    rates["memory GB/s"] = {"sum of 512 MB": round(2**29 / 1e9 / seconds(large.sum, device), 1)}
    return rates


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps(ceiling(*sys.argv[2:])))
