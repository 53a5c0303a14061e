# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The model card: `model_card.md` with its `${name}` fields filled in."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

TEMPLATE_NAME = "model_card.md"


def template_text() -> str:
    """The template: beside this file where the package is installed, one folder up in the source tree."""
    beside = resources.files(__package__).joinpath(TEMPLATE_NAME)
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    above = Path(__file__).resolve().parent.parent / TEMPLATE_NAME
    if above.is_file():
        return above.read_text(encoding="utf-8")
    raise FileNotFoundError(f"the package must have {TEMPLATE_NAME}; it lies neither in {above.parent} nor beside card.py.")


def render(template: str, fields: Mapping[str, str]) -> str:
    """`template` with every `${name}` replaced; ValueError names those that `fields` lacks. `$$` is a dollar sign."""
    # Not Template.get_identifiers: Python 3.10 has not got it.
    found = [match["named"] or match["braced"] for match in Template.pattern.finditer(template)]
    missing = sorted({name for name in found if name and name not in fields})
    if missing:
        raise ValueError(f"the model card's fields must be among {', '.join(sorted(fields))}; got {', '.join(missing)}.")
    return Template(template).substitute(fields)


def metadata(language: str | None, license: str | None) -> str:
    """The YAML lines between the card's `---`: what the Hub shows and filters by. What is not known is left out."""
    lines = [f"license: {license}"] if license else []
    lines += [f"language: {language}"] if language else []
    lines += ["library_name: transformers", "pipeline_tag: feature-extraction", "tags:", "- elmo", "- bilm"]
    return "\n".join(lines)
