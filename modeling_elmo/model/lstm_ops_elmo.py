# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Custom operators that `torch.compile` and `torch.export` treat as one opaque node.

Tracing an LSTM creates one node per step, and another graph for each sequence of batch sizes. An operator is a single
node, and its batch sizes are a tensor, so the compiled code does not depend on sentence lengths.
"""

from typing import Any

import torch
from torch import Tensor

from .linear_elmo import op_namespace
from .lstm_common_elmo import (
    LSTMGradients,
    LSTMOutput,
    flatten_gradients,
    needed_gradients,
    unflatten_params,
)
from .lstm_cpu_elmo import PACKED
from .lstm_triton_elmo import TRITON

# Implementations that `torch.compile` includes in its graph.
OPERATORS = {"packed": PACKED, "triton": TRITON}
_ARGUMENTS = (
    "str implementation, Tensor inputs, Tensor hidden, Tensor cell, Tensor batch_sizes, Tensor[] weights, "
    "float? cell_clip, float? projection_clip"
)


@torch.library.custom_op(
    f"{op_namespace(__name__)}::lstm",
    mutates_args=(),
    schema=f"({_ARGUMENTS}, bool save_for_backward) -> (Tensor, Tensor, Tensor, Tensor[])",
)
def lstm_op(
    implementation: str,
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    batch_sizes: Tensor,
    weights: list[Tensor],
    cell_clip: float | None,
    projection_clip: float | None,
    save_for_backward: bool,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Run one LSTM layer, differentiable.

    Args:
        implementation: `"packed"` or `"triton"`.
        inputs: As in the forward function of the implementation, as are the two states.
        batch_sizes: [steps], int64, on the CPU.
        weights: Result of `flatten_params`.
        save_for_backward: Whether the backward pass will run.

    Returns:
        Outputs, final hidden and cell state, and the saved tensors.
    """
    layer = unflatten_params(weights, len(inputs), cell_clip, projection_clip)
    forward = OPERATORS[implementation].forward
    output, saved = forward(inputs, hidden, cell, layer, batch_sizes.tolist(), save_for_backward)
    return (*output, list(saved))


@lstm_op.register_fake
def _(
    implementation: str,
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    batch_sizes: Tensor,
    weights: list[Tensor],
    cell_clip: float | None,
    projection_clip: float | None,
    save_for_backward: bool,
) -> Any:
    (num_directions, num_tokens, _), cell_size = inputs.shape, cell.shape[2]
    output = inputs.new_empty(num_directions, num_tokens, hidden.shape[2])
    saved = []
    if save_for_backward and implementation == "packed":
        for _ in range(num_directions):
            saved += [cell.new_empty(num_tokens, size) for size in (4 * cell_size, cell_size, cell_size)]
    elif save_for_backward:
        saved = [cell.new_empty(num_directions, num_tokens, size) for size in (4 * cell_size, cell_size)]
        if len(weights) > 3 * num_directions:
            saved.append(inputs.new_empty(num_directions, num_tokens, cell_size))
    return output, inputs.new_empty(hidden.shape), cell.new_empty(cell.shape), saved


@torch.library.custom_op(
    f"{op_namespace(__name__)}::lstm_backward",
    mutates_args=(),
    schema=(
        f"({_ARGUMENTS}, Tensor outputs, Tensor[] saved, Tensor grad_outputs, Tensor grad_hidden, Tensor grad_cell, "
        "bool[] needs_grad) -> Tensor[]"
    ),
)
def lstm_backward_op(
    implementation: str,
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    batch_sizes: Tensor,
    weights: list[Tensor],
    cell_clip: float | None,
    projection_clip: float | None,
    outputs: Tensor,
    saved: list[Tensor],
    grad_outputs: Tensor,
    grad_hidden: Tensor,
    grad_cell: Tensor,
    needs_grad: list[bool],
) -> list[Tensor]:
    """Compute the gradients of inputs, hidden, cell, and weights. Those that are not needed are empty."""
    layer = unflatten_params(weights, len(inputs), cell_clip, projection_clip)
    grad = LSTMOutput(grad_outputs, grad_hidden, grad_cell)
    backward = OPERATORS[implementation].backward
    grads = backward(
        inputs, hidden, cell, layer, batch_sizes.tolist(), outputs, saved, grad, LSTMGradients(*needs_grad)
    )
    flat = flatten_gradients(grads, len(weights), len(inputs))
    return [inputs.new_empty(0) if tensor is None else _copy_if_shared(tensor) for tensor in flat]


def _copy_if_shared(tensor: Tensor) -> Tensor:
    """Return a contiguous tensor with memory of its own, as PyTorch requires of the results of an operator."""
    is_shared = tensor.untyped_storage().nbytes() != tensor.nbytes
    return tensor.clone(memory_format=torch.contiguous_format) if is_shared else tensor.contiguous()


@lstm_backward_op.register_fake
def _(
    implementation: str,
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    batch_sizes: Tensor,
    weights: list[Tensor],
    *rest: Any,
) -> Any:
    flags = LSTMGradients(*rest[-1])
    needs_grad = [
        *flags[:3],
        *(flag for flag in flags[3 : 3 + len(weights) // len(inputs)] for _ in range(len(inputs))),
    ]
    return [
        tensor.new_empty(tensor.shape) if needed else inputs.new_empty(0)
        for tensor, needed in zip((inputs, hidden, cell, *weights), needs_grad, strict=True)
    ]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    implementation, *tensors, weights, cell_clip, projection_clip, _ = inputs
    outputs, _, _, saved = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*saved)
    ctx.save_for_backward(*tensors, outputs, *weights, *saved)
    ctx.settings = (implementation, cell_clip, projection_clip, len(weights))


def _backward(ctx: Any, *grad_output: Any) -> tuple[Any, ...]:
    inputs, hidden, cell, batch_sizes, outputs, *tensors = ctx.saved_tensors
    implementation, cell_clip, projection_clip, num_weights = ctx.settings
    weights, saved = tensors[:num_weights], tensors[num_weights:]
    full = [
        torch.zeros_like(tensor) if grad is None else grad
        for grad, tensor in zip(grad_output[:3], (outputs, hidden, cell), strict=True)
    ]
    arguments = (implementation, inputs, hidden, cell, batch_sizes, weights, cell_clip, projection_clip)
    flags = [*ctx.needs_input_grad[1:4], *ctx.needs_input_grad[5]]
    needs_grad = list(needed_gradients(flags, len(inputs)))
    grads = lstm_backward_op(*arguments, outputs, saved, *full, needs_grad)
    needed = [grad if flag else None for grad, flag in zip(grads, flags, strict=True)]
    return (None, *needed[:3], None, needed[3:], None, None, None)


lstm_op.register_autograd(_backward, setup_context=_setup_context)
