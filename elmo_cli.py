# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Command line of modeling_elmo: the parsers of all `elmo` commands.

Importing the package loads torch, which takes seconds. This module is therefore outside the package, uses the standard
library only, and imports `modeling_elmo.cli` after parsing. `tests/project/test_cli.py` compares the choices and
defaults here with those of the package.

Exit codes: 0 for success, 1 if a command fails or a comparison differs, 2 for wrong usage, 130 for Ctrl-C, and 143 for
SIGTERM. Every failure prints one line to stderr; `--debug` also prints the traceback.
"""

import argparse
import gc
import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

BUNDLED_MODEL = "elmo-small-en"
SPLITTERS = ("moses", "whitespace", "characters")
HDF5_SUFFIXES = (".hdf5", ".h5")
MODEL_HELP = "model folder or Hub repository"
LANGUAGE_MODEL_HELP = "folder or Hub repository of a language model (softmax and vocab.txt)"
TEXT_HELP = "files or folders; one sentence per line, words separated by whitespace"
DEVICE_HELP = "cpu, cuda, cuda:1, ... (default: {})"
DEBUG_HELP = "show the traceback of an error"
_MAX_MESSAGE = 1000  # in characters

Commands = Any  # `argparse._SubParsersAction` is private


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: that of the process) and return the exit code."""
    arguments = parse_arguments(argv)
    debug = arguments.__dict__.pop("debug")
    try:
        try:
            from modeling_elmo.cli import run

            code = run(arguments)
            sys.stdout.flush()
            return code
        except BaseException:
            if debug:
                traceback.print_exc()
            raise
    except KeyboardInterrupt:
        message, code = "Interrupted.", 130
    except SystemExit as stop:  # SIGTERM
        message, code = "Terminated.", stop.code if isinstance(stop.code, int) else 1
    except BrokenPipeError:  # the reader of our output has ended, as in `elmo ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at exit
        message, code = "Cannot write the output: the pipe is closed.", 1
    except Exception as error:
        message, code = _error_message(error), 1
    if code > 2:
        gc.freeze()  # otherwise Python collects the objects of all libraries at exit, which takes seconds
    print(f"elmo: error: {message}", file=sys.stderr)
    return code


def _error_message(error: Exception) -> str:
    """Return an error as one printable line of bounded length."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror is not None:
        text = f"{error.strerror}."
        if error.filename is not None:
            text = f"Cannot read or write {error.filename!r}: {text}"
    elif isinstance(error, MemoryError):
        text = f"Out of memory. {text}".strip()
    elif isinstance(error, RecursionError):
        text = "Cannot read the input: it is nested too deeply."
    elif not text or not isinstance(error, (ValueError, TypeError, OSError, ImportError)):
        text = f"{type(error).__name__}: {text}" if text else f"{type(error).__name__}."
    # Names in a file can contain sequences that control the terminal.
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split()))
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}..."


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the name of the command, `command`, and the values of its options. Exit with code 2 on wrong usage."""
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        getattr(arguments, "parser", parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if arguments.command is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    if arguments.command == "embed":
        _check_embed(arguments)
    del arguments.parser
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="elmo",
        description="ELMo as a Hugging Face model: embed text, train and score language models, convert checkpoints.",
        epilog="Run `elmo COMMAND --help` for the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"modeling_elmo {_version()}")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=("bash", "zsh", "tcsh"),
        default=argparse.SUPPRESS,
        help="print a completion script for a shell and exit; requires modeling_elmo[completion]",
    )
    parser.add_argument("--debug", action="store_true", help=DEBUG_HELP)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_embedding(commands)
    _add_training(commands)
    _add_scoring(commands)
    _add_conversion(commands)
    _add_publishing(commands)
    return parser


def _version() -> str:
    """Return the version of the package, which is in the same folder, without importing it."""
    text = Path(__file__).with_name("modeling_elmo").joinpath("_version.py").read_text(encoding="utf-8")
    match = re.search(r'__version__ = "(.+)"', text)
    return match[1] if match else "unknown"


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Formatter that appends the default, unless there is none or the help contains it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or "(default" in (action.help or ""):
            return action.help
        return super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    """Parser that rejects abbreviated options. The parsers of the commands have the same class."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=_HelpFormatter, allow_abbrev=False, **kwargs)


class _PrintCompletion(argparse.Action):
    """Option that prints a completion script and exits."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        try:
            shtab = importlib.import_module("shtab")
        except ImportError:
            hint = "Run `pip install modeling_elmo[completion]`."
            parser.exit(1, f"elmo: error: Cannot print a completion script without shtab. {hint}\n")
        for action in _actions(parser):
            if action.nargs != 0 and action.choices is None:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        print(shtab.complete(parser, values))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of all commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from command._actions


