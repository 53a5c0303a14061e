# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Products of rows with a weight matrix that is used many times: on a CPU, with the weight packed once for oneDNN.

Two reasons to pack. Speed: an LSTM multiplies few rows with large matrices, again and again; PyTorch's plain product
leaves much of the machine unused then, on AMD processors most of it. And exactness: oneDNN's float32 result for a row
does not depend on the rows beside it, so that a sentence gets bit-identical vectors in every batch (two rows at
least: for one it takes another route, so one row is passed as two).

The two operators are the ones that `torch.compile` emits when it freezes weights. They carry an underscore, so they are
tried on a small example first; where they are missing or wrong, `F.linear` takes over.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_SAMPLE = 61  # elements that tell whether a weight was written to behind autograd's back
_ROWS = 32  # what weights are packed for; the result serves any number of rows


# Packed copies by weight, gone when the weight is. A copy is as large as its weight.
_packed: WeakTensorKeyDictionary = WeakTensorKeyDictionary()  # weight: (State, packed weight)
_works: dict[torch.dtype, bool] = {}


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
        generator = torch.Generator().manual_seed(0)
        rows, weight = (torch.randn(size, 40, generator=generator).to(dtype) for size in (3, 24))
        got = _multiply(rows, _reorder(weight), None)
    except (AttributeError, RuntimeError):
        return False
    error = (got.double() - rows.double() @ weight.double().T).abs().max()
    return dtype.is_floating_point and bool(error <= 40 * torch.finfo(dtype).eps)


def _reorder(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _ROWS)


def _multiply(rows: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")


def multiplier(weight: Tensor, bias: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """A function of rows [n, input size] that gives `F.linear(rows, weight, bias)`, without gradients.

    Args:
        weight: [output size, ...], further dimensions flattened.
        bias: [output size].
    """
    if weight.device.type != "cpu" or not can_pack(weight.dtype):
        matrix = weight.flatten(1)
        return lambda rows: F.linear(rows, matrix, bias)
    packed = pack_weight(weight)

    def multiply(rows: Tensor) -> Tensor:
        if len(rows) > 1:
            return _multiply(rows.contiguous(), packed, bias)
        if len(rows) == 1:
            return _multiply(rows.expand(2, -1).contiguous(), packed, bias)[:1]
        return rows.new_empty(0, len(weight))

    return multiply


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear(rows, weight, bias)`; packed where no gradient is wanted. The weight may have further dimensions."""
    tensors = (rows, weight, bias)
    differentiate = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    if differentiate or rows.dtype != weight.dtype or torch.is_autocast_enabled(rows.device.type):
        return F.linear(rows, weight.flatten(1), bias)
    return multiplier(weight, bias)(rows)


def rows_are_independent(weight: Tensor) -> bool:
    """Whether a row's product has the same bits whatever rows stand beside it."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and can_pack(torch.float32)


class State(NamedTuple):
    """What shows that a weight is as it was. A write to `weight.data` leaves the version as it is, so a few numbers are
    compared too; an edit of single elements by way of `.data` can still escape.
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
