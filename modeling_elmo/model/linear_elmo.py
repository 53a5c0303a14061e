# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Products of rows with a weight matrix that is used many times: on a CPU, with the weight packed once for oneDNN.

Two reasons to pack. Speed: an LSTM multiplies few rows with large matrices, again and again; PyTorch's plain product
leaves much of the machine unused then, on AMD processors most of it. And exactness: oneDNN's float32 result for a row
does not depend on the rows beside it, so that a sentence gets bit-identical vectors in every batch (two rows at
least: for one it takes another route, so a single row is passed with a second).

The two operators are the ones that `torch.compile` emits when it freezes weights. They carry an underscore, so they are
tried on a small example first; where they are missing or wrong, `F.linear` takes over.

Where memory is what bounds a product, a weight of eight bits a number is read in a quarter of the time (`quantize`).
"""

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

_SAMPLE = 61  # elements that tell whether a weight was written to behind autograd's back
_LANES = 16  # numbers that the product with weights of eight bits takes at a time
_ROWS = 32  # what weights are packed for; the result serves any number of rows
_FEW = 16  # rows up to which memory bounds a product, and weights of eight bits are multiplied as they lie

# Copies of weights in other forms, gone when the weight is: weight: (State, {form: copy}).
_copies: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
# What trials on this machine have shown, by dtype.
_works: dict[torch.dtype, bool] = {}
_independent: dict[torch.dtype, bool] = {}


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this machine has packed products for `dtype`: built in, supported by the processor, and right."""
    if dtype not in _works:
        _works[dtype] = _try_out(dtype)
    return _works[dtype]


def _try_out(dtype: torch.dtype) -> bool:
    operators = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(operators, "_linear_pointwise"):
        return False
    try:
        if dtype == torch.bfloat16 and not operators._is_mkldnn_bf16_supported():
            return False
        if dtype == torch.float16 and not operators._is_mkldnn_fp16_supported():
            return False
        rows, weight = (row.to(dtype) for row in _examples(40, 3, 24))
        plus = torch.ones(3, 24, dtype=dtype, device="cpu")
        got = _multiply(rows, _reorder(weight), None, plus)
    except (AttributeError, RuntimeError):
        return False
    error = (got.double() - 1 - rows.double() @ weight.double().T).abs().max()
    return dtype.is_floating_point and bool(error <= 40 * torch.finfo(dtype).eps)


def _examples(inner: int, *sizes: int) -> list[Tensor]:
    generator = torch.Generator("cpu").manual_seed(0)
    return [torch.randn(size, inner, generator=generator, device="cpu") for size in sizes]


def forget(weights: Iterable[Tensor]) -> None:
    """Free the copies of these weights."""
    for weight in weights:
        _copies.pop(weight, None)


def _reorder(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _ROWS)


def _multiply(rows: Tensor, packed: Tensor, bias: Tensor | None, plus: Tensor | None = None) -> Tensor:
    if plus is None:
        return torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
    return torch.ops.mkldnn._linear_pointwise.binary(rows, plus, packed, bias, "add")


def multiplier(
    weight: Tensor, bias: Tensor | None = None, remember: bool = True, finely: bool = True
) -> Callable[..., Tensor]:
    """A function of rows [n, input size] that gives `F.linear(rows, weight, bias)`, without gradients.

    A second argument [n, output size] is added to the result, or overwritten with the sum and returned, whichever is
    the faster.

    Args:
        weight: [output size, ...], further dimensions flattened.
        bias: [output size].
        remember: whether the next call may find the weight packed already.
        finely: whether the number of rows is rounded up by little, see `_rounded`.
    """
    matrix = weight.flatten(1)
    dtype = packing_dtype(weight)
    multiply_plainly = _plain_multiplier(matrix, bias)
    if dtype is None:
        return multiply_plainly
    packed = pack_weight(weight) if remember else _reorder(matrix.to(dtype))
    multiply = _packed_multiplier(packed, dtype, len(weight), bias, finely)
    if dtype == weight.dtype:
        return multiply
    # A single row is bound by memory, of which the weight itself takes half.
    return lambda rows, plus=None: (multiply_plainly if len(rows) == 1 else multiply)(rows, plus)


def _plain_multiplier(matrix: Tensor, bias: Tensor | None) -> Callable[..., Tensor]:
    """`multiplier` of a weight [output size, input size] as it is."""

    def multiply(rows: Tensor, plus: Tensor | None = None) -> Tensor:
        result = F.linear(rows, matrix, bias)
        return result if plus is None else plus.add_(result)

    return multiply


