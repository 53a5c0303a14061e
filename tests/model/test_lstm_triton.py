# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The Triton LSTM: on a GPU if there is one, and in Triton's interpreter if triton can be imported."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.lstm_problem import leaves, outputs_and_gradients, problem, with_tensors
from helpers.run_python import run
from helpers.small_models import ROOT, SENTENCES, inputs, max_difference, tiny_model
from helpers.tolerances import BFLOAT16, FLOAT16, PACKED, SAME_BATCH

from modeling_elmo.model import lstm_triton_elmo
from modeling_elmo.model.lstm_elmo import LSTM_FUNCTIONS, projected_lstm

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton cannot be imported")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

triton = partial(projected_lstm, implementation="triton")
eager = partial(projected_lstm, implementation="eager")

TOLERANCES = {torch.float32: PACKED, torch.bfloat16: BFLOAT16, torch.float16: FLOAT16}
CASES: dict[str, dict[str, Any]] = {
    "ragged": {},
    "no clips": {"clips": (None, None)},
    "cell clip": {"clips": (0.6, None)},
    "projection clip": {"clips": (None, 0.5)},
    "no projection": {"projected": False},
    "no projection, no clips": {"projected": False, "clips": (None, None)},
    "one direction": {"num_directions": 1},
    "one sentence": {"batch_sizes": [1, 1, 1]},
    "one step": {"batch_sizes": [3]},
    "no step": {"batch_sizes": []},
    "several blocks of cells": {"cell_size": 1027, "batch_sizes": [2, 1]},
    "bfloat16": {"dtype": torch.bfloat16},
    "float16": {"dtype": torch.float16},
    "bfloat16, no projection": {"dtype": torch.bfloat16, "projected": False},
}


def differences(device: str, **case: Any) -> list[float]:
    """Return the errors of outputs, final states, and all gradients against eager float64, relative above 1."""
    arguments = problem(device=device, **case)
    # torch.empty then returns NaN, so that elements that are never written are detected.
    torch.use_deterministic_algorithms(True, warn_only=True)
    got = outputs_and_gradients(triton, arguments)
    with torch.no_grad():
        without_saving = triton(**arguments)
    torch.use_deterministic_algorithms(False)
    assert [tensor.dtype for tensor in got[3:]] == [leaf.dtype for leaf in leaves(arguments)]
    exact = with_tensors(arguments, lambda tensor: tensor.detach().cpu().double().requires_grad_())
    expected = outputs_and_gradients(eager, exact)
    pairs = zip([*got, *without_saving], [*expected, *expected[:3]], strict=True)
    # A list, because a NaN can get lost in a maximum.
    return [
        max_difference(ours.detach().cpu(), theirs.detach()) / max(1.0, float(theirs.abs().max()))
        for ours, theirs in pairs
        if theirs.numel()
    ]


def model_difference(device: str) -> float:
    """Return the difference of a model's vectors and one gradient between the Triton and the eager LSTM."""
    results = []
    for implementation in ("triton", "eager"):
        model = tiny_model().to(device)
        model.config.lstm_implementation = implementation
        vectors = model(**{name: tensor.to(device) for name, tensor in inputs(SENTENCES).items()})[0]
        vectors.sin().sum().backward()
        gradient = model.layers[0].directions[1].state_linearity.weight.grad
        results.append((vectors.detach().cpu(), gradient.cpu() / gradient.abs().max().cpu()))
    return max(max_difference(*pair) for pair in zip(*results, strict=True))


def small_chunks_difference(device: str, monkeypatch: Any) -> float:
    """Return the difference between a result in several chunks and one in a single chunk."""
    arguments = problem(device=device)
    with torch.no_grad():
        single = triton(**arguments)
        monkeypatch.setattr(lstm_triton_elmo, "CHUNK_BYTES", 300)
        chunked = triton(**arguments)
    return max(max_difference(*pair) for pair in zip(single, chunked, strict=True))


def compiled_difference(device: str) -> float:
    """Return the difference of results and gradients between a compiled graph and the direct call."""
    arguments = problem(device=device)
    expected = outputs_and_gradients(triton, arguments)
    arguments["batch_sizes"] = torch.tensor(arguments["batch_sizes"])
    compiled = torch.compile(lambda **arguments: triton(**arguments), backend="aot_eager", fullgraph=True)
    got = outputs_and_gradients(compiled, arguments)
    return max(max_difference(*pair) for pair in zip(got, expected, strict=True))


_INTERPRETED = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(ROOT / "tests")!r}]
import pytest, torch
import test_lstm_triton
from modeling_elmo.model import lstm_triton_elmo
torch.set_num_threads(1)
assert lstm_triton_elmo.uses_triton_interpreter()
result = {{name: test_lstm_triton.differences("cpu", **case) for name, case in test_lstm_triton.CASES.items()}}
result["model"] = test_lstm_triton.model_difference("cpu")
result["compiled"] = test_lstm_triton.compiled_difference("cpu")
with pytest.MonkeyPatch.context() as monkeypatch:
    result["chunks"] = test_lstm_triton.small_chunks_difference("cpu", monkeypatch)
try:
    test_lstm_triton.triton(**test_lstm_triton.problem(torch.float64))
except ValueError as error:
    result["float64"] = str(error)
