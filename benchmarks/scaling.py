# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Speed by sentence length and corpus size, and peak memory.

    python benchmarks/scaling.py lengths [--preset original] [--words 4096] [--lengths 5 10 20 50 100 200 500]
    python benchmarks/scaling.py sentences [--preset small] [--counts 1000 10000 100000]
    python benchmarks/scaling.py document [--preset original] [--words 100000]

`lengths` encodes sentences of one length with the given number of words in total; the lengths run alternately.
`sentences` encodes corpora of increasing size in calls of 1000 sentences and discards the pooled vectors. Each corpus
runs in a new process, and its peak memory is read at the end. `document` encodes one sentence of many words. All
weights are random.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from typing import Any

import torch
from encoder import make_text
from machine import environment_info, run_interleaved

from modeling_elmo import ElmoConfig, ElmoEncoder, ElmoModel, ElmoTokenizer

SENTENCES_PER_CALL = 1000


def make_encoder(preset: str, device: str) -> ElmoEncoder:
    """Return an encoder with random weights."""
    torch.manual_seed(0)
    return ElmoEncoder(ElmoModel(ElmoConfig.from_preset(preset)), ElmoTokenizer(), device)


def peak_megabytes() -> int:
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def by_sentence_length(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return words per second by sentence length."""
    encoder = make_encoder(arguments.preset, arguments.device)
    texts = {n: make_text(max(1, arguments.words // n), length=n) for n in arguments.lengths}
    methods = {str(n): lambda n=n: encoder.encode(texts[n]) for n in texts}
    run_interleaved(methods, 1)  # warm-up
    seconds = run_interleaved(methods, arguments.repeat)
    rates = {n: round(len(texts[n]) * n / statistics.median(seconds[str(n)])) for n in texts}
    return {"words_per_second": rates, "slowest_to_fastest": round(min(rates.values()) / max(rates.values()), 2)}


def embed_corpus(preset: str, device: str, count: int) -> dict[str, int]:
    """Return words per second and peak memory of a corpus; runs in a new process."""
    encoder = make_encoder(preset, device)
    encoder.encode(make_text(SENTENCES_PER_CALL, seed=1), pooling="mean")  # warm-up
    words, seconds = 0, 0.0
    for number in range(count // SENTENCES_PER_CALL):
        texts = make_text(SENTENCES_PER_CALL, seed=number)
        words += sum(len(text.split()) for text in texts)
        start = time.perf_counter()
        encoder.encode(texts, pooling="mean")
        seconds += time.perf_counter() - start
    return {"words_per_second": round(words / seconds), "peak_megabytes": peak_megabytes()}


def by_corpus_size(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the results of `embed_corpus` by number of sentences."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {
            str(count): pool.apply(embed_corpus, (arguments.preset, arguments.device, count))
            for count in arguments.counts
        }


def encode_document(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return speed and memory for one sentence of many words, all layers."""
    encoder = make_encoder(arguments.preset, arguments.device)
    [text] = make_text(1, length=arguments.words)
    before = peak_megabytes()
    start = time.perf_counter()
    [layers] = encoder.encode([text], layer="all")
    seconds = time.perf_counter() - start
    return {
        "words": len(layers),
        "words_per_second": round(len(layers) / seconds, 1),
        "seconds": round(seconds, 1),
        "peak_megabytes": {"model loaded": before, "at the end": peak_megabytes()},
        "result_megabytes": layers.nbytes >> 20,
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measurement", choices=("lengths", "sentences", "document"))
    parser.add_argument("--preset", help="small, medium, or original (default; for sentences: small)")
    parser.add_argument("--words", type=int, help="number of words (default: 4096; for document: 100000)")
    parser.add_argument("--lengths", type=int, nargs="+", default=[5, 10, 20, 50, 100, 200, 500])
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="default: that of torch")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.preset = arguments.preset or ("small" if arguments.measurement == "sentences" else "original")
    arguments.words = arguments.words or (100_000 if arguments.measurement == "document" else 4096)
    measure = {"lengths": by_sentence_length, "sentences": by_corpus_size, "document": encode_document}[
        arguments.measurement
    ]
    figures = measure(arguments)
    print(json.dumps({**environment_info(), "preset": arguments.preset, arguments.measurement: figures}, indent=2))


if __name__ == "__main__":
    main()
