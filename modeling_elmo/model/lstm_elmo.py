# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""LSTM of one biLM layer: projected, clipped LSTM over packed sentences, with several implementations.

`lstm_eager` defines the function that every implementation computes. To add an implementation:

- write a function with the signature of `lstm_eager` and add it to `LSTM_FUNCTIONS`;
- add its name to `LSTM_IMPLEMENTATIONS` in `configuration_elmo`;
- state its requirements in `_select_implementation`;
- for `torch.compile`, add a `ForwardBackward` to `OPERATORS` in `lstm_ops_elmo`, and its saved tensors to the fake.

Packed means: sentences sorted by decreasing length, concatenated step by step, without padding. Step t holds one row
for each of the `batch_sizes[t]` sentences that are longer than t. N is the sum of `batch_sizes`. The caller
reverses the inputs of the backward direction, so this module always runs from step 0 upward.

Shapes: D directions, N packed tokens, C cell size, H output size.

References: Peters et al. 2018, "Deep contextualized word representations" (arXiv:1802.05365); Sak et al. 2014, "Long
short-term memory based recurrent neural network architectures for large vocabulary speech recognition"
(arXiv:1402.1128).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .linear_elmo import any_requires_grad, has_int8_linear
from .lstm_common_elmo import LSTMLayerParams, LSTMOutput, flatten_params, lstm, stack_outputs
from .lstm_cpu_elmo import PACKED
from .lstm_ops_elmo import OPERATORS, lstm_op
from .lstm_triton_elmo import TRITON, unsupported_reason

INT8 = "int8"  # the only value of `weight_dtype` besides None


def projected_lstm(
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    layer: LSTMLayerParams,
    batch_sizes: Sequence[int] | Tensor,
    implementation: str = "auto",
) -> LSTMOutput:
    """Run one LSTM layer (Peters et al. 2018, section 3.1; clipping and projection: Sak et al. 2014).

    Args:
        inputs: Packed inputs, [D, N, input_size], each direction in its own order of time.
        hidden: Initial hidden state of the sorted sentences, [D, batch, H].
        cell: Initial cell state, [D, batch, C]. Its dtype is the dtype in which the cell state is accumulated.
        layer: Weights and options.
        batch_sizes: Number of active sentences at each step, non-increasing. If it is a tensor [steps] on the CPU,
            `torch.compile` includes the LSTM in its graph as one operator. With a list, it runs outside the graph.
        implementation: Key of `LSTM_FUNCTIONS`, or `"auto"` for the fastest one that supports the tensors.

    Raises:
        ValueError: If the implementation or the weight dtype is unknown, or does not support the tensors.
    """
    implementation = _select_implementation(implementation, layer.weight_dtype, inputs.device, _autocast_dtype(inputs))
    has_operator = implementation in OPERATORS and layer.weight_dtype is None
    if has_operator and torch.compiler.is_compiling() and isinstance(batch_sizes, Tensor):
        return _call_custom_op(inputs, hidden, cell, layer, batch_sizes, implementation)
    return _run(inputs, hidden, cell, layer, batch_sizes, implementation)


@torch.compiler.assume_constant_result
def _select_implementation(
    implementation: str, weight_dtype: str | None, device: torch.device, dtype: torch.dtype
) -> str:
    """Return the key of an implementation that supports the tensors, or raise a ValueError."""
    if implementation not in ("auto", *LSTM_FUNCTIONS):
        names = ", ".join(repr(name) for name in ["auto", *LSTM_FUNCTIONS])
        raise ValueError(f"Expected `lstm_implementation` to be one of {names}, got {implementation!r}.")
    if weight_dtype is not None:
        _check_int8(implementation, weight_dtype, device)
        return "packed"
    if implementation == "auto" and device.type == "cpu":
        return "packed"
    if implementation == "auto":
        return "eager" if unsupported_reason(device, dtype) else "triton"
    if implementation == "packed" and device.type != "cpu":
        raise ValueError(
            f"Cannot use `lstm_implementation` 'packed': it requires tensors on a CPU, got {device.type}. Use 'auto'."
        )
    reason = unsupported_reason(device, dtype) if implementation == "triton" else None
    if reason is not None:
        raise ValueError(f"Cannot use `lstm_implementation` 'triton': {reason}. Use 'auto'.")
    return implementation


