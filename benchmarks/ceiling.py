# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What the machine can do at most: rates of matrix products in ELMo's shapes and squares, memory bandwidth."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from modeling_elmo.products_elmo import product

SHAPES = [(32, 512, 16384), (128, 512, 16384), (256, 512, 16384), (128, 4096, 512), (1024, 1024, 1024), (2048,) * 3]


def seconds(work: Callable[[], object]) -> float:
    """Median of seven timings of at least 50 ms each."""
    work()
    timings = []
    for _ in range(7):
        start, runs = time.perf_counter(), 0
        while time.perf_counter() - start < 0.05:
            work()
            runs += 1
        timings.append((time.perf_counter() - start) / runs)
    return statistics.median(timings)


@torch.inference_mode()
def ceiling() -> dict[str, dict[str, float]]:
    """GFLOP/s by dtype and shape, and the bandwidth of reading memory in GB/s."""
    rates: dict[str, dict[str, float]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        row = rates.setdefault(str(dtype).removeprefix("torch."), {})
        for n, inner, outer in SHAPES:
            rows, weight = torch.randn(n, inner, dtype=dtype), torch.randn(outer, inner, dtype=dtype)
            work = 2e-9 * n * inner * outer
            for name, multiply in (("packed", product), ("F.linear", torch.nn.functional.linear)):
                row[f"{n}x{inner}x{outer} {name}"] = round(work / seconds(partial(multiply, rows, weight)))
    large = torch.ones(2**27)  # 512 MB
    rates["memory GB/s"] = {"sum of 512 MB": round(2**29 / 1e9 / seconds(large.sum), 1)}
    return rates


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps(ceiling()))
