# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The recurrence on a GPU: both directions as one batch, and each step's element-wise work in one Triton kernel.

A step is two batched products (state to gates, cells to output), one kernel for everything between them, and the clip.
Steps read and write views of buffers that hold all steps, so that nothing is copied from step to step. Backward works
likewise, and computes each weight's gradient in one product over all steps.

With Triton's interpreter (`TRITON_INTERPRET=1`) the same code runs on a CPU: slowly, for tests.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .lstm_cpu_elmo import Activation, blocks, chunks, previous

try:
    import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError:  # it comes with PyTorch's builds for GPUs
    triton = tl = None

aten = torch.ops.aten
CHUNK_BYTES = 128 * 2**20  # of the gates that are computed ahead
_BLOCK = 1024  # cells of one program
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

if triton is not None:

    @triton.jit
    def _tanh(x):  # type: ignore[no-untyped-def]
        # The fraction loses digits where it is small; there a polynomial has them all.
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
        ahead,
        recurrent,
        before,
        cell,
        gated,
        gates,
        ahead_stride,
        recurrent_stride,
        before_stride,
        cell_stride,
        gated_stride,
        gates_stride,
        clip,
        CELLS: tl.constexpr,
        CLIPPED: tl.constexpr,
        KEEP: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        row = tl.program_id(0).to(tl.int64)
        column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        direction = tl.program_id(2)
        inside = column < CELLS
        wide, narrow = row * 4 * CELLS + column, row * CELLS + column
        ahead += direction * ahead_stride + wide
        recurrent += direction * recurrent_stride + wide
        let_in = tl.load(ahead, inside, 0).to(tl.float32) + tl.load(recurrent, inside, 0).to(tl.float32)
        keep = tl.load(ahead + CELLS, inside, 0).to(tl.float32) + tl.load(recurrent + CELLS, inside, 0).to(tl.float32)
        new = tl.load(ahead + 2 * CELLS, inside, 0).to(tl.float32)
        new += tl.load(recurrent + 2 * CELLS, inside, 0).to(tl.float32)
        let_out = tl.load(ahead + 3 * CELLS, inside, 0).to(tl.float32)
        let_out += tl.load(recurrent + 3 * CELLS, inside, 0).to(tl.float32)
        let_in, keep, new, let_out = _sigmoid(let_in), _sigmoid(keep), _tanh(new), _sigmoid(let_out)
        state = keep * tl.load(before + direction * before_stride + narrow, inside, 0) + let_in * new
        if CLIPPED:
            state = tl.minimum(tl.maximum(state, -clip), clip)
        tl.store(cell + direction * cell_stride + narrow, state, inside)
        output = let_out * _tanh(state)
        tl.store(gated + direction * gated_stride + narrow, output.to(gated.dtype.element_ty), inside)
        if KEEP:
            gates += direction * gates_stride + wide
            tl.store(gates, let_in, inside)
            tl.store(gates + CELLS, keep, inside)
            tl.store(gates + 2 * CELLS, new, inside)
            tl.store(gates + 3 * CELLS, let_out, inside)

    @triton.jit
    def _backward_kernel(  # type: ignore[no-untyped-def]
        grad_gated,
        gates,
        before,
        cell,
        grad_cell,
        grad_sums,
        grad_gated_stride,
        gates_stride,
        before_stride,
        cell_stride,
        grad_cell_stride,
        grad_sums_stride,
        clip,
        CELLS: tl.constexpr,
        CLIPPED: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        row = tl.program_id(0).to(tl.int64)
        column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        direction = tl.program_id(2)
        inside = column < CELLS
        wide, narrow = row * 4 * CELLS + column, row * CELLS + column
        gates += direction * gates_stride + wide
        let_in = tl.load(gates, inside, 0)
        keep = tl.load(gates + CELLS, inside, 0)
        new = tl.load(gates + 2 * CELLS, inside, 0)
        let_out = tl.load(gates + 3 * CELLS, inside, 0)
        state = tl.load(cell + direction * cell_stride + narrow, inside, 0)
        grad_output = tl.load(grad_gated + direction * grad_gated_stride + narrow, inside, 0).to(tl.float32)
        grad_cell += direction * grad_cell_stride + narrow
        tanh_state = _tanh(state)
        grad_state = tl.load(grad_cell, inside, 0) + grad_output * let_out * (1.0 - tanh_state * tanh_state)
        if CLIPPED:
            grad_state = tl.where(tl.abs(state) < clip, grad_state, 0.0)
        tl.store(grad_cell, grad_state * keep, inside)
        grad_keep = grad_state * tl.load(before + direction * before_stride + narrow, inside, 0)
        grad_sums += direction * grad_sums_stride + wide
        kind = grad_sums.dtype.element_ty
        tl.store(grad_sums, (grad_state * new * let_in * (1.0 - let_in)).to(kind), inside)
        tl.store(grad_sums + CELLS, (grad_keep * keep * (1.0 - keep)).to(kind), inside)
        tl.store(grad_sums + 2 * CELLS, (grad_state * let_in * (1.0 - new * new)).to(kind), inside)
        tl.store(grad_sums + 3 * CELLS, (grad_output * tanh_state * let_out * (1.0 - let_out)).to(kind), inside)


def is_interpreted() -> bool:
    """Whether the kernels run in Triton's interpreter, as `TRITON_INTERPRET=1` makes them do."""
    return triton is not None and not isinstance(_forward_kernel, triton.runtime.JITFunction)


def obstacle(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why this implementation cannot run on `device` with inputs of `dtype`, or None if it can."""
    if device.type != "cuda" and not (device.type == "cpu" and is_interpreted()):
        return f"needs tensors on a CUDA device; got {device.type}"
    if triton is None:
        return "needs the package triton, which cannot be imported here"
    if dtype not in _DTYPES:
        return f"needs float32, bfloat16 or float16; got {dtype}"
    if device not in _trials:
        _trials[device] = _try_out(device)
    return _trials[device]


_trials: dict[torch.device, str | None] = {}  # what the kernels did on each device when they were first wanted


@torch.no_grad()
def _try_out(device: torch.device) -> str | None:
    """What goes wrong with a small step, None if nothing: Triton compiles on the user's machine, and that can fail."""
    generator = torch.Generator("cpu").manual_seed(0)
    sums, cell = (torch.randn(1, 3, size, generator=generator, device="cpu") for size in (96, 24))
    gated = torch.empty(3, 24, device="cpu")
    got = torch.empty(1, 3, 24, device=device)
    ahead = sums.to(device)
    try:
        _forward_step(ahead, torch.zeros_like(ahead), cell.to(device), torch.empty_like(got), got, None, 3.0)
        for block in blocks(sums[0], cell[0], cell[0], gated):
            Activation(gated.dtype, 3.0)(block)
        difference = got.cpu()[0] - gated
    except Exception as error:  # the compiler's own, the driver's, a missing C compiler's: there is no common class
        return f"cannot run its kernels here: {type(error).__name__}: {error}"
    return None if bool(difference.abs().max() < 1e-5) else "computes wrong numbers here"


def _grid(cell: Tensor) -> tuple[int, int, int]:
    directions, live, cells = cell.shape
    return live, triton.cdiv(cells, _BLOCK), directions


def _block(cells: int) -> int:
    return min(_BLOCK, max(16, triton.next_power_of_2(cells)))


def _forward_step(
    ahead: Tensor,
    recurrent: Tensor,
    before: Tensor,
    cell: Tensor,
    gated: Tensor,
    gates: Tensor | None,
    clip: float | None,
) -> None:
    """From the two summands of the gates [D, n, 4C] and the cells `before` [D, n, C] to `cell`, `gated` and `gates`.

    All may be views of n rows of larger buffers. `cell` may be `before`; `gates` may be `ahead`.
    """
    cells = cell.shape[2]
    tensors = (ahead, recurrent, before, cell, gated, ahead if gates is None else gates)
    with torch.cuda.device_of(cell):  # Triton launches on the current device
        _forward_kernel[_grid(cell)](
            *tensors,
            *(tensor.stride(0) for tensor in tensors),
            clip or 0.0,
            CELLS=cells,
            CLIPPED=bool(clip),
            KEEP=gates is not None,
            BLOCK=_block(cells),
        )


def _backward_step(
    grad_gated: Tensor,
    gates: Tensor,
    before: Tensor,
    cell: Tensor,
    grad_cell: Tensor,
    grad_sums: Tensor,
    clip: float | None,
) -> None:
    """From the gradient of what is projected [D, n, C] to that of the gates' sums, and `grad_cell` one step back."""
    cells = cell.shape[2]
    tensors = (grad_gated, gates, before, cell, grad_cell, grad_sums)
    with torch.cuda.device_of(cell):
        _backward_kernel[_grid(cell)](
            *tensors,
            *(tensor.stride(0) for tensor in tensors),
            clip or 0.0,
            CELLS=cells,
            CLIPPED=bool(clip),
            BLOCK=_block(cells),
        )


class Stacked(NamedTuple):
    """What all directions compute with; the fields of `LstmWeights` and `LstmOptions`, D directions as one batch."""

    input: Tensor  # [D, 4C, input size]
    state: Tensor  # [D, 4C, H]
    bias: Tensor  # [D, 4C], the forget bias added
    projection: Tensor | None  # [D, H, C]
    cell_clip: float | None
    projection_clip: float | None


class Trace(NamedTuple):
    """What backward needs, all in packed order."""

    gates: Tensor  # [D, N, 4C], activated
    cells: Tensor  # [D, N, C], clipped
    gated: Tensor | None  # [D, N, C], what is projected; None without a projection: the outputs


def run_forward(
    inputs: Tensor, batch_sizes: Sequence[int], stacked: Stacked, hidden: Tensor, cell: Tensor, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Trace | None]:
    """One layer.

    Args:
        inputs: [D, N, input size], packed.
        hidden, cell: [D, batch, H] and [D, batch, C]; not changed.
        keep: whether backward will be wanted.

    Returns:
        outputs [D, N, H], final hidden and cell of each sentence, and the trace.
    """
    (directions, rows, _), dtype, cells = inputs.shape, inputs.dtype, cell.shape[2]
    projection = None if stacked.projection is None else stacked.projection.mT
    hidden = hidden.to(dtype)
    cell = cell.clone(memory_format=torch.contiguous_format)
    outputs = inputs.new_empty(directions, rows, hidden.shape[2])
    gated = outputs if projection is None else inputs.new_empty(directions, rows if keep else len(cell[0]), cells)
    all_cells = cell.new_empty(directions, rows, cells) if keep else cell
    all_gates: Tensor | None = None
    ended: list[tuple[Tensor, Tensor]] = []  # final states, shortest sentences first
    start = 0
    # The trace holds the gates of all steps anyway.
    row_bytes = directions * 4 * cells * inputs.element_size()
    for steps in [batch_sizes] if keep and rows else chunks(batch_sizes, row_bytes, CHUNK_BYTES):
        reach = inputs[:, start : start + sum(steps)]
        ahead = torch.baddbmm(stacked.bias[:, None], reach, stacked.input.mT)
        if keep:
            all_gates = ahead if dtype == cell.dtype else torch.empty_like(ahead, dtype=cell.dtype)
        for live, summand in zip(steps, ahead.split(list(steps), dim=1), strict=True):
            here = slice(start, start + live)
            start += live
            if live < hidden.shape[1]:
                ended.append((hidden[:, live:], cell[:, live:]))
                hidden, cell = hidden[:, :live], cell[:, :live]
            recurrent = torch.bmm(hidden, stacked.state.mT)
            after = all_cells[:, here] if keep else cell
            let_out = gated[:, here] if keep or projection is None else gated[:, :live]
            gates = None if all_gates is None else all_gates[:, here]
            _forward_step(summand, recurrent, cell, after, let_out, gates, stacked.cell_clip)
            hidden, cell = outputs[:, here], after
            if projection is not None:
                torch.bmm(let_out, projection, out=hidden)
                if stacked.projection_clip:
                    hidden.clamp_(-stacked.projection_clip, stacked.projection_clip)
    ended.append((hidden, cell))
    last_hidden, last_cell = (torch.cat(states, dim=1) for states in zip(*reversed(ended), strict=True))
    if not keep:
        return outputs, last_hidden, last_cell, None
    if all_gates is None:  # not a single step
        all_gates = cell.new_empty(directions, 0, 4 * cells)
    return outputs, last_hidden, last_cell, Trace(all_gates, all_cells, None if projection is None else gated)


def run_backward(
    inputs: Tensor,
    outputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    batch_sizes: Sequence[int],
    stacked: Stacked,
    trace: Trace,
    grad_outputs: Tensor,
    grad_hidden: Tensor,
    grad_cell: Tensor,
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """From the gradients of outputs [D, N, H] and of the final states to those of `run_forward`'s arguments: inputs,
    hidden, cell and the four weights, where `wanted`.
    """
    dtype = inputs.dtype
    clip = None if stacked.projection is None else stacked.projection_clip
    grad_hidden = grad_hidden.to(dtype, copy=True)
    grad_cell = grad_cell.to(trace.cells.dtype, copy=True, memory_format=torch.contiguous_format)
    grad_sums = torch.empty_like(trace.gates, dtype=dtype)
    grad_projected = torch.empty_like(outputs)
    cell = cell.contiguous()
    stop = outputs.shape[1]
    for step in range(len(batch_sizes) - 1, -1, -1):
        live = batch_sizes[step]
        here = slice(stop - live, stop)
        stop -= live
        first = stop - batch_sizes[step - 1]
        before = trace.cells[:, first : first + live] if step else cell[:, :live]
        grad_output = grad_projected[:, here]
        torch.add(grad_outputs[:, here], grad_hidden[:, :live], out=grad_output)
        if clip:
            aten.hardtanh_backward.grad_input(grad_output, outputs[:, here], -clip, clip, grad_input=grad_output)
        grad_gated = grad_output if stacked.projection is None else torch.bmm(grad_output, stacked.projection)
        sums = grad_sums[:, here]
        gates, after = trace.gates[:, here], trace.cells[:, here]
        _backward_step(grad_gated, gates, before, after, grad_cell[:, :live], sums, stacked.cell_clip)
        torch.bmm(sums, stacked.state, out=grad_hidden[:, :live])
    grad_rows = grad_sums.mT
    gated = outputs if trace.gated is None else trace.gated
    return [
        torch.bmm(grad_sums, stacked.input) if wanted[0] else None,
        grad_hidden.to(hidden.dtype),
        grad_cell.to(cell.dtype),
        torch.bmm(grad_rows, inputs) if wanted[3] else None,
        torch.bmm(grad_rows, previous(hidden.to(dtype), outputs, batch_sizes)) if wanted[4] else None,
        grad_sums.sum(1) if wanted[5] else None,
        torch.bmm(grad_projected.mT, gated) if wanted[6] else None,
    ]


class CudaLstm(torch.autograd.Function):
    """`run_forward` and `run_backward` as one differentiable function of a layer."""

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
        stacked = Stacked(input_weight, state_weight, bias, projection, cell_clip, projection_clip)
        outputs, last_hidden, last_cell, trace = run_forward(inputs, batch_sizes, stacked, hidden, cell, keep=True)
        weights = (input_weight, state_weight, bias, projection)
        ctx.save_for_backward(inputs, outputs, hidden, cell, *weights, *(trace or ()))
        ctx.settings = (batch_sizes, cell_clip, projection_clip)
        return outputs, last_hidden, last_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor, grad_hidden: Tensor, grad_cell: Tensor) -> tuple[Tensor | None, ...]:
        inputs, outputs, hidden, cell, input_weight, state_weight, bias, projection, *kept = ctx.saved_tensors
        batch_sizes, cell_clip, projection_clip = ctx.settings
        stacked = Stacked(input_weight, state_weight, bias, projection, cell_clip, projection_clip)
        grads = (grad_outputs, grad_hidden, grad_cell)
        wanted = ctx.needs_input_grad[:7]
        with torch.autocast(inputs.device.type, enabled=False):
            result = run_backward(inputs, outputs, hidden, cell, batch_sizes, stacked, Trace(*kept), *grads, wanted)
        return (*result, None, None, None)


def run_layer(
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
    """Outputs [D, N, H], final hidden and cell, with gradients where they are wanted and without their cost elsewhere.

    Arguments as in `run_forward`; the weights stacked as in `Stacked`.
    """
    tensors = (inputs, hidden, cell, input_weight, state_weight, bias, projection)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        return CudaLstm.apply(*tensors, batch_sizes, cell_clip, projection_clip)
    stacked = Stacked(input_weight, state_weight, bias, projection, cell_clip, projection_clip)
    return run_forward(inputs, batch_sizes, stacked, hidden, cell, keep=False)[:3]
