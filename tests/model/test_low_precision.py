# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Low precision on a CPU: weights of eight bits, and types in which the processor cannot compute."""

import pytest
import torch
from helpers.lstm_problem import OPTIONS, problem
from helpers.small_models import SENTENCES, inputs, max_difference, tiny_model
from helpers.tolerances import COSINE, EIGHT_BIT_PRODUCT, EIGHT_BITS, ROUNDED
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_elmo import ElmoEncoder
from modeling_elmo.bundled import bundled_model_path
from modeling_elmo.model import linear_elmo
from modeling_elmo.model.linear_elmo import can_pack, can_quantize, product, quantize, quantized_multiplier
from modeling_elmo.model.lstm_elmo import projected_lstm

quantizes = pytest.mark.skipif(not can_quantize(), reason="this PyTorch has no product with weights of eight bits")


@given(seed=st.integers(0, 99), scale=st.floats(1e-20, 1e20), inner=st.integers(1, 70))
@settings(max_examples=40, deadline=None)
def test_eight_bits_keep_each_number_within_half_a_step(seed: int, scale: float, inner: int) -> None:
    weight = scale * torch.randn(9, inner, generator=torch.Generator().manual_seed(seed))
    weight[3] = 0
    form = quantize(weight)
    restored, steps = form.restored()[:, :inner], form.scales.float()
    assert int(form.values.abs().max()) <= 127
    assert ((restored - weight).abs() <= EIGHT_BITS * steps[:, None]).all()
    assert (steps * 127 <= 1.02 * weight.abs().amax(1) + 1e-25).all(), "and the steps are no larger than they must be"
    assert not form.restored()[3].any()
    assert not form.restored()[:, inner:].any()


@quantizes
@pytest.mark.parametrize("inner", [40, 37, 1])
@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 33])
def test_products_with_eight_bits(count: int, inner: int) -> None:
    torch.manual_seed(0)
    rows, plus = torch.randn(count, inner).bfloat16(), torch.randn(count, 24).bfloat16()
    weight, bias = torch.randn(24, inner), torch.randn(24).bfloat16()
    exact = rows.double() @ quantize(weight).restored()[:, :inner].double().T + bias.double() + plus.double()
    got = quantized_multiplier(weight, bias)(rows, plus.clone())
    assert got.dtype == torch.bfloat16
    assert got.shape == (count, 24)
    if count:
        assert max_difference(got, exact) <= EIGHT_BIT_PRODUCT * float(exact.abs().max() + inner**0.5)


@quantizes
def test_rows_that_begin_anywhere_in_memory() -> None:
    memory, weight = torch.randn(1000).bfloat16(), torch.randn(24, 32)
    for offset in range(9):
        rows = memory[offset : offset + 96].view(3, 32)
        assert torch.equal(quantized_multiplier(weight)(rows), quantized_multiplier(weight)(rows.clone()))


@quantizes
def test_eight_bits_follow_a_changed_weight() -> None:
    rows, weight = torch.randn(20, 40).bfloat16(), torch.randn(24, 40)
    for count in (2, 20):
        before = quantized_multiplier(weight)(rows[:count])
        weight.mul_(-1)
        assert torch.equal(quantized_multiplier(weight)(rows[:count]), -before)


@quantizes
@pytest.mark.parametrize("batch_size", [1, 32])
def test_vectors_of_a_trained_model_in_eight_bits(batch_size: int) -> None:
    options = {"layer": "all", "output": "torch", "batch_size": batch_size}
    exact = ElmoEncoder.from_pretrained(device="cpu").encode(SENTENCES, **options)
    encoder = ElmoEncoder.from_pretrained(device="cpu", dtype="int8")
    for ours, theirs in zip(encoder.encode(SENTENCES, **options), exact, strict=True):
        assert ours.dtype == torch.float32
        assert not len(ours) or torch.cosine_similarity(ours, theirs, dim=-1).min() >= COSINE
        assert not len(ours) or not torch.equal(ours, theirs), "it is another computation"
    assert encoder.fingerprint() != ElmoEncoder.from_pretrained(bundled_model_path(), device="cpu").fingerprint()


@quantizes
def test_states_in_eight_bits() -> None:
    arguments = problem(torch.float32)
    with torch.no_grad():
        exact = projected_lstm(**arguments, options=OPTIONS)
        got = projected_lstm(**arguments, options=OPTIONS, implementation="int8")
    for ours, theirs in zip(got, exact, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) >= COSINE


@quantizes
def test_eight_bits_when_compiled() -> None:
    model = tiny_model(recurrence="int8").eval()
    torch._dynamo.reset()
    with torch.no_grad():
        expected = model(**inputs(SENTENCES))[0]
        got = torch.compile(model, backend="eager")(**inputs(SENTENCES))[0]
    assert torch.equal(got, expected)


def test_eight_bits_refuse_what_they_cannot() -> None:
    arguments = problem(torch.float32)
    with pytest.raises(ValueError, match=r"recurrence 'int8' has no gradients; call the model under torch.no_grad\(\)"):
        projected_lstm(**arguments, options=OPTIONS, implementation="int8")
    elsewhere = {**arguments, "inputs": arguments["inputs"].to("meta")}
    with pytest.raises(ValueError, match="recurrence 'int8' needs tensors on a CPU; got meta"):
        projected_lstm(**elsewhere, options=OPTIONS, implementation="int8")


def test_eight_bits_need_a_right_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_elmo, "_works", {})
    monkeypatch.setattr(torch, "_weight_int8pack_mm", lambda rows, values, scales: rows @ values.T.to(rows))
    with pytest.raises(ValueError, match="recurrence 'int8' needs a PyTorch that can multiply with weights of eight"):
        projected_lstm(**problem(torch.float32), options=OPTIONS, implementation="int8")


@pytest.mark.skipif(not can_pack(torch.float32), reason="no packed products on this machine")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("count", [0, 1, 2, 33])
def test_types_that_the_processor_lacks_go_through_float32(
    dtype: torch.dtype, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_elmo, "_works", {dtype: False, torch.float32: True})
    torch.manual_seed(0)
    rows, weight, bias = torch.randn(count, 40).to(dtype), torch.randn(24, 40).to(dtype), torch.randn(24).to(dtype)
    with torch.no_grad():
        got = product(rows, weight, bias)
    expected = (rows.double() @ weight.double().T + bias.double()).to(dtype)
    assert got.dtype == dtype
    assert got.shape == (count, 24)
    if count > 1:  # sums in float32, so the result is the exact one, rounded once
        assert torch.allclose(got.double(), expected.double(), rtol=ROUNDED * torch.finfo(dtype).eps, atol=0)
    packed = linear_elmo.pack_weight(weight)
    assert packed.dtype == torch.float32