def _check_int8(implementation: str, weight_dtype: str, device: torch.device) -> None:
    if weight_dtype != INT8:
        raise ValueError(f"Expected `lstm_weight_dtype` to be None or 'int8', got {weight_dtype!r}.")
    if implementation not in ("auto", "packed"):
        raise ValueError(
            f"Cannot use `lstm_implementation` {implementation!r} with int8 weights. "
            "Use 'auto' or 'packed', or set `lstm_weight_dtype` to None."
        )
    if device.type != "cpu":
        raise ValueError(
            f"Cannot use int8 LSTM weights: they require tensors on a CPU, got {device.type}. "
            "Move the model to the CPU, or set `lstm_weight_dtype` to None."
        )
    if not has_int8_linear():
        raise ValueError(
            "Cannot use int8 LSTM weights: this PyTorch has no working int8 linear function for this CPU. "
            "Set `lstm_weight_dtype` to None."
        )


@torch.compiler.disable  # tracing would unroll the loop over steps
def _run(
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    layer: LSTMLayerParams,
    batch_sizes: Sequence[int] | Tensor,
    implementation: str,
) -> LSTMOutput:
    sizes = batch_sizes.tolist() if isinstance(batch_sizes, Tensor) else list(batch_sizes)
    return LSTM_FUNCTIONS[implementation](inputs, hidden, cell, layer, sizes)


def lstm_eager(
    inputs: Tensor, hidden: Tensor, cell: Tensor, layer: LSTMLayerParams, batch_sizes: Sequence[int]
) -> LSTMOutput:
    """Run the layer in plain PyTorch, step by step and direction by direction; autograd derives the gradients."""
    return stack_outputs(
        [
            _eager_direction(inputs[direction], hidden[direction], cell[direction], layer, direction, batch_sizes)
            for direction in range(len(inputs))
        ]
    )


def _eager_direction(
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    layer: LSTMLayerParams,
    direction: int,
    batch_sizes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor]:
    # The inputs are known in advance, so their contribution to the gates is one product over all steps.
    all_gates_ih = F.linear(inputs, layer.weight_ih[direction], layer.bias[direction]).split(list(batch_sizes))
    weight_hh = layer.weight_hh[direction]
    weight_hr = None if layer.weight_hr is None else layer.weight_hr[direction]
    outputs: list[Tensor] = []
    final_states: list[tuple[Tensor, Tensor]] = []  # shortest sentences first
    for gates_ih in all_gates_ih:
        step_batch_size = len(gates_ih)
        if step_batch_size < len(hidden):
            final_states.append((hidden[step_batch_size:], cell[step_batch_size:]))
            hidden, cell = hidden[:step_batch_size], cell[:step_batch_size]
        # Accumulate the cell state in the state's dtype; low precision is sufficient for the products only.
        gates = (gates_ih + F.linear(hidden.to(inputs.dtype), weight_hh)).to(cell.dtype)
        input_gate, forget_gate, cell_gate, output_gate = gates.chunk(4, dim=1)
        forget_gate = torch.sigmoid(forget_gate + layer.forget_bias)
        cell = forget_gate * cell + torch.sigmoid(input_gate) * torch.tanh(cell_gate)
        if layer.cell_clip:
            cell = cell.clamp(-layer.cell_clip, layer.cell_clip)
        hidden = (torch.sigmoid(output_gate) * torch.tanh(cell)).to(inputs.dtype)
        if weight_hr is not None:
            hidden = F.linear(hidden, weight_hr)
            if layer.projection_clip:
                hidden = hidden.clamp(-layer.projection_clip, layer.projection_clip)
        outputs.append(hidden)
    final_states.append((hidden, cell))
    final_hidden, final_cell = (torch.cat(states) for states in zip(*reversed(final_states), strict=True))
    # Without any step the outputs are empty, with the size of the hidden state.
    return torch.cat(outputs) if outputs else hidden.new_zeros(0, hidden.shape[1]), final_hidden, final_cell


