# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Values that several project files repeat are the same in all of them."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from helpers.small_models import ROOT

from modeling_elmo import __version__, bundled_model_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
URL = PROJECT["urls"]["Repository"]


def read(name: str) -> str:
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"requires a checkout, which has {name}")
    return path.read_text(encoding="utf-8")


def documents() -> list[Path]:
    """Return all files with the repository's URL: README, cards, notebooks, citation, and security policy."""
    paths = [ROOT / name for name in ("README.md", "model_card.md", "CITATION.cff", "SECURITY.md")]
    notebooks = [path for folder in ("docs", "examples") for path in (ROOT / folder).rglob("*.ipynb")]
    return [*paths, bundled_model_path() / "README.md", *notebooks]


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_documents_have_the_url_of_the_repository(path: Path) -> None:
    text = read(str(path))
    found = re.findall(r"https://github\.com/[^/\s]+/modeling_elmo\b", text)
    assert found
    assert set(found) == {URL}


def test_the_owner_of_the_repository_is_a_placeholder() -> None:
    assert URL == "https://github.com/OWNER/modeling_elmo"


def test_citation_has_the_version_and_the_license() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == __version__
    assert citation["license"] == PROJECT["license"]
    assert citation["preferred-citation"]["year"] == 2018


def test_ci_runs_the_commands_of_the_readme() -> None:
    for name in ("first command", "test command"):
        assert len(re.findall(rf"<!-- {name} -->\n```bash\n(.+)\n```", read("README.md"))) == 1
        assert f"readme_command '{name}'" in read(".ci/run")


def test_pre_commit_runs_the_ruff_of_ci() -> None:
    (hook,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert f"\nruff=={hook['rev'].removeprefix('v')}\n" in read("constraints.txt")


def test_workflows_run_the_script_on_all_supported_versions() -> None:
    jobs = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]
    assert jobs["all"]["steps"][-1]["run"] == ".ci/run"
    assert jobs["quick"]["steps"][-1]["run"] == ".ci/run quick"
    versions = jobs["quick"]["strategy"]["matrix"]["python"]
    assert PROJECT["requires-python"] == f">={versions[0]}"
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert named == versions


@pytest.mark.parametrize("name", ["bug", "checkpoint", "feature"])
def test_issue_forms_have_the_required_keys(name: str) -> None:
    form = yaml.safe_load(read(f".github/ISSUE_TEMPLATE/{name}.yml"))
    assert {"name", "description", "body"} <= set(form)
    identifiers = [field["id"] for field in form["body"]]
    assert len(identifiers) == len(set(identifiers))
    assert all(field["attributes"]["label"] for field in form["body"])
