# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Parts that all LSTM implementations share: records, autograd function, and helpers for packed sequences.

Shapes: D directions, N packed tokens, C cell size, H output size. Gate blocks are in the order input, forget, cell,
output. `lstm_elmo` defines "packed".
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .linear_elmo import any_requires_grad


class LSTMLayerParams(NamedTuple):
    """Weights and options of one LSTM layer, one tensor per direction in each tuple.

    The weights are not stacked, because the cache of prepacked weights is keyed by the parameters themselves.
    """

    weight_ih: tuple[Tensor, ...]  # [4C, input_size]
    weight_hh: tuple[Tensor, ...]  # [4C, H]
    bias: tuple[Tensor, ...]  # [4C]
    weight_hr: tuple[Tensor, ...] | None  # [H, C]; None without a projection, then H = C
    cell_clip: float | None = None
    projection_clip: float | None = None  # no effect without a projection, as in bilm-tf
    forget_bias: float = 0.0  # 0.0 in a `ForwardBackward`, because `lstm_elmo` has added it to `bias`
    weight_dtype: str | None = None  # "int8" to quantize the weights; None to compute with them as they are


class LSTMOutput(NamedTuple):
    """Outputs and final states of one LSTM layer, or the gradients of these."""

    outputs: Tensor  # [D, N, H]
    hidden: Tensor  # [D, batch, H], after the last step of each sentence
    cell: Tensor  # [D, batch, C]


class SavedActivations(NamedTuple):
    """Activations that a backward pass needs, in packed order, of one direction or stacked over directions."""

    gates: Tensor  # [..., N, 4C], after the activation functions
    cells: Tensor  # [..., N, C], clipped
    pre_projection: Tensor | None  # [..., N, C], output gate times tanh(cell); None if identical to the outputs


class LSTMGradients(NamedTuple):
    """Gradients of an LSTM layer, None where not needed; or flags that say which ones are needed."""

    inputs: Any  # [D, N, input_size]
    hidden: Any  # [D, batch, H]
    cell: Any  # [D, batch, C]
    weight_ih: Any  # one per direction, as are the next three
    weight_hh: Any
    bias: Any
    weight_hr: Any


class ForwardBackward(NamedTuple):
    """Forward and backward pass of an LSTM layer.

    `forward(inputs, hidden, cell, layer, batch_sizes, save_for_backward)` returns an `LSTMOutput` and a tuple of saved
    tensors, which is empty unless `save_for_backward`.
    `backward(inputs, hidden, cell, layer, batch_sizes, outputs, saved, grad, needs_grad)` returns `LSTMGradients`.
    """

    forward: Callable[..., tuple[LSTMOutput, tuple[Tensor, ...]]]
    backward: Callable[..., LSTMGradients]


def flatten_params(layer: LSTMLayerParams) -> list[Tensor]:
    """Return all weights of a layer, in the order of the fields."""
    return [*layer.weight_ih, *layer.weight_hh, *layer.bias, *(layer.weight_hr or ())]


def unflatten_params(
    weights: Sequence[Tensor], num_directions: int, cell_clip: float | None, projection_clip: float | None
) -> LSTMLayerParams:
    """Rebuild a layer from the result of `flatten_params`."""
    weight_ih, weight_hh, bias, *weight_hr = _group_by_direction(weights, num_directions)
    return LSTMLayerParams(weight_ih, weight_hh, bias, weight_hr[0] if weight_hr else None, cell_clip, projection_clip)


def needed_gradients(flags: Sequence[bool], num_directions: int) -> LSTMGradients:
    """Return which gradients are needed, given one flag for inputs, hidden, cell, and each flattened weight."""
    groups = [any(group) for group in _group_by_direction(flags[3:], num_directions)]
    return LSTMGradients(*flags[:3], *groups, *[False] * (4 - len(groups)))


