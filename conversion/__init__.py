# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Old ELMo checkpoints (options.json and HDF5 weights) to Hugging Face folders, and back.

Start at `convert.convert`, `export.export` and `verify.verify`; `name_map` is the table of weight names between them.
"""