def _at_least(number_type: type, minimum: float) -> Callable[[str], Any]:
    """Return a function that parses a number and rejects values below `minimum`."""
    name = "an integer" if number_type is int else "a number"

    def parse(text: str) -> Any:
        try:
            value = number_type(text)
        except ValueError:
            value = float("nan")
        if not value >= minimum:
            raise argparse.ArgumentTypeError(f"Expected {name} of at least {minimum}, got {text!r}.")
        return value

    return parse


_positive_int = _at_least(int, 1)
_non_negative_int = _at_least(int, 0)
_non_negative_float = _at_least(float, 0)


def _json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object, or read it from the file of that name."""
    try:
        fields = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"Expected a JSON object or the name of a JSON file: {error}") from error
    if not isinstance(fields, dict):
        raise argparse.ArgumentTypeError(f"Expected a JSON object, got {type(fields).__name__}.")
    return fields


def _add_command(commands: Commands, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    """Add the parser of one command. `parse_arguments` uses its default `parser` for errors."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=description)
    command.set_defaults(parser=command)
    command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=DEBUG_HELP)
    return command


def _add_embedding(commands: Commands) -> None:
    command = _add_command(
        commands,
        "embed",
        "embed a file of sentences",
        "Embed a file of sentences. Writes a folder of shards (.parquet, .arrow) or one file (.safetensors, .npz, "
        ".hdf5 in AllenNLP's layout). If the job is interrupted, run the same command with --resume to continue it.",
    )
    command.add_argument("input", metavar="IN", help="text, .jsonl, .csv, .tsv, or .parquet file; - for stdin")
    command.add_argument(
        "output", metavar="OUT", type=Path, help="ends in .parquet, .arrow, .safetensors, .npz, .hdf5, or .h5"
    )
    command.add_argument("--model", default=BUNDLED_MODEL, help=MODEL_HELP)
    command.add_argument("--revision", help="branch, tag, or commit of the Hub repository (default: main)")
    command.add_argument("--allow-nonfinite", action="store_true", help="accept NaN and infinite weights")

    group = command.add_argument_group("input")
    group.add_argument(
        "--input-format",
        choices=("text", "jsonl", "csv", "tsv", "parquet"),
        help="format of the input (default: from the suffix, text if it is unknown)",
    )
    group.add_argument(
        "--column",
        metavar="NAME",
        help="column or key of the sentences (default: the first of text, sentence, words, tokens)",
    )
    words = group.add_mutually_exclusive_group()
    words.add_argument("--splitter", choices=SPLITTERS, help="word splitter (default: that of the model)")
    words.add_argument("--is-split-into-words", action="store_true", help="split sentences at whitespace only")
    group.add_argument(
        "--errors",
        choices=("stop", "skip", "empty"),
        default="stop",
        help="fail at a bad row, skip it, or write it without vectors",
    )
    group.add_argument(
        "--max-characters",
        type=_positive_int,
        default=100_000,
        metavar="N",
        help="maximum length of a sentence; a longer one is a bad row",
    )

    group = command.add_argument_group("vectors")
    group.add_argument(
        "--layer", metavar="NAME", help="elmo, word_emb, lstm_outputs1, lstm_outputs2, ..., or all (default: elmo)"
    )
    group.add_argument(
        "--pooling", choices=("mean", "max"), help="write one vector per sentence (default: one vector per word)"
    )
    group.add_argument("--normalize", action="store_true", help="scale each vector to L2 norm 1")
    group.add_argument("--dtype", choices=("float32", "float16"), help="data type of the vectors (default: float32)")

    group = command.add_argument_group("HDF5 output, as written by `allennlp elmo`")
    group.add_argument(
        "--layers", choices=("all", "top", "average"), help="all layers, the top layer, or their average (default: all)"
    )
    group.add_argument("--use-sentence-keys", action="store_true", help="name datasets by sentence, not by line number")
    group.add_argument("--forget-sentences", action="store_true", help="do not write sentence_to_index")

    group = command.add_argument_group("job")
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="continue an existing output")
    existing.add_argument("--overwrite", action="store_true", help="replace an existing output")
    group.add_argument(
        "--verify",
        action="store_true",
        help="with --resume, read the existing output completely and embed corrupt shards again",
    )
    group.add_argument("--device", help=DEVICE_HELP.format("the GPU if one is available"))
    group.add_argument(
        "--model-dtype",
        choices=("float32", "bfloat16", "float16", "int8"),
        help="data type of the computation (default: that of the weights)",
    )
    group.add_argument(
        "--batch-size",
        type=_positive_int,
        metavar="N",
        help="maximum number of sentences per batch (default: no limit; 128 on a CPU without --max-tokens-per-batch)",
    )
    group.add_argument(
        "--max-tokens-per-batch",
        type=_positive_int,
        metavar="N",
        help="maximum number of tokens per batch, padding included (default: 32768)",
    )
    group.add_argument(
        "--shard-rows",
        type=_positive_int,
        metavar="N",
        help="rows per shard; more for a large input (default: 1000, pooled: 10000)",
    )
    group.add_argument("--quiet", action="store_true", help="show no progress bar")
    group.add_argument("--json", action="store_true", help="print a summary as JSON")


