# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The packed LSTM and the prepacked linear functions equal their plain counterparts, forward and backward."""

import gc
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from helpers.lstm_problem import BATCH_SIZES, CLIPS, outputs_and_gradients, problem, with_tensors
from helpers.small_models import SENTENCES, inputs, max_difference, tiny_model
from helpers.tolerances import ORACLE, PACKED, SAME_BATCH
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_elmo import ElmoConfig, ElmoModel
from modeling_elmo.model import linear_elmo, lstm_cpu_elmo
from modeling_elmo.model.configuration_elmo import LSTM_IMPLEMENTATIONS
from modeling_elmo.model.linear_elmo import has_packed_linear, is_batch_invariant, linear, prepack, prepacked_weight
from modeling_elmo.model.lstm_common_elmo import chunk_steps
from modeling_elmo.model.lstm_elmo import LSTM_FUNCTIONS, projected_lstm

packed = partial(projected_lstm, implementation="packed")
eager = partial(projected_lstm, implementation="eager")


@pytest.fixture
def nan_filled_memory() -> Iterator[None]:
    """Let torch.empty return NaN, so that elements that are never written are detected."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("projected", [True, False])
@pytest.mark.parametrize("clips", [CLIPS, (None, None), (0.6, None), (None, 0.5)])
@pytest.mark.usefixtures("nan_filled_memory")
def test_forward_and_backward_equal_eager(projected: bool, clips: tuple[float | None, float | None]) -> None:
    for dtype, tolerance in ((torch.float64, ORACLE), (torch.float32, PACKED)):
        arguments = problem(dtype, projected, clips=clips)
        expected = outputs_and_gradients(eager, arguments)
        got = outputs_and_gradients(packed, arguments)
        for ours, theirs in zip(got, expected, strict=True):
            assert ours.dtype == theirs.dtype
            assert max_difference(ours, theirs) <= tolerance * max(1.0, float(theirs.abs().max()))
    assert any(bool((part.abs() == 0.6).any()) for part in got[:3]) == (clips[0] is not None), "the clip must bind"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), max_size=7).map(lambda sizes: sorted(sizes, reverse=True)))
def test_any_lengths(batch_sizes: list[int]) -> None:
    arguments = problem(torch.float64, batch_sizes=batch_sizes)
    for ours, theirs in zip(
        outputs_and_gradients(packed, arguments), outputs_and_gradients(eager, arguments), strict=True
    ):
        assert max_difference(ours, theirs) <= ORACLE * 10


@pytest.mark.usefixtures("nan_filled_memory")
def test_chunks_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = problem()
    expected = outputs_and_gradients(packed, arguments)
    monkeypatch.setattr(lstm_cpu_elmo, "CHUNK_BYTES", 300)
    monkeypatch.setattr(lstm_cpu_elmo, "_BLOCK_BYTES", 250)
    assert len(list(chunk_steps(BATCH_SIZES, 4 * 7 * 4, lstm_cpu_elmo.CHUNK_BYTES))) > 3
    for ours, theirs in zip(outputs_and_gradients(packed, arguments), expected, strict=True):
        assert max_difference(ours, theirs) <= PACKED
    with torch.no_grad():
        result = packed(**arguments)
    for ours, theirs in zip(result, expected, strict=False):
        assert max_difference(ours, theirs) <= PACKED


def test_chunks_contain_every_step_once() -> None:
    assert [list(part) for part in chunk_steps([3, 3, 2, 1], 2, 6)] == [[3], [3], [2, 1]]
    assert list(chunk_steps([], 8, 8)) == []
    assert [list(part) for part in chunk_steps([9, 9], 100, 10)] == [[9], [9]], "at least one step"


@pytest.mark.parametrize("needed", [0, 1, 4, 5])
def test_gradients_of_some_tensors(needed: int) -> None:
    """Inputs, hidden state, and the two directions of one weight, each without the others."""
    everything = problem(torch.float64)
    expected = outputs_and_gradients(eager, everything)[3 + needed]
    tensors: list[torch.Tensor] = []

    def convert(tensor: torch.Tensor) -> torch.Tensor:
        tensors.append(tensor.detach().clone())
        return tensors[-1]

    # `with_tensors` converts weights before inputs and states.
    arguments = with_tensors(everything, convert)
    leaf = [*tensors[-3:], *tensors[:-3]][needed].requires_grad_()
    total = sum((part * (1 + torch.arange(part.numel())).sin().view_as(part)).sum() for part in packed(**arguments))
    (grad,) = torch.autograd.grad(total, leaf)
    assert max_difference(grad, expected) <= ORACLE


def test_model_is_equal_with_either_implementation() -> None:
    batch = inputs(SENTENCES)
    fast, slow = tiny_model(lstm_implementation="packed"), tiny_model(lstm_implementation="eager")
    assert max_difference(fast(**batch)[0], slow(**batch)[0]) <= SAME_BATCH
    with torch.no_grad():
        assert max_difference(fast(**batch)[0], slow(**batch)[0]) <= SAME_BATCH


def test_float32_is_bit_identical_in_every_batch() -> None:
    """If linear functions are batch-invariant, no other sentence, padding, or order changes a single bit."""
    torch.manual_seed(0)
    model = ElmoModel(ElmoConfig(cell_size=256, projection_size=64, num_highway_layers=1)).eval()
    if not is_batch_invariant(model.char_encoder.embeddings.weight):
        pytest.skip("linear functions are not batch-invariant on this processor")
    sentences = [words * n for words in SENTENCES for n in (1, 3)]
    with torch.no_grad():
        alone = [model(**inputs([words]))[0][0] for words in sentences]
        for side in ("left", "right"):
            for size in (2, 5, len(sentences)):
                for start in range(0, len(sentences), size):
                    batch = inputs(sentences[start : start + size], padding_side=side)
                    for row, expected in enumerate(alone[start : start + size]):
                        assert torch.equal(model(**batch)[0][row][batch["attention_mask"][row] > 0], expected)


def test_inference_caches_the_prepacked_parameters_themselves() -> None:
    if not has_packed_linear(torch.float32):
        pytest.skip("no prepacked linear functions on this machine")
    model = tiny_model().eval()
    with torch.no_grad():
        model(**inputs(SENTENCES))
    for module in model.layers[0].directions[1].children():
        assert "packed" in linear_elmo._form_cache[module.weight][1]


def test_compiling_works() -> None:
    batch = inputs(SENTENCES)
    model = tiny_model()
    expected = model(**batch)[0]
    compiled = torch.compile(model, backend="eager")
    assert max_difference(compiled(**batch)[0], expected) <= SAME_BATCH
    compiled(**inputs(SENTENCES[:2]))[0].sum().backward()
    assert model.layers[0].directions[0].input_linearity.weight.grad.abs().max() > 0


def test_unsupported_implementations_raise() -> None:
    arguments = problem()
    message = "Cannot use `lstm_implementation` 'packed': it requires tensors on a CPU, got meta. Use 'auto'."
    with pytest.raises(ValueError, match=message):
        packed(**{**arguments, "inputs": arguments["inputs"].to("meta")})
    assert ("auto", *LSTM_FUNCTIONS) == LSTM_IMPLEMENTATIONS
    for name in ("reference", "native", "int8"):
        message = f"Expected `lstm_implementation` to be one of 'auto', 'eager', 'packed', 'triton', got '{name}'."
        with pytest.raises(ValueError, match=message):
            projected_lstm(**arguments, implementation=name)


# ---------------------------------------------------------------- linear functions


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("count", [0, 1, 2, 33])
def test_linear_equals_torch(dtype: torch.dtype, count: int) -> None:
    torch.manual_seed(0)
    rows, weight, bias = torch.randn(count, 40).to(dtype), torch.randn(24, 5, 8).to(dtype), torch.randn(24).to(dtype)
    expected = rows.double() @ weight.double().flatten(1).T + bias.double()
    got = linear(rows, weight, bias)
    assert got.dtype == dtype
    assert got.shape == (count, 24)
    if count:
        assert max_difference(got, expected) <= 40 * torch.finfo(dtype).eps


def test_row_counts_are_padded_to_few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN caches a kernel per row count, so memory would grow with the text."""
    if not has_packed_linear(torch.float32):
        pytest.skip("no prepacked linear functions on this machine")
    padded_counts: list[int] = []
    call_onednn = linear_elmo._call_onednn
    monkeypatch.setattr(
        linear_elmo, "_call_onednn", lambda rows, *rest: padded_counts.append(len(rows)) or call_onednn(rows, *rest)
    )
    weight = torch.ones(4, 2)
    counts = [*range(1, 300), *range(300, 20_000, 37)]
    for function, max_kernels, max_waste in (
        (partial(linear, weight=weight), 60, 0.25),
        (prepack(weight), 180, 1 / 16),
    ):
        padded_counts.clear()
        for count in counts:
            assert function(torch.ones(count, 2)).shape == (count, 4)
        assert len(set(padded_counts)) <= max_kernels
        for count, padded in zip(counts, padded_counts, strict=True):
            assert count <= padded <= max(2, count * (1 + max_waste))


