# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Products of rows with a weight matrix that is used many times: on a CPU, with the weight packed once for oneDNN.

Two reasons to pack. Speed: an LSTM multiplies few rows with large matrices, again and again; PyTorch's plain product
leaves much of the machine unused then, on AMD processors most of it. And exactness: oneDNN's float32 result for a row
does not depend on the rows beside it, so that a sentence gets bit-identical vectors in every batch (two rows at
least: for one it takes another route, so a row of zeros is passed with it).

The two operators are the ones that `torch.compile` emits when it freezes weights. They carry an underscore, so they are
tried on a small example first; where they are missing or wrong, `F.linear` takes over.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_SAMPLE = 61  # elements that tell whether a weight was written to behind autograd's back
_ROWS = 32  # what weights are packed for; the result serves any number of rows


# Packed copies by weight, gone when the weight is. A copy is as large as its weight.
_packed: WeakTensorKeyDictionary = WeakTensorKeyDictionary()  # weight: (State, packed weight)
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
    """Free the packed copies of these weights."""
    for weight in weights:
        _packed.pop(weight, None)


def _reorder(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _ROWS)


def _multiply(rows: Tensor, packed: Tensor, bias: Tensor | None, plus: Tensor | None = None) -> Tensor:
    if plus is None:
        return torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
    return torch.ops.mkldnn._linear_pointwise.binary(rows, plus, packed, bias, "add")


def multiplier(weight: Tensor, bias: Tensor | None = None, remember: bool = True) -> Callable[..., Tensor]:
    """A function of rows [n, input size] that gives `F.linear(rows, weight, bias)`, without gradients.

    A second argument [n, output size] is added to the result; in low precision in one go with the product, in float32
    and float64 it is overwritten with the sum and returned.

    Args:
        weight: [output size, ...], further dimensions flattened.
        bias: [output size].
        remember: whether the next call may find the weight packed already.
    """
    if weight.device.type != "cpu" or not can_pack(weight.dtype):
        matrix = weight.flatten(1)

        def multiply_plainly(rows: Tensor, plus: Tensor | None = None) -> Tensor:
            result = F.linear(rows, matrix, bias)
            return result if plus is None else plus.add_(result)

        return multiply_plainly
    packed = pack_weight(weight) if remember else _reorder(weight.flatten(1))

    def multiply(rows: Tensor, plus: Tensor | None = None) -> Tensor:
        if plus is not None and rows.dtype == torch.float32:  # oneDNN's own sum is the slower one here
            return plus.add_(multiply(rows))
        count = len(rows)
        if not count:
            return rows.new_empty(0, len(weight))
        more = (0, 0, 0, _rounded(count) - count)
        if more[3]:
            rows, plus = F.pad(rows, more), None if plus is None else F.pad(plus, more)
        return _multiply(rows.contiguous(), packed, bias, plus)[:count]

    return multiply


def _rounded(count: int) -> int:
    """How many rows are multiplied in place of `count`: two at least, and one of 16 numbers between powers of two.

    oneDNN compiles and keeps a program for every number of rows that it meets, some hundred kilobytes each; text brings
    ever new ones. Rows of zeros are cheaper.
    """
    step = 1 << max(0, count.bit_length() - 5)
    return max(2, -(-count // step) * step)


def namespace(module: str) -> str:
    """Where a module's operators are registered. The package and copies of it from the Hub may live in one process."""
    return "elmo_" + re.sub(r"\W", "_", module)


@torch.library.custom_op(
    f"{namespace(__name__)}::product", mutates_args=(), schema="(Tensor rows, Tensor weight, Tensor? bias) -> Tensor"
)
def packed_product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`multiplier(weight, bias)(rows)`, as an operator: no compiler looks inside."""
    return multiplier(weight, bias)(rows)


@packed_product.register_fake
def _(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return rows.new_empty(rows.shape[0], weight.shape[0])


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear(rows, weight, bias)`; packed where no gradient is wanted. The weight may have further dimensions."""
    tensors = (rows, weight, bias)
    differentiate = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    if differentiate or rows.dtype != weight.dtype or torch.is_autocast_enabled(rows.device.type):
        return F.linear(rows, weight.flatten(1), bias)
    if torch.compiler.is_compiling():
        return packed_product(rows, weight, bias)
    return multiplier(weight, bias)(rows)


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


def pack_weight(weight: Tensor) -> Tensor:
    """The packed copy of a weight, made anew when the weight has changed."""
    state = state_of(weight)
    known = _packed.get(weight)
    if known is None or known[0] != state:
        known = (state, _reorder(weight.flatten(1)))
        _packed[weight] = known
    return known[1]