def _check_embed(arguments: argparse.Namespace) -> None:
    """Reject options that do not apply to the output format."""
    is_hdf5 = arguments.output.suffix.lower() in HDF5_SUFFIXES
    only_hdf5 = ("layers", "use_sentence_keys", "forget_sentences")
    only_others = ("layer", "pooling", "normalize", "dtype")
    for name in only_others if is_hdf5 else only_hdf5:
        if getattr(arguments, name):
            option = f"--{name.replace('_', '-')}"
            arguments.parser.error(f"argument {option}: not allowed with output {arguments.output.name}")
    if arguments.verify and not arguments.resume:
        arguments.parser.error("argument --verify: not allowed without argument --resume")


def _add_training(commands: Commands) -> None:
    command = _add_command(
        commands,
        "vocabulary",
        "count words and write the vocabulary of a language model",
        "Count the words of a text and write the vocabulary of a language model, sorted by decreasing frequency.",
    )
    command.add_argument("text", nargs="+", help=TEXT_HELP)
    command.add_argument("--output", required=True, type=Path, metavar="FILE", help="file to write, one word per line")
    command.add_argument("--overwrite", action="store_true", help="replace an existing vocabulary")
    command.add_argument(
        "--min-count", type=_positive_int, default=1, metavar="N", help="minimum number of occurrences of a word"
    )
    command.add_argument(
        "--max-words",
        type=_at_least(int, 4),
        metavar="N",
        help="maximum size of the vocabulary, including the 3 special tokens (default: no limit)",
    )

    command = _add_command(
        commands,
        "train",
        "train a language model",
        "Train a new language model, or continue training an existing one. Writes a model folder with vocab.txt, "
        "curve.csv, curve.png, and checkpoints.",
    )
    command.add_argument("text", nargs="+", help=TEXT_HELP)
    command.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="model folder to write")
    command.add_argument(
        "--valid",
        nargs="+",
        default=(),
        metavar="TEXT",
        help="text to evaluate on, as TEXT (default: no evaluation)",
    )
    existing = command.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="resume from the last checkpoint in the output folder")
    existing.add_argument("--overwrite", action="store_true", help="replace an existing model and its checkpoints")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="seed of weights, text order, and dropout")

    group = command.add_argument_group("model")
    group.add_argument(
        "--vocabulary",
        type=Path,
        metavar="FILE",
        help="words to predict, by decreasing frequency; required for a new model (default: that of --model)",
    )
    group.add_argument("--model", help=f"{MODEL_HELP} to continue training (default: a new model)")
    group.add_argument(
        "--config",
        type=_json_object,
        default={},
        metavar="JSON",
        help="fields of ElmoConfig, or a preset and the fields that differ from it; a JSON object or file "
        "(default: those of ElmoConfig or of --model)",
    )
    group.add_argument("--splitter", choices=SPLITTERS, default="moses", help="word splitter of a new model")

    group = command.add_argument_group("batches")
    group.add_argument(
        "--batching",
        choices=("sentences", "contiguous"),
        default="sentences",
        help="independent sentences, or contiguous text with carried states",
    )
    group.add_argument(
        "--max-tokens",
        type=_positive_int,
        default=6000,
        metavar="N",
        help="maximum number of tokens per step, with --batching sentences",
    )
    group.add_argument(
        "--group-by-length", action="store_true", help="batch sentences of similar length, with --batching sentences"
    )
    group.add_argument(
        "--batch-size",
        type=_positive_int,
        default=128,
        metavar="N",
        help="rows per batch, with --batching contiguous",
    )
    group.add_argument(
        "--unroll-steps",
        type=_positive_int,
        default=20,
        metavar="N",
        help="tokens per row and step, with --batching contiguous",
    )

    group = command.add_argument_group("optimization")
    group.add_argument(
        "--max-steps",
        type=_positive_int,
        metavar="N",
        help="number of weight updates (default: 10000, or no limit with --max-minutes)",
    )
    group.add_argument(
        "--max-minutes",
        type=_non_negative_float,
        metavar="N",
        help="training time over all restarts; the learning rate follows it (default: no limit)",
    )
    group.add_argument(
        "--optimizer",
        choices=("adamw", "adagrad", "muon"),
        default="adamw",
        help="adagrad as in bilm-tf; muon for the LSTM matrices, and adamw for the rest",
    )
    group.add_argument(
        "--learning-rate", type=_non_negative_float, default=2e-3, metavar="X", help="peak learning rate"
    )
    group.add_argument(
        "--muon-learning-rate",
        type=_non_negative_float,
        default=0.02,
        metavar="X",
        help="peak learning rate of the LSTM matrices, with --optimizer muon",
    )
    group.add_argument(
        "--warmup-steps",
        type=_non_negative_int,
        default=200,
        metavar="N",
        help="steps over which the learning rate increases",
    )
    group.add_argument(
        "--lr-scheduler-type",
        choices=("cosine", "linear", "constant", "constant_with_warmup", "warmup_stable_decay"),
        default="cosine",
        help="learning rate schedule",
    )
    group.add_argument(
        "--max-grad-norm",
        type=_non_negative_float,
        metavar="X",
        help="maximum norm of the gradient (default: 1, with adagrad 10 / unroll steps as in bilm-tf)",
    )
    group.add_argument("--bf16", action="store_true", help="compute matrix products in bfloat16")

    group = command.add_argument_group("checkpoints and logs")
    group.add_argument(
        "--save-steps", type=_positive_int, default=500, metavar="N", help="steps between two checkpoints"
    )
    group.add_argument(
        "--eval-steps", type=_positive_int, default=500, metavar="N", help="steps between two evaluations"
    )
    group.add_argument(
        "--logging-steps", type=_positive_int, default=50, metavar="N", help="steps between two rows of curve.csv"
    )


