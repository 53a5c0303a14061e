# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`torch.compile`: the same numbers forward and backward, the recurrence in one graph for all lengths of sentences."""

from typing import Any

import pytest
import torch
from helpers.lstm_problem import OPTIONS, problem
from helpers.small_models import SENTENCES, inputs, max_difference, tiny_model
from helpers.tolerances import PACKED, SAME_BATCH
from torch._dynamo.testing import CompileCounterWithBackend

from modeling_elmo.model import linear_elmo, lstm_ops_elmo
from modeling_elmo.model.lstm_elmo import projected_lstm

PROFILES = [[5, 5, 4, 4, 4, 2, 1, 1, 1], [6, 5, 3, 3, 1], [4, 3, 2, 1], [7, 7, 7, 7, 2, 2, 2]]


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


def results(function: Any, arguments: dict[str, Any], sizes: Any) -> list[torch.Tensor]:
    """Outputs and all gradients."""
    result = function(**{**arguments, "batch_sizes": sizes})
    leaves = [arguments["inputs"], arguments["hidden"], arguments["cell"]]
    leaves += [w for direction in arguments["weights"] for w in direction if w is not None]
    return [*result, *torch.autograd.grad(sum(part.sin().sum() for part in result), leaves)]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("projected", [True, False])
def test_the_recurrence_is_one_graph_for_all_lengths(backend: str, projected: bool) -> None:
    def recurrence(**arguments: Any) -> Any:
        return projected_lstm(**arguments, options=OPTIONS)

    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(recurrence, backend=counter, fullgraph=True)
    graphs = []
    for sizes in PROFILES:
        arguments = problem(torch.float32, projected, batch_sizes=sizes)
        expected = results(recurrence, arguments, sizes)
        for ours, theirs in zip(results(compiled, arguments, torch.tensor(sizes)), expected, strict=True):
            assert max_difference(ours, theirs) <= PACKED * max(1.0, float(theirs.detach().abs().max()))
        with torch.no_grad():
            parts = compiled(**{**arguments, "batch_sizes": torch.tensor(sizes)})
        assert max(max_difference(*pair) for pair in zip(parts, expected[:3], strict=True)) <= PACKED
        graphs.append(counter.frame_count)
    assert graphs[-1] == graphs[1], "after the second batch the graphs serve all shapes"


def test_the_operators_keep_their_promises() -> None:
    """PyTorch's own check of schema, shapes without data, and derivatives, with and without a projection."""
    for projected in (True, False):
        arguments = problem(torch.float32, projected)
        weights = [*arguments["weights"][0], 0.6, 0.5]
        sizes = torch.tensor(arguments["batch_sizes"])
        tensors = [arguments[name][0].detach().requires_grad_() for name in ("inputs", "hidden", "cell")]
        for keep in (True, False):
            tensors = [tensor.detach().requires_grad_(keep) for tensor in tensors]
            weights = [w.detach().requires_grad_(keep) if isinstance(w, torch.Tensor) else w for w in weights]
            torch.library.opcheck(lstm_ops_elmo.lstm, (False, *tensors, sizes, *weights, keep))
    rows, weight, bias = torch.randn(3, 40), torch.randn(24, 5, 8), torch.randn(24)
    torch.library.opcheck(linear_elmo.packed_product, (rows, weight, bias))
    torch.library.opcheck(linear_elmo.packed_product, (rows[:1], weight, None))


@pytest.mark.parametrize("gradients", [False, True])
def test_a_compiled_model_has_the_same_numbers(gradients: bool) -> None:
    model = tiny_model(num_hidden_layers=1, filters=[[2, 6]])
    compiled = torch.compile(model, backend="aot_eager" if gradients else "eager")
    for sentences in (SENTENCES, SENTENCES[:3]):
        found = []
        for run in (compiled, model):
            model.zero_grad()
            with torch.set_grad_enabled(gradients):
                vectors = run(**inputs(sentences))[0]
            if gradients:
                vectors.sin().sum().backward()
            found.append([vectors.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        assert len(found[0]) == len(found[1]) == 1 + gradients * len(list(model.parameters()))
        for ours, theirs in zip(*found, strict=True):
            assert max_difference(ours, theirs) <= SAME_BATCH * max(1.0, float(theirs.abs().max()))
