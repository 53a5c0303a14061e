# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The fast recurrence: few, large products; element-wise work in place; a backward pass of its own.

What it saves over `lstm_elmo.reference`, the same mathematics:

- Weights are packed once (`linear_elmo`), and the product with the inputs, which are known in advance, is one
  product over many steps: as many as fill a few megabytes, so that memory stays bounded however long a document is.
- The element-wise part of a step works in place on blocks that fit a processor's cache.
- Backward keeps the activated gates, the cells and the outputs, and computes each weight's gradient in one product over
  all steps. Autograd would keep every intermediate result, and add up as many small products as there are steps.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .linear_elmo import multiplier, quantized_multiplier, wants_gradients

aten = torch.ops.aten  # the derivatives that autograd itself calls, each one pass over memory
# Outputs above 32 MB come from the system page by page, which costs more than the product; below it malloc reuses them.
CHUNK_BYTES = 16 * 2**20
_EXACT = (torch.float32, torch.float64)
_BLOCK_BYTES = 2 * 2**20  # the second-level cache of two cores, roughly


class Direction(NamedTuple):
    """What one direction computes with; the fields of `LstmWeights` and `LstmOptions`."""

    input: Tensor  # [4C, input size]
    state: Tensor  # [4C, H]
    bias: Tensor  # [4C], the forget bias added
    projection: Tensor | None  # [H, C]
    cell_clip: float | None
    projection_clip: float | None
    quantized: bool = False  # whether the weights are rounded to eight bits, and rows are bfloat16


class Trace(NamedTuple):
    """What backward needs, all in packed order. What each step started from follows from it (`previous`)."""

    gates: Tensor  # [N, 4C], activated
    cells: Tensor  # [N, C], clipped
    gated: Tensor  # [N, C], output gate times tanh(cell): what is projected


def chunks(batch_sizes: Sequence[int], row_bytes: int, chunk_bytes: int | None = None) -> Iterator[Sequence[int]]:
    """Runs of steps whose rows fill at most a chunk (default: `CHUNK_BYTES`), one step at least."""
    limit = CHUNK_BYTES if chunk_bytes is None else chunk_bytes
    start = rows = 0
    for step, live in enumerate(batch_sizes):
        if rows and (rows + live) * row_bytes > limit:
            yield batch_sizes[start:step]
            start, rows = step, 0
        rows += live
    if rows:
        yield batch_sizes[start:]


def previous(initial: Tensor, values: Tensor, batch_sizes: Sequence[int]) -> Tensor:
    """What each step started from: initial [..., batch, size] and the states [..., N, size] after each step to
    [..., N, size]. Sentences keep their rank, so a step's rows are the first ones of the step before.
    """
    if not len(batch_sizes):
        return values
    parts = [initial[..., : batch_sizes[0], :]]
    start = 0
    for before, live in pairwise(batch_sizes):
        parts.append(values[..., start : start + live, :])
        start += before
    return torch.cat(parts, dim=-2)


def sigmoid(x: Tensor) -> Tensor:
    """The logistic function. Without gradients its bits, unlike those of `torch.sigmoid`, do not depend on where in a
    buffer a number lies.
    """
    if x.requires_grad or x.dtype not in _EXACT:
        return torch.sigmoid(x)
    return _sigmoid_(x.clone())


def _sigmoid_(x: Tensor, one: Tensor | int = 1) -> Tensor:
    return x.neg_().exp_().add_(one).reciprocal_()


class Block(NamedTuple):
    """A few rows of one step: views of what its element-wise work reads and writes."""

    gates: Tensor  # [n, 4C], sums in, activated gates out
    let_in: Tensor  # [n, C] of the gates, as are the next three
    keep: Tensor
    new: Tensor
    let_out: Tensor
    let_in_and_keep: Tensor  # [n, 2C] of the gates
    before: Tensor  # [n, C], the cells before the step
    cell: Tensor  # [n, C], filled with those after it; may be `before`
    gated: Tensor  # [n, C], filled with output gate times tanh(cell)