def _add_scoring(commands: Commands) -> None:
    command = _add_command(
        commands,
        "perplexity",
        "compute the perplexity of a text",
        "Compute the perplexity of a text under a language model, in both directions.",
    )
    command.add_argument("model", help=LANGUAGE_MODEL_HELP)
    command.add_argument("text", nargs="+", help="files or folders, one sentence per line")
    command.add_argument("--is-split-into-words", action="store_true", help="split sentences at whitespace only")
    command.add_argument(
        "--carry-states",
        action="store_true",
        help="score the sentences as contiguous text and exclude the warm-up sentences",
    )
    command.add_argument("--per-sentence", action="store_true", help="print the log-probability of each sentence")
    command.add_argument(
        "--per-word", action="store_true", help="print the log-probability of each word, forward and backward"
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.add_argument("--device", help=DEVICE_HELP.format("cpu"))

    command = _add_command(
        commands,
        "substitutes",
        "predict the word at one position of a sentence",
        "Predict the most probable words at one position of a sentence.",
    )
    command.add_argument("model", help=LANGUAGE_MODEL_HELP)
    command.add_argument("sentence", help="words separated by whitespace, one of them the mask")
    command.add_argument("--mask", default="___", metavar="WORD", help="word that marks the position")
    command.add_argument("-k", type=_positive_int, default=10, metavar="N", help="number of predictions")
    command.add_argument("--context", choices=("both", "left", "right"), default="both", help="context to use")
    command.add_argument("--device", help=DEVICE_HELP.format("cpu"))


def _add_conversion(commands: Commands) -> None:
    command = _add_command(
        commands,
        "convert",
        "convert an old checkpoint to a Hugging Face folder",
        "Convert an ELMo checkpoint of any known format to a Hugging Face folder with a model card.",
    )
    command.add_argument("source", help="folder, file, archive, URL, or known name (original, small, ...)")
    command.add_argument("output", help="folder to write")
    command.add_argument("--overwrite", action="store_true", help="replace an existing model folder")
    command.add_argument("--force-download", action="store_true", help="download files that are in the cache again")

    group = command.add_argument_group("source files, if SOURCE does not contain them or contains several")
    found = "(default: found in SOURCE)"
    group.add_argument("--weights", metavar="FILE", help=f"path or URL of the weights {found}")
    group.add_argument("--options", metavar="FILE", help=f"path or URL of the options {found}")
    group.add_argument(
        "--vocab",
        metavar="FILE",
        help=f"path or URL of the vocabulary, one word per line; for word input and language models {found}",
    )
    group.add_argument(
        "--softmax", metavar="FILE", help=f"path or URL of the softmax, if the weights do not include it {found}"
    )

    group = command.add_argument_group("model")
    group.add_argument("--language-model", action="store_true", help="keep the softmax; requires the vocabulary")
    group.add_argument(
        "--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help="data type of the weights"
    )
    group.add_argument("--allow-nonfinite", action="store_true", help="accept NaN and infinite weights")
    group.add_argument(
        "--splitter",
        choices=SPLITTERS,
        help="word splitter of the tokenizer (default: moses with --language en, else whitespace)",
    )

    group = command.add_argument_group("model card")
    known = "(default: that of a known checkpoint)"
    group.add_argument("--name", help="name of the model (default: that of a known checkpoint or of the output folder)")
    group.add_argument("--language", metavar="CODE", help=f"language of the model: en, pt, ... {known}")
    group.add_argument("--license", metavar="ID", help=f"license of the weights {known}")
    group.add_argument("--base-model", metavar="ID", help=f"source model on the Hub {known}")

    command = _add_command(
        commands,
        "export",
        "export a model to options.json and lm_weights.hdf5",
        "Export a Hugging Face folder to bilm-tf's files, options.json and lm_weights.hdf5.",
    )
    command.add_argument("folder", help="model folder")
    command.add_argument("output", help="folder to write")
    command.add_argument("--overwrite", action="store_true", help="replace an existing checkpoint")

    command = _add_command(
        commands,
        "verify",
        "compare a model with reference vectors",
        "Compare a converted model with reference vectors of the original implementation. "
        "The exit code is 1 if they differ.",
    )
    command.add_argument("folder", help="model folder")
    command.add_argument(
        "reference",
        metavar="REFERENCE",
        help="folder with lm_embeddings_*.hdf5 and sentences, one such file, tfhub, or spark-nlp",
    )
    command.add_argument(
        "--tolerance", type=_non_negative_float, default=2e-6, metavar="X", help="maximum absolute difference"
    )


def _add_publishing(commands: Commands) -> None:
    command = _add_command(
        commands,
        "publish",
        "upload a model folder to the Hugging Face Hub",
        "Upload a model folder to a Hub repository in one commit, with a generated model card. The folder is not "
        "changed. The token is that of `hf auth login`, or HF_TOKEN.",
    )
    command.add_argument("folder", help="model folder")
    command.add_argument("repo", metavar="OWNER/NAME", help="repository; created if it is missing")
    command.add_argument("--dry-run", action="store_true", help="show the files and upload nothing")
    command.add_argument("--private", action="store_true", help="require a private repository")
    command.add_argument("--revision", default="main", metavar="BRANCH", help="branch to commit to")
    command.add_argument("--tag", help="tag for the commit (default: no tag)")
    command.add_argument("--message", help="commit message (default: names modeling_elmo and its version)")

    group = command.add_argument_group("model card")
    known = "(default: that of the folder's card or of a known checkpoint)"
    group.add_argument(
        "--verify",
        metavar="REFERENCE",
        help="compare with reference vectors first, and show the result on the card (default: no comparison)",
    )
    group.add_argument("--keep-card", action="store_true", help="upload the README.md of the folder unchanged")
    group.add_argument("--language", metavar="CODE", help=f"language of the model: en, pt, ... {known}")
    group.add_argument("--license", metavar="ID", help=f"license of the weights {known}")
    group.add_argument("--base-model", metavar="ID", help=f"source model on the Hub {known}")
    group.add_argument(
        "--note", metavar="SENTENCE", help="training data of the model (default: that of a known checkpoint)"
    )


if __name__ == "__main__":
    sys.exit(main())
