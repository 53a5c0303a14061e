# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Run mypy on the packages as the wheel lays them out, with `conversion` as `modeling_elmo.conversion`.

    python .ci/check_types.py [MYPY OPTIONS]

In the repository itself, mypy cannot resolve the name `modeling_elmo.conversion`, so every value behind it is `Any`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def link_tree(target: Path) -> list[str]:
    """Link the installed packages and modules into `target` and return mypy's arguments that select them."""
    package = target / "modeling_elmo"
    package.mkdir()
    for path in (ROOT / "modeling_elmo").iterdir():
        (package / path.name).symlink_to(path)
    (package / "conversion").symlink_to(ROOT / "conversion")
    selection = ["--package", "modeling_elmo"]
    for path in ROOT.glob("*.py"):
        if path.name != "setup.py":
            (target / path.name).symlink_to(path)
            selection += ["--module", path.stem]
    return selection


def main() -> int:
    """Run mypy in a temporary tree and return its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        selection = link_tree(Path(folder))
        options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
        command = [sys.executable, "-m", "mypy", *options, *selection, *sys.argv[1:]]
        return subprocess.run(command, cwd=folder, env={**os.environ, "MYPYPATH": folder}).returncode


if __name__ == "__main__":
    sys.exit(main())
