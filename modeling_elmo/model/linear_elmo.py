# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Linear functions whose weight is used many times: on a CPU, the weight is prepacked once for oneDNN.

Prepacking has two advantages:

- Speed: an LSTM multiplies few rows with large matrices. PyTorch's standard product uses a processor badly then,
  AMD processors in particular.
- Exactness: oneDNN's float32 result for a row does not depend on the other rows, so a sentence gets bit-identical
  vectors in every batch. This requires at least two rows; a single row is therefore padded to two.

The two operators are the ones that `torch.compile` emits when it freezes weights. They are private, so a self-test
checks them first; if they are missing or wrong, `F.linear` is used.

Int8 weights (`quantize`) are read in a quarter of the time, which matters if the product is memory-bound.
"""

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

_FINGERPRINT_SIZE = 61  # elements per weight that a fingerprint compares
_INT8_ALIGNMENT = 16  # elements that PyTorch's int8 kernel reads at once
_PREPACK_BATCH_SIZE = 32  # a hint for oneDNN; the prepacked weight supports any number of rows
# Up to this many rows the product is memory-bound, and int8 weights are used without dequantizing.
_MAX_INT8_ROWS = 16

# Other forms of weights, removed with the weight: {weight: (WeightFingerprint, {name of the form: form})}.
_form_cache: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
# Results of self-tests on this machine, by dtype.
_supported: dict[torch.dtype, bool] = {}
_batch_invariant: dict[torch.dtype, bool] = {}


def has_packed_linear(dtype: torch.dtype) -> bool:
    """Return whether prepacked linear layers work for `dtype`: operator available, CPU support, correct result."""
    if dtype not in _supported:
        _supported[dtype] = _self_test(dtype)
    return _supported[dtype]


def _self_test(dtype: torch.dtype) -> bool:
    operators = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(operators, "_linear_pointwise"):
        return False
    try:
        if dtype == torch.bfloat16 and not operators._is_mkldnn_bf16_supported():
            return False
        if dtype == torch.float16 and not operators._is_mkldnn_fp16_supported():
            return False
        inputs, weight = (matrix.to(dtype) for matrix in _random_matrices(40, 3, 24))
        accumulator = torch.ones(3, 24, dtype=dtype, device="cpu")
        result = _call_onednn(inputs, _reorder(weight), None, accumulator)
    except (AttributeError, RuntimeError):
        return False
    error = (result.double() - 1 - inputs.double() @ weight.double().T).abs().max()
    return dtype.is_floating_point and bool(error <= 40 * torch.finfo(dtype).eps)


def _random_matrices(num_columns: int, *num_rows: int) -> list[Tensor]:
    generator = torch.Generator("cpu").manual_seed(0)
    return [torch.randn(rows, num_columns, generator=generator, device="cpu") for rows in num_rows]


def clear_prepacked(weights: Iterable[Tensor]) -> None:
    """Free all cached forms of these weights."""
    for weight in weights:
        _form_cache.pop(weight, None)


def _reorder(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _PREPACK_BATCH_SIZE)


def _call_onednn(inputs: Tensor, packed: Tensor, bias: Tensor | None, accumulator: Tensor | None = None) -> Tensor:
    if accumulator is None:
        return torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], "")
    return torch.ops.mkldnn._linear_pointwise.binary(inputs, accumulator, packed, bias, "add")


def prepack(
    weight: Tensor, bias: Tensor | None = None, cache: bool = True, fine_padding: bool = True
) -> Callable[..., Tensor]:
    """Return a function of inputs [n, input_size] that computes `F.linear(inputs, weight, bias)` without gradients.

    If the function gets a second argument `accumulator`, [n, output_size], it returns the sum of both. It can overwrite
    the accumulator with the sum.

    Args:
        weight: [output_size, ...]; further dimensions are flattened.
        bias: [output_size].
        cache: Whether to cache the prepacked weight for the next call.
        fine_padding: Whether to pad the number of rows to many different values, see `_padded_row_count`.
    """
    matrix = weight.flatten(1)
    dtype = prepacking_dtype(weight)
    eager = _eager_linear(matrix, bias)
    if dtype is None:
        return eager
    packed = prepacked_weight(weight) if cache else _reorder(matrix.to(dtype))
    linear = PackedLinear(packed, dtype, len(weight), bias, fine_padding)
    if dtype == weight.dtype:
        return linear
    # A single row is memory-bound, and the weight itself takes half of the memory of its float32 copy.
    return lambda inputs, accumulator=None: (eager if len(inputs) == 1 else linear)(inputs, accumulator)


def _eager_linear(matrix: Tensor, bias: Tensor | None) -> Callable[..., Tensor]:
    """Return the function that `prepack` describes, computed by `F.linear`."""

    def linear(inputs: Tensor, accumulator: Tensor | None = None) -> Tensor:
        result = F.linear(inputs, matrix, bias)
        return result if accumulator is None else accumulator.add_(result)

    return linear


class PackedLinear:
    """Linear function with a prepacked weight, see `prepack`. The inputs can have a lower precision than the weight."""

    def __init__(
        self, packed: Tensor, dtype: torch.dtype, output_size: int, bias: Tensor | None, fine_padding: bool = True
    ) -> None:
        self.packed = packed
        self.dtype = dtype
        self.output_size = output_size
        self.bias = None if bias is None else bias.to(dtype)
        self.fine_padding = fine_padding

    def __call__(self, inputs: Tensor, accumulator: Tensor | None = None) -> Tensor:
        if accumulator is not None and self.dtype == torch.float32:  # oneDNN's own sum is slower for float32
            return accumulator.add_(self(inputs))
        num_rows = len(inputs)
        if not num_rows:
            return inputs.new_empty(0, self.output_size)
        input_dtype = inputs.dtype
        if input_dtype != self.dtype:
            inputs = inputs.to(self.dtype)
        num_padding_rows = _padded_row_count(num_rows, self.fine_padding) - num_rows
        if not num_padding_rows:
            result = _call_onednn(inputs.contiguous(), self.packed, self.bias, accumulator)
        elif num_rows == 1 and accumulator is None:  # the fastest way to get a second row
            result = _call_onednn(torch.cat((inputs, inputs)), self.packed, self.bias)[:1]
        else:
            padding = (0, 0, 0, num_padding_rows)
            accumulator = None if accumulator is None else F.pad(accumulator, padding)
            result = _call_onednn(F.pad(inputs, padding), self.packed, self.bias, accumulator)[:num_rows]
        return result if input_dtype == self.dtype else result.to(input_dtype)


def prepacking_dtype(weight: Tensor) -> torch.dtype | None:
    """Return the dtype to prepack a weight in.

    This is the weight's own dtype if supported, else float32 (exact), or None if prepacking is unavailable.
    """
    if weight.device.type != "cpu":
        return None
    candidates = [weight.dtype, *([torch.float32] if weight.dtype in (torch.bfloat16, torch.float16) else [])]
    return next(filter(has_packed_linear, candidates), None)


def _padded_row_count(num_rows: int, fine_padding: bool) -> int:
    """Return the padded row count: at least 2, and one of 16 (or 4) values between consecutive powers of two.

    oneDNN compiles and caches a kernel of several hundred kB for every row count. Padding with zero rows bounds their
    number.
    """
    step = 1 << max(0, num_rows.bit_length() - (5 if fine_padding else 3))
    return max(2, -(-num_rows // step) * step)


def op_namespace(module: str) -> str:
    """Return the namespace of a module's operators.

    It contains the module's name, because the package and copies of it from the Hub can be loaded in one process.
    """
    return "elmo_" + re.sub(r"\W", "_", module)


@torch.library.custom_op(
    f"{op_namespace(__name__)}::linear",
    mutates_args=(),
    schema="(Tensor inputs, Tensor weight, Tensor? bias) -> Tensor",
)
def linear_op(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute `linear` as an opaque operator for compilers."""
    return prepack(weight, bias, fine_padding=False)(inputs)