def _block_rows(cell: Tensor) -> int:
    """How many rows of gates fit the cache."""
    return max(1, _BLOCK_BYTES // (4 * cell.shape[1] * cell.element_size()))


def blocks(gates: Tensor, before: Tensor, cell: Tensor, gated: Tensor) -> list[Block]:
    """A step's rows in blocks that fit the cache; all use the same gates if these are fewer than the rows."""
    live, size = cell.shape
    made = []
    for first in range(0, live, _block_rows(cell)):
        now = slice(first, min(first + _block_rows(cell), live))
        own = gates[now] if len(gates) >= live else gates[: now.stop - first]
        let_in, keep, new, let_out = own.split(size, dim=1)
        made.append(Block(own, let_in, keep, new, let_out, own[:, : 2 * size], before[now], cell[now], gated[now]))
    return made


class Activation:
    """The element-wise work of a step, in place.

    Its numbers stand in tensors: Python's are converted at every call, which takes longer than a sentence's own work.
    """

    def __init__(self, dtype: torch.dtype, cell_clip: float | None) -> None:
        self.one, self.two = torch.tensor([1.0, 2.0], dtype=dtype, device="cpu")
        self.clip = cell_clip
        self.edge = 20.0 if dtype in _EXACT else 5.0  # beyond, tanh rounds to 1 or -1, and exp may have no number

    def __call__(self, block: Block) -> None:
        """Gates and cells of one block of rows."""
        _sigmoid_(block.let_in_and_keep, self.one)
        _sigmoid_(block.let_out, self.one)
        self._tanh_(block.new.clamp_(-self.edge, self.edge))
        torch.mul(block.before, block.keep, out=block.cell).addcmul_(block.let_in, block.new)
        if self.clip:
            block.cell.clamp_(-self.clip, self.clip)
        self._tanh_(torch.clamp(block.cell, -self.edge, self.edge, out=block.gated)).mul_(block.let_out)

    def _tanh_(self, x: Tensor) -> Tensor:
        """By way of a function that is fast on every processor; MKL's tanh is slow on AMD's."""
        torch.add(x, x, out=x).expm1_()
        return x.div_(x + self.two)


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
    dtype, cells, rows = inputs.dtype, cell.shape[1], len(inputs)
    hidden = hidden.to(dtype)
    outputs = [hidden[:0]]
    # With a trace, steps write where it lies; without, each writes over the one before.
    gated = cell.new_empty(rows if keep else len(cell), cells)
    cell = cell if keep else cell.clone()
    after = cell.new_empty(rows if keep else 0, cells)
    gates = cell.new_empty(0 if keep else min(len(cell), _block_rows(cell)), 4 * cells)
    done, parts = gated[:0], list[Block]()
    activate = Activation(cell.dtype, direction.cell_clip)

    by = quantized_multiplier if direction.quantized else multiplier
    read, recur = by(direction.input, direction.bias), by(direction.state)
    project = None if direction.projection is None else by(direction.projection)
    ended: list[tuple[Tensor, Tensor]] = []  # final states, shortest sentences first
    start = 0
    for steps in [batch_sizes] if keep and rows else chunks(batch_sizes, 4 * cells * inputs.element_size()):
        ahead = read(inputs[start : start + sum(steps)])
        if keep:
            gates = ahead if dtype == cell.dtype else torch.empty_like(ahead, dtype=cell.dtype)
        for known in ahead.split(list(steps)):
            live = len(known)
            if live < len(hidden):
                ended.append((hidden[live:], cell[live:]))
                hidden, cell = hidden[:live], cell[:live]
            here = slice(start, start + live)
            start += live
            if keep:
                new_cell, done = after[here], gated[here]
                parts = blocks(gates[here], cell, new_cell, done)
            elif live != len(done):
                new_cell, done = cell, gated[:live]
                parts = blocks(gates, cell, cell, done)
            _sum_up(known, recur, hidden, parts, activate)
            cell = new_cell
            output = done if done.dtype == dtype else done.to(dtype)
            if project is not None:
                output = project(output)
                if direction.projection_clip:
                    output.clamp_(-direction.projection_clip, direction.projection_clip)
            elif output is done:
                output = done.clone()
            outputs.append(output)
            hidden = output
    ended.append((hidden, cell))
    last_hidden, last_cell = (torch.cat(states) for states in zip(*reversed(ended), strict=True))
    return torch.cat(outputs), last_hidden, last_cell, Trace(gates, after, gated) if keep else None


def _sum_up(
    known: Tensor, recur: Callable[..., Tensor], hidden: Tensor, parts: list[Block], activate: Activation
) -> None:
    """One step: the gates' share that is known in advance, and the state's, to all that `parts` show."""
    is_low = known.dtype != parts[0].gates.dtype  # low precision suffices for products, not for what runs on
    sums = recur(hidden, known) if is_low else recur(hidden)
    rows = len(parts[0].gates)
    pairs = [(known, sums)] if len(parts) == 1 else zip(known.split(rows), sums.split(rows), strict=True)
    for block, (one, other) in zip(parts, pairs, strict=True):
        if is_low:
            block.gates.copy_(other)
        else:
            torch.add(one, other, out=block.gates)
        activate(block)


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
    hidden: Tensor,
    cell: Tensor,
    batch_sizes: Sequence[int],
    direction: Direction,
    trace: Trace,
    grad_outputs: Tensor,
    grad_hidden: Tensor,
    grad_cell: Tensor,
    wanted: Gradients,
) -> Gradients:
    """From the gradients of outputs [N, H] and of the final states to those of `run_forward`'s arguments.

    `wanted` has true for the inputs and weights whose gradients, each a product over all steps, are worth their time.
    """
    dtype, cells = inputs.dtype, trace.cells.shape[1]
    grad_hidden, grad_cell = grad_hidden.to(dtype, copy=True), grad_cell.to(trace.cells.dtype, copy=True)
    grad_sums = torch.empty_like(trace.gates, dtype=dtype)
    clip = direction.projection_clip if direction.projection is not None else None
    grad_projected = torch.empty_like(outputs)
    # Packed for this backward pass alone: the next one finds other weights.
    to_hidden = multiplier(direction.state.T, remember=False)
    to_gated = None if direction.projection is None else multiplier(direction.projection.T, remember=False)
    stop = len(inputs)
    for step in range(len(batch_sizes) - 1, -1, -1):
        live = batch_sizes[step]
        here = slice(stop - live, stop)
        stop -= live
        first = stop - batch_sizes[step - 1]
        before = trace.cells[first : first + live] if step else cell[:live]
        grad_output = torch.add(grad_outputs[here], grad_hidden[:live], out=grad_projected[here])
        if clip:
            aten.hardtanh_backward.grad_input(grad_output, outputs[here], -clip, clip, grad_input=grad_output)
        grad_gated = grad_output if to_gated is None else to_gated(grad_output)
        let_in, keep, new, let_out = trace.gates[here].split(cells, dim=1)
        tanh_cell = torch.tanh(trace.cells[here])
        grad_gated = grad_gated.to(tanh_cell.dtype)
        grad_step = grad_cell[:live]
        grad_step.add_(aten.tanh_backward(grad_gated * let_out, tanh_cell))
        if direction.cell_clip:
            aten.hardtanh_backward.grad_input(
                grad_step, trace.cells[here], -direction.cell_clip, direction.cell_clip, grad_input=grad_step
            )
        parts = [
            aten.sigmoid_backward(grad_step * new, let_in),
            aten.sigmoid_backward(grad_step * before, keep),
            aten.tanh_backward(grad_step * let_in, new),
            aten.sigmoid_backward(grad_gated * tanh_cell, let_out),
        ]
        sums = grad_sums[here]
        for part, place in zip(parts, sums.split(cells, dim=1), strict=True):
            place.copy_(part)
        grad_step.mul_(keep)
        grad_hidden[:live] = to_hidden(sums)
    hidden_before = previous(hidden.to(dtype), outputs, batch_sizes) if wanted.state_weight else outputs
    return Gradients(
        inputs=grad_sums @ direction.input if wanted.inputs else None,
        hidden=grad_hidden,
        cell=grad_cell,
        input_weight=grad_sums.T @ inputs if wanted.input_weight else None,
        state_weight=grad_sums.T @ hidden_before if wanted.state_weight else None,
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
        weights = (input_weight, state_weight, bias, projection)
        ctx.save_for_backward(inputs, outputs, hidden, cell, *weights, *(trace or ()))
        ctx.settings = (batch_sizes, cell_clip, projection_clip)
        return outputs, last_hidden, last_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor, grad_hidden: Tensor, grad_cell: Tensor) -> tuple[Tensor | None, ...]:
        inputs, outputs, hidden, cell, input_weight, state_weight, bias, projection, *kept = ctx.saved_tensors
        batch_sizes, cell_clip, projection_clip = ctx.settings
        direction = Direction(input_weight, state_weight, bias, projection, cell_clip, projection_clip)
        wanted = Gradients(*ctx.needs_input_grad[:7])
        kept, grads = Trace(*kept), (grad_outputs, grad_hidden, grad_cell)
        with torch.autocast(inputs.device.type, enabled=False):
            result = run_backward(inputs, outputs, hidden, cell, batch_sizes, direction, kept, *grads, wanted)
        states = (result.hidden.to(hidden.dtype), result.cell.to(cell.dtype))
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
    if wants_gradients(tensors):
        return FastLstm.apply(*tensors, batch_sizes, cell_clip, projection_clip)
    direction = Direction(input_weight, state_weight, bias, projection, cell_clip, projection_clip)
    return run_forward(inputs, batch_sizes, direction, hidden, cell, keep=False)[:3]
