# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The recurrence for GPUs: on one where there is one, and in Triton's interpreter where triton can be imported."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.run_python import run
from helpers.small_models import ROOT, SENTENCES, inputs, max_difference, tiny_model
from helpers.tolerances import BFLOAT16, FLOAT16, PACKED, SAME_BATCH

from modeling_elmo.model import lstm_triton_elmo
from modeling_elmo.model.lstm_elmo import IMPLEMENTATIONS, LstmOptions, LstmWeights, projected_lstm

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton cannot be imported")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

TOLERANCES = {"float32": PACKED, "bfloat16": BFLOAT16, "float16": FLOAT16}
RAGGED = [5, 5, 4, 4, 4, 2, 1, 1, 1]
CASES: dict[str, dict[str, Any]] = {
    "ragged": {},
    "no clips": {"clips": (None, None)},
    "cell clip": {"clips": (0.6, None)},
    "projection clip": {"clips": (None, 0.5)},
    "no projection": {"projected": False},
    "no projection, no clips": {"projected": False, "clips": (None, None)},
    "one direction": {"directions": 1},
    "one sentence": {"batch_sizes": [1, 1, 1]},
    "one step": {"batch_sizes": [3]},
    "no step": {"batch_sizes": []},
    "several blocks of cells": {"cells": 1027, "batch_sizes": [2, 1]},
    "bfloat16": {"dtype": "bfloat16"},
    "float16": {"dtype": "float16"},
    "bfloat16, no projection": {"dtype": "bfloat16", "projected": False},
}


def problem(
    device: str,
    dtype: str = "float32",
    projected: bool = True,
    directions: int = 2,
    cells: int = 7,
    batch_sizes: list[int] = RAGGED,
    clips: tuple[float | None, float | None] = (0.6, 0.5),
) -> dict[str, Any]:
    """Arguments of `projected_lstm`, all of which want gradients."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        # Sums of order one whatever the number of cells.
        numbers = torch.randn(shape, generator=generator) * (shape[-1] ** -0.5 if len(shape) == 2 else 1)
        return numbers.to(device, getattr(torch, dtype)).requires_grad_()

    size = 3 if projected else cells
    weights = [
        LstmWeights(
            draw(4 * cells, 6), draw(4 * cells, size), draw(4 * cells), draw(size, cells) if projected else None
        )
        for _ in range(directions)
    ]
    rows = max(batch_sizes, default=3) + 1  # a sentence without a single step keeps its state
    cell = draw(directions, rows, cells).detach().float().requires_grad_()
    return {
        "inputs": draw(directions, sum(batch_sizes), 6),
        "batch_sizes": batch_sizes,
        "weights": weights,
        "hidden": draw(directions, rows, size),
        "cell": cell,
        "options": LstmOptions(*clips, forget_bias=1.0),
    }


def in_double(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same numbers on a CPU in float64."""

    def double(tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else tensor.detach().cpu().double().requires_grad_()

    weights = [LstmWeights(*(double(matrix) for matrix in direction)) for direction in arguments["weights"]]
    return {**arguments, **{name: double(arguments[name]) for name in ("inputs", "hidden", "cell")}, "weights": weights}


def outputs_and_gradients(implementation: str, arguments: dict[str, Any]) -> list[torch.Tensor]:
    result = projected_lstm(**arguments, implementation=implementation)
    leaves = [arguments["inputs"], arguments["hidden"], arguments["cell"]]
    leaves += [w for direction in arguments["weights"] for w in direction if w is not None]
    total = sum((part * torch.arange(part.numel()).sin().to(part).view_as(part)).double().sum() for part in result)
    return [*result, *torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)]


def differences(device: str, **case: Any) -> list[float]:
    """Of outputs, final states and all gradients, to the reference in float64, relative to what exceeds 1."""
    arguments = problem(device, **case)
    torch.use_deterministic_algorithms(True, warn_only=True)  # torch.empty gives NaN: what is never written shows
    got = outputs_and_gradients("cuda", arguments)
    with torch.no_grad():
        without_trace = projected_lstm(**arguments, implementation="cuda")
    torch.use_deterministic_algorithms(False)
    expected = outputs_and_gradients("reference", in_double(arguments))
    assert [tensor.dtype for tensor in got[3:6]] == [arguments[name].dtype for name in ("inputs", "hidden", "cell")]
    pairs = zip([*got, *without_trace], [*expected, *expected[:3]], strict=True)
    # A NaN must not get lost in a maximum.
    return [
        max_difference(ours.detach().cpu(), theirs.detach()) / max(1.0, float(theirs.abs().max()))
        for ours, theirs in pairs
        if theirs.numel()
    ]


def model_difference(device: str) -> float:
    """Of a model's vectors and a gradient, by this recurrence and by the reference, to one another."""
    results = []
    for recurrence in ("cuda", "reference"):
        model = tiny_model().to(device)
        model.config.recurrence = recurrence
        vectors = model(**{name: tensor.to(device) for name, tensor in inputs(SENTENCES).items()})[0]
        vectors.sin().sum().backward()
        gradient = model.layers[0].directions[1].state_linearity.weight.grad
        results.append((vectors.detach().cpu(), gradient.cpu() / gradient.abs().max().cpu()))
    return max(max_difference(*pair) for pair in zip(*results, strict=True))


def small_chunks_difference(device: str, monkeypatch: Any) -> float:
    """Of a result in several chunks to that in one."""
    arguments = problem(device)
    with torch.no_grad():
        whole = projected_lstm(**arguments, implementation="cuda")
        monkeypatch.setattr(lstm_triton_elmo, "CHUNK_BYTES", 300)
        chunked = projected_lstm(**arguments, implementation="cuda")
    return max(max_difference(*pair) for pair in zip(whole, chunked, strict=True))