def _packed_multiplier(
    packed: Tensor, dtype: torch.dtype, size: int, bias: Tensor | None, finely: bool = True
) -> Callable[..., Tensor]:
    """`multiplier` of a weight [size, ...] that is packed in `dtype`; the rows' own dtype may be a lower one."""
    addend = None if bias is None else bias.to(dtype)

    def multiply(rows: Tensor, plus: Tensor | None = None) -> Tensor:
        if plus is not None and dtype == torch.float32:  # oneDNN's own sum is the slower one here
            return plus.add_(multiply(rows))
        count = len(rows)
        if not count:
            return rows.new_empty(0, size)
        given = rows.dtype
        if given != dtype:
            rows = rows.to(dtype)
        more = _rounded(count, finely) - count
        if not more:
            result = _multiply(rows.contiguous(), packed, addend, plus)
        elif count == 1 and plus is None:  # the quickest way to a second row
            result = _multiply(torch.cat((rows, rows)), packed, addend)[:1]
        else:
            plus = None if plus is None else F.pad(plus, (0, 0, 0, more))
            result = _multiply(F.pad(rows, (0, 0, 0, more)), packed, addend, plus)[:count]
        return result if given == dtype else result.to(given)

    return multiply


def packing_dtype(weight: Tensor) -> torch.dtype | None:
    """What a weight is packed as: its own dtype; float32, which is exact, where the processor cannot compute in a lower
    one; None where there are no packed products.
    """
    if weight.device.type != "cpu":
        return None
    candidates = [weight.dtype, *([torch.float32] if weight.dtype in (torch.bfloat16, torch.float16) else [])]
    return next(filter(can_pack, candidates), None)


