# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Fast CPU LSTM: few large matrix products, in-place pointwise operations, and a custom backward pass.

Differences to `lstm_elmo.lstm_eager`, which computes the same function:

- Weights are prepacked once (`linear_elmo`). The input contribution to the gates is one product per chunk of steps. A
  chunk fills a few megabytes, so memory stays bounded for documents of any length.
- The pointwise operations of a step work in place on blocks of rows that fit into the processor's cache.
- The backward pass uses the saved gates, cells, and outputs. It computes the gradient of each weight in one product
  over all steps. Autograd would save every intermediate result and add up one small product per step.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .linear_elmo import int8_linear, prepack
from .lstm_common_elmo import (
    ForwardBackward,
    LSTMGradients,
    LSTMLayerParams,
    LSTMOutput,
    SavedActivations,
    chunk_steps,
    previous_states,
    stack_outputs,
)

aten = torch.ops.aten  # the derivative functions that autograd itself calls; each is one pass over memory
# glibc's malloc reuses blocks below 32 MB. Larger ones cause page faults that cost more than the product.
CHUNK_BYTES = 16 * 2**20
_EXACT_DTYPES = (torch.float32, torch.float64)
_BLOCK_BYTES = 2 * 2**20  # approximately the second-level cache of two cores


def sigmoid(x: Tensor) -> Tensor:
    """Return the logistic function of `x`.

    Without gradients, the bits of the result do not depend on the position of a value in memory. Those of
    `torch.sigmoid` do.
    """
    if x.requires_grad or x.dtype not in _EXACT_DTYPES:
        return torch.sigmoid(x)
    return _sigmoid_(x.clone())


def _sigmoid_(x: Tensor, one: Tensor | int = 1) -> Tensor:
    return x.neg_().exp_().add_(one).reciprocal_()


class RowBlock(NamedTuple):
    """Some rows of one step: views of the tensors that the pointwise operations read and write."""

    gates: Tensor  # [n, 4C], pre-activations on input, activated gates on output
    input_gate: Tensor  # [n, C], view of `gates`, as are the next three
    forget_gate: Tensor
    cell_gate: Tensor
    output_gate: Tensor
    input_and_forget_gates: Tensor  # [n, 2C], view of `gates`
    previous_cell: Tensor  # [n, C]
    cell: Tensor  # [n, C], written; may be `previous_cell`
    pre_projection: Tensor  # [n, C], written with output gate times tanh(cell)


