# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Old names, shapes and options, and what they are in the model."""
