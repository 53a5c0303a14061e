# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The fast recurrence and the packed products: the reference's numbers, forward and backward, whatever the shapes."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from helpers.lstm_problem import BATCH_SIZES, OPTIONS, problem
from helpers.small_models import SENTENCES, inputs, max_difference, tiny_model
from helpers.tolerances import ORACLE, PACKED, SAME_BATCH
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_elmo import ElmoConfig, ElmoModel
from modeling_elmo.model import linear_elmo, lstm_cpu_elmo
from modeling_elmo.model.linear_elmo import can_pack, multiplier, pack_weight, product, rows_are_independent
from modeling_elmo.model.lstm_elmo import LstmOptions, projected_lstm


@pytest.fixture
def poisoned() -> Iterator[None]:
    """torch.empty gives NaN, so that what is never written shows."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def outputs_and_gradients(implementation: str, options: LstmOptions = OPTIONS, **arguments: Any) -> list[torch.Tensor]:
    result = projected_lstm(**arguments, options=options, implementation=implementation)
    leaves = [arguments["inputs"], arguments["hidden"], arguments["cell"]]
    leaves += [w for direction in arguments["weights"] for w in direction if w is not None]
    total = sum(
        (part * (1 + torch.arange(part.numel(), dtype=part.dtype)).reshape(part.shape).sin()).sum() for part in result
    )
    return [*result, *torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("projected", [True, False])
@pytest.mark.parametrize("clips", [(0.6, 0.5), (None, None), (0.6, None), (None, 0.5)])
@pytest.mark.usefixtures("poisoned")
def test_forward_and_backward_equal_the_reference(projected: bool, clips: tuple[float | None, float | None]) -> None:
    options = LstmOptions(*clips, forget_bias=1.0)
    for dtype, tolerance in ((torch.float64, ORACLE), (torch.float32, PACKED)):
        arguments = problem(dtype, projected)
        expected = outputs_and_gradients("reference", options, **arguments)
        got = outputs_and_gradients("cpu", options, **arguments)
        for ours, theirs in zip(got, expected, strict=True):
            assert ours.dtype == theirs.dtype
            assert max_difference(ours, theirs) <= tolerance * max(1.0, float(theirs.abs().max()))
    assert any(bool((part.abs() == 0.6).any()) for part in got[:3]) == (clips[0] is not None), "the clip must bind"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), max_size=7).map(lambda sizes: sorted(sizes, reverse=True)))
def test_any_lengths(batch_sizes: list[int]) -> None:
    arguments = problem(torch.float64, batch_sizes=batch_sizes)
    for ours, theirs in zip(
        outputs_and_gradients("cpu", **arguments), outputs_and_gradients("reference", **arguments), strict=True
    ):
        assert max_difference(ours, theirs) <= ORACLE * 10


@pytest.mark.usefixtures("poisoned")
def test_chunks_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = problem(torch.float32)
    whole = outputs_and_gradients("cpu", **arguments)
    monkeypatch.setattr(lstm_cpu_elmo, "CHUNK_BYTES", 300)
    monkeypatch.setattr(lstm_cpu_elmo, "_BLOCK_BYTES", 250)
    assert len(list(lstm_cpu_elmo.chunks(BATCH_SIZES, 4 * 7 * 4))) > 3
    for ours, theirs in zip(outputs_and_gradients("cpu", **arguments), whole, strict=True):
        assert max_difference(ours, theirs) <= PACKED


def test_chunks_hold_every_step_once() -> None:
    assert [list(part) for part in lstm_cpu_elmo.chunks([3, 3, 2, 1], 2**22)] == [[3], [3], [2, 1]]
    assert list(lstm_cpu_elmo.chunks([], 8)) == []
    assert [list(part) for part in lstm_cpu_elmo.chunks([9, 9], 2**30)] == [[9], [9]], "one step at least"


def test_the_model_is_the_same_by_either_recurrence() -> None:
    batch = inputs(SENTENCES)
    fast, slow = tiny_model(recurrence="cpu"), tiny_model(recurrence="reference")
    assert max_difference(fast(**batch)[0], slow(**batch)[0]) <= SAME_BATCH
    with torch.no_grad():
        assert max_difference(fast(**batch)[0], slow(**batch)[0]) <= SAME_BATCH


def test_float32_is_bit_identical_in_every_batch() -> None:
    """Where rows of a packed product are independent, no neighbour, padding or order moves a single bit."""
    torch.manual_seed(0)
    model = ElmoModel(ElmoConfig(cell_size=256, projection_size=64, num_highway_layers=1)).eval()
    if not rows_are_independent(model.char_encoder.embeddings.weight):
        pytest.skip("this processor's products depend on the rows beside")
    sentences = [words * n for words in SENTENCES for n in (1, 3)]
    with torch.no_grad():
        alone = [model(**inputs([words]))[0][0] for words in sentences]
        for side in ("left", "right"):
            for size in (2, 5, len(sentences)):
                for start in range(0, len(sentences), size):
                    batch = inputs(sentences[start : start + size], padding_side=side)
                    for row, expected in enumerate(alone[start : start + size]):
                        assert torch.equal(model(**batch)[0][row][batch["attention_mask"][row] > 0], expected)


def test_compiling_works() -> None:
    batch = inputs(SENTENCES)
    model = tiny_model()
    expected = model(**batch)[0]
    compiled = torch.compile(model, backend="eager")
    assert max_difference(compiled(**batch)[0], expected) <= SAME_BATCH
    compiled(**inputs(SENTENCES[:2]))[0].sum().backward()
    assert model.layers[0].directions[0].input_linearity.weight.grad.abs().max() > 0


def test_an_impossible_recurrence_says_why() -> None:
    arguments = problem(torch.float32)
    with pytest.raises(ValueError, match="recurrence 'cpu' needs tensors on a CPU; got meta"):
        projected_lstm(**{**arguments, "inputs": arguments["inputs"].to("meta")}, options=OPTIONS, implementation="cpu")


# ---------------------------------------------------------------- products


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("count", [0, 1, 2, 33])
def test_products_equal_linear(dtype: torch.dtype, count: int) -> None:
    torch.manual_seed(0)
    rows, weight, bias = torch.randn(count, 40).to(dtype), torch.randn(24, 5, 8).to(dtype), torch.randn(24).to(dtype)
    expected = rows.double() @ weight.double().flatten(1).T + bias.double()
    got = product(rows, weight, bias)
    assert got.dtype == dtype
    assert got.shape == (count, 24)
    if count:
        assert max_difference(got, expected) <= 40 * torch.finfo(dtype).eps


def test_few_numbers_of_rows_are_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN keeps a program for each of them, and memory would grow with the text."""
    if not can_pack(torch.float32):
        pytest.skip("no packed products on this machine")
    made: list[int] = []
    plain = linear_elmo._multiply
    monkeypatch.setattr(linear_elmo, "_multiply", lambda rows, *rest: made.append(len(rows)) or plain(rows, *rest))
    weight = torch.ones(4, 2)
    counts = [*range(1, 300), *range(300, 20_000, 37)]
    for multiply, most, waste in ((lambda rows: product(rows, weight), 60, 0.25), (multiplier(weight), 180, 1 / 16)):
        made.clear()
        for count in counts:
            assert multiply(torch.ones(count, 2)).shape == (count, 4)
        assert len(set(made)) <= most
        assert all(count <= done <= max(2, count * (1 + waste)) for count, done in zip(counts, made, strict=True))


