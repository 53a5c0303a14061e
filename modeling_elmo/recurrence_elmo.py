# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The fast recurrence: few, large products; element-wise work in place; a backward pass of its own.

What it saves over `kernels_elmo.reference`, the same mathematics:

- Weights are packed once (`products_elmo`), and the product with the inputs, which are known in advance, is one
  product over many steps: as many as fill a few megabytes, so that memory stays bounded however long a document is.
- The element-wise part of a step works in place on blocks that fit a processor's cache.
- Backward keeps the activated gates, the cells and the outputs, and computes each weight's gradient in one product over
  all steps. Autograd would keep every intermediate result, and add up as many small products as there are steps.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .products_elmo import multiplier

aten = torch.ops.aten  # the derivatives that autograd itself calls, each one pass over memory
# Outputs above 32 MB come from the system page by page, which costs more than the product; below it malloc reuses them.
CHUNK_BYTES = 16 * 2**20
_BLOCK_BYTES = 2 * 2**20  # the second-level cache of two cores, roughly


class Direction(NamedTuple):
    """What one direction computes with; the fields of `LstmWeights` and `LstmOptions`."""

    input: Tensor  # [4C, input size]
    state: Tensor  # [4C, H]
    bias: Tensor  # [4C], the forget bias added
    projection: Tensor | None  # [H, C]
    cell_clip: float | None
    projection_clip: float | None


class Trace(NamedTuple):
    """What backward needs, all in packed order."""

    gates: Tensor  # [N, 4C], activated
    cells: Tensor  # [N, C], clipped
    gated: Tensor  # [N, C], output gate times tanh(cell): what is projected
    hidden_before: Tensor  # [N, H], the state that each step started from
    cells_before: Tensor  # [N, C]


def chunks(batch_sizes: Sequence[int], row_bytes: int) -> Iterator[Sequence[int]]:
    """Runs of steps whose rows fill at most a chunk, one step at least."""
    start = rows = 0
    for step, live in enumerate(batch_sizes):
        if rows and (rows + live) * row_bytes > CHUNK_BYTES:
            yield batch_sizes[start:step]
            start, rows = step, 0
        rows += live
    if rows:
        yield batch_sizes[start:]


def sigmoid(x: Tensor) -> Tensor:
    """The logistic function by way of tanh, whose bits, unlike those of `torch.sigmoid`, do not depend on where in a
    buffer a number lies.
    """
    return torch.tanh(x * 0.5) * 0.5 + 0.5


def activate(gates: Tensor, cell: Tensor, cell_clip: float | None, gated: Tensor) -> None:
    """One step's element-wise work on rows of one block, in place.

    Args:
        gates: [n, 4C], sums in, activated gates out.
        cell: [n, C], the cells before the step in, after it out.
        gated: [n, C], filled with output gate times tanh(cell).
    """
    size = cell.shape[1]
    keep_and_let_in, new, let_out = gates.split([2 * size, size, size], dim=1)
    for gate in (keep_and_let_in, let_out):  # `sigmoid`, its outer halves in place
        gate.mul_(0.5)
    gates.tanh_()
    for gate in (keep_and_let_in, let_out):
        gate.mul_(0.5).add_(0.5)
    cell.mul_(keep_and_let_in[:, size:]).addcmul_(keep_and_let_in[:, :size], new)
    if cell_clip:
        cell.clamp_(-cell_clip, cell_clip)
    torch.tanh(cell, out=gated).mul_(let_out)


