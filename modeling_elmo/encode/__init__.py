# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The engine of `ElmoEncoder`, `elmo embed` and Spark: windows of sentences in, windows of vectors out."""
