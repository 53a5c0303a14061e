# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Handlers of the `elmo` commands. The top-level module `elmo_cli` has the parsers and calls `run`."""

import argparse
from collections.abc import Callable

from .conversion.commands import run_convert, run_export, run_publish, run_verify
from .embed.command import run_embed
from .training.commands import run_perplexity, run_substitutes, run_train, run_vocabulary

HANDLERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "embed": run_embed,
    "vocabulary": run_vocabulary,
    "train": run_train,
    "perplexity": run_perplexity,
    "substitutes": run_substitutes,
    "convert": run_convert,
    "export": run_export,
    "verify": run_verify,
    "publish": run_publish,
}


def run(arguments: argparse.Namespace) -> int:
    """Run the command of parsed arguments and return the exit code."""
    return HANDLERS[arguments.command](arguments)