def test_a_changed_weight_is_packed_anew() -> None:
    if not can_pack(torch.float32):
        pytest.skip("no packed products on this machine")
    weight = torch.nn.Parameter(torch.randn(24, 40))
    rows = torch.randn(3, 40)

    def right() -> bool:
        return max_difference(product(rows, weight.detach()), rows @ weight.T) <= PACKED * 40

    with torch.no_grad():
        assert right()
        packed = pack_weight(weight)
        assert pack_weight(weight) is packed, "and an unchanged one is not"
        weight.add_(1)
        assert max_difference(product(rows, weight), rows @ weight.T) <= PACKED * 40
        weight.data.mul_(1.5)
        assert max_difference(product(rows, weight), rows @ weight.T) <= PACKED * 40
        weight.data = torch.randn(24, 40)
        assert max_difference(product(rows, weight), rows @ weight.T) <= PACKED * 40
    optimizer = torch.optim.SGD([weight], lr=0.5)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    with torch.no_grad():
        assert max_difference(product(rows, weight), rows @ weight.T) <= PACKED * 40


def test_packed_copies_go_with_their_weights() -> None:
    weight = torch.randn(24, 40)
    gc.collect()
    before = len(linear_elmo._copies)
    with torch.no_grad():
        product(torch.randn(3, 40), weight)
    assert len(linear_elmo._copies) == before + can_pack(torch.float32)
    del weight
    gc.collect()
    assert len(linear_elmo._copies) == before


@pytest.mark.skipif(not can_pack(torch.float32), reason="no packed products on this machine")
def test_moving_a_model_to_where_it_is_keeps_the_packed_copies() -> None:
    model = tiny_model().eval()

    def copies() -> list[int]:
        with torch.no_grad():
            model(**inputs(SENTENCES))
        known = linear_elmo._copies
        return [
            id(known[weight][1]["packed"])
            for weight in model.parameters()
            if "packed" in known.get(weight, (None, {}))[1]
        ]

    before = copies()
    assert len(before) > 8
    model.to("cpu", torch.float32)
    assert copies() == before
    model.double()
    assert not any(weight in linear_elmo._copies for weight in model.parameters())


def test_gradients_go_through_products() -> None:
    rows, weight = torch.randn(3, 40, requires_grad=True), torch.randn(24, 40, requires_grad=True)
    product(rows, weight).sum().backward()
    assert torch.equal(weight.grad, rows.detach().sum(0).expand(24, -1))
