# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion of ELMo checkpoints (options.json and HDF5 weights, and other formats) to Hugging Face folders, and back.

The entry points are `convert.convert`, `export.export`, and `verify.verify`; `mapping.name_map` is the table of weight
names between the two sides.
"""
