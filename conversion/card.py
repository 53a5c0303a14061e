# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Model card: the template `model_card.md` and the values of its `${name}` fields."""

from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

from modeling_elmo._version import __version__
from modeling_elmo.model.configuration_elmo import CHARACTER_INPUT, ElmoConfig

from .source.urls import redact
from .verify import Comparison

TEMPLATE_NAME = "model_card.md"
_CONVERTED = (
    "Converted to PyTorch and safetensors. The vectors match those of the original implementation to float32 precision."
)
_TRAINED = "Trained with modeling_elmo."


def template_text() -> str:
    """Return the template: next to this file in an installed package, one folder up in the source tree.

    Raises:
        FileNotFoundError: If it is in neither place.
    """
    installed = resources.files(__package__).joinpath(TEMPLATE_NAME)
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    in_source_tree = Path(__file__).resolve().parent.parent / TEMPLATE_NAME
    if in_source_tree.is_file():
        return in_source_tree.read_text(encoding="utf-8")
    raise FileNotFoundError(f"Cannot find {TEMPLATE_NAME} in the package or in {in_source_tree.parent}. Reinstall it.")


def render(template: str, fields: Mapping[str, str]) -> str:
    """Return `template` with every `${name}` replaced. `$$` is a dollar sign.

    Raises:
        ValueError: If `fields` lacks a name of the template.
    """
    # Python 3.10 does not have Template.get_identifiers.
    names = [match["named"] or match["braced"] for match in Template.pattern.finditer(template)]
    unknown = sorted({name for name in names if name and name not in fields})
    if unknown:
        raise ValueError(
            f"Expected the model card's fields to be among {', '.join(sorted(fields))}, got {', '.join(unknown)}."
        )
    return Template(template).substitute(fields)


def metadata(language: str | None, license: str | None, base_model: str | None = None) -> str:
    """Return the YAML between the card's `---`, which the Hub displays and filters by, without unknown values."""
    lines = [f"license: {license}"] if license else []
    lines += [f"language: {language}"] if language else []
    lines += [f"base_model: {redact(base_model)}"] if base_model else []
    lines += [
        "library_name: transformers",
        "pipeline_tag: feature-extraction",
        "tags:",
        "- elmo",
        "- bilm",
        "- sentence-transformers",
    ]
    return "\n".join(lines)


def describe_architecture(config: ElmoConfig) -> str:
    """Return a phrase such as `2 LSTM layers (bidirectional, character input), cell size 4096, output size 1024`."""
    layers = f"{config.num_hidden_layers} LSTM layer{'s' if config.num_hidden_layers > 1 else ''}"
    direction = "bidirectional" if config.bidirectional else "forward"
    is_character_model = config.input_type == CHARACTER_INPUT
    word_input = "character input" if is_character_model else f"vocabulary of {config.vocab_size - 1} words"
    return f"{layers} ({direction}, {word_input}), cell size {config.cell_size}, output size {config.hidden_size}"


def layer_table(config: ElmoConfig) -> str:
    """Return the rows of a Markdown table with name, size, and description of each output."""
    rows = [("word_emb", config.projection_size, "context-independent word vector")]
    for layer in range(1, config.num_hidden_layers + 1):
        rows.append((f"lstm_outputs{layer}", config.hidden_size, f"LSTM layer {layer}"))
    if config.has_scalar_mix:
        rows.append(("elmo", config.hidden_size, "weighted sum of all layers with trainable weights"))
    return "\n".join(f"| `{name}` | {size} | {description} |" for name, size, description in rows)


def format_versions() -> str:
    """Return the versions of this package, torch, and transformers."""
    others = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    return f"modeling_elmo {__version__}, {others}"


def source_table(conversion: Mapping[str, Any]) -> str:
    """Return the conversion record as table rows: source files with digests, format, checkpoint, and converter."""
    files = conversion["files"].items()
    rows = [(role, f"`{redact(file['name'])}`, sha256 `{file['sha256']}`") for role, file in files]
    rows += [("format", conversion["format"])] if conversion.get("format") else []
    rows += [("known checkpoint", conversion.get("checkpoint") or "none"), ("converted by", conversion["tool"])]
    return "\n".join(f"| {name} | {value} |" for name, value in rows)


def verification_table(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons with reference vectors as a Markdown table."""
    lines = ["| reference | vectors | maximum difference | tolerance |", "|---|---|---|---|"]
    lines += [
        f"| {each.name} | {each.num_vectors:,} | {each.max_difference:.1e} | {each.tolerance:.0e} |"
        for each in comparisons
    ]
    return "\n".join(lines)


def _provenance(conversion: Mapping[str, Any] | None, verification: Sequence[Comparison] | None) -> str:
    """Return the section on the origin of the weights."""
    if conversion is None:
        text = f"## Versions\n\n{format_versions()}."
    else:
        text = (
            f"## Conversion\n\n| | |\n|---|---|\n{source_table(conversion)}\n| card written by | {format_versions()} |"
        )
    if verification:
        text += "\n\nComparison with reference vectors of the original implementation for the same weights:\n\n"
        text += verification_table(verification)
    return text


def template_fields(
    *,
    name: str,
    config: ElmoConfig,
    splitter: str,
    num_parameters: int,
    language: str | None = None,
    license: str | None = None,
    base_model: str | None = None,
    note: str | None = None,
    verification: Sequence[Comparison] | None = None,
) -> dict[str, str]:
    """Return the values of the fields that a template may use.

    They are `metadata` (the YAML between the `---`), `name`, `architecture`, `layer_table`, `cell_size`,
    `projection_size`, `hidden_size`, `num_hidden_layers`, `num_parameters`, `splitter`, `language`, `license`, `note`
    and `origin` (sentences), and `provenance` (a section).
    """
    conversion = getattr(config, "conversion", None)
    return {
        "metadata": metadata(language, license, base_model),
        "name": name,
        "architecture": describe_architecture(config),
        "layer_table": layer_table(config),
        "cell_size": str(config.cell_size),
        "projection_size": str(config.projection_size),
        "hidden_size": str(config.hidden_size),
        "num_hidden_layers": str(config.num_hidden_layers),
        "num_parameters": f"{num_parameters:,}",
        "splitter": splitter,
        "language": language or "unknown",
        "license": license or "unknown",
        "note": note or "The training data is unknown.",
        "origin": f"{_TRAINED if conversion is None else _CONVERTED} The vectors of a sentence do not depend on other "
        "sentences, batching, or padding.",
        "provenance": _provenance(conversion, verification),
    }
