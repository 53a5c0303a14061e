# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The options of `elmo publish`."""

import argparse

_DESCRIPTION = """Send a model folder to a repository of the Hub in one commit, with a model card made from what is
known of the model. The folder stays as it is. The token is that of `hf auth login`, or HF_TOKEN."""


def add_publish(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    command = commands.add_parser("publish", help="model folder to the Hugging Face Hub", description=_DESCRIPTION)
    command.add_argument("folder", help="folder of the model")
    command.add_argument("repo", metavar="OWNER/NAME", help="repository; made if it is not there")
    command.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")
    command.add_argument("--private", action="store_true", help="the repository has to be private")
    command.add_argument("--revision", default="main", metavar="BRANCH", help="branch to commit to (default: main)")
    command.add_argument("--tag", help="tag for the commit")
    command.add_argument("--message", help="message of the commit")

    group = command.add_argument_group("model card")
    group.add_argument("--verify", metavar="GOLDEN", help="compare with golden vectors first, and show it on the card")
    group.add_argument("--keep-card", action="store_true", help="send the folder's README.md as it is")
    group.add_argument("--language", metavar="CODE", help="language of the model: en, pt, ...")
    group.add_argument("--license", metavar="ID", help="licence of the weights")
    group.add_argument("--base-model", metavar="ID", help="repository of the Hub with the source")
    group.add_argument("--note", metavar="SENTENCE", help="what the model was trained on")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from .publish import publish
    from .verify import format_table, verify

    options = {name: value for name, value in vars(arguments).items() if name not in ("command", "run", "verify")}
    rows = verify(arguments.folder, arguments.verify) if arguments.verify else None
    if rows is not None:
        print(format_table(rows))
    print(publish(options.pop("folder"), options.pop("repo"), verification=rows, **options).summary())
    return 0
