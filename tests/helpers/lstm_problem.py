# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Inputs and weights of one small LSTM layer over a ragged batch."""

from typing import Any

import torch

from modeling_elmo.model.lstm_elmo import LstmOptions, LstmWeights

BATCH_SIZES = [5, 5, 4, 4, 4, 2, 1, 1, 1]
OPTIONS = LstmOptions(cell_clip=0.6, projection_clip=0.5, forget_bias=1.0)


def problem(dtype: torch.dtype, projected: bool = True, batch_sizes: list[int] = BATCH_SIZES) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    cells, size = (7, 3) if projected else (4, 4)
    weights = [
        LstmWeights(
            draw(4 * cells, 6), draw(4 * cells, size), draw(4 * cells), draw(size, cells) if projected else None
        )
        for _ in range(2)
    ]
    rows = max(batch_sizes, default=3) + 1  # a sentence without a single step keeps its state
    return {
        "inputs": draw(2, sum(batch_sizes), 6),
        "batch_sizes": batch_sizes,
        "weights": weights,
        "hidden": draw(2, rows, size),
        "cell": draw(2, rows, cells),
    }
