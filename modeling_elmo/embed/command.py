# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The options of `elmo embed`."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from transformers.utils import logging

from ..bundled import BUNDLED
from ..encoder import ElmoEncoder
from ..model.splitting_elmo import SPLITTERS
from ..optional import import_h5py
from .inputs import FORMATS, Input
from .job import HDF5, HDF5_LAYERS, EmbedJob, EmbedOptions
from .rows import ERRORS

_DESCRIPTION = """Embed a file of sentences. The output is a folder of shards (.parquet, .arrow) or one file
(.safetensors, .npz, .hdf5 in AllenNLP's layout). Killed at any moment, the same command with --resume goes on where it
stopped."""


def add_embed(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    command = commands.add_parser("embed", help="a file of sentences to vectors", description=_DESCRIPTION)
    command.add_argument("input", metavar="IN", help="text, .jsonl, .csv, .tsv, .parquet; - for stdin")
    command.add_argument("output", metavar="OUT", type=Path, help=".parquet, .arrow, .safetensors, .npz or .hdf5")
    command.add_argument("--model", default=BUNDLED, help=f"folder or repository of the Hub (default: {BUNDLED})")
    command.add_argument("--revision", help="branch, tag or commit of the repository")

    group = command.add_argument_group("input")
    group.add_argument("--input-format", choices=FORMATS, help="default: by the suffix, text if it is unknown")
    group.add_argument("--column", help="column or key of the sentences (default: text, sentence, words or tokens)")
    words = group.add_mutually_exclusive_group()
    words.add_argument("--splitter", choices=SPLITTERS, help="how sentences become words (default: as the model's)")
    words.add_argument("--is-split-into-words", action="store_true", help="the words stand between blanks already")
    group.add_argument("--errors", choices=ERRORS, default="stop", help="what to do at a bad row (default: stop)")
    group.add_argument("--max-characters", type=_positive, default=100_000, help="a longer sentence is a bad row")

    group = command.add_argument_group("vectors")
    group.add_argument("--layer", help="elmo (default), word_emb, lstm_outputs1, lstm_outputs2, ..., or all")
    group.add_argument("--pooling", choices=("mean", "max"), help="one vector a sentence")
    group.add_argument("--normalize", action="store_true", help="vectors of length 1")
    group.add_argument("--dtype", choices=("float32", "float16"), help="of the vectors (default: float32)")

    group = command.add_argument_group(".hdf5, as `allennlp elmo` wrote it")
    group.add_argument("--layers", choices=HDF5_LAYERS, help="all (default), the top one, or their average")
    group.add_argument("--use-sentence-keys", action="store_true", help="name the datasets by sentence, not by line")
    group.add_argument("--forget-sentences", action="store_true", help="write no sentence_to_index")

    group = command.add_argument_group("work")
    group.add_argument("--resume", action="store_true", help="go on with an output that is there")
    group.add_argument("--overwrite", action="store_true", help="replace an output that is there")
    group.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)")
    group.add_argument("--model-dtype", choices=("float32", "bfloat16", "float16", "int8"), help="type to compute in")
    group.add_argument("--batch-size", type=_positive, help="most sentences in a batch")
    group.add_argument("--max-tokens-per-batch", type=_positive, help="most words in a batch, padding included")
    group.add_argument("--shard-rows", type=_positive, help="rows a shard (default: 1000, pooled 10000)")
    group.add_argument("--quiet", action="store_true", help="no progress bar")
    group.add_argument("--json", action="store_true", help="print a summary as JSON")
    command.set_defaults(run=_run, usage_error=command.error)


def _run(arguments: argparse.Namespace) -> int:
    is_hdf5 = arguments.output.suffix.lower() in HDF5
    _check(arguments, is_hdf5, arguments.usage_error)
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    source = Input(arguments.input, arguments.input_format, arguments.column, arguments.max_characters)
    if not source.is_standard_input and not Path(source.path).is_file():
        raise FileNotFoundError(f"the input must be a file or -; {source.path} is not there.")
    if is_hdf5:
        import_h5py()
    options = EmbedOptions(
        layer=arguments.layer or "elmo",
        pooling=arguments.pooling,
        normalize=arguments.normalize,
        dtype=arguments.dtype or "float32",
        # AllenNLP's files have a vector for each word between blanks.
        is_split_into_words=arguments.is_split_into_words or (is_hdf5 and arguments.splitter is None),
        errors=arguments.errors,
        shard_rows=arguments.shard_rows or (10_000 if arguments.pooling else 1000),
        batch_size=arguments.batch_size,
        max_tokens_per_batch=arguments.max_tokens_per_batch,
        hdf5_layers=arguments.layers or "all",
        use_sentence_keys=arguments.use_sentence_keys,
        forget_sentences=arguments.forget_sentences,
    )
    encoder = ElmoEncoder.from_pretrained(
        arguments.model,
        arguments.device,
        arguments.model_dtype,
        arguments.splitter,
        **({} if arguments.revision is None else {"revision": arguments.revision}),
    )
    flags = {name: getattr(arguments, name) for name in ("resume", "overwrite", "quiet")}
    summary = EmbedJob(source, arguments.output, encoder, options, arguments.model, **flags).run()
    if arguments.json:
        print(json.dumps(summary))
    else:
        bad = f", {summary['bad_rows']} bad rows" if summary["bad_rows"] else ""
        counts = f"{summary['sentences']} sentences, {summary['words']} words{bad}"
        print(f"wrote {summary['output']}: {counts}, {summary['seconds']:.1f} s")
    return 0


def _check(arguments: argparse.Namespace, is_hdf5: bool, error: Callable[[str], None]) -> None:
    """Exit with code 2 where options do not go together."""
    only_hdf5 = ("layers", "use_sentence_keys", "forget_sentences")
    only_others = ("layer", "pooling", "normalize", "dtype")
    for name in only_others if is_hdf5 else only_hdf5:
        if getattr(arguments, name):
            error(f"--{name.replace('_', '-')} does not go with the output {arguments.output.suffix or 'given'}")
    if arguments.resume and arguments.overwrite:
        error("--resume does not go with --overwrite")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value
