# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Inputs and weights of one small LSTM layer over a ragged batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from modeling_elmo.model.lstm_common_elmo import LSTMLayerParams, flatten_params

BATCH_SIZES = (5, 5, 4, 4, 4, 2, 1, 1, 1)
CLIPS = (0.6, 0.5)


def problem(
    dtype: torch.dtype = torch.float32,
    projected: bool = True,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    clips: tuple[float | None, float | None] = CLIPS,
    num_directions: int = 2,
    cell_size: int = 7,
    device: str = "cpu",
) -> dict[str, Any]:
    """Return arguments of `projected_lstm`. All tensors require gradients."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        # Scale weights so that gate pre-activations have order 1 for any cell size.
        values = torch.randn(shape, generator=generator) * (shape[-1] ** -0.5 if len(shape) == 2 else 1)
        return values.to(device, dtype).requires_grad_()

    def draw_all(*shape: int) -> tuple[Tensor, ...]:
        return tuple(draw(*shape) for _ in range(num_directions))

    output_size = 3 if projected else cell_size
    batch = max(batch_sizes, default=3) + 1  # a sentence without any step keeps its state
    return {
        "inputs": draw(num_directions, sum(batch_sizes), 6),
        "hidden": draw(num_directions, batch, output_size),
        "cell": draw(num_directions, batch, cell_size)
        .detach()
        .to(torch.promote_types(dtype, torch.float32))
        .requires_grad_(),
        "layer": LSTMLayerParams(
            weight_ih=draw_all(4 * cell_size, 6),
            weight_hh=draw_all(4 * cell_size, output_size),
            bias=draw_all(4 * cell_size),
            weight_hr=draw_all(output_size, cell_size) if projected else None,
            cell_clip=clips[0],
            projection_clip=clips[1],
            forget_bias=1.0,
        ),
        "batch_sizes": list(batch_sizes),
    }


def leaves(arguments: dict[str, Any]) -> list[Tensor]:
    """Return all tensors of a problem that require gradients."""
    return [arguments["inputs"], arguments["hidden"], arguments["cell"], *flatten_params(arguments["layer"])]


def with_tensors(arguments: dict[str, Any], convert: Any) -> dict[str, Any]:
    """Return the problem with `convert` applied to each tensor that requires gradients."""
    layer = arguments["layer"]
    weights = {
        name: None if getattr(layer, name) is None else tuple(convert(weight) for weight in getattr(layer, name))
        for name in ("weight_ih", "weight_hh", "bias", "weight_hr")
    }
    tensors = {name: convert(arguments[name]) for name in ("inputs", "hidden", "cell")}
    return {**arguments, **tensors, "layer": layer._replace(**weights)}


def outputs_and_gradients(function: Any, arguments: dict[str, Any]) -> list[Tensor]:
    """Return the results of an LSTM function, followed by the gradients of all leaves."""
    result = function(**arguments)
    # Weight each element differently, so that mixed-up elements change the gradients.
    total = sum(
        (part * (1 + torch.arange(part.numel())).sin().to(part).view_as(part)).double().sum() for part in result
    )
    return [*result, *torch.autograd.grad(total, leaves(arguments), allow_unused=True, materialize_grads=True)]
