# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The commands `elmo vocabulary`, `train`, `perplexity`, and `substitutes`."""
