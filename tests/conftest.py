# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Settings of all test processes."""

import os

# Test processes share the cores, so waiting OpenMP threads must sleep. OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
