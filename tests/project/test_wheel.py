# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The wheel and the source distribution contain the files of the repository."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers.small_models import ROOT

pytestmark = pytest.mark.slow

# Files that the build creates, by their names in the wheel.
BUILT_FILES: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, so that the repository has no build folder; the wheel from the source distribution."""
    pytest.importorskip("build", reason="requires the package `build`")
    copy, output = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("requires a git checkout, which lists the files of the repository")
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


def test_the_wheel_equals_the_tree(archives: Path) -> None:
    (wheel,) = archives.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert archive.read("modeling_elmo/conversion/model_card.md") == (ROOT / "model_card.md").read_bytes()
    expected = {f"modeling_elmo/{name}" for name in files("modeling_elmo", "**/*.py", "py.typed")}
    expected |= {f"modeling_elmo/conversion/{name}" for name in files("conversion", "**/*.py", "**/*.toml")}
    expected |= {f"modeling_elmo/elmo_small_en/{name}" for name in files("modeling_elmo/elmo_small_en", "*")}
    expected |= {"modeling_elmo/conversion/model_card.md"} | (files(".", "*.py") - {"setup.py"})
    assert names - BUILT_FILES == expected
    assert wheel.stat().st_size <= 12e6


def test_the_source_distribution_builds_the_wheel(archives: Path) -> None:
    (sdist,) = archives.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {Path(*Path(name).parts[1:]).as_posix() for name in archive.getnames()}
    assert {"model_card.md", "LICENSE", "README.md", "pyproject.toml", "setup.py"} <= names
