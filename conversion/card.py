# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The model card: `model_card.md` with its `${name}` fields filled in."""

from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

from modeling_elmo._version import __version__
from modeling_elmo.model.configuration_elmo import CHARACTER_INPUT, ElmoConfig

from .verify import Row

TEMPLATE_NAME = "model_card.md"
_CONVERTED = (
    "Converted to PyTorch and safetensors; vectors agree with the original implementation's to float32 precision, and "
    "a sentence"
)


def template_text() -> str:
    """The template: beside this file where the package is installed, one folder up in the source tree."""
    beside = resources.files(__package__).joinpath(TEMPLATE_NAME)
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    above = Path(__file__).resolve().parent.parent / TEMPLATE_NAME
    if above.is_file():
        return above.read_text(encoding="utf-8")
    raise FileNotFoundError(
        f"the package must have {TEMPLATE_NAME}; it lies neither in {above.parent} nor beside card.py."
    )


def render(template: str, fields: Mapping[str, str]) -> str:
    """`template` with every `${name}` replaced; ValueError names those that `fields` lacks. `$$` is a dollar sign."""
    # Not Template.get_identifiers: Python 3.10 has not got it.
    found = [match["named"] or match["braced"] for match in Template.pattern.finditer(template)]
    missing = sorted({name for name in found if name and name not in fields})
    if missing:
        raise ValueError(
            f"the model card's fields must be among {', '.join(sorted(fields))}; got {', '.join(missing)}."
        )
    return Template(template).substitute(fields)


def metadata(language: str | None, license: str | None, base_model: str | None = None) -> str:
    """The YAML lines between the card's `---`: what the Hub shows and filters by. What is not known is left out."""
    lines = [f"license: {license}"] if license else []
    lines += [f"language: {language}"] if language else []
    lines += [f"base_model: {base_model}"] if base_model else []
    lines += [
        "library_name: transformers",
        "pipeline_tag: feature-extraction",
        "tags:",
        "- elmo",
        "- bilm",
        "- sentence-transformers",
    ]
    return "\n".join(lines)


def architecture(config: ElmoConfig) -> str:
    """One phrase: `2 bidirectional LSTM layers of 4096 cells, vectors of 1024 numbers`."""
    layers = f"{config.num_hidden_layers} LSTM layer{'s' if config.num_hidden_layers > 1 else ''}"
    direction = "bidirectional" if config.bidirectional else "forward"
    words = "from characters" if config.input_type == CHARACTER_INPUT else f"from {config.vocab_size - 1} words"
    return f"{layers} ({direction}, {words}) of {config.cell_size} cells, vectors of {config.hidden_size} numbers"


def layer_table(config: ElmoConfig) -> str:
    """The outputs by name, with their sizes, as rows of a Markdown table."""
    rows = [("word_emb", config.projection_size, "the word alone, without its context")]
    for layer in range(1, config.num_hidden_layers + 1):
        rows.append((f"lstm_outputs{layer}", config.hidden_size, f"LSTM layer {layer}"))
    if config.has_scalar_mix:
        rows.append(("elmo", config.hidden_size, "the weighted sum of all layers, weights trainable"))
    return "\n".join(f"| `{name}` | {size} | {what} |" for name, size, what in rows)


def versions() -> str:
    """Of this package and what it runs on."""
    others = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    return f"modeling_elmo {__version__}, {others}"


def source_table(conversion: Mapping[str, Any]) -> str:
    """The conversion's record: each file of the source with its digest, what it was and what made it this, as rows."""
    files = conversion["files"].items()
    rows = [(what, f"`{file['name']}`, sha256 `{file['sha256']}`") for what, file in files]
    rows += [("format", conversion["format"])] if conversion.get("format") else []
    rows += [("known as", conversion.get("checkpoint") or "none"), ("converted by", conversion["tool"])]
    return "\n".join(f"| {what} | {value} |" for what, value in rows)


def verification_table(rows: Sequence[Row]) -> str:
    """The comparison with golden vectors as a table."""
    lines = ["| vectors of | number | largest difference | allowed |", "|---|---|---|---|"]
    lines += [f"| {row.name} | {row.vectors:,} | {row.difference:.1e} | {row.tolerance:.0e} |" for row in rows]
    return "\n".join(lines)


def _provenance(conversion: Mapping[str, Any] | None, verification: Sequence[Row] | None) -> str:
    """The section on where the weights come from."""
    if conversion is None:
        text = f"## Made with\n\n{versions()}."
    else:
        text = f"## Conversion\n\n| | |\n|---|---|\n{source_table(conversion)}\n| card written by | {versions()} |"
    if verification:
        text += "\n\nCompared with vectors that the original program computed from the same weights:\n\n"
        text += verification_table(verification)
    return text


def fields(
    *,
    name: str,
    config: ElmoConfig,
    splitter: str,
    num_parameters: int,
    language: str | None = None,
    license: str | None = None,
    base_model: str | None = None,
    note: str | None = None,
    verification: Sequence[Row] | None = None,
) -> dict[str, str]:
    """The fields that a template may use.

    `metadata` (the YAML between the `---`), `name`, `architecture`, `layer_table`, `cell_size`, `projection_size`,
    `hidden_size`, `num_hidden_layers`, `num_parameters`, `splitter`, `language`, `license`, `note` (a sentence),
    `origin` (a sentence), `provenance` (a section).
    """
    conversion = getattr(config, "conversion", None)
    origin = "Trained with modeling_elmo; a sentence" if conversion is None else _CONVERTED
    return {
        "metadata": metadata(language, license, base_model),
        "name": name,
        "architecture": architecture(config),
        "layer_table": layer_table(config),
        "cell_size": str(config.cell_size),
        "projection_size": str(config.projection_size),
        "hidden_size": str(config.hidden_size),
        "num_hidden_layers": str(config.num_hidden_layers),
        "num_parameters": f"{num_parameters:,}",
        "splitter": splitter,
        "language": language or "not stated",
        "license": license or "not stated",
        "note": note or "Nothing is known here about its training data.",
        "origin": f"{origin} gets the same vectors every time, whatever stands beside it.",
        "provenance": _provenance(conversion, verification),
    }
