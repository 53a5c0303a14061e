# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`torch.compile`: equal results and gradients, and one graph with the LSTM for all sentence lengths."""

from typing import Any

import pytest
import torch
from helpers.lstm_problem import leaves, problem
from helpers.small_models import SENTENCES, inputs, max_difference, tiny_model
from helpers.tolerances import PACKED, SAME_BATCH
from torch._dynamo.testing import CompileCounterWithBackend

from modeling_elmo.model import linear_elmo, lstm_ops_elmo
from modeling_elmo.model.lstm_common_elmo import flatten_params
from modeling_elmo.model.lstm_elmo import projected_lstm

BATCH_SIZES = [[5, 5, 4, 4, 4, 2, 1, 1, 1], [6, 5, 3, 3, 1], [4, 3, 2, 1], [7, 7, 7, 7, 2, 2, 2]]


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


def results(function: Any, arguments: dict[str, Any], sizes: Any) -> list[torch.Tensor]:
    """Return outputs, final states, and all gradients."""
    result = function(**{**arguments, "batch_sizes": sizes})
    return [*result, *torch.autograd.grad(sum(part.sin().sum() for part in result), leaves(arguments))]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("projected", [True, False])
def test_the_lstm_is_one_graph_for_all_lengths(backend: str, projected: bool) -> None:
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(projected_lstm, backend=counter, fullgraph=True)
    graphs = []
    for sizes in BATCH_SIZES:
        arguments = problem(projected=projected, batch_sizes=sizes)
        expected = results(projected_lstm, arguments, sizes)
        for ours, theirs in zip(results(compiled, arguments, torch.tensor(sizes)), expected, strict=True):
            assert max_difference(ours, theirs) <= PACKED * max(1.0, float(theirs.detach().abs().max()))
        with torch.no_grad():
            parts = compiled(**{**arguments, "batch_sizes": torch.tensor(sizes)})
        assert max(max_difference(*pair) for pair in zip(parts, expected[:3], strict=True)) <= PACKED
        graphs.append(counter.frame_count)
    assert graphs[-1] == graphs[1], "after the second batch the graphs serve all shapes"


def test_operators_are_registered_correctly() -> None:
    """PyTorch checks the schemas, fake implementations, and gradients."""
    for projected in (True, False):
        arguments = problem(projected=projected)
        sizes = torch.tensor(arguments["batch_sizes"])
        for needs_grad in (True, False):
            tensors = [arguments[name].detach().requires_grad_(needs_grad) for name in ("inputs", "hidden", "cell")]
            weights = [weight.detach().requires_grad_(needs_grad) for weight in flatten_params(arguments["layer"])]
            torch.library.opcheck(lstm_ops_elmo.lstm_op, ("packed", *tensors, sizes, weights, 0.6, 0.5, needs_grad))
    rows, weight, bias = torch.randn(3, 40), torch.randn(24, 5, 8), torch.randn(24)
    torch.library.opcheck(linear_elmo.linear_op, (rows, weight, bias))
    torch.library.opcheck(linear_elmo.linear_op, (rows[:1], weight, None))


@pytest.mark.slow
@pytest.mark.parametrize("gradients", [False, True])
def test_a_compiled_model_has_equal_results(gradients: bool) -> None:
    model = tiny_model(num_hidden_layers=1, filters=[[2, 6]])
    compiled = torch.compile(model, backend="aot_eager" if gradients else "eager")
    for sentences in (SENTENCES, SENTENCES[:3]):
        pairs = []
        for run in (compiled, model):
            model.zero_grad()
            with torch.set_grad_enabled(gradients):
                vectors = run(**inputs(sentences))[0]
            if gradients:
                vectors.sin().sum().backward()
            pairs.append([vectors.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        assert len(pairs[0]) == len(pairs[1]) == 1 + gradients * len(list(model.parameters()))
        for ours, theirs in zip(*pairs, strict=True):
            assert max_difference(ours, theirs) <= SAME_BATCH * max(1.0, float(theirs.abs().max()))