def run_forward(
    inputs: Tensor, batch_sizes: Sequence[int], direction: Direction, hidden: Tensor, cell: Tensor, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Trace | None]:
    """One direction of one layer.

    Args:
        inputs: [N, input size], packed.
        hidden, cell: [batch, H] and [batch, C]; not changed.
        keep: whether backward will be wanted.

    Returns:
        outputs [N, H], final hidden and cell of each sentence, and the trace.
    """
    dtype, cells = inputs.dtype, cell.shape[1]
    hidden, cell = hidden.to(dtype).clone(), cell.clone()
    rows = len(inputs)
    outputs = inputs.new_empty(rows, hidden.shape[1])
    trace = None
    if keep:
        sizes = (4 * cells, cells, cells, hidden.shape[1], cells)
        trace = Trace(
            *(cell.new_empty(rows, size, dtype=dtype if i == 3 else cell.dtype) for i, size in enumerate(sizes))
        )
    block = max(1, _BLOCK_BYTES // (4 * cells * cell.element_size()))
    gated = cell.new_empty(len(cell), cells)

    read = multiplier(direction.input, direction.bias)
    recur = multiplier(direction.state)
    project = None if direction.projection is None else multiplier(direction.projection)
    start = 0
    for steps in chunks(batch_sizes, 4 * cells * inputs.element_size()):
        stop = start + sum(steps)
        input_gates = read(inputs[start:stop])
        for part in input_gates.split(list(steps)):
            live = len(part)
            here = slice(start, start + live)
            start += live
            sums = recur(hidden[:live], part)
            if trace is not None:
                trace.hidden_before[here] = hidden[:live]
                trace.cells_before[here] = cell[:live]
            for first in range(0, live, block):
                now = slice(first, min(first + block, live))
                gates = sums[now].to(cell.dtype)  # low precision suffices for products, not for what runs on
                activate(gates, cell[now], direction.cell_clip, gated[now])
                if trace is not None:
                    trace.gates[here][now] = gates
            if trace is not None:
                trace.cells[here], trace.gated[here] = cell[:live], gated[:live]
            output = gated[:live].to(dtype)
            if project is not None:
                output = project(output)
                if direction.projection_clip:
                    output.clamp_(-direction.projection_clip, direction.projection_clip)
            hidden[:live] = output
            outputs[here] = output
    return outputs, hidden, cell, trace


class Gradients(NamedTuple):
    """Of everything that `run_forward` computes with."""

    inputs: Any
    hidden: Any
    cell: Any
    input_weight: Any
    state_weight: Any
    bias: Any
    projection: Any


def run_backward(
    inputs: Tensor,
    outputs: Tensor,
    batch_sizes: Sequence[int],
    direction: Direction,
    trace: Trace,
    grad_outputs: Tensor,
    grad_hidden: Tensor,
    grad_cell: Tensor,
    wanted: Gradients,
) -> Gradients:
    """From the gradients of outputs [N, H] and of the final states to those of `run_forward`'s arguments.

    `wanted` has true for the weights whose gradients, each a product over all steps, are worth their time.
    """
    dtype, cells = inputs.dtype, trace.cells.shape[1]
    grad_hidden, grad_cell = grad_hidden.to(dtype).clone(), grad_cell.to(trace.cells.dtype).clone()
    grad_sums = torch.empty_like(trace.gates, dtype=dtype)
    clip = direction.projection_clip if direction.projection is not None else None
    grad_projected = torch.empty_like(outputs)
    stop = len(inputs)
    for live in reversed(batch_sizes):
        here = slice(stop - live, stop)
        stop -= live
        grad_output = grad_outputs[here] + grad_hidden[:live]
        if clip:
            grad_output = grad_output * (outputs[here].abs() < clip)
        grad_projected[here] = grad_output
        grad_gated = grad_output if direction.projection is None else grad_output @ direction.projection
        let_in, keep, new, let_out = trace.gates[here].split(cells, dim=1)
        tanh_cell = torch.tanh(trace.cells[here])
        grad_gated = grad_gated.to(tanh_cell.dtype)
        step = grad_cell[:live]
        step.add_(aten.tanh_backward(grad_gated * let_out, tanh_cell))
        if direction.cell_clip:
            aten.hardtanh_backward.grad_input(
                step, trace.cells[here], -direction.cell_clip, direction.cell_clip, grad_input=step
            )
        parts = [
            aten.sigmoid_backward(step * new, let_in),
            aten.sigmoid_backward(step * trace.cells_before[here], keep),
            aten.tanh_backward(step * let_in, new),
            aten.sigmoid_backward(grad_gated * tanh_cell, let_out),
        ]
        sums = grad_sums[here]
        for part, place in zip(parts, sums.split(cells, dim=1), strict=True):
            place.copy_(part)
        step.mul_(keep)
        grad_hidden[:live] = sums @ direction.state
    return Gradients(
        inputs=grad_sums @ direction.input if wanted.inputs else None,
        hidden=grad_hidden,
        cell=grad_cell,
        input_weight=grad_sums.T @ inputs if wanted.input_weight else None,
        state_weight=grad_sums.T @ trace.hidden_before if wanted.state_weight else None,
        bias=grad_sums.sum(0) if wanted.bias else None,
        projection=grad_projected.T @ trace.gated.to(dtype) if wanted.projection else None,
    )


class FastLstm(torch.autograd.Function):
    """`run_forward` and `run_backward` as one differentiable function of one direction."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        hidden: Tensor,
        cell: Tensor,
        input_weight: Tensor,
        state_weight: Tensor,
        bias: Tensor,
        projection: Tensor | None,
        batch_sizes: list[int],
        cell_clip: float | None,
        projection_clip: float | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        direction = Direction(input_weight, state_weight, bias, projection, cell_clip, projection_clip)
        outputs, last_hidden, last_cell, trace = run_forward(inputs, batch_sizes, direction, hidden, cell, keep=True)
        ctx.save_for_backward(inputs, outputs, input_weight, state_weight, bias, projection, *(trace or ()))
        ctx.settings = (batch_sizes, cell_clip, projection_clip, hidden.dtype, cell.dtype)
        return outputs, last_hidden, last_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor, grad_hidden: Tensor, grad_cell: Tensor) -> tuple[Tensor | None, ...]:
        inputs, outputs, input_weight, state_weight, bias, projection, *trace = ctx.saved_tensors
        batch_sizes, cell_clip, projection_clip, hidden_dtype, cell_dtype = ctx.settings
        direction = Direction(input_weight, state_weight, bias, projection, cell_clip, projection_clip)
        wanted = Gradients(*ctx.needs_input_grad[:7])
        result = run_backward(
            inputs, outputs, batch_sizes, direction, Trace(*trace), grad_outputs, grad_hidden, grad_cell, wanted
        )
        states = (result.hidden.to(hidden_dtype), result.cell.to(cell_dtype))
        weights = (result.input_weight, result.state_weight, result.bias, result.projection)
        return (result.inputs, *states, *weights, None, None, None)


def run_direction(
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    input_weight: Tensor,
    state_weight: Tensor,
    bias: Tensor,
    projection: Tensor | None,
    batch_sizes: list[int],
    cell_clip: float | None,
    projection_clip: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs [N, H], final hidden and cell, with gradients where they are wanted and without their cost elsewhere."""
    tensors = (inputs, hidden, cell, input_weight, state_weight, bias, projection)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        return FastLstm.apply(*tensors, batch_sizes, cell_clip, projection_clip)
    direction = Direction(input_weight, state_weight, bias, projection, cell_clip, projection_clip)
    return run_forward(inputs, batch_sizes, direction, hidden, cell, keep=False)[:3]
