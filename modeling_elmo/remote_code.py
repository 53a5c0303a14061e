# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Remote code: the Python files with which a model folder loads without this package."""

from importlib import resources
from pathlib import Path


def write_code(folder: Path) -> None:
    """Copy the files of `modeling_elmo.model` to a model folder, for `trust_remote_code=True`."""
    for file in resources.files("modeling_elmo.model").iterdir():
        if file.name.endswith("_elmo.py"):
            (folder / file.name).write_bytes(file.read_bytes())
