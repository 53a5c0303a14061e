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
# Weights of eight bits: the least cosine of a word's layer to the exact one; and the most that a number is off, in
# steps (half a step, and float32's rounding).
COSINE = 0.999
EIGHT_BITS = 0.51
# Rows times a weight of eight bits, result and addends each rounded to bfloat16: relative to the largest sum.
EIGHT_BIT_PRODUCT = 2 * 2**-7
# One rounding of an exact result to the next number, or its neighbour, of a type: in units of its epsilon.
ROUNDED = 1.1