"""


@pytest.fixture(scope="module")
def interpreted() -> dict[str, Any]:
    """Return the results of all cases in Triton's interpreter, which must be selected before the import."""
    return run(_INTERPRETED, {"TRITON_INTERPRET": "1"})


def check(case: str, errors: list[float]) -> None:
    tolerance = TOLERANCES[CASES[case].get("dtype", torch.float32)]
    assert errors
    assert all(error <= tolerance for error in errors), errors


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_interpreted_kernels_equal_eager(case: str, interpreted: dict[str, Any]) -> None:
    check(case, interpreted[case])


@pytest.mark.slow
@needs_triton
def test_interpreted_kernels_in_a_model_in_chunks_and_compiled(interpreted: dict[str, Any]) -> None:
    assert interpreted["model"] <= SAME_BATCH
    assert interpreted["chunks"] <= PACKED
    assert interpreted["compiled"] <= PACKED
    assert interpreted["float64"] == (
        "Cannot use `lstm_implementation` 'triton': it requires float32, bfloat16, or float16, got torch.float64. "
        "Use 'auto'."
    )


_COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from modeling_elmo.model import lstm_triton_elmo
result = []
for kernel, letters in ((lstm_triton_elmo._forward_kernel, "ddwwdw"), (lstm_triton_elmo._backward_kernel, "dwwwwd")):
    for low, flag in (("fp32", False), ("bf16", True)):
        constants = {"CELLS": 1027, "HAS_CLIP": flag, "BLOCK": 1024, "SAVE_FOR_BACKWARD": flag}
        constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
        types = ["*" + (low if letter == "d" else "fp32") for letter in letters] + ["i64"] * 6 + ["fp32"]
        names = kernel.arg_names
        signature = dict(zip(names, types)) | {name: "constexpr" for name in constants}
        source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=constants)
        result.append(len(triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["cubin"]))
"""


@pytest.mark.slow
@needs_triton
def test_kernels_compile_for_a_gpu_without_one() -> None:
    sizes = run(_COMPILED, {"TRITON_INTERPRET": "0"})
    assert len(sizes) == 4
    assert min(sizes) > 1000


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("case", CASES)
def test_kernels_equal_eager_on_a_gpu(case: str) -> None:
    check(case, differences("cuda", **CASES[case]))


@pytest.mark.gpu
@needs_gpu
def test_a_model_chunks_and_compilation_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_difference("cuda") <= SAME_BATCH * 10  # the eager products are the GPU's too
    assert compiled_difference("cuda") <= PACKED
    assert small_chunks_difference("cuda", monkeypatch) <= PACKED


# ---------------------------------------------------------------- selection


@pytest.mark.skipif(lstm_triton_elmo.uses_triton_interpreter(), reason="the interpreter runs on a CPU")
def test_without_a_gpu_it_raises() -> None:
    message = "Cannot use `lstm_implementation` 'triton': it requires tensors on a CUDA device, got cpu. Use 'auto'."
    with pytest.raises(ValueError, match=message):
        triton(**problem())


def test_unsupported_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 99)
    monkeypatch.setattr(lstm_triton_elmo, "triton", None)
    assert "requires the package triton" in str(lstm_triton_elmo.unsupported_reason(device, torch.float32))
    monkeypatch.setattr(lstm_triton_elmo, "triton", object())
    assert "got torch.float64" in str(lstm_triton_elmo.unsupported_reason(device, torch.float64))
    monkeypatch.setitem(lstm_triton_elmo._self_test_results, device, "cannot run")
    assert lstm_triton_elmo.unsupported_reason(device, torch.float16) == "cannot run"
    monkeypatch.setitem(lstm_triton_elmo._self_test_results, device, None)
    assert lstm_triton_elmo.unsupported_reason(device, torch.float16) is None


def test_self_test_detects_failing_and_wrong_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no C compiler")

    def wrong(gates_ih: Any, gates_hh: Any, previous_cell: Any, cell: Any, pre_projection: Any, *_: Any) -> None:
        pre_projection.zero_()

    def silent(*_: Any) -> None:  # the result stays NaN
        pass

    monkeypatch.setattr(lstm_triton_elmo, "_forward_step", broken)
    reason = lstm_triton_elmo._self_test(torch.device("cpu"))
    assert reason == "its kernels fail on this machine with RuntimeError: no C compiler"
    for step in (wrong, silent):
        monkeypatch.setattr(lstm_triton_elmo, "_forward_step", step)
        torch.use_deterministic_algorithms(True)
        reason = lstm_triton_elmo._self_test(torch.device("cpu"))
        torch.use_deterministic_algorithms(False)
        assert reason == "its kernels compute wrong values on this machine"


@pytest.mark.parametrize(("reason", "selected"), [(None, "triton"), ("cannot", "eager")])
def test_auto_selects_a_supported_implementation(
    reason: str | None, selected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(LSTM_FUNCTIONS):
        monkeypatch.setitem(LSTM_FUNCTIONS, name, lambda *_, name=name: name)
    monkeypatch.setattr("modeling_elmo.model.lstm_elmo.unsupported_reason", lambda device, dtype: reason)
    assert projected_lstm(**problem(device="meta")) == selected
    assert projected_lstm(**problem()) == "packed"
