# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The command `elmo`: embed text; train language models and score with them; convert old checkpoints.

Exit codes: 0 if all went well, 1 if something failed or differs, 2 for wrong usage. Errors are one line on stderr.
"""

import argparse
import sys
from collections.abc import Sequence

from ._version import __version__
from .conversion.publish_command import add_publish
from .embed.command import add_embed
from .model.splitting_elmo import SPLITTERS
from .training.commands import add_language_model


def _convert(arguments: argparse.Namespace) -> int:
    from .conversion.convert import convert

    options = {name: value for name, value in vars(arguments).items() if name not in ("command", "run")}
    record = convert(options.pop("source"), options.pop("output"), **options)
    print(record.summary())
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from .conversion.export import export

    print(export(arguments.folder, arguments.output, overwrite=arguments.overwrite).summary())
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from .conversion.verify import format_table, verify

    rows = verify(arguments.folder, arguments.golden, arguments.tolerance)
    print(format_table(rows))
    return 0 if all(row.ok for row in rows) else 1


def _tolerance(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise ValueError(text)
    return value


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    top = argparse.ArgumentParser(prog="elmo", description="ELMo as a Hugging Face model.")
    top.add_argument("--version", action="version", version=f"modeling_elmo {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_embed(commands)
    add_language_model(commands)
    add_publish(commands)

    command = commands.add_parser("convert", help="old checkpoint, of any known format, to a Hugging Face folder")
    command.add_argument("source", help="folder, file, archive, address, or a known name: original, small, ...")
    command.add_argument("output", help="folder to write")
    command.add_argument("--weights", metavar="FILE", help="path or address of the weights")
    command.add_argument("--options", metavar="FILE", help="path or address of the options")
    command.add_argument("--vocab", metavar="FILE", help="words, one a line; for word input and language models")
    command.add_argument(
        "--softmax", metavar="FILE", help="path or address of the softmax, if it is no part of the weights"
    )
    command.add_argument("--language-model", action="store_true", help="keep the softmax; needs the vocabulary")
    command.add_argument("--dtype", default="float32", help="float32 (default), float16 or bfloat16")
    command.add_argument("--splitter", choices=SPLITTERS, help="how the tokenizer makes words of raw text")
    command.add_argument("--name", help="name on the model card")
    command.add_argument("--language", metavar="CODE", help="language of the model, for its card: en, pt, ...")
    command.add_argument("--license", metavar="ID", help="licence of the weights, for the model card")
    command.add_argument("--base-model", metavar="ID", help="repository of the Hub with the source, for the model card")
    command.add_argument("--overwrite", action="store_true", help="replace a model folder that is there already")
    command.set_defaults(run=_convert)

    command = commands.add_parser("export", help="Hugging Face folder back to options.json and lm_weights.hdf5")
    command.add_argument("folder", help="folder of the model")
    command.add_argument("output", help="folder to write")
    command.add_argument("--overwrite", action="store_true", help="replace an old checkpoint that is there already")
    command.set_defaults(run=_export)

    command = commands.add_parser("verify", help="compare a model with golden vectors")
    command.add_argument("folder", help="folder of the model")
    command.add_argument(
        "golden",
        help="folder with lm_embeddings_*.hdf5 and sentences, one such file, or tfhub or spark-nlp",
    )
    command.add_argument(
        "--tolerance", type=_tolerance, default=2e-6, help="largest difference allowed (default: 2e-6)"
    )
    command.set_defaults(run=_verify)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"elmo: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("elmo: error: interrupted", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
