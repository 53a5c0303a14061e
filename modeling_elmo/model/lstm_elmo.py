# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The recurrence of one biLM layer: LSTMs with a projected, clipped output, over packed sentences.

Every implementation has the signature of `projected_lstm`; `reference` states the mathematics.

Packed means: sentences by falling length, time step after time step, no padding. Step t holds
one row for each of the `batch_sizes[t]` sentences longer than t; N is the sum of `batch_sizes`.
Each direction reads its own stream, so that the backward direction runs from left to right here too.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .linear_elmo import can_quantize, wants_gradients
from .lstm_cpu_elmo import Direction, run_direction, run_forward
from .lstm_ops_elmo import lstm
from .lstm_triton_elmo import obstacle, run_layer


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


def projected_lstm(
    inputs: Tensor,
    batch_sizes: Sequence[int] | Tensor,
    weights: Sequence[LstmWeights],
    hidden: Tensor,
    cell: Tensor,
    options: LstmOptions,
    implementation: str = "auto",
) -> LstmResult:
    """Run one layer (Peters et al. 2018, section 3.1; clipping and projection: Sak et al. 2014).

    Args:
        inputs: [directions, N, input size], packed, each direction in its own order of time.
        batch_sizes: number of sentences alive at each step, never rising. Given as a tensor [steps] on the CPU, the
            recurrence is one operator of a graph that `torch.compile` makes; otherwise it stays outside.
        weights: one entry a direction.
        hidden, cell: initial states [directions, batch, H] and [directions, batch, C] of the sorted sentences. The
            cell's dtype is the one that the state is kept in.
        implementation: a key of `IMPLEMENTATIONS`, or `"auto"` for the fastest that can run.

    Raises:
        ValueError: if the implementation is unknown, or cannot run where the tensors are.
    """
    implementation = _choose(implementation, inputs.device, _compute_dtype(inputs))
    if torch.compiler.is_compiling() and isinstance(batch_sizes, Tensor) and implementation in ("cpu", "cuda"):
        return _as_operator(inputs, batch_sizes, weights, hidden, cell, options, implementation)
    return _run(inputs, batch_sizes, weights, hidden, cell, options, implementation)


@torch.compiler.assume_constant_result
def _choose(implementation: str, device: torch.device, dtype: torch.dtype) -> str:
    """The key of an implementation that can run."""
    if implementation == "auto" and device.type == "cpu":
        return "cpu"
    if implementation == "auto":
        return "reference" if obstacle(device, dtype) else "cuda"
    if implementation not in IMPLEMENTATIONS:
        known = ", ".join(repr(name) for name in ["auto", *IMPLEMENTATIONS])
        raise ValueError(f"recurrence must be one of {known}; got {implementation!r}.")
    if implementation in ("cpu", "int8") and device.type != "cpu":
        raise ValueError(f"recurrence {implementation!r} needs tensors on a CPU; got {device.type}.")
    if implementation == "int8" and not can_quantize():
        raise ValueError("recurrence 'int8' needs a PyTorch that can multiply with weights of eight bits here.")
    reason = obstacle(device, dtype) if implementation == "cuda" else None
    if reason is not None:
        raise ValueError(f"recurrence 'cuda' {reason}.")
    return implementation


@torch.compiler.disable  # a loop over as many steps as the text has words is nothing to trace
def _run(
    inputs: Tensor,
    batch_sizes: Sequence[int] | Tensor,
    weights: Sequence[LstmWeights],
    hidden: Tensor,
    cell: Tensor,
    options: LstmOptions,
    implementation: str,
) -> LstmResult:
    sizes = batch_sizes.tolist() if isinstance(batch_sizes, Tensor) else batch_sizes
    return IMPLEMENTATIONS[implementation](inputs, sizes, weights, hidden, cell, options)


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
    return _join(directions)


def _join(directions: Sequence[tuple[Tensor, ...]]) -> LstmResult:
    """Outputs and final states of each direction as one result."""
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


def _compute_dtype(inputs: Tensor) -> torch.dtype:
    """The dtype of products with `inputs`, which autocast may lower."""
    device = inputs.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return inputs.dtype


