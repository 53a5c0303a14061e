# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Overhead of ElmoEncoder and `datasets.map` compared with the model alone, on the same batches.

    python benchmarks/encoder.py [--preset original | --tiny] [--sentences 2000] [--pooling mean] [--device cuda]

The model alone gets the batches of the encoder as tensors on its device, and its vectors are discarded. The other
methods add splitting, tokenization, sorting, copying, and Arrow. All methods run alternately. The result contains the
median words per second of each method, and its share of that of the model alone. The weights are random.
"""

import argparse
import json
import random
import statistics
import tempfile
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import torch
from datasets import Dataset, disable_progress_bars
from machine import environment_info, run_interleaved

from modeling_elmo import ElmoConfig, ElmoEncoder, ElmoModel, ElmoTokenizer
from modeling_elmo.encode.batches import Batch, Window, iter_batches
from modeling_elmo.encode.vectors import batch_vectors
from modeling_elmo.encoder import WINDOW_SIZE, batch_limits

TINY = {"projection_size": 16, "cell_size": 32, "filters": [[1, 8], [2, 8]], "num_highway_layers": 1}
LETTERS = "etaoinshrdlucmfwypvbgk"


def make_text(num_sentences: int, seed: int = 0, length: int | None = None, mean: int = 25) -> list[str]:
    """Return sentences of Zipf-distributed words.

    Args:
        num_sentences: Number of sentences.
        seed: Seed of the sentences. The vocabulary is always the same.
        length: Words per sentence. Defaults to normally distributed lengths, as in news.
        mean: Mean of these lengths.
    """
    rng, word_rng = random.Random(seed), random.Random(0)
    words = ["".join(word_rng.choices(LETTERS, k=word_rng.randint(1, 11))) for _ in range(30_000)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    lengths = [length or 1 + max(1, round(rng.gauss(mean, mean / 2))) for _ in range(num_sentences)]
    return [" ".join([*rng.choices(words, cum_weights=weights, k=n - 1), "."]) for n in lengths]


def make_batches(encoder: ElmoEncoder, texts: list[str], max_tokens: int, batch_size: int | None) -> list[Batch]:
    """Return the batches of `encode`."""
    windows = (Window(texts[start : start + WINDOW_SIZE]) for start in range(0, len(texts), WINDOW_SIZE))
    items = iter_batches(encoder.tokenizer, windows, lambda: max_tokens, batch_size, pin_memory=False)
    return [item for item in items if isinstance(item, Batch)]


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="original", help="small, medium, or original (default)")
    parser.add_argument("--tiny", action="store_true", help="use a minimal model, to test the benchmark itself")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--pooling", choices=("mean", "max"))
    parser.add_argument("--layer", default="elmo")
    parser.add_argument("--dtype", default="float32", help="dtype of the vectors (default: float32)")
    parser.add_argument("--model-dtype", default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--max-tokens-per-batch", type=int, help="default: that of the encoder")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    disable_progress_bars()

    config = ElmoConfig(**TINY) if arguments.tiny else ElmoConfig.from_preset(arguments.preset)
    torch.manual_seed(0)
    model = ElmoModel(config).to(getattr(torch, arguments.model_dtype))
    encoder = ElmoEncoder(model, ElmoTokenizer(), arguments.device)
    max_tokens, batch_size = batch_limits(encoder.device, arguments.max_tokens_per_batch, None)
    texts = make_text(arguments.sentences)
    corpus = Dataset.from_dict({"text": texts})
    vectors = {"layer": arguments.layer, "pooling": arguments.pooling, "dtype": arguments.dtype}
    options = {**vectors, "max_tokens_per_batch": max_tokens, "batch_size": batch_size}
    vector_spec = encoder.vector_spec(**vectors)
    encoder.encode(texts[:64], **options)  # moves the model to the device, and warms up

    batches = make_batches(encoder, texts, max_tokens, batch_size)
    inputs = [batch.input_ids.to(encoder.device) for batch in batches]
    words = sum(sum(batch.lengths) for batch in batches)

    def model_alone() -> None:
        with torch.inference_mode():
            for input_ids in inputs:
                batch_vectors(encoder.model, input_ids, None, vector_spec)
        if encoder.device.type == "cuda":
            torch.cuda.synchronize()

    with tempfile.TemporaryDirectory() as folder:
        runs = 0

        def run_map(data: Dataset) -> None:
            nonlocal runs
            runs += 1
            file = str(Path(folder, f"{runs}.arrow"))
            data.map(encoder, batched=True, batch_size=WINDOW_SIZE, fn_kwargs=options, cache_file_name=file)
            Path(file).unlink()

        methods: dict[str, Callable[[], object]] = {
            "model alone": model_alone,
            "encode": lambda: encoder.encode(texts, **options),
            "encode to Arrow": lambda: encoder.encode(texts, **options, output="arrow"),
            "datasets.map": lambda: run_map(corpus),
            "datasets.map, Arrow format": lambda: run_map(corpus.with_format("arrow")),
        }
        seconds = run_interleaved(methods, arguments.repeat)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    figures = {
        "sentences": len(texts),
        "words": words,
        "batches": len(batches),
        "words_per_second": {name: round(words / median) for name, median in medians.items()},
        "share_of_model": {name: round(medians["model alone"] / median, 3) for name, median in medians.items()},
    }
    print(json.dumps({**environment_info(), **figures}, indent=2))


if __name__ == "__main__":
    main()
