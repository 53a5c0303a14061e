# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The types that a user's mypy sees in the installed wheel."""

import subprocess
import sys
from pathlib import Path

import pytest

import modeling_elmo

# mypy takes twice as long if it reads transformers, and the public types do not depend on it.
CONFIGURATION = "[mypy]\nstrict = True\n[mypy-transformers.*]\nfollow_imports = skip\n"


def test_public_types_are_those_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="requires the package `mypy`")
    if "site-packages" not in Path(modeling_elmo.__file__).parts:
        pytest.skip("requires an installed wheel, as in the wheel lane of .ci/run")
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from modeling_elmo import bundled_model_path\n\nbundled_model_path().missing\n")
    command = [sys.executable, "-m", "mypy", str(Path(__file__).with_name("typed_api.py")), str(wrong)]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    first, *others = output.splitlines()
    assert first == 'wrong.py:3: error: "Path" has no attribute "missing"  [attr-defined]', output
    assert others == ["Found 1 error in 1 file (checked 2 source files)"], output