def lstm_packed(
    inputs: Tensor, hidden: Tensor, cell: Tensor, layer: LSTMLayerParams, batch_sizes: Sequence[int]
) -> LSTMOutput:
    """Run the layer with `lstm_cpu_elmo`: prepacked weights, in-place operations, and a custom backward pass."""
    if layer.weight_dtype == INT8:
        return _lstm_int8(inputs, hidden, cell, layer, batch_sizes)
    inputs, layer = _cast_params(inputs, layer)
    with torch.autocast(inputs.device.type, enabled=False):
        return lstm(PACKED, inputs, hidden, cell, layer, batch_sizes)


def _lstm_int8(
    inputs: Tensor, hidden: Tensor, cell: Tensor, layer: LSTMLayerParams, batch_sizes: Sequence[int]
) -> LSTMOutput:
    """Run the layer with int8 weights and bfloat16 products, without gradients."""
    if any_requires_grad([inputs, hidden, cell, *flatten_params(layer)]):
        raise ValueError(
            "Int8 LSTM weights do not support gradients. "
            "Use `torch.no_grad()`, or load the model in float32 to train it."
        )
    dtype = inputs.dtype
    inputs, layer = _cast_params(inputs, layer)
    with torch.autocast(inputs.device.type, enabled=False):
        output = lstm(PACKED, inputs.to(torch.bfloat16), hidden, cell, layer, batch_sizes)
    return LSTMOutput(output.outputs.to(dtype), output.hidden.to(dtype), output.cell)


def lstm_triton(
    inputs: Tensor, hidden: Tensor, cell: Tensor, layer: LSTMLayerParams, batch_sizes: Sequence[int]
) -> LSTMOutput:
    """Run the layer with `lstm_triton_elmo`: all directions in one batch, one Triton kernel per step."""
    inputs, layer = _cast_params(inputs, layer)
    with torch.autocast(inputs.device.type, enabled=False):
        return lstm(TRITON, inputs, hidden, cell, layer, batch_sizes)


def _call_custom_op(
    inputs: Tensor, hidden: Tensor, cell: Tensor, layer: LSTMLayerParams, batch_sizes: Tensor, implementation: str
) -> LSTMOutput:
    """Run `lstm_packed` or `lstm_triton` as one operator of a graph of `torch.compile`."""
    inputs, layer = _cast_params(inputs, layer)
    weights = flatten_params(layer)
    save_for_backward = any_requires_grad([inputs, hidden, cell, *weights])
    clips = (layer.cell_clip, layer.projection_clip)
    with torch.autocast(inputs.device.type, enabled=False):
        result = lstm_op(implementation, inputs, hidden, cell, batch_sizes, weights, *clips, save_for_backward)
    return LSTMOutput(*result[:3])


def _autocast_dtype(inputs: Tensor) -> torch.dtype:
    """Return the dtype of matrix products with `inputs`, which autocast can lower."""
    device = inputs.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return inputs.dtype


def _cast_params(inputs: Tensor, layer: LSTMLayerParams) -> tuple[Tensor, LSTMLayerParams]:
    """Cast inputs and weights to the dtype of matrix products, and add the forget bias to the bias."""
    dtype = _autocast_dtype(inputs)
    biases = []
    for bias in layer.bias:
        cell_size = len(bias) // 4
        bias = bias.to(dtype)
        forget_bias = F.pad(bias.new_full((cell_size,), layer.forget_bias), (cell_size, 2 * cell_size))
        biases.append(bias + forget_bias)
    weight_hr = None if layer.weight_hr is None else tuple(weight.to(dtype) for weight in layer.weight_hr)
    return inputs.to(dtype), LSTMLayerParams(
        weight_ih=tuple(weight.to(dtype) for weight in layer.weight_ih),
        weight_hh=tuple(weight.to(dtype) for weight in layer.weight_hh),
        bias=tuple(biases),
        weight_hr=weight_hr,
        cell_clip=layer.cell_clip,
        projection_clip=layer.projection_clip,
        forget_bias=0.0,
        weight_dtype=layer.weight_dtype,
    )


LSTMFunctionType = Callable[[Tensor, Tensor, Tensor, LSTMLayerParams, Sequence[int]], LSTMOutput]

LSTM_FUNCTIONS: dict[str, LSTMFunctionType] = {"eager": lstm_eager, "packed": lstm_packed, "triton": lstm_triton}
