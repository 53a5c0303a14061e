# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Fetch transformers' own common tests, as they are in the source distribution of the installed version.

    python tests/common/fetch.py [--oldest] [--into DIR]

With --oldest also the oldest transformers that the package supports, for the test that loads remote code there.

Nothing of them enters the tree. DIR is a cache of one folder a version, by default the user's; with another one, name
it in TRANSFORMERS_COMMON_TESTS when the tests run.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

# The lower bound in pyproject.toml, with what it needs that newer releases have outgrown.
OLDEST = ("transformers==4.57.1", "huggingface-hub==0.36.2", "tokenizers==0.22.2")
CACHE_VARIABLE = "TRANSFORMERS_COMMON_TESTS"


def cache_folder() -> Path:
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "modeling_elmo")


def release() -> str:
    """The installed transformers, by the name of its source distribution."""
    return f"transformers-{version('transformers')}"


def fetch(into: Path) -> Path:
    """The folder of the installed version; downloads nothing if it is there."""
    target = into / release()
    if target.is_dir():
        return target
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as scratch:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        requirement = f"transformers=={version('transformers')}"
        subprocess.run([*download, "--dest", scratch, requirement], check=True)
        with tarfile.open(Path(scratch, f"{release()}.tar.gz")) as archive:
            tests = [member for member in archive if member.name.startswith(f"{release()}/tests/")]
            archive.extractall(scratch, tests, filter="data")
        try:
            Path(scratch, release()).rename(target)  # complete, or not at all
        except OSError:
            if not target.is_dir():  # another run was not faster either
                raise
    return target


def oldest_folder(into: Path) -> Path:
    """Where `fetch_oldest` puts it; to be put first in PYTHONPATH."""
    return into / f"packages-{OLDEST[0].replace('==', '-')}"


def fetch_oldest(into: Path) -> Path:
    """The oldest supported transformers in a folder; downloads nothing if it is there."""
    target = oldest_folder(into)
    if not target.is_dir():
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as scratch:
            install = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--target",
                f"{scratch}/packages",
            ]
            subprocess.run([*install, *OLDEST], check=True)
            Path(scratch, "packages").rename(target)
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fetch transformers' own common tests.")
    parser.add_argument("--into", type=Path, default=cache_folder(), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--oldest", action="store_true", help="the oldest supported transformers too")
    arguments = parser.parse_args()
    print(fetch(arguments.into))
    if arguments.oldest:
        print(fetch_oldest(arguments.into))
