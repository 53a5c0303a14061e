# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Whether a word costs the same in short and long sentences and in small and large corpora, and what memory it takes.

    python benchmarks/scaling.py lengths [--preset original] [--words 4096] [--lengths 5 10 20 50 100 200 500]
    python benchmarks/scaling.py sentences [--preset small] [--counts 1000 10000 100000]
    python benchmarks/scaling.py document [--preset original] [--words 100000]

`lengths`: as many sentences of one length as have the words asked for, through ElmoEncoder; the lengths take turns.
`sentences`: corpora of growing size through ElmoEncoder, a thousand sentences a call, vectors pooled and dropped, each
corpus in a new process whose peak memory is read at its end. `document`: one sentence of many words through the model.
All weights are random.
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
from machine import in_turns, stamp

from modeling_elmo import ElmoConfig, ElmoEncoder, ElmoModel, ElmoTokenizer

CALL = 1000  # sentences


def make_encoder(preset: str, device: str) -> ElmoEncoder:
    """An encoder with random weights."""
    torch.manual_seed(0)
    return ElmoEncoder(ElmoModel(ElmoConfig.from_preset(preset)), ElmoTokenizer(), device)


def peak_megabytes() -> int:
    """The most memory that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def over_lengths(arguments: argparse.Namespace) -> dict[str, Any]:
    """Words a second by length of the sentences."""
    encoder = make_encoder(arguments.preset, arguments.device)
    texts = {n: make_text(max(1, arguments.words // n), length=n) for n in arguments.lengths}
    ways = {str(n): lambda n=n: encoder.encode(texts[n]) for n in texts}
    in_turns(ways, 1)  # warm
    seconds = in_turns(ways, arguments.repeat)
    rates = {n: round(len(texts[n]) * n / statistics.median(seconds[str(n)])) for n in texts}
    return {"words_per_second": rates, "slowest_to_fastest": round(min(rates.values()) / max(rates.values()), 2)}


def embed_corpus(preset: str, device: str, count: int) -> dict[str, int]:
    """Words a second and peak memory of a corpus, in a process of its own."""
    encoder = make_encoder(preset, device)
    encoder.encode(make_text(CALL, seed=1), pooling="mean")  # warm
    words, seconds = 0, 0.0
    for number in range(count // CALL):
        texts = make_text(CALL, seed=number)
        words += sum(len(text.split()) for text in texts)
        start = time.perf_counter()
        encoder.encode(texts, pooling="mean")
        seconds += time.perf_counter() - start
    return {"words_per_second": round(words / seconds), "peak_megabytes": peak_megabytes()}


def over_sentences(arguments: argparse.Namespace) -> dict[str, Any]:
    """`embed_corpus` by number of sentences."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {
            str(count): pool.apply(embed_corpus, (arguments.preset, arguments.device, count))
            for count in arguments.counts
        }


def document(arguments: argparse.Namespace) -> dict[str, Any]:
    """One sentence of many words, all layers."""
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
    parser.add_argument("what", choices=("lengths", "sentences", "document"))
    parser.add_argument("--preset", help="small, medium or original (default; for sentences, small)")
    parser.add_argument("--words", type=int, help="default: 4096, of a document 100,000")
    parser.add_argument("--lengths", type=int, nargs="+", default=[5, 10, 20, 50, 100, 200, 500])
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="default: torch's")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.preset = arguments.preset or ("small" if arguments.what == "sentences" else "original")
    arguments.words = arguments.words or (100_000 if arguments.what == "document" else 4096)
    measure = {"lengths": over_lengths, "sentences": over_sentences, "document": document}[arguments.what]
    figures = measure(arguments)
    print(json.dumps({**stamp(), "preset": arguments.preset, arguments.what: figures}, indent=2))


if __name__ == "__main__":
    main()