_INTERPRETED = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(ROOT / "tests")!r}]
import pytest, torch
import test_lstm_triton
from modeling_elmo.model import lstm_triton_elmo
torch.set_num_threads(1)
assert lstm_triton_elmo.is_interpreted()
result = {{name: test_lstm_triton.differences("cpu", **case) for name, case in test_lstm_triton.CASES.items()}}
result["model"] = test_lstm_triton.model_difference("cpu")
with pytest.MonkeyPatch.context() as monkeypatch:
    result["chunks"] = test_lstm_triton.small_chunks_difference("cpu", monkeypatch)
try:
    test_lstm_triton.projected_lstm(**test_lstm_triton.problem("cpu", "float64"), implementation="cuda")
except ValueError as error:
    result["float64"] = str(error)
"""


@pytest.fixture(scope="module")
def interpreted() -> dict[str, Any]:
    """What Triton's interpreter, which must be chosen before the import, made of all cases."""
    return run(_INTERPRETED, {"TRITON_INTERPRET": "1"})


def check(case: str, found: list[float]) -> None:
    tolerance = TOLERANCES[CASES[case].get("dtype", "float32")]
    assert found
    assert all(difference <= tolerance for difference in found), found


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_interpreted_kernels_equal_the_reference(case: str, interpreted: dict[str, Any]) -> None:
    check(case, interpreted[case])


@needs_triton
def test_interpreted_kernels_in_a_model_and_in_chunks(interpreted: dict[str, Any]) -> None:
    assert interpreted["model"] <= SAME_BATCH
    assert interpreted["chunks"] <= PACKED
    assert interpreted["float64"] == ("recurrence 'cuda' needs float32, bfloat16 or float16; got torch.float64.")


_COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from modeling_elmo.model import lstm_triton_elmo
result = []
for kernel, kinds in ((lstm_triton_elmo._forward_kernel, "ddwwdw"), (lstm_triton_elmo._backward_kernel, "dwwwwd")):
    for low, flag in (("fp32", False), ("bf16", True)):
        constants = {"CELLS": 1027, "CLIPPED": flag, "BLOCK": 1024, **({"KEEP": flag} if kinds[0:2] == "dd" else {})}
        types = ["*" + (low if kind == "d" else "fp32") for kind in kinds] + ["i64"] * 6 + ["fp32"]
        names = kernel.arg_names
        signature = dict(zip(names, types)) | {name: "constexpr" for name in constants}
        source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=constants)
        result.append(len(triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["cubin"]))
"""


@needs_triton
def test_kernels_compile_for_a_gpu_without_one() -> None:
    sizes = run(_COMPILED, {"TRITON_INTERPRET": "0"})
    assert len(sizes) == 4
    assert min(sizes) > 1000


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("case", CASES)
def test_kernels_equal_the_reference_on_a_gpu(case: str) -> None:
    check(case, differences("cuda", **CASES[case]))


@pytest.mark.gpu
@needs_gpu
def test_a_model_and_chunks_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_difference("cuda") <= SAME_BATCH * 10  # the reference's products are the GPU's too
    assert small_chunks_difference("cuda", monkeypatch) <= PACKED


# ---------------------------------------------------------------- the choice


@pytest.mark.skipif(lstm_triton_elmo.is_interpreted(), reason="with the interpreter it runs on a CPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(ValueError, match="recurrence 'cuda' needs tensors on a CUDA device; got cpu"):
        projected_lstm(**problem("cpu"), implementation="cuda")


def test_every_obstacle_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 99)
    monkeypatch.setattr(lstm_triton_elmo, "triton", None)
    assert "needs the package triton" in str(lstm_triton_elmo.obstacle(device, torch.float32))
    monkeypatch.setattr(lstm_triton_elmo, "triton", object())
    assert "got torch.float64" in str(lstm_triton_elmo.obstacle(device, torch.float64))
    monkeypatch.setitem(lstm_triton_elmo._trials, device, "cannot run")
    assert lstm_triton_elmo.obstacle(device, torch.float16) == "cannot run"
    monkeypatch.setitem(lstm_triton_elmo._trials, device, None)
    assert lstm_triton_elmo.obstacle(device, torch.float16) is None


def test_kernels_that_fail_or_are_wrong_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no C compiler")

    def wrong(ahead: Any, recurrent: Any, before: Any, cell: Any, gated: torch.Tensor, *_: Any) -> None:
        gated.zero_()

    def silent(*_: Any) -> None:  # and NaN is no number
        pass

    monkeypatch.setattr(lstm_triton_elmo, "_forward_step", broken)
    reason = lstm_triton_elmo._try_out(torch.device("cpu"))
    assert reason == "cannot run its kernels here: RuntimeError: no C compiler"
    for step in (wrong, silent):
        monkeypatch.setattr(lstm_triton_elmo, "_forward_step", step)
        torch.use_deterministic_algorithms(True)
        reason = lstm_triton_elmo._try_out(torch.device("cpu"))
        torch.use_deterministic_algorithms(False)
        assert reason == "computes wrong numbers here"


@pytest.mark.parametrize(("reason", "chosen"), [(None, "cuda"), ("cannot", "reference")])
def test_auto_takes_what_can_run(reason: str | None, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(IMPLEMENTATIONS):
        monkeypatch.setitem(IMPLEMENTATIONS, name, lambda *_, name=name: name)
    monkeypatch.setattr("modeling_elmo.model.lstm_elmo.obstacle", lambda device, dtype: reason)
    assert projected_lstm(**problem("meta"), implementation="auto") == chosen
    assert projected_lstm(**problem("cpu"), implementation="auto") == "cpu"
