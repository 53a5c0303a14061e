# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Python code in a new process, optionally without `modeling_elmo`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Makes the import of the package fail, so that only the code in the model folder can run.
_BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "modeling_elmo":
            raise ImportError("modeling_elmo is not installed here")
sys.meta_path.insert(0, Block())
"""


def run(code: str, environment: Mapping[str, str] | None = None, without_package: bool = False) -> Any:
    """Run `code` in a new process and return the value of its variable `result`, which must be JSON-serializable."""
    code = f"{_BLOCK if without_package else ''}\n{code}\nimport json\nprint(json.dumps(result))"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **(environment or {})}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def with_transformers(folder: Path) -> dict[str, str]:
    """Return the environment variables with which the packages in `folder` precede the installed ones."""
    return {"PYTHONPATH": str(folder)}
