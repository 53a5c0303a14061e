# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The wheel and the source distribution hold what the tree holds."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers.small_models import ROOT


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build folder is left in the tree, and the wheel from the source distribution."""
    pytest.importorskip("build", reason="building needs the package build")
    copy, output = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("needs a git checkout, to know which files belong to the tree")
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(copy)]
    run = subprocess.run(build, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return output


def files(folder: str, *patterns: str) -> set[str]:
    return {
        path.relative_to(ROOT / folder).as_posix() for pattern in patterns for path in (ROOT / folder).glob(pattern)
    }


def test_the_wheel_holds_both_packages_and_nothing_else(archives: Path) -> None:
    (wheel,) = archives.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert archive.read("modeling_elmo/conversion/model_card.md") == (ROOT / "model_card.md").read_bytes()
    expected = {f"modeling_elmo/{name}" for name in files("modeling_elmo", "**/*.py", "py.typed")}
    expected |= {f"modeling_elmo/conversion/{name}" for name in files("conversion", "**/*.py", "**/*.toml")}
    expected |= {f"modeling_elmo/elmo_small_en/{name}" for name in files("modeling_elmo/elmo_small_en", "*")}
    assert names == expected | {"modeling_elmo/conversion/model_card.md"}
    assert wheel.stat().st_size <= 12e6


def test_the_source_distribution_builds_the_wheel(archives: Path) -> None:
    (sdist,) = archives.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {Path(*Path(name).parts[1:]).as_posix() for name in archive.getnames()}
    assert {"model_card.md", "LICENSE", "README.md", "pyproject.toml", "setup.py"} <= names
