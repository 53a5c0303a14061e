# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Handler of `elmo embed`."""

import argparse
import json
import sys
from pathlib import Path

from transformers.utils import logging

from ..encoder import ElmoEncoder
from ..optional import import_h5py
from .inputs import Input
from .job import HDF5, EmbedJob, EmbedOptions


def run_embed(arguments: argparse.Namespace) -> int:
    """Run `elmo embed` and return the exit code."""
    is_hdf5 = arguments.output.suffix.lower() in HDF5
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    source = Input(arguments.input, arguments.input_format, arguments.column, arguments.max_characters)
    if not source.is_standard_input and not Path(source.path).is_file():
        raise FileNotFoundError(f"Input {source.path} is not a file. Pass a file, or - for standard input.")
    if is_hdf5:
        import_h5py()
    options = EmbedOptions(
        layer=arguments.layer or "elmo",
        pooling=arguments.pooling,
        normalize=arguments.normalize,
        dtype=arguments.dtype or "float32",
        # AllenNLP's files have one vector for each word between whitespace.
        is_split_into_words=arguments.is_split_into_words or (is_hdf5 and arguments.splitter is None),
        errors=arguments.errors,
        shard_rows=arguments.shard_rows,
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
        arguments.allow_nonfinite,
        **({} if arguments.revision is None else {"revision": arguments.revision}),
    )
    flags = {name: getattr(arguments, name) for name in ("resume", "overwrite", "verify", "quiet")}
    summary = EmbedJob(source, arguments.output, encoder, options, arguments.model, **flags).run()
    if arguments.json:
        print(json.dumps(summary))
    else:
        bad = f", {summary['bad_rows']} bad rows" if summary["bad_rows"] else ""
        counts = f"{summary['sentences']} sentences, {summary['words']} words{bad}"
        print(f"wrote {summary['output']}: {counts}, {summary['seconds']:.1f} s")
    return 0
