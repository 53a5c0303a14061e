# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The Python files that make a model folder load with `trust_remote_code=True`."""

from importlib import resources
from pathlib import Path


def write_code(folder: Path) -> None:
    """Copy the files of `modeling_elmo.model`, with which a folder loads where this package is not installed."""
    for file in resources.files("modeling_elmo.model").iterdir():
        if file.name.endswith("_elmo.py"):
            (folder / file.name).write_bytes(file.read_bytes())
