# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Several test processes share the processor, so threads that wait must not keep it busy."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is imported
