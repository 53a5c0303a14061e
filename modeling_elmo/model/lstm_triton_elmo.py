# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""GPU LSTM: all directions in one batch, and the pointwise operations of each step in one Triton kernel.

A step consists of two batched products (hidden state to gates, cells to output), one kernel between them, and the clip.
Steps read and write views of buffers that hold all steps, so nothing is copied between steps. The backward pass works
the same way and computes the gradient of each weight in one product over all steps.

With Triton's interpreter (`TRITON_INTERPRET=1`) the same code runs on a CPU: slowly, for tests.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .lstm_common_elmo import (
    ForwardBackward,
    LSTMGradients,
    LSTMLayerParams,
    LSTMOutput,
    SavedActivations,
    chunk_steps,
    previous_states,
)

try:
    import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError:  # PyTorch's GPU builds include triton; other builds do not
    triton = tl = None

aten = torch.ops.aten
CHUNK_BYTES = 128 * 2**20  # of input contributions to the gates
_BLOCK = 1024  # cells per program
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

if triton is not None:

    @triton.jit
    def _tanh(x):  # type: ignore[no-untyped-def]
        # The fraction loses precision near zero; the polynomial does not.
        size = tl.abs(x)
        power = tl.exp(-2.0 * size)
        square = x * x
        near = size * (1.0 - square * (0.33333333333 - square * 0.13333333333))
        result = tl.where(size < 0.1, near, (1.0 - power) / (1.0 + power))
        return tl.where(x < 0.0, -result, result)

    @triton.jit
    def _sigmoid(x):  # type: ignore[no-untyped-def]
        return 1.0 / (1.0 + tl.exp(-x))

    @triton.jit
    def _forward_kernel(  # type: ignore[no-untyped-def]
        gates_ih,
        gates_hh,
        previous_cell,
        cell,
        pre_projection,
        gates,
        gates_ih_stride,
        gates_hh_stride,
        previous_cell_stride,
        cell_stride,
        pre_projection_stride,
        gates_stride,
        cell_clip,
        CELLS: tl.constexpr,
        HAS_CLIP: tl.constexpr,
        SAVE_FOR_BACKWARD: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        row = tl.program_id(0).to(tl.int64)
        column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        direction = tl.program_id(2)
        in_bounds = column < CELLS
        gate_offset, cell_offset = row * 4 * CELLS + column, row * CELLS + column
        gates_ih += direction * gates_ih_stride + gate_offset
        gates_hh += direction * gates_hh_stride + gate_offset
        input_gate = tl.load(gates_ih, in_bounds, 0).to(tl.float32)
        input_gate += tl.load(gates_hh, in_bounds, 0).to(tl.float32)
        forget_gate = tl.load(gates_ih + CELLS, in_bounds, 0).to(tl.float32)
        forget_gate += tl.load(gates_hh + CELLS, in_bounds, 0).to(tl.float32)
        cell_gate = tl.load(gates_ih + 2 * CELLS, in_bounds, 0).to(tl.float32)
        cell_gate += tl.load(gates_hh + 2 * CELLS, in_bounds, 0).to(tl.float32)
        output_gate = tl.load(gates_ih + 3 * CELLS, in_bounds, 0).to(tl.float32)
        output_gate += tl.load(gates_hh + 3 * CELLS, in_bounds, 0).to(tl.float32)
        input_gate, forget_gate = _sigmoid(input_gate), _sigmoid(forget_gate)
        cell_gate, output_gate = _tanh(cell_gate), _sigmoid(output_gate)
        previous = tl.load(previous_cell + direction * previous_cell_stride + cell_offset, in_bounds, 0)
        cell_state = forget_gate * previous + input_gate * cell_gate
        if HAS_CLIP:
            cell_state = tl.minimum(tl.maximum(cell_state, -cell_clip), cell_clip)
        tl.store(cell + direction * cell_stride + cell_offset, cell_state, in_bounds)
        output = (output_gate * _tanh(cell_state)).to(pre_projection.dtype.element_ty)
        tl.store(pre_projection + direction * pre_projection_stride + cell_offset, output, in_bounds)
        if SAVE_FOR_BACKWARD:
            gates += direction * gates_stride + gate_offset
            tl.store(gates, input_gate, in_bounds)
            tl.store(gates + CELLS, forget_gate, in_bounds)
            tl.store(gates + 2 * CELLS, cell_gate, in_bounds)
            tl.store(gates + 3 * CELLS, output_gate, in_bounds)

    @triton.jit
    def _backward_kernel(  # type: ignore[no-untyped-def]
        grad_pre_projection,
        gates,
        previous_cell,
        cell,
        grad_cell,
        grad_gates,
        grad_pre_projection_stride,
        gates_stride,
        previous_cell_stride,
        cell_stride,
        grad_cell_stride,
        grad_gates_stride,
        cell_clip,
        CELLS: tl.constexpr,
        HAS_CLIP: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        row = tl.program_id(0).to(tl.int64)
        column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        direction = tl.program_id(2)
        in_bounds = column < CELLS
        gate_offset, cell_offset = row * 4 * CELLS + column, row * CELLS + column
        gates += direction * gates_stride + gate_offset
        input_gate = tl.load(gates, in_bounds, 0)
        forget_gate = tl.load(gates + CELLS, in_bounds, 0)
        cell_gate = tl.load(gates + 2 * CELLS, in_bounds, 0)
        output_gate = tl.load(gates + 3 * CELLS, in_bounds, 0)
        cell_state = tl.load(cell + direction * cell_stride + cell_offset, in_bounds, 0)
        grad_pre_projection += direction * grad_pre_projection_stride + cell_offset
        grad_output = tl.load(grad_pre_projection, in_bounds, 0).to(tl.float32)
        grad_cell += direction * grad_cell_stride + cell_offset
        tanh_cell = _tanh(cell_state)
        grad_cell_state = tl.load(grad_cell, in_bounds, 0) + grad_output * output_gate * (1.0 - tanh_cell * tanh_cell)
        if HAS_CLIP:
            grad_cell_state = tl.where(tl.abs(cell_state) < cell_clip, grad_cell_state, 0.0)
        tl.store(grad_cell, grad_cell_state * forget_gate, in_bounds)
        previous = tl.load(previous_cell + direction * previous_cell_stride + cell_offset, in_bounds, 0)
        grad_input_gate = grad_cell_state * cell_gate * input_gate * (1.0 - input_gate)
        grad_forget_gate = grad_cell_state * previous * forget_gate * (1.0 - forget_gate)
        grad_cell_gate = grad_cell_state * input_gate * (1.0 - cell_gate * cell_gate)
        grad_output_gate = grad_output * tanh_cell * output_gate * (1.0 - output_gate)
        grad_gates += direction * grad_gates_stride + gate_offset
        dtype = grad_gates.dtype.element_ty
        tl.store(grad_gates, grad_input_gate.to(dtype), in_bounds)
        tl.store(grad_gates + CELLS, grad_forget_gate.to(dtype), in_bounds)
        tl.store(grad_gates + 2 * CELLS, grad_cell_gate.to(dtype), in_bounds)
        tl.store(grad_gates + 3 * CELLS, grad_output_gate.to(dtype), in_bounds)


def uses_triton_interpreter() -> bool:
    """Return whether the kernels run in Triton's interpreter, which `TRITON_INTERPRET=1` selects."""
    return triton is not None and not isinstance(_forward_kernel, triton.runtime.JITFunction)


def unsupported_reason(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why this implementation cannot run on `device` with inputs of `dtype`, or None if it can."""
    if device.type != "cuda" and not (device.type == "cpu" and uses_triton_interpreter()):
        return f"it requires tensors on a CUDA device, got {device.type}"
    if triton is None:
        return "it requires the package triton, which cannot be imported"
    if dtype not in _DTYPES:
        return f"it requires float32, bfloat16, or float16, got {dtype}"
    if device not in _self_test_results:
        _self_test_results[device] = _self_test(device)
    return _self_test_results[device]


_self_test_results: dict[torch.device, str | None] = {}


@torch.no_grad()
def _self_test(device: torch.device) -> str | None:
    """Run one small step and return an error message, or None on success.

    Triton compiles at run time, which can fail.
    """
    cell_clip = 3.0
    generator = torch.Generator("cpu").manual_seed(0)
    gates, previous_cell = (torch.randn(1, 3, size, generator=generator, device="cpu") for size in (96, 24))
    input_gate, forget_gate, cell_gate, output_gate = gates.chunk(4, dim=2)
    cell = torch.sigmoid(forget_gate) * previous_cell + torch.sigmoid(input_gate) * torch.tanh(cell_gate)
    expected = torch.sigmoid(output_gate) * torch.tanh(cell.clamp(-cell_clip, cell_clip))
    result = torch.empty(1, 3, 24, device=device)
    gates_ih = gates.to(device)
    gates_hh = torch.zeros_like(gates_ih)
    try:
        _forward_step(gates_ih, gates_hh, previous_cell.to(device), torch.empty_like(result), result, None, cell_clip)
        difference = result.cpu() - expected
    except Exception as error:  # from Triton, the driver, or a missing C compiler: there is no common base class
        return f"its kernels fail on this machine with {type(error).__name__}: {error}"
    return None if bool(difference.abs().max() < 1e-5) else "its kernels compute wrong values on this machine"


def _grid(cell: Tensor) -> tuple[int, int, int]:
    num_directions, num_rows, cell_size = cell.shape
    return num_rows, triton.cdiv(cell_size, _BLOCK), num_directions


def _block_size(cell_size: int) -> int:
    return min(_BLOCK, max(16, triton.next_power_of_2(cell_size)))


def _forward_step(
    gates_ih: Tensor,
    gates_hh: Tensor,
    previous_cell: Tensor,
    cell: Tensor,
    pre_projection: Tensor,
    gates: Tensor | None,
    cell_clip: float | None,
) -> None:
    """Compute `cell`, `pre_projection`, and `gates` from the two contributions to the gates and `previous_cell`.

    Shapes: [D, n, 4C] for gates, [D, n, C] for the others. All may be views of n rows of larger buffers. `cell` may be
    `previous_cell`, and `gates` may be `gates_ih`.
    """
    cell_size = cell.shape[2]
    tensors = (gates_ih, gates_hh, previous_cell, cell, pre_projection, gates_ih if gates is None else gates)
    with torch.cuda.device_of(cell):  # Triton launches on the current device
        _forward_kernel[_grid(cell)](
            *tensors,
            *(tensor.stride(0) for tensor in tensors),
            cell_clip or 0.0,
            CELLS=cell_size,
            HAS_CLIP=bool(cell_clip),
            SAVE_FOR_BACKWARD=gates is not None,
            BLOCK=_block_size(cell_size),
        )


def _backward_step(
    grad_pre_projection: Tensor,
    gates: Tensor,
    previous_cell: Tensor,
    cell: Tensor,
    grad_cell: Tensor,
    grad_gates: Tensor,
    cell_clip: float | None,
) -> None:
    """Compute the gradient of the gate pre-activations from that of the unprojected output, [D, n, C].

    Updates `grad_cell` for the previous step.
    """
    cell_size = cell.shape[2]
    tensors = (grad_pre_projection, gates, previous_cell, cell, grad_cell, grad_gates)
    with torch.cuda.device_of(cell):
        _backward_kernel[_grid(cell)](
            *tensors,
            *(tensor.stride(0) for tensor in tensors),
            cell_clip or 0.0,
            CELLS=cell_size,
            HAS_CLIP=bool(cell_clip),
            BLOCK=_block_size(cell_size),
        )


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
        Outputs and final states, and the `SavedActivations` stacked over directions, without `pre_projection` if the
        layer has no projection.
    """
    (num_directions, num_tokens, _), dtype, cell_size = inputs.shape, inputs.dtype, cell.shape[2]
    weight_ih, weight_hh = torch.stack(layer.weight_ih).mT, torch.stack(layer.weight_hh).mT
    weight_hr = None if layer.weight_hr is None else torch.stack(layer.weight_hr).mT
    bias = torch.stack(layer.bias)[:, None]
    hidden = hidden.to(dtype)
    cell = cell.clone(memory_format=torch.contiguous_format)
    outputs = inputs.new_empty(num_directions, num_tokens, hidden.shape[2])
    pre_projections = outputs
    if weight_hr is not None:
        num_rows = num_tokens if save_for_backward else cell.shape[1]
        pre_projections = inputs.new_empty(num_directions, num_rows, cell_size)
    all_cells = cell.new_empty(num_directions, num_tokens, cell_size) if save_for_backward else cell
    all_gates: Tensor | None = None
    final_states: list[tuple[Tensor, Tensor]] = []  # shortest sentences first
    start = 0
    row_bytes = num_directions * 4 * cell_size * inputs.element_size()
    # All gates are saved anyway, so chunks would not save memory in training.
    chunks = [batch_sizes] if save_for_backward and num_tokens else chunk_steps(batch_sizes, row_bytes, CHUNK_BYTES)
    for steps in chunks:
        chunk_gates_ih = torch.baddbmm(bias, inputs[:, start : start + sum(steps)], weight_ih)
        if save_for_backward:
            same_dtype = dtype == cell.dtype
            all_gates = chunk_gates_ih if same_dtype else torch.empty_like(chunk_gates_ih, dtype=cell.dtype)
        for step_batch_size, gates_ih in zip(steps, chunk_gates_ih.split(list(steps), dim=1), strict=True):
            step_rows = slice(start, start + step_batch_size)
            start += step_batch_size
            if step_batch_size < hidden.shape[1]:
                final_states.append((hidden[:, step_batch_size:], cell[:, step_batch_size:]))
                hidden, cell = hidden[:, :step_batch_size], cell[:, :step_batch_size]
            gates_hh = torch.bmm(hidden, weight_hh)
            next_cell = all_cells[:, step_rows] if save_for_backward else cell
            reuses_rows = weight_hr is not None and not save_for_backward
            pre_projection = pre_projections[:, :step_batch_size] if reuses_rows else pre_projections[:, step_rows]
            gates = None if all_gates is None else all_gates[:, step_rows]
            _forward_step(gates_ih, gates_hh, cell, next_cell, pre_projection, gates, layer.cell_clip)
            hidden, cell = outputs[:, step_rows], next_cell
            if weight_hr is not None:
                torch.bmm(pre_projection, weight_hr, out=hidden)
                if layer.projection_clip:
                    hidden.clamp_(-layer.projection_clip, layer.projection_clip)
    final_states.append((hidden, cell))
    final_hidden, final_cell = (torch.cat(states, dim=1) for states in zip(*reversed(final_states), strict=True))
    output = LSTMOutput(outputs, final_hidden, final_cell)
    if not save_for_backward:
        return output, ()
    if all_gates is None:  # no steps
        all_gates = cell.new_empty(num_directions, 0, 4 * cell_size)
    return output, (all_gates, all_cells) if weight_hr is None else (all_gates, all_cells, pre_projections)


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
    dtype = inputs.dtype
    activations = SavedActivations(saved[0], saved[1], saved[2] if len(saved) > 2 else None)
    weight_ih, weight_hh = torch.stack(layer.weight_ih), torch.stack(layer.weight_hh)
    weight_hr = None if layer.weight_hr is None else torch.stack(layer.weight_hr)
    projection_clip = None if weight_hr is None else layer.projection_clip
    grad_hidden = grad.hidden.to(dtype, copy=True)
    grad_cell = grad.cell.to(activations.cells.dtype, copy=True, memory_format=torch.contiguous_format)
    grad_gates = torch.empty_like(activations.gates, dtype=dtype)
    grad_outputs_total = torch.empty_like(outputs)
    initial_cell = cell.contiguous()
    stop = outputs.shape[1]
    for step in range(len(batch_sizes) - 1, -1, -1):
        step_batch_size = batch_sizes[step]
        step_rows = slice(stop - step_batch_size, stop)
        stop -= step_batch_size
        first = stop - batch_sizes[step - 1]
        previous_cells, start = (activations.cells, first) if step else (initial_cell, 0)
        grad_output = grad_outputs_total[:, step_rows]
        torch.add(grad.outputs[:, step_rows], grad_hidden[:, :step_batch_size], out=grad_output)
        if projection_clip:
            aten.hardtanh_backward.grad_input(
                grad_output, outputs[:, step_rows], -projection_clip, projection_clip, grad_input=grad_output
            )
        grad_step_gates = grad_gates[:, step_rows]
        _backward_step(
            grad_output if weight_hr is None else torch.bmm(grad_output, weight_hr),
            activations.gates[:, step_rows],
            previous_cells[:, start : start + step_batch_size],
            activations.cells[:, step_rows],
            grad_cell[:, :step_batch_size],
            grad_step_gates,
            layer.cell_clip,
        )
        torch.bmm(grad_step_gates, weight_hh, out=grad_hidden[:, :step_batch_size])
    grad_weight_ih = grad_weight_hh = grad_weight_hr = None
    if needs_grad.weight_ih:
        grad_weight_ih = torch.bmm(grad_gates.mT, inputs)
    if needs_grad.weight_hh:
        grad_weight_hh = torch.bmm(grad_gates.mT, previous_states(hidden.to(dtype), outputs, batch_sizes))
    if needs_grad.weight_hr and activations.pre_projection is not None:
        grad_weight_hr = torch.bmm(grad_outputs_total.mT, activations.pre_projection)
    return LSTMGradients(
        inputs=torch.bmm(grad_gates, weight_ih) if needs_grad.inputs else None,
        hidden=grad_hidden.to(hidden.dtype) if needs_grad.hidden else None,
        cell=grad_cell.to(cell.dtype) if needs_grad.cell else None,
        weight_ih=grad_weight_ih,
        weight_hh=grad_weight_hh,
        bias=grad_gates.sum(1) if needs_grad.bias else None,
        weight_hr=grad_weight_hr,
    )


TRITON = ForwardBackward(lstm_forward, lstm_backward)
