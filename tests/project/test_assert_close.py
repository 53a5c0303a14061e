# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The comparison of tensors names the tensor, the error, its index, and the tolerance."""

import re

import numpy as np
import pytest
import torch
from helpers.small_models import inputs, tiny_model
from helpers.tolerances import SAME_BATCH, assert_close


def first_line(name: str, got: object, want: object, tolerance: float) -> str:
    with pytest.raises(AssertionError) as failure:
        assert_close(name, got, want, tolerance)
    return str(failure.value).splitlines()[0]


def test_differences_up_to_the_tolerance_pass() -> None:
    assert_close("exact", torch.tensor([1.0, torch.inf]), np.array([1.0, np.inf]), 0.0)
    assert_close("mixed dtypes", torch.tensor([0.5, 1.0], dtype=torch.bfloat16), [0.5, 1.25], 0.25)
    assert_close("empty", torch.zeros(0, 3), np.zeros((0, 3)), 0.0)


def test_the_largest_error_is_located() -> None:
    got = torch.zeros(2, 3)
    got[0, 1], got[1, 2] = 0.1, -0.5
    line = first_line("hidden", got, np.zeros((2, 3)), 1e-6)
    assert line == "hidden: largest error 0.5 at [1, 2] exceeds tolerance 1e-06 (got -0.5, want 0; 2 of 6 elements)"


@pytest.mark.parametrize("got", [float("nan"), float("inf")])
def test_values_that_are_not_finite_fail(got: float) -> None:
    assert first_line("hidden", [0.0, got], [0.0, 1.0], 1e9).startswith("hidden: largest error inf at [1] exceeds")
    assert first_line("hidden", [0.0, 1.0], [0.0, got], 1e9).startswith("hidden: largest error inf at [1] exceeds")


def test_shapes_are_compared_without_broadcasting() -> None:
    assert first_line("hidden", np.zeros((2, 1)), np.zeros((2, 3)), 1.0) == "hidden: got shape [2, 1], want [2, 3]"


def test_a_wrong_bias_gradient_is_named() -> None:
    """An error of 1 % in one gradient of a model."""
    model = tiny_model()
    model(**inputs([["a", "b"]]))[0].square().sum().backward()
    want = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    name = next(name for name in want if "layers.1" in name and name.endswith("bias"))
    model.get_parameter(name).grad *= 1.01

    def compare_all() -> None:
        for key, gradient in want.items():
            assert_close(key, model.get_parameter(key).grad, gradient, SAME_BATCH)

    with pytest.raises(AssertionError, match=rf"\A{re.escape(name)}: largest error .* exceeds tolerance"):
        compare_all()