def _rounded(count: int, finely: bool) -> int:
    """How many rows are multiplied in place of `count`: two at least, and one of 16 numbers between powers of two, or
    of 4.

    oneDNN compiles and keeps a program for every number of rows that it meets, some hundred kilobytes each; text brings
    ever new ones. Rows of zeros are cheaper.
    """
    step = 1 << max(0, count.bit_length() - (5 if finely else 3))
    return max(2, -(-count // step) * step)


def namespace(module: str) -> str:
    """Where a module's operators are registered. The package and copies of it from the Hub may live in one process."""
    return "elmo_" + re.sub(r"\W", "_", module)


@torch.library.custom_op(
    f"{namespace(__name__)}::product", mutates_args=(), schema="(Tensor rows, Tensor weight, Tensor? bias) -> Tensor"
)
def packed_product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`product` as an operator: no compiler looks inside."""
    return multiplier(weight, bias, finely=False)(rows)


@packed_product.register_fake
def _(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return rows.new_empty(rows.shape[0], weight.shape[0])


def wants_gradients(tensors: Iterable[Tensor | None]) -> bool:
    """Whether what is computed from these tensors will have a backward pass."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear(rows, weight, bias)`; packed where no gradient is wanted. The weight may have further dimensions.

    For rows whose number is new in every batch and whose arithmetic is a small part: it is rounded up coarsely.
    """
    if (
        wants_gradients((rows, weight, bias))
        or rows.dtype != weight.dtype
        or torch.is_autocast_enabled(rows.device.type)
    ):
        return F.linear(rows, weight.flatten(1), bias)
    if torch.compiler.is_compiling():
        return packed_product(rows, weight, bias)
    return multiplier(weight, bias, finely=False)(rows)


def is_plain(module: Any, like: Tensor) -> bool:
    """Whether a module computes with its parameters and does nothing else: no subclass, no hook, not offloaded."""
    if type(module) not in (nn.Linear, nn.Conv1d, nn.Embedding) or module.weight.device != like.device:
        return False
    return not module._forward_pre_hooks and not module._forward_hooks


def multiply(linear: Any, rows: Tensor) -> Tensor:
    """`linear(rows)`, by the fast product where the module is what it seems."""
    return product(rows, linear.weight, linear.bias) if is_plain(linear, rows) else linear(rows)


@torch.compiler.disable  # a trial and its memory are nothing to trace
def rows_are_independent(weight: Tensor) -> bool:
    """Whether a row's product has the same bits whatever rows stand beside it, as a trial on this machine shows."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not can_pack(torch.float32):
        return False
    if weight.dtype not in _independent:
        _independent[weight.dtype] = all(_rows_agree(*shape) for shape in ((768, 96), (96, 768)))
    return _independent[weight.dtype]


@torch.no_grad()
def _rows_agree(inner: int, outer: int) -> bool:
    rows, weight = _examples(inner, 70, outer)
    multiply = multiplier(weight)
    together = multiply(rows)
    return all(torch.equal(multiply(rows[:count]), together[:count]) for count in (1, 2, 5, 16, 33, 64))


class State(NamedTuple):
    """What shows that a weight is as it was. A write to `weight.data` leaves the version as it is, so a few numbers are
    compared too; an edit of some rows by way of `.data` can still escape, an edit of all cannot.
    """

    version: int
    address: int
    sample: tuple[float, ...]


def state_of(weight: Tensor) -> State:
    """The state of a weight now; equal states mean an unchanged weight."""
    flat = weight.detach()
    flat = flat.view(-1) if flat.is_contiguous() else flat.reshape(-1)
    sample = flat[:: max(1, len(flat) // _SAMPLE)][:_SAMPLE]
    version = 0 if weight.is_inference() else weight._version
    return State(version, weight.data_ptr(), tuple(sample.tolist()))


def _copy(weight: Tensor, form: str, make: Callable[[], Any]) -> Any:
    """What `make` gives for this weight, remembered until the weight changes."""
    state = state_of(weight)
    known = _copies.get(weight)
    if known is None or known[0] != state:
        known = _copies[weight] = (state, {})
    if form not in known[1]:
        known[1][form] = make()
    return known[1][form]


def pack_weight(weight: Tensor) -> Tensor:
    """The packed copy of a weight, made anew when the weight has changed."""
    return _copy(weight, "packed", lambda: _reorder(weight.flatten(1).to(packing_dtype(weight))))


# ---------------------------------------------------------------- eight bits


class Quantized(NamedTuple):
    """A weight of eight bits a number: `values * scales[:, None]`."""

    values: Tensor  # [output size, input size, rounded up to a multiple of 16 by zeros], int8
    scales: Tensor  # [output size], bfloat16

    def restored(self) -> Tensor:
        """The numbers that are meant, float32."""
        return self.values.float() * self.scales.float()[:, None]


def quantize(weight: Tensor) -> Quantized:
    """Weight [output size, ...] to whole numbers between -127 and 127, each output with a scale of its own."""
    matrix = weight.detach().flatten(1).float()
    # Rounded up to bfloat16, so that no value is beyond 127.
    scales = (matrix.abs().amax(1) * ((1 + 2**-7) / 127)).clamp_min(2**-100).to(torch.bfloat16)
    values = (matrix / scales.float()[:, None]).round().to(torch.int8)
    return Quantized(F.pad(values, (0, -values.shape[1] % _LANES)), scales)


def _multiply_quantized(rows: Tensor, form: Quantized) -> Tensor:
    """PyTorch's kernel reads rows of whole, aligned registers and nothing checks that they are."""
    missing = form.values.shape[1] - rows.shape[1]
    rows = F.pad(rows, (0, missing)) if missing else rows.contiguous()
    if rows.data_ptr() % (_LANES * rows.element_size()):
        rows = rows.clone()
    return torch._weight_int8pack_mm(rows, *form)


def can_quantize() -> bool:
    """Whether PyTorch has a product of rows with a weight of eight bits on the CPU, and a right one."""
    if torch.int8 not in _works:
        _works[torch.int8] = _try_out_quantized()
    return _works[torch.int8]


def _try_out_quantized() -> bool:
    rows, weight = _examples(40, 3, 24)
    rows, form = rows.to(torch.bfloat16), quantize(weight)
    try:
        got = _multiply_quantized(rows, form)
    except (AttributeError, RuntimeError):
        return False
    error = (got.double() - rows.double() @ form.restored()[:, : rows.shape[1]].double().T).abs().max()
    return bool(error <= 40 * torch.finfo(torch.bfloat16).eps)


def quantized_multiplier(weight: Tensor, bias: Tensor | None = None) -> Callable[..., Tensor]:
    """`multiplier` of `quantize(weight)` and of rows in bfloat16. Where `can_quantize`."""
    form: Quantized = _copy(weight, "int8", lambda: quantize(weight))

    def restored(dtype: torch.dtype | None) -> Tensor:
        matrix = form.restored()[:, : weight[0].numel()]
        return matrix.to(torch.bfloat16) if dtype is None else _reorder(matrix.to(dtype))

    @functools.cache  # made when the first batch comes that is large enough, and then once for all steps
    def multiply_many() -> Callable[..., Tensor]:
        dtype = packing_dtype(form.scales)
        matrix = _copy(weight, "int8, restored", lambda: restored(dtype))
        if dtype is None:
            return _plain_multiplier(matrix, bias)
        return _packed_multiplier(matrix, dtype, len(weight), bias)

    def multiply(rows: Tensor, plus: Tensor | None = None) -> Tensor:
        if len(rows) > _FEW:
            return multiply_many()(rows, plus)
        result = _multiply_quantized(rows, form)
        result = result if bias is None else result.add_(bias)
        return result if plus is None else plus.add_(result)

    return multiply
