# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The recurrence of one biLM layer: LSTMs with a projected, clipped output, over packed sentences.

Every implementation has the signature of `projected_lstm`; `reference` states the mathematics.

Packed means: sentences by falling length, time step after time step, no padding. Step t holds
one row for each of the `batch_sizes[t]` sentences longer than t; N is the sum of `batch_sizes`.
Each direction reads its own stream, so that the backward direction runs from left to right here too.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .recurrence_elmo import run_direction


class LstmWeights(NamedTuple):
    """One direction's matrices, gate blocks in the order input, forget, new, output."""

    input: Tensor  # [4C, input size]
    state: Tensor  # [4C, H]
    bias: Tensor  # [4C], the constant forget bias not included
    projection: Tensor | None  # [H, C], or None where the output is the C gated cells themselves


class LstmOptions(NamedTuple):
    """What the weights do not say; the fields are those of `ElmoConfig`."""

    cell_clip: float | None
    projection_clip: float | None  # has no effect without a projection, as in TensorFlow
    forget_bias: float


class LstmResult(NamedTuple):
    outputs: Tensor  # [directions, N, H]
    hidden: Tensor  # [directions, batch, H], after each sentence's last step
    cell: Tensor  # [directions, batch, C]


Implementation = Callable[[Tensor, Sequence[int], Sequence[LstmWeights], Tensor, Tensor, LstmOptions], LstmResult]


@torch.compiler.disable  # a loop over as many steps as the text has words is nothing to trace
def projected_lstm(
    inputs: Tensor,
    batch_sizes: Sequence[int],
    weights: Sequence[LstmWeights],
    hidden: Tensor,
    cell: Tensor,
    options: LstmOptions,
    implementation: str = "auto",
) -> LstmResult:
    """Run one layer (Peters et al. 2018, section 3.1; clipping and projection: Sak et al. 2014).

    Args:
        inputs: [directions, N, input size], packed, each direction in its own order of time.
        batch_sizes: number of sentences alive at each step, never rising.
        weights: one entry a direction.
        hidden, cell: initial states [directions, batch, H] and [directions, batch, C] of the sorted sentences. The
            cell's dtype is the one that the state is kept in.
        implementation: a key of `IMPLEMENTATIONS`, or `"auto"` for the fastest that can run.

    Raises:
        ValueError: if the implementation is unknown, or cannot run where the tensors are.
    """
    if implementation == "auto":
        implementation = "cpu" if inputs.device.type == "cpu" else "reference"
    if implementation not in IMPLEMENTATIONS:
        known = ", ".join(repr(name) for name in ["auto", *IMPLEMENTATIONS])
        raise ValueError(f"recurrence must be one of {known}; got {implementation!r}.")
    return IMPLEMENTATIONS[implementation](inputs, batch_sizes, weights, hidden, cell, options)


def reference(
    inputs: Tensor,
    batch_sizes: Sequence[int],
    weights: Sequence[LstmWeights],
    hidden: Tensor,
    cell: Tensor,
    options: LstmOptions,
) -> LstmResult:
    """Plain PyTorch, differentiable: one step after another, one direction after the other."""
    directions = [
        _run_direction(inputs[d], batch_sizes, weights[d], hidden[d], cell[d], options) for d in range(len(weights))
    ]
    return LstmResult(*(torch.stack(parts) for parts in zip(*directions, strict=True)))


def _run_direction(
    inputs: Tensor,
    batch_sizes: Sequence[int],
    weights: LstmWeights,
    hidden: Tensor,
    cell: Tensor,
    options: LstmOptions,
) -> tuple[Tensor, Tensor, Tensor]:
    # The inputs are known in advance, so their share of the gates is one product over all steps.
    input_gates = F.linear(inputs, weights.input, weights.bias).split(list(batch_sizes))
    outputs: list[Tensor] = []
    ended: list[tuple[Tensor, Tensor]] = []  # final states, shortest sentences first
    for gates in input_gates:
        live = len(gates)
        if live < len(hidden):
            ended.append((hidden[live:], cell[live:]))
            hidden, cell = hidden[:live], cell[:live]
        # Low precision suffices for products, not for a sum that runs over a whole sentence.
        gates = (gates + F.linear(hidden.to(inputs.dtype), weights.state)).to(cell.dtype)
        input_gate, forget_gate, new, output_gate = gates.chunk(4, dim=1)
        cell = torch.sigmoid(forget_gate + options.forget_bias) * cell + torch.sigmoid(input_gate) * torch.tanh(new)
        if options.cell_clip:
            cell = cell.clamp(-options.cell_clip, options.cell_clip)
        hidden = (torch.sigmoid(output_gate) * torch.tanh(cell)).to(inputs.dtype)
        if weights.projection is not None:
            hidden = F.linear(hidden, weights.projection)
            if options.projection_clip:
                hidden = hidden.clamp(-options.projection_clip, options.projection_clip)
        outputs.append(hidden)
    ended.append((hidden, cell))
    final_hidden, final_cell = (torch.cat(states) for states in zip(*reversed(ended), strict=True))
    # Without a single step the result is empty, of the state's size.
    return torch.cat(outputs) if outputs else hidden.new_zeros(0, hidden.shape[1]), final_hidden, final_cell


def _cast(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.to(dtype)


def cpu(
    inputs: Tensor,
    batch_sizes: Sequence[int],
    weights: Sequence[LstmWeights],
    hidden: Tensor,
    cell: Tensor,
    options: LstmOptions,
) -> LstmResult:
    """`recurrence_elmo`: packed products, work in place, a backward pass of its own."""
    if inputs.device.type != "cpu":
        raise ValueError(f"recurrence 'cpu' needs tensors on a CPU; got {inputs.device.type}.")
    if torch.is_autocast_enabled(inputs.device.type):
        dtype = torch.get_autocast_dtype(inputs.device.type)
        inputs = inputs.to(dtype)
        weights = [
            LstmWeights(w.input.to(dtype), w.state.to(dtype), w.bias.to(dtype), _cast(w.projection, dtype))
            for w in weights
        ]
    directions = []
    for d, (input_weight, state_weight, bias, projection) in enumerate(weights):
        cells = len(bias) // 4
        bias = bias + torch.nn.functional.pad(bias.new_full((cells,), options.forget_bias), (cells, 2 * cells))
        arguments = (inputs[d], hidden[d], cell[d], input_weight, state_weight, bias, projection)
        with torch.autocast(inputs.device.type, enabled=False):
            directions.append(run_direction(*arguments, list(batch_sizes), options.cell_clip, options.projection_clip))
    return LstmResult(*(torch.stack(parts) for parts in zip(*directions, strict=True)))


IMPLEMENTATIONS: dict[str, Implementation] = {"reference": reference, "cpu": cpu}
