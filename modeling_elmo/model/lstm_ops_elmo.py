# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The recurrence as an operator that `torch.compile` and `torch.export` take as it is.

Traced, a recurrence would become as many nodes as the text has words, and another graph for each text. As an operator
it is one node, and its batch sizes are a tensor, so that no compiled code depends on the lengths of sentences.
"""

from typing import Any

import torch
from torch import Tensor

from .linear_elmo import namespace
from .lstm_cpu_elmo import Direction, Gradients, Trace, run_backward, run_forward
from .lstm_triton_elmo import Stacked
from .lstm_triton_elmo import Trace as LayerTrace
from .lstm_triton_elmo import run_backward as backward_of_layer
from .lstm_triton_elmo import run_forward as run_layer_forward

_WEIGHTS = "Tensor input_weight, Tensor state_weight, Tensor bias, Tensor? projection, float? cell_clip, float? clip"
_ARGUMENTS = f"bool layer, Tensor inputs, Tensor hidden, Tensor cell, Tensor batch_sizes, {_WEIGHTS}"


@torch.library.custom_op(
    f"{namespace(__name__)}::lstm",
    mutates_args=(),
    schema=f"({_ARGUMENTS}, bool keep) -> ({', '.join(['Tensor'] * 6)})",
)
def lstm(
    layer: bool, inputs: Tensor, hidden: Tensor, cell: Tensor, batch_sizes: Tensor, *weights: Any
) -> tuple[Tensor, ...]:
    """`run_forward` of `lstm_triton_elmo` for a whole `layer`, of `lstm_cpu_elmo` for a direction; differentiable.

    Args:
        batch_sizes: [steps], int64, on the CPU.
        weights: the fields of `Stacked` or `Direction`, and whether backward will be wanted.

    Returns:
        outputs, final hidden and cell, and the trace's three tensors, empty where there is none.
    """
    *matrices, keep = weights
    sizes = batch_sizes.tolist()
    run: Any = run_layer_forward if layer else run_forward
    kind: Any = Stacked if layer else Direction
    *results, trace = run(inputs, sizes, kind(*matrices), hidden, cell, keep=keep)
    return (*results, *(inputs.new_empty(0) if part is None else part for part in trace or [None] * 3))


@lstm.register_fake
def _(layer: bool, inputs: Tensor, hidden: Tensor, cell: Tensor, batch_sizes: Tensor, *weights: Any) -> Any:
    *_, projection, _, _, keep = weights
    rows, size, cells = inputs.shape[:-1], hidden.shape[-1], cell.shape[-1]
    results = (inputs.new_empty(*rows, size), inputs.new_empty(hidden.shape), cell.new_empty(cell.shape))
    if not keep:
        return (*results, *(inputs.new_empty(0) for _ in range(3)))
    gated = inputs.new_empty(0) if projection is None else inputs.new_empty(*rows, cells)
    if not layer:
        gated = cell.new_empty(*rows, cells)
    return (*results, cell.new_empty(*rows, 4 * cells), cell.new_empty(*rows, cells), gated)


@torch.library.custom_op(
    f"{namespace(__name__)}::lstm_backward",
    mutates_args=(),
    schema=(
        f"({_ARGUMENTS}, Tensor outputs, Tensor gates, Tensor cells, Tensor gated, Tensor grad_outputs, "
        f"Tensor grad_hidden, Tensor grad_cell, bool[] wanted) -> ({', '.join(['Tensor'] * 7)})"
    ),
)
def lstm_backward(
    layer: bool,
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    batch_sizes: Tensor,
    input_weight: Tensor,
    state_weight: Tensor,
    bias: Tensor,
    projection: Tensor | None,
    cell_clip: float | None,
    clip: float | None,
    outputs: Tensor,
    gates: Tensor,
    cells: Tensor,
    gated: Tensor,
    grad_outputs: Tensor,
    grad_hidden: Tensor,
    grad_cell: Tensor,
    wanted: list[bool],
) -> tuple[Tensor, ...]:
    """`run_backward`: gradients of inputs, hidden, cell and the four weights, empty where not `wanted`."""
    weights = (input_weight, state_weight, bias, projection, cell_clip, clip)
    before = (inputs, outputs, hidden, cell, batch_sizes.tolist())
    grads = (grad_outputs, grad_hidden, grad_cell)
    result: Any
    if layer:
        trace = LayerTrace(gates, cells, None if projection is None else gated)
        result = backward_of_layer(*before, Stacked(*weights), trace, *grads, wanted)
    else:
        result = run_backward(*before, Direction(*weights), Trace(gates, cells, gated), *grads, Gradients(*wanted))
    found = [inputs.new_empty(0) if grad is None else grad.contiguous() for grad in result]
    found[1], found[2] = found[1].to(hidden.dtype), found[2].to(cell.dtype)
    return tuple(found)


@lstm_backward.register_fake
def _(layer: bool, inputs: Tensor, hidden: Tensor, cell: Tensor, batch_sizes: Tensor, *rest: Any) -> Any:
    *weights, wanted = rest[:4], rest[-1]
    tensors = (inputs, hidden, cell, *weights[0])
    always = (False, True, True, False, False, False, False)
    return tuple(
        tensor.new_empty(tensor.shape) if tensor is not None and (want or sure) else inputs.new_empty(0)
        for tensor, want, sure in zip(tensors, wanted, always, strict=True)
    )


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    layer, *tensors, cell_clip, clip, _ = inputs
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[3:])
    ctx.save_for_backward(*tensors, output[0], *output[3:])
    ctx.settings = (layer, cell_clip, clip)


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    *tensors, outputs, gates, cells, gated = ctx.saved_tensors
    layer, cell_clip, clip = ctx.settings
    states = (outputs, tensors[1], tensors[2])
    full = [torch.zeros_like(state) if grad is None else grad for grad, state in zip(grads, states, strict=False)]
    need = ctx.needs_input_grad
    wanted = [*need[1:4], *need[5:9]]
    found = lstm_backward(layer, *tensors, cell_clip, clip, outputs, gates, cells, gated, *full, wanted)
    found = [grad if want else None for grad, want in zip(found, wanted, strict=True)]
    return (None, *found[:3], None, *found[3:], None, None, None)


lstm.register_autograd(_backward, setup_context=_keep_for_backward)
