# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""All tolerances of the tests, as maximum absolute differences with reasons, and the comparison of tensors."""

from typing import Any

import numpy as np
import torch

# float64 against the NumPy oracle: two orders of summation, over a few thousand terms.
ORACLE = 1e-12
# float32 against TensorFlow's reference vectors. The publishers' tests allow 1e-6; float32 NumPy reaches 1.4e-6.
TENSORFLOW = 2e-6
# float32, the same sentence in different batches: BLAS selects kernels, and thereby the order of summation, by shape.
BATCHING_SMALL = 1e-6
BATCHING_ORIGINAL = 1e-5
# float32, the same batch computed in two ways.
SAME_BATCH = 1e-6
# float64 derivatives against central differences of step 1e-6.
FINITE_DIFFERENCES = 1e-6
# Vectors of magnitude 1, computed with 8 and with 11 bits of precision.
BFLOAT16 = 6e-2
FLOAT16 = 8e-3
# float32, prepacked linear layers and sums in another order than eager mode, weights of magnitude 1.
PACKED = 2e-6
# Int8 weights: the minimum cosine similarity of a word's layer to the exact layer, and the maximum error of one weight
# in quantization steps (half a step plus float32 rounding).
COSINE = 0.999
INT8_ROUNDING = 0.51
# Linear layer with int8 weights, result and addends each rounded to bfloat16: relative to the largest sum.
INT8_LINEAR = 2 * 2**-7
# One rounding of an exact result to a neighboring value of a dtype, in units of its epsilon.
ROUNDING = 1.1


def assert_close(name: str, got: Any, want: Any, tolerance: float) -> None:
    """Check that two tensors or arrays have the same shape and differ by at most `tolerance` in every element.

    Raises:
        AssertionError: If they differ. The first line has `name`, the largest error, its index, and the tolerance.
    """
    __tracebackhide__ = True
    got, want = _to_float64(got), _to_float64(want)
    if got.shape != want.shape:
        raise AssertionError(f"{name}: got shape {list(got.shape)}, want {list(want.shape)}")
    with np.errstate(invalid="ignore"):
        errors = np.where(got == want, 0.0, np.abs(got - want))  # equal infinities have no error
    errors[np.isnan(errors)] = np.inf
    if errors.size and errors.max() > tolerance:
        index = tuple(int(i) for i in np.unravel_index(errors.argmax(), errors.shape))
        raise AssertionError(
            f"{name}: largest error {errors[index]:.3g} at {list(index)} exceeds tolerance {tolerance:.3g} "
            f"(got {got[index]:.9g}, want {want[index]:.9g}; {(errors > tolerance).sum()} of {errors.size} elements)"
        )


def _to_float64(values: Any) -> np.ndarray:
    return values.detach().cpu().double().numpy() if isinstance(values, torch.Tensor) else np.asarray(values, float)