def _block_rows(cell: Tensor) -> int:
    """Return how many rows of gates fit into the cache."""
    return max(1, _BLOCK_BYTES // (4 * cell.shape[1] * cell.element_size()))


def row_blocks(gates: Tensor, previous_cell: Tensor, cell: Tensor, pre_projection: Tensor) -> list[RowBlock]:
    """Split the rows of a step into blocks. All blocks share the rows of `gates` if these are fewer."""
    num_rows, cell_size = cell.shape
    blocks = []
    for first in range(0, num_rows, _block_rows(cell)):
        rows = slice(first, min(first + _block_rows(cell), num_rows))
        block_gates = gates[rows] if len(gates) >= num_rows else gates[: rows.stop - first]
        input_gate, forget_gate, cell_gate, output_gate = block_gates.split(cell_size, dim=1)
        blocks.append(
            RowBlock(
                gates=block_gates,
                input_gate=input_gate,
                forget_gate=forget_gate,
                cell_gate=cell_gate,
                output_gate=output_gate,
                input_and_forget_gates=block_gates[:, : 2 * cell_size],
                previous_cell=previous_cell[rows],
                cell=cell[rows],
                pre_projection=pre_projection[rows],
            )
        )
    return blocks


class LSTMPointwise:
    """In-place pointwise operations of an LSTM step.

    The constants are tensors, because converting Python scalars on every call takes longer than a step of one sentence.
    """

    def __init__(self, dtype: torch.dtype, cell_clip: float | None) -> None:
        self.one, self.two = torch.tensor([1.0, 2.0], dtype=dtype, device="cpu")
        self.cell_clip = cell_clip
        # Beyond this limit tanh rounds to 1 or -1, and exp can overflow.
        self.tanh_limit = 20.0 if dtype in _EXACT_DTYPES else 5.0

    def __call__(self, block: RowBlock) -> None:
        """Activate the gates and update the cells of one block."""
        _sigmoid_(block.input_and_forget_gates, self.one)
        _sigmoid_(block.output_gate, self.one)
        self._tanh_(block.cell_gate.clamp_(-self.tanh_limit, self.tanh_limit))
        torch.mul(block.previous_cell, block.forget_gate, out=block.cell).addcmul_(block.input_gate, block.cell_gate)
        if self.cell_clip:
            block.cell.clamp_(-self.cell_clip, self.cell_clip)
        torch.clamp(block.cell, -self.tanh_limit, self.tanh_limit, out=block.pre_projection)
        self._tanh_(block.pre_projection).mul_(block.output_gate)

    def _tanh_(self, x: Tensor) -> Tensor:
        """Compute tanh by `expm1`, which is fast on every processor. MKL's tanh is slow on AMD processors."""
        torch.add(x, x, out=x).expm1_()
        return x.div_(x + self.two)


def lstm_forward(
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    layer: LSTMLayerParams,
    batch_sizes: Sequence[int],
    save_for_backward: bool,
) -> tuple[LSTMOutput, tuple[Tensor, ...]]:
    """Run one projected LSTM layer over packed sentences (Sak et al. 2014; clipping as in bilm-tf).

    Args:
        inputs: Packed inputs, [D, N, input_size].
        hidden: Initial hidden state, [D, batch, H]. Not modified.
        cell: Initial cell state, [D, batch, C]. Not modified.
        layer: Weights and options.
        batch_sizes: Number of active sentences at each step, non-increasing.
        save_for_backward: Whether to also return the activations that `lstm_backward` needs.

    Returns:
        Outputs and final states, and the `SavedActivations` of all directions in one tuple.
    """
    results: list[tuple[Tensor, Tensor, Tensor]] = []
    saved: list[Tensor] = []
    for direction in range(len(inputs)):
        result, activations = _forward_direction(
            inputs[direction], hidden[direction], cell[direction], layer, direction, batch_sizes, save_for_backward
        )
        results.append(result)
        saved += activations
    return stack_outputs(results), tuple(saved)


def _forward_direction(
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    layer: LSTMLayerParams,
    direction: int,
    batch_sizes: Sequence[int],
    save_for_backward: bool,
) -> tuple[tuple[Tensor, Tensor, Tensor], Sequence[Tensor]]:
    """Run one direction: `lstm_forward` with inputs [N, input_size] and states [batch, size]."""
    dtype, cell_size, num_tokens = inputs.dtype, cell.shape[1], len(inputs)
    hidden = hidden.to(dtype)
    outputs = [hidden[:0]]
    # Steps write directly into the saved activations, or overwrite the previous step if nothing is saved.
    all_pre_projections = cell.new_empty(num_tokens if save_for_backward else len(cell), cell_size)
    cell = cell if save_for_backward else cell.clone()
    all_cells = cell.new_empty(num_tokens if save_for_backward else 0, cell_size)
    gates = cell.new_empty(0 if save_for_backward else min(len(cell), _block_rows(cell)), 4 * cell_size)
    pre_projection, blocks = all_pre_projections[:0], list[RowBlock]()
    pointwise = LSTMPointwise(cell.dtype, layer.cell_clip)

    make_linear = int8_linear if layer.weight_dtype == "int8" else prepack
    linear_ih = make_linear(layer.weight_ih[direction], layer.bias[direction])
    linear_hh = make_linear(layer.weight_hh[direction])
    linear_hr = None if layer.weight_hr is None else make_linear(layer.weight_hr[direction])
    final_states: list[tuple[Tensor, Tensor]] = []  # shortest sentences first
    start = 0
    row_bytes = 4 * cell_size * inputs.element_size()
    # All gates are saved anyway, so chunks would not save memory in training.
    chunks = [batch_sizes] if save_for_backward and num_tokens else chunk_steps(batch_sizes, row_bytes, CHUNK_BYTES)
    for steps in chunks:
        chunk_gates_ih = linear_ih(inputs[start : start + sum(steps)])
        if save_for_backward:
            gates = chunk_gates_ih if dtype == cell.dtype else torch.empty_like(chunk_gates_ih, dtype=cell.dtype)
        for gates_ih in chunk_gates_ih.split(list(steps)):
            step_batch_size = len(gates_ih)
            if step_batch_size < len(hidden):
                final_states.append((hidden[step_batch_size:], cell[step_batch_size:]))
                hidden, cell = hidden[:step_batch_size], cell[:step_batch_size]
            step_rows = slice(start, start + step_batch_size)
            start += step_batch_size
            if save_for_backward:
                next_cell, pre_projection = all_cells[step_rows], all_pre_projections[step_rows]
                blocks = row_blocks(gates[step_rows], cell, next_cell, pre_projection)
            elif step_batch_size != len(pre_projection):
                next_cell, pre_projection = cell, all_pre_projections[:step_batch_size]
                blocks = row_blocks(gates, cell, cell, pre_projection)
            _run_pointwise(gates_ih, linear_hh, hidden, blocks, pointwise)
            cell = next_cell
            output = pre_projection if pre_projection.dtype == dtype else pre_projection.to(dtype)
            if linear_hr is not None:
                output = linear_hr(output)
                if layer.projection_clip:
                    output.clamp_(-layer.projection_clip, layer.projection_clip)
            elif output is pre_projection:
                output = pre_projection.clone()
            outputs.append(output)
            hidden = output
    final_states.append((hidden, cell))
    final_hidden, final_cell = (torch.cat(states) for states in zip(*reversed(final_states), strict=True))
    saved = (gates, all_cells, all_pre_projections) if save_for_backward else ()
    return (torch.cat(outputs), final_hidden, final_cell), saved


def _run_pointwise(
    gates_ih: Tensor,
    linear_hh: Callable[..., Tensor],
    hidden: Tensor,
    blocks: list[RowBlock],
    pointwise: LSTMPointwise,
) -> None:
    """Add the input and hidden contributions to the gates of one step and apply the pointwise operations in place."""
    # Low precision is sufficient for the products, but not for the cell state and the gates.
    is_low_precision = gates_ih.dtype != blocks[0].gates.dtype
    gates_hh = linear_hh(hidden, gates_ih) if is_low_precision else linear_hh(hidden)
    num_rows = len(blocks[0].gates)
    single = len(blocks) == 1
    pairs = [(gates_ih, gates_hh)] if single else zip(gates_ih.split(num_rows), gates_hh.split(num_rows), strict=True)
    for block, (block_gates_ih, block_gates_hh) in zip(blocks, pairs, strict=True):
        if is_low_precision:
            block.gates.copy_(block_gates_hh)
        else:
            torch.add(block_gates_ih, block_gates_hh, out=block.gates)
        pointwise(block)


def lstm_backward(
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    layer: LSTMLayerParams,
    batch_sizes: Sequence[int],
    outputs: Tensor,
    saved: Sequence[Tensor],
    grad: LSTMOutput,
    needs_grad: LSTMGradients,
) -> LSTMGradients:
    """Compute the gradients of the arguments of `lstm_forward`, which are the first five arguments.

    Args:
        outputs: Outputs of `lstm_forward`, [D, N, H].
        saved: Saved activations that `lstm_forward` returned.
        grad: Gradients of the results of `lstm_forward`.
        needs_grad: Flags of the gradients that are needed. Those of inputs and weights each cost one product over all
            steps.
    """
    directions = [
        _backward_direction(
            inputs[direction],
            hidden[direction],
            cell[direction],
            layer,
            direction,
            batch_sizes,
            outputs[direction],
            SavedActivations(*saved[3 * direction : 3 * direction + 3]),
            LSTMOutput(*(tensor[direction] for tensor in grad)),
            needs_grad,
        )
        for direction in range(len(inputs))
    ]
    grads = LSTMGradients(*zip(*directions, strict=True))
    return grads._replace(
        inputs=torch.stack(grads.inputs) if needs_grad.inputs else None,
        hidden=torch.stack(grads.hidden).to(hidden.dtype) if needs_grad.hidden else None,
        cell=torch.stack(grads.cell).to(cell.dtype) if needs_grad.cell else None,
    )


def _backward_direction(
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    layer: LSTMLayerParams,
    direction: int,
    batch_sizes: Sequence[int],
    outputs: Tensor,
    saved: SavedActivations,
    grad: LSTMOutput,
    needs_grad: LSTMGradients,
) -> LSTMGradients:
    """Compute the gradients of one direction: `lstm_backward` with tensors that lack the first dimension."""
    dtype, cell_size = inputs.dtype, cell.shape[1]
    weight_ih, weight_hh = layer.weight_ih[direction], layer.weight_hh[direction]
    weight_hr = None if layer.weight_hr is None else layer.weight_hr[direction]
    projection_clip = None if weight_hr is None else layer.projection_clip
    grad_hidden, grad_cell = grad.hidden.to(dtype, copy=True), grad.cell.to(saved.cells.dtype, copy=True)
    grad_gates = torch.empty_like(saved.gates, dtype=dtype)
    grad_outputs_total = torch.empty_like(outputs)
    # Do not cache: the optimizer changes the weights before the next backward pass.
    linear_hh = prepack(weight_hh.T, cache=False)
    linear_hr = None if weight_hr is None else prepack(weight_hr.T, cache=False)
    stop = len(inputs)
    for step in range(len(batch_sizes) - 1, -1, -1):
        step_batch_size = batch_sizes[step]
        step_rows = slice(stop - step_batch_size, stop)
        stop -= step_batch_size
        first = stop - batch_sizes[step - 1]
        previous_cell = saved.cells[first : first + step_batch_size] if step else cell[:step_batch_size]
        grad_output = torch.add(
            grad.outputs[step_rows], grad_hidden[:step_batch_size], out=grad_outputs_total[step_rows]
        )
        if projection_clip:
            aten.hardtanh_backward.grad_input(
                grad_output, outputs[step_rows], -projection_clip, projection_clip, grad_input=grad_output
            )
        grad_pre_projection = grad_output if linear_hr is None else linear_hr(grad_output)
        input_gate, forget_gate, cell_gate, output_gate = saved.gates[step_rows].split(cell_size, dim=1)
        tanh_cell = torch.tanh(saved.cells[step_rows])
        grad_pre_projection = grad_pre_projection.to(tanh_cell.dtype)
        grad_step_cell = grad_cell[:step_batch_size]
        grad_step_cell.add_(aten.tanh_backward(grad_pre_projection * output_gate, tanh_cell))
        if layer.cell_clip:
            aten.hardtanh_backward.grad_input(
                grad_step_cell, saved.cells[step_rows], -layer.cell_clip, layer.cell_clip, grad_input=grad_step_cell
            )
        parts = [
            aten.sigmoid_backward(grad_step_cell * cell_gate, input_gate),
            aten.sigmoid_backward(grad_step_cell * previous_cell, forget_gate),
            aten.tanh_backward(grad_step_cell * input_gate, cell_gate),
            aten.sigmoid_backward(grad_pre_projection * tanh_cell, output_gate),
        ]
        grad_step_gates = grad_gates[step_rows]
        for part, target in zip(parts, grad_step_gates.split(cell_size, dim=1), strict=True):
            target.copy_(part)
        grad_step_cell.mul_(forget_gate)
        grad_hidden[:step_batch_size] = linear_hh(grad_step_gates)
    grad_weight_hh = grad_weight_hr = None
    if needs_grad.weight_hh:
        grad_weight_hh = grad_gates.T @ previous_states(hidden.to(dtype), outputs, batch_sizes)
    if needs_grad.weight_hr and saved.pre_projection is not None:
        grad_weight_hr = grad_outputs_total.T @ saved.pre_projection.to(dtype)
    return LSTMGradients(
        inputs=grad_gates @ weight_ih if needs_grad.inputs else None,
        hidden=grad_hidden,
        cell=grad_cell,
        weight_ih=grad_gates.T @ inputs if needs_grad.weight_ih else None,
        weight_hh=grad_weight_hh,
        bias=grad_gates.sum(0) if needs_grad.bias else None,
        weight_hr=grad_weight_hr,
    )


PACKED = ForwardBackward(lstm_forward, lstm_backward)
