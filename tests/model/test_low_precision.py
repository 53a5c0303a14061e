# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Low precision on a CPU: int8 weights, and dtypes that the processor does not support."""

from typing import Any

import pytest
import torch
from helpers.lstm_problem import problem
from helpers.small_models import SENTENCES, inputs, max_difference, tiny_model
from helpers.tolerances import COSINE, INT8_LINEAR, INT8_ROUNDING, ROUNDING
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_elmo import ElmoEncoder
from modeling_elmo.bundled import bundled_model_path
from modeling_elmo.model import linear_elmo
from modeling_elmo.model.linear_elmo import has_int8_linear, has_packed_linear, int8_linear, linear, quantize
from modeling_elmo.model.lstm_elmo import projected_lstm

needs_int8 = pytest.mark.skipif(not has_int8_linear(), reason="no int8 linear function in this PyTorch")


def int8_problem() -> dict[str, Any]:
    arguments = problem()
    return {**arguments, "layer": arguments["layer"]._replace(weight_dtype="int8")}


@given(seed=st.integers(0, 99), scale=st.floats(1e-20, 1e20), inner=st.integers(1, 70))
@settings(max_examples=40, deadline=None)
def test_quantization_error_is_at_most_half_a_step(seed: int, scale: float, inner: int) -> None:
    weight = scale * torch.randn(9, inner, generator=torch.Generator().manual_seed(seed))
    weight[3] = 0
    quantized = quantize(weight)
    dequantized, steps = quantized.dequantize()[:, :inner], quantized.scales.float()
    assert int(quantized.values.abs().max()) <= 127
    assert ((dequantized - weight).abs() <= INT8_ROUNDING * steps[:, None]).all()
    assert (steps * 127 <= 1.02 * weight.abs().amax(1) + 1e-25).all(), "the steps are no larger than necessary"
    assert not quantized.dequantize()[3].any()
    assert not quantized.dequantize()[:, inner:].any()


@needs_int8
@pytest.mark.parametrize("inner", [40, 37, 1])
@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 33])
def test_int8_linear(count: int, inner: int) -> None:
    torch.manual_seed(0)
    rows, accumulator = torch.randn(count, inner).bfloat16(), torch.randn(count, 24).bfloat16()
    weight, bias = torch.randn(24, inner), torch.randn(24).bfloat16()
    dequantized = quantize(weight).dequantize()[:, :inner].double()
    exact = rows.double() @ dequantized.T + bias.double() + accumulator.double()
    got = int8_linear(weight, bias)(rows, accumulator.clone())
    assert got.dtype == torch.bfloat16
    assert got.shape == (count, 24)
    if count:
        assert max_difference(got, exact) <= INT8_LINEAR * float(exact.abs().max() + inner**0.5)


@needs_int8
def test_rows_at_any_memory_offset() -> None:
    memory, weight = torch.randn(1000).bfloat16(), torch.randn(24, 32)
    for offset in range(9):
        rows = memory[offset : offset + 96].view(3, 32)
        assert torch.equal(int8_linear(weight)(rows), int8_linear(weight)(rows.clone()))


@needs_int8
def test_int8_linear_follows_a_changed_weight() -> None:
    rows, weight = torch.randn(20, 40).bfloat16(), torch.randn(24, 40)
    for count in (2, 20):
        before = int8_linear(weight)(rows[:count])
        weight.mul_(-1)
        assert torch.equal(int8_linear(weight)(rows[:count]), -before)


@needs_int8
@pytest.mark.parametrize("batch_size", [1, 32])
def test_vectors_of_a_trained_model_with_int8_weights(batch_size: int) -> None:
    options = {"layer": "all", "output": "torch", "batch_size": batch_size}
    exact = ElmoEncoder.from_pretrained(device="cpu").encode(SENTENCES, **options)
    encoder = ElmoEncoder.from_pretrained(device="cpu", dtype="int8")
    for ours, theirs in zip(encoder.encode(SENTENCES, **options), exact, strict=True):
        assert ours.dtype == torch.float32
        assert not len(ours) or torch.cosine_similarity(ours, theirs, dim=-1).min() >= COSINE
        assert not len(ours) or not torch.equal(ours, theirs), "the computation differs"
    assert encoder.fingerprint() != ElmoEncoder.from_pretrained(bundled_model_path(), device="cpu").fingerprint()


@needs_int8
def test_states_with_int8_weights() -> None:
    with torch.no_grad():
        exact = projected_lstm(**problem())
        got = projected_lstm(**int8_problem())
        explicit = projected_lstm(**int8_problem(), implementation="packed")
    for ours, same, theirs in zip(got, explicit, exact, strict=True):
        assert torch.equal(ours, same)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) >= COSINE


@needs_int8
def test_int8_weights_when_compiled() -> None:
    model = tiny_model(lstm_weight_dtype="int8").eval()
    torch._dynamo.reset()
    with torch.no_grad():
        expected = model(**inputs(SENTENCES))[0]
        got = torch.compile(model, backend="eager")(**inputs(SENTENCES))[0]
    assert torch.equal(got, expected)


@needs_int8
def test_unsupported_uses_of_int8_weights_raise() -> None:
    arguments = int8_problem()
    with pytest.raises(
        ValueError, match=r"Int8 LSTM weights do not support gradients\. Use `torch\.no_grad\(\)`, or load"
    ):
        projected_lstm(**arguments)
    elsewhere = {**arguments, "inputs": arguments["inputs"].to("meta")}
    with pytest.raises(
        ValueError, match=r"int8 LSTM weights: they require tensors on a CPU, got meta\. Move the model"
    ):
        projected_lstm(**elsewhere)
    for name in ("eager", "triton"):
        message = f"Cannot use `lstm_implementation` '{name}' with int8 weights. Use 'auto' or 'packed', or set"
        with pytest.raises(ValueError, match=message):
            projected_lstm(**arguments, implementation=name)
    int4 = arguments["layer"]._replace(weight_dtype="int4")
    with pytest.raises(ValueError, match="Expected `lstm_weight_dtype` to be None or 'int8', got 'int4'"):
        projected_lstm(**{**arguments, "layer": int4})


def test_int8_weights_require_a_correct_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_elmo, "_supported", {})
    monkeypatch.setattr(torch, "_weight_int8pack_mm", lambda rows, values, scales: rows @ values.T.to(rows))
    with pytest.raises(
        ValueError, match="Cannot use int8 LSTM weights: this PyTorch has no working int8 linear function"
    ):
        projected_lstm(**int8_problem())


@pytest.mark.skipif(not has_packed_linear(torch.float32), reason="no prepacked linear functions on this machine")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("count", [0, 1, 2, 33])
def test_unsupported_dtypes_are_computed_in_float32(
    dtype: torch.dtype, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_elmo, "_supported", {dtype: False, torch.float32: True})
    torch.manual_seed(0)
    rows, weight, bias = torch.randn(count, 40).to(dtype), torch.randn(24, 40).to(dtype), torch.randn(24).to(dtype)
    with torch.no_grad():
        got = linear(rows, weight, bias)
    expected = (rows.double() @ weight.double().T + bias.double()).to(dtype)
    assert got.dtype == dtype
    assert got.shape == (count, 24)
    if count > 1:  # accumulated in float32: the exact result, rounded once
        assert torch.allclose(got.double(), expected.double(), rtol=ROUNDING * torch.finfo(dtype).eps, atol=0)
    packed = linear_elmo.prepacked_weight(weight)
    assert packed.dtype == torch.float32