def _cast(
    inputs: Tensor, weights: Sequence[LstmWeights], forget_bias: float
) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor, Tensor | None]]]:
    """Inputs and matrices in the dtype of products, the forget bias added to the bias."""
    dtype = _compute_dtype(inputs)
    matrices = []
    for input_weight, state_weight, bias, projection in weights:
        cells = len(bias) // 4
        bias = bias.to(dtype)
        bias = bias + F.pad(bias.new_full((cells,), forget_bias), (cells, 2 * cells))
        projection = None if projection is None else projection.to(dtype)
        matrices.append((input_weight.to(dtype), state_weight.to(dtype), bias, projection))
    return inputs.to(dtype), matrices


def _stack(matrices: Sequence[Sequence[Any]]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Each matrix of all directions as one tensor."""
    input_weight, state_weight, bias, projection = zip(*matrices, strict=True)
    stacked = None if projection[0] is None else torch.stack(projection)
    return torch.stack(input_weight), torch.stack(state_weight), torch.stack(bias), stacked


def cpu(
    inputs: Tensor,
    batch_sizes: Sequence[int],
    weights: Sequence[LstmWeights],
    hidden: Tensor,
    cell: Tensor,
    options: LstmOptions,
) -> LstmResult:
    """`lstm_cpu_elmo`: packed products, work in place, a backward pass of its own."""
    inputs, matrices = _cast(inputs, weights, options.forget_bias)
    clips = (options.cell_clip, options.projection_clip)
    with torch.autocast(inputs.device.type, enabled=False):
        directions = [
            run_direction(inputs[d], hidden[d], cell[d], *matrices[d], list(batch_sizes), *clips)
            for d in range(len(weights))
        ]
    return _join(directions)


def int8(
    inputs: Tensor,
    batch_sizes: Sequence[int],
    weights: Sequence[LstmWeights],
    hidden: Tensor,
    cell: Tensor,
    options: LstmOptions,
) -> LstmResult:
    """`cpu` with weights of eight bits and products in bfloat16; no gradients.

    Raises:
        ValueError: if gradients are wanted.
    """
    if wants_gradients([inputs, hidden, cell, *chain(*weights)]):
        raise ValueError("recurrence 'int8' has no gradients; call the model under torch.no_grad().")
    dtype = inputs.dtype
    inputs, matrices = _cast(inputs, weights, options.forget_bias)
    rows = inputs.to(torch.bfloat16)
    directions = []
    with torch.autocast(inputs.device.type, enabled=False):
        for d, matrix in enumerate(matrices):
            direction = Direction(*matrix, options.cell_clip, options.projection_clip, quantized=True)
            directions.append(run_forward(rows[d], list(batch_sizes), direction, hidden[d], cell[d], keep=False)[:3])
    result = _join(directions)
    return LstmResult(result.outputs.to(dtype), result.hidden.to(dtype), result.cell)


def cuda(
    inputs: Tensor,
    batch_sizes: Sequence[int],
    weights: Sequence[LstmWeights],
    hidden: Tensor,
    cell: Tensor,
    options: LstmOptions,
) -> LstmResult:
    """`lstm_triton_elmo`: both directions as one batch, each step's element-wise work in one Triton kernel."""
    inputs, matrices = _cast(inputs, weights, options.forget_bias)
    stacked = _stack(matrices)
    clips = (options.cell_clip, options.projection_clip)
    with torch.autocast(inputs.device.type, enabled=False):
        return LstmResult(*run_layer(inputs, hidden, cell, *stacked, list(batch_sizes), *clips))


def _as_operator(
    inputs: Tensor,
    batch_sizes: Tensor,
    weights: Sequence[LstmWeights],
    hidden: Tensor,
    cell: Tensor,
    options: LstmOptions,
    implementation: str,
) -> LstmResult:
    """`cpu` or `cuda` by way of `lstm_ops_elmo`, for `torch.compile`."""
    inputs, matrices = _cast(inputs, weights, options.forget_bias)
    keep = wants_gradients([inputs, hidden, cell, *chain(*matrices)])
    settings = (options.cell_clip, options.projection_clip, keep)
    with torch.autocast(inputs.device.type, enabled=False):
        if implementation == "cuda":
            return LstmResult(*lstm(True, inputs, hidden, cell, batch_sizes, *_stack(matrices), *settings)[:3])
        directions = [
            lstm(False, inputs[d], hidden[d], cell[d], batch_sizes, *matrices[d], *settings)[:3]
            for d in range(len(weights))
        ]
    return _join(directions)


IMPLEMENTATIONS: dict[str, Implementation] = {"reference": reference, "cpu": cpu, "cuda": cuda, "int8": int8}
