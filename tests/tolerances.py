# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Every tolerance of the tests, each the largest absolute difference that is allowed, with its reason."""

# float64 against the NumPy oracle: two summation orders of sums of some thousand terms.
ORACLE = 1e-12
# float32 against TensorFlow's reference vectors; the publishers' own tests allow 1e-6, float32 NumPy reaches 1.4e-6.
TENSORFLOW = 2e-6
# float32, the same sentence in different batches: BLAS picks kernels, and so orders of summation, by shape.
BATCHING_SMALL = 1e-6
BATCHING_ORIGINAL = 1e-5
# float32, the same computation by another route on the same batch.
SAME_BATCH = 1e-6
# Derivatives in float64 against central differences of step 1e-6.
FINITE_DIFFERENCES = 1e-6
# Vectors of order 1 computed with 8 and with 11 bits of precision.
BFLOAT16 = 6e-2
FLOAT16 = 8e-3
# float32, packed products and sums in another order than the reference's, weights of order 1.
PACKED = 2e-6
