# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Commands `elmo convert`, `elmo export`, `elmo verify`, and `elmo publish`: from parsed arguments to an exit code."""

import argparse

from .convert import convert
from .export import export
from .publish import publish
from .verify import format_table, verify


def run_convert(arguments: argparse.Namespace) -> int:
    """Convert a checkpoint and print a summary."""
    record = convert(
        arguments.source,
        arguments.output,
        weights=arguments.weights,
        options=arguments.options,
        vocab=arguments.vocab,
        softmax=arguments.softmax,
        language_model=arguments.language_model,
        dtype=arguments.dtype,
        allow_nonfinite=arguments.allow_nonfinite,
        splitter=arguments.splitter,
        name=arguments.name,
        language=arguments.language,
        license=arguments.license,
        base_model=arguments.base_model,
        overwrite=arguments.overwrite,
        force_download=arguments.force_download,
    )
    print(record.summary())
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Export a model folder and print a summary."""
    print(export(arguments.folder, arguments.output, overwrite=arguments.overwrite).summary())
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Compare a model with reference vectors and print a table. Return 1 if a difference exceeds its tolerance."""
    comparisons = verify(arguments.folder, arguments.reference, arguments.tolerance)
    print(format_table(comparisons))
    return 0 if all(comparison.passed for comparison in comparisons) else 1


def run_publish(arguments: argparse.Namespace) -> int:
    """Upload a model folder to the Hub, after a comparison with reference vectors if requested."""
    comparisons = verify(arguments.folder, arguments.verify) if arguments.verify else None
    if comparisons is not None:
        print(format_table(comparisons))
    publication = publish(
        arguments.folder,
        arguments.repo,
        private=arguments.private,
        revision=arguments.revision,
        tag=arguments.tag,
        message=arguments.message,
        verification=comparisons,
        keep_card=arguments.keep_card,
        language=arguments.language,
        license=arguments.license,
        base_model=arguments.base_model,
        note=arguments.note,
        dry_run=arguments.dry_run,
    )
    print(publication.summary())
    return 0