def flatten_gradients(grads: LSTMGradients, num_weights: int, num_directions: int) -> list[Tensor | None]:
    """Return the gradients of inputs, hidden, cell, and each flattened weight."""
    flat: list[Tensor | None] = list(grads[:3])
    for group in grads[3 : 3 + num_weights // num_directions]:
        flat += [None] * num_directions if group is None else group
    return flat


def _group_by_direction(values: Sequence[Any], num_directions: int) -> list[tuple[Any, ...]]:
    return [tuple(values[first : first + num_directions]) for first in range(0, len(values), num_directions)]


class LSTMFunction(torch.autograd.Function):
    """Differentiable LSTM layer computed by any `ForwardBackward`."""

    @staticmethod
    def forward(
        ctx: Any,
        implementation: ForwardBackward,
        inputs: Tensor,
        hidden: Tensor,
        cell: Tensor,
        batch_sizes: Sequence[int],
        cell_clip: float | None,
        projection_clip: float | None,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        layer = unflatten_params(weights, len(inputs), cell_clip, projection_clip)
        output, saved = implementation.forward(inputs, hidden, cell, layer, batch_sizes, save_for_backward=True)
        ctx.save_for_backward(inputs, hidden, cell, output.outputs, *weights, *saved)
        ctx.settings = (implementation, batch_sizes, cell_clip, projection_clip, len(weights))
        return output.outputs, output.hidden, output.cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_output: Tensor) -> tuple[Tensor | None, ...]:
        implementation, batch_sizes, cell_clip, projection_clip, num_weights = ctx.settings
        inputs, hidden, cell, outputs, *tensors = ctx.saved_tensors
        weights, saved = tensors[:num_weights], tensors[num_weights:]
        needs_grad = needed_gradients([*ctx.needs_input_grad[1:4], *ctx.needs_input_grad[7:]], len(inputs))
        layer = unflatten_params(weights, len(inputs), cell_clip, projection_clip)
        with torch.autocast(inputs.device.type, enabled=False):
            grads = implementation.backward(
                inputs, hidden, cell, layer, batch_sizes, outputs, saved, LSTMOutput(*grad_output), needs_grad
            )
        flat = flatten_gradients(grads, num_weights, len(inputs))
        return (None, *flat[:3], None, None, None, *flat[3:])


def lstm(
    implementation: ForwardBackward,
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    layer: LSTMLayerParams,
    batch_sizes: Sequence[int],
) -> LSTMOutput:
    """Run one LSTM layer with the given implementation.

    Differentiable if any tensor requires gradients; otherwise nothing is saved for the backward pass.
    """
    weights = flatten_params(layer)
    if any_requires_grad([inputs, hidden, cell, *weights]):
        clips = (layer.cell_clip, layer.projection_clip)
        return LSTMOutput(*LSTMFunction.apply(implementation, inputs, hidden, cell, batch_sizes, *clips, *weights))
    return implementation.forward(inputs, hidden, cell, layer, batch_sizes, save_for_backward=False)[0]


def stack_outputs(directions: Sequence[tuple[Tensor, ...]]) -> LSTMOutput:
    """Stack the outputs and final states of each direction."""
    return LSTMOutput(*(torch.stack(tensors) for tensors in zip(*directions, strict=True)))


def chunk_steps(batch_sizes: Sequence[int], row_bytes: int, chunk_bytes: int) -> Iterator[Sequence[int]]:
    """Split the steps into runs of at most `chunk_bytes`, but at least one step."""
    start = num_rows = 0
    for step, step_batch_size in enumerate(batch_sizes):
        if num_rows and (num_rows + step_batch_size) * row_bytes > chunk_bytes:
            yield batch_sizes[start:step]
            start, num_rows = step, 0
        num_rows += step_batch_size
    if num_rows:
        yield batch_sizes[start:]


def previous_states(initial: Tensor, states: Tensor, batch_sizes: Sequence[int]) -> Tensor:
    """Return the state before each step, [..., N, size].

    Args:
        initial: Initial state, [..., batch, size].
        states: States after each step, [..., N, size].
        batch_sizes: Number of active sentences at each step.
    """
    if not len(batch_sizes):
        return states
    # Sentences are sorted by length, so the rows of a step are the first rows of the step before.
    parts = [initial[..., : batch_sizes[0], :]]
    start = 0
    for previous_batch_size, step_batch_size in pairwise(batch_sizes):
        parts.append(states[..., start : start + step_batch_size, :])
        start += previous_batch_size
    return torch.cat(parts, dim=-2)
