# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Fetch the public test data that the repository does not contain.

    python tests/fetch.py [--into DIR]

It fetches three packages from PyPI: the source distribution of the installed transformers, for its common tests;
the oldest supported transformers, to load remote code with it; and the reference fixtures in the wheel of AllenNLP.

DIR is a cache with one folder per package and version. To use another cache, set ELMO_TEST_CACHE during the tests, too.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

CACHE_VARIABLE = "ELMO_TEST_CACHE"
# The lower bound in pyproject.toml, with the dependencies whose newer releases it rejects.
OLDEST = ("transformers==4.57.1", "huggingface-hub==0.36.2", "tokenizers==0.22.2")
ALLENNLP = "allennlp==0.9.0 --hash=sha256:353752e7b78e48c450e27889d80a3000c4a9af34f70ff9091b3031ad01320940"
_FIXTURES = "allennlp/tests/fixtures"
_FIXTURE_FOLDERS = ("elmo", "elmo_multilingual", "language_model")
_PIP = (sys.executable, "-m", "pip")


def cache_folder() -> Path:
    """Return the folder of all fetched packages."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "modeling_elmo")


def transformers_folder(cache: Path) -> Path:
    """Return the folder of the source distribution of the installed transformers."""
    return cache / f"transformers-{version('transformers')}"


def oldest_folder(cache: Path) -> Path:
    """Return the folder of the oldest supported transformers, to be put first in PYTHONPATH."""
    return cache / f"packages-{OLDEST[0].replace('==', '-')}"


def allennlp_folder(cache: Path) -> Path:
    """Return the folder of AllenNLP's reference fixtures."""
    return cache / f"fixtures-{ALLENNLP.split()[0].replace('==', '-')}"


def fetch_transformers(scratch: Path) -> Path:
    """Download the tests of the installed transformers into `scratch` and return their folder."""
    requirement = f"transformers=={version('transformers')}"
    download = [*_PIP, "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(scratch)]
    subprocess.run([*download, requirement], check=True)
    folder = transformers_folder(scratch)
    with tarfile.open(f"{folder}.tar.gz") as archive:
        tests = [member for member in archive if member.name.startswith(f"{folder.name}/tests/")]
        archive.extractall(scratch, tests, filter="data")
    return folder


def fetch_oldest(scratch: Path) -> Path:
    """Install the oldest supported transformers into `scratch` and return its folder."""
    folder = oldest_folder(scratch)
    subprocess.run([*_PIP, "install", "--quiet", "--no-deps", "--target", str(folder), *OLDEST], check=True)
    return folder


def fetch_allennlp(scratch: Path) -> Path:
    """Download AllenNLP's wheel into `scratch`, check its hash, and return the folder of its fixtures."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(ALLENNLP)
    download = [*_PIP, "download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(scratch)]
    subprocess.run([*download, "--requirement", str(requirements)], check=True)
    (wheel,) = scratch.glob("*.whl")
    prefixes = tuple(f"{_FIXTURES}/{name}/" for name in _FIXTURE_FOLDERS)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch, [name for name in archive.namelist() if name.startswith(prefixes)])
    return scratch / _FIXTURES


def fetch_once(target: Path, fetch: Callable[[Path], Path]) -> Path:
    """Return `target`, and create it with `fetch` if it is missing. Safe in concurrent processes."""
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            folder = fetch(Path(scratch))
            try:
                folder.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was faster
                    raise
    return target


def main() -> None:
    """Fetch everything that is missing from the cache and print the folders."""
    parser = argparse.ArgumentParser(description="Fetch the public test data that the repository does not contain.")
    parser.add_argument("--into", type=Path, default=cache_folder(), metavar="DIR", help="default: %(default)s")
    cache = parser.parse_args().into
    print(fetch_once(transformers_folder(cache), fetch_transformers))
    print(fetch_once(oldest_folder(cache), fetch_oldest))
    print(fetch_once(allennlp_folder(cache), fetch_allennlp))


if __name__ == "__main__":
    main()