def test_a_changed_weight_is_repacked() -> None:
    if not has_packed_linear(torch.float32):
        pytest.skip("no prepacked linear functions on this machine")
    weight = torch.nn.Parameter(torch.randn(24, 40))
    rows = torch.randn(3, 40)

    def is_correct() -> bool:
        return max_difference(linear(rows, weight), rows @ weight.T) <= PACKED * 40

    with torch.no_grad():
        assert is_correct()
        assert prepacked_weight(weight) is prepacked_weight(weight), "an unchanged weight is not repacked"
        weight.add_(1)
        assert is_correct()
        weight.data.mul_(1.5)
        assert is_correct()
        weight.data = torch.randn(24, 40)
        assert is_correct()
    optimizer = torch.optim.SGD([weight], lr=0.5)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    with torch.no_grad():
        assert is_correct()


def test_prepacked_weights_are_freed_with_their_weights() -> None:
    weight = torch.randn(24, 40)
    gc.collect()
    before = len(linear_elmo._form_cache)
    with torch.no_grad():
        linear(torch.randn(3, 40), weight)
    assert len(linear_elmo._form_cache) == before + has_packed_linear(torch.float32)
    del weight
    gc.collect()
    assert len(linear_elmo._form_cache) == before


@pytest.mark.skipif(not has_packed_linear(torch.float32), reason="no prepacked linear functions on this machine")
def test_a_move_without_effect_keeps_the_prepacked_weights() -> None:
    model = tiny_model().eval()

    def prepacked_ids() -> list[int]:
        with torch.no_grad():
            model(**inputs(SENTENCES))
        forms = [linear_elmo._form_cache.get(weight, (None, {}))[1] for weight in model.parameters()]
        return [id(form["packed"]) for form in forms if "packed" in form]

    before = prepacked_ids()
    assert len(before) > 8
    model.to("cpu", torch.float32)
    assert prepacked_ids() == before
    model.double()
    assert not any(weight in linear_elmo._form_cache for weight in model.parameters())


def test_linear_has_gradients() -> None:
    rows, weight = torch.randn(3, 40, requires_grad=True), torch.randn(24, 40, requires_grad=True)
    linear(rows, weight).sum().backward()
    assert torch.equal(weight.grad, rows.detach().sum(0).expand(24, -1))
