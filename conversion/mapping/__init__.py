# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Mapping between the names, shapes, and options of bilm-tf checkpoints and those of the model."""