@linear_op.register_fake
def _(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return inputs.new_empty(inputs.shape[0], weight.shape[0])


def any_requires_grad(tensors: Iterable[Tensor | None]) -> bool:
    """Return whether gradients are enabled and any of these tensors requires them."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `F.linear(inputs, weight, bias)`, with a prepacked weight if no gradient is needed.

    The number of rows is padded coarsely. This suits inputs whose number of rows differs in every batch and whose
    product takes a small part of the time.

    Args:
        inputs: [n, input_size].
        weight: [output_size, ...]; further dimensions are flattened.
        bias: [output_size].
    """
    if (
        any_requires_grad((inputs, weight, bias))
        or inputs.dtype != weight.dtype
        or torch.is_autocast_enabled(inputs.device.type)
    ):
        return F.linear(inputs, weight.flatten(1), bias)
    if torch.compiler.is_compiling():
        return linear_op(inputs, weight, bias)
    return prepack(weight, bias, fine_padding=False)(inputs)


def is_unmodified(module: Any, like: Tensor) -> bool:
    """Return whether a module computes only with its parameters: standard class, no hooks, not offloaded."""
    if type(module) not in (nn.Linear, nn.Conv1d, nn.Embedding) or module.weight.device != like.device:
        return False
    return not module._forward_pre_hooks and not module._forward_hooks


def apply_linear(module: Any, inputs: Tensor) -> Tensor:
    """Compute `module(inputs)`, by `linear` if the module is unmodified."""
    return linear(inputs, module.weight, module.bias) if is_unmodified(module, inputs) else module(inputs)


@torch.compiler.disable  # compilers cannot trace the self-test and its cache
def is_batch_invariant(weight: Tensor) -> bool:
    """Return whether linear layers are batch-invariant (bit-identical per row) on this machine, by a self-test."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not has_packed_linear(torch.float32):
        return False
    if weight.dtype not in _batch_invariant:
        _batch_invariant[weight.dtype] = all(_check_batch_invariance(*shape) for shape in ((768, 96), (96, 768)))
    return _batch_invariant[weight.dtype]


@torch.no_grad()
def _check_batch_invariance(input_size: int, output_size: int) -> bool:
    inputs, weight = _random_matrices(input_size, 70, output_size)
    packed_linear = prepack(weight)
    result = packed_linear(inputs)
    return all(torch.equal(packed_linear(inputs[:count]), result[:count]) for count in (1, 2, 5, 16, 33, 64))


class WeightFingerprint(NamedTuple):
    """Fingerprint that detects a changed weight.

    Writes through `weight.data` do not increment the version counter, so a few elements are compared as well. A partial
    write through `.data` can go undetected.
    """

    version: int
    data_ptr: int
    elements: tuple[float, ...]


def weight_fingerprint(weight: Tensor) -> WeightFingerprint:
    """Return the fingerprint of a weight. Equal fingerprints mean an unchanged weight."""
    flat = weight.detach()
    flat = flat.view(-1) if flat.is_contiguous() else flat.reshape(-1)
    elements = flat[:: max(1, len(flat) // _FINGERPRINT_SIZE)][:_FINGERPRINT_SIZE]
    version = 0 if weight.is_inference() else weight._version
    return WeightFingerprint(version, weight.data_ptr(), tuple(elements.tolist()))


def _cached_form(weight: Tensor, name: str, build: Callable[[], Any]) -> Any:
    """Return `build()` for this weight from a cache that is invalidated when the weight changes."""
    fingerprint = weight_fingerprint(weight)
    entry = _form_cache.get(weight)
    if entry is None or entry[0] != fingerprint:
        entry = _form_cache[weight] = (fingerprint, {})
    if name not in entry[1]:
        entry[1][name] = build()
    return entry[1][name]


def prepacked_weight(weight: Tensor) -> Tensor:
    """Return the prepacked weight, and repack it if the weight has changed."""
    return _cached_form(weight, "packed", lambda: _reorder(weight.flatten(1).to(prepacking_dtype(weight))))


# ---------------------------------------------------------------- int8 weights


class QuantizedWeight(NamedTuple):
    """Int8 weight: `values * scales[:, None]`."""

    values: Tensor  # [output_size, input_size padded with zeros to a multiple of 16], int8
    scales: Tensor  # [output_size], bfloat16

    def dequantize(self) -> Tensor:
        """Return the weight in float32, padding included."""
        return self.values.float() * self.scales.float()[:, None]


def quantize(weight: Tensor) -> QuantizedWeight:
    """Quantize a weight [output_size, ...] to integers from -127 to 127, with one scale per output."""
    matrix = weight.detach().flatten(1).float()
    # The scale is rounded up to bfloat16, so that no value exceeds 127.
    scales = (matrix.abs().amax(1) * ((1 + 2**-7) / 127)).clamp_min(2**-100).to(torch.bfloat16)
    values = (matrix / scales.float()[:, None]).round().to(torch.int8)
    return QuantizedWeight(F.pad(values, (0, -values.shape[1] % _INT8_ALIGNMENT)), scales)


def _call_int8_kernel(inputs: Tensor, quantized: QuantizedWeight) -> Tensor:
    """Pad and align the inputs: PyTorch's kernel reads full aligned registers and does not check."""
    padding = quantized.values.shape[1] - inputs.shape[1]
    inputs = F.pad(inputs, (0, padding)) if padding else inputs.contiguous()
    if inputs.data_ptr() % (_INT8_ALIGNMENT * inputs.element_size()):
        inputs = inputs.clone()
    return torch._weight_int8pack_mm(inputs, *quantized)


def has_int8_linear() -> bool:
    """Return whether PyTorch's int8 linear function works on this CPU: available, correct result."""
    if torch.int8 not in _supported:
        _supported[torch.int8] = _self_test_int8()
    return _supported[torch.int8]


def _self_test_int8() -> bool:
    inputs, weight = _random_matrices(40, 3, 24)
    inputs, quantized = inputs.to(torch.bfloat16), quantize(weight)
    try:
        result = _call_int8_kernel(inputs, quantized)
    except (AttributeError, RuntimeError):
        return False
    expected = inputs.double() @ quantized.dequantize()[:, : inputs.shape[1]].double().T
    return bool((result.double() - expected).abs().max() <= 40 * torch.finfo(torch.bfloat16).eps)


def int8_linear(weight: Tensor, bias: Tensor | None = None) -> Callable[..., Tensor]:
    """Return the function that `prepack` describes, with int8 weights, for bfloat16 inputs.

    Requires `has_int8_linear()`.
    """
    quantized: QuantizedWeight = _cached_form(weight, "int8", lambda: quantize(weight))

    def dequantize(dtype: torch.dtype | None) -> Tensor:
        matrix = quantized.dequantize()[:, : weight[0].numel()]
        return matrix.to(torch.bfloat16) if dtype is None else _reorder(matrix.to(dtype))

    @functools.cache  # built for the first batch that is large enough, once for all steps
    def dequantized_linear() -> Callable[..., Tensor]:
        dtype = prepacking_dtype(quantized.scales)
        matrix = _cached_form(weight, "int8, dequantized", lambda: dequantize(dtype))
        return _eager_linear(matrix, bias) if dtype is None else PackedLinear(matrix, dtype, len(weight), bias)

    def linear(inputs: Tensor, accumulator: Tensor | None = None) -> Tensor:
        if len(inputs) > _MAX_INT8_ROWS:
            return dequantized_linear()(inputs, accumulator)
        result = _call_int8_kernel(inputs, quantized)
        result = result if bias is None else result.add_(bias)
        return result if accumulator is None else accumulator.add_(result)

    return linear
