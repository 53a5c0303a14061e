# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What ElmoEncoder and `datasets.map` cost beside the model alone, on the very same batches.

    python benchmarks/encoder.py [--preset original | --tiny] [--sentences 2000] [--pooling mean] [--device cuda]

The model alone gets the encoder's batches as tensors that lie on its device already, and its vectors are thrown away.
Everything else (splitting, spelling, sorting, copying, Arrow) is what the ways around it add. They take turns; printed
are the medians, and the share of the model's own words a second that each way keeps. The weights are random.
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
from machine import in_turns, stamp

from modeling_elmo import ElmoConfig, ElmoEncoder, ElmoModel, ElmoTokenizer
from modeling_elmo.encode.batches import Batch, Window, plan
from modeling_elmo.encode.vectors import batch_vectors
from modeling_elmo.encoder import WINDOW, batch_limits

TINY = {"projection_size": 16, "cell_size": 32, "filters": [[1, 8], [2, 8]], "num_highway_layers": 1}
LETTERS = "etaoinshrdlucmfwypvbgk"


def make_text(number: int, seed: int = 0, length: int | None = None, mean: int = 25) -> list[str]:
    """Sentences of `length` words, or of lengths around `mean` as in news, of words with Zipf's frequencies."""
    chance, letters = random.Random(seed), random.Random(0)  # the same words whatever the sentences
    words = ["".join(letters.choices(LETTERS, k=letters.randint(1, 11))) for _ in range(30_000)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    lengths = [length or 1 + max(1, round(chance.gauss(mean, mean / 2))) for _ in range(number)]
    return [" ".join([*chance.choices(words, cum_weights=weights, k=n - 1), "."]) for n in lengths]


def batches(encoder: ElmoEncoder, texts: list[str], budget: int, most: int | None) -> list[Batch]:
    """The batches that `encode` makes."""
    windows = (Window(texts[start : start + WINDOW]) for start in range(0, len(texts), WINDOW))
    items = plan(encoder.tokenizer, windows, lambda: budget, most, pin_memory=False)
    return [item for item in items if isinstance(item, Batch)]


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="original", help="small, medium or original (default)")
    parser.add_argument("--tiny", action="store_true", help="a model of no size, to try the benchmark itself")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--pooling", choices=("mean", "max"))
    parser.add_argument("--layer", default="elmo")
    parser.add_argument("--dtype", default="float32", help="of the vectors")
    parser.add_argument("--model-dtype", default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--budget", type=int, help="words a batch (default: the encoder's)")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    disable_progress_bars()

    config = ElmoConfig(**TINY) if arguments.tiny else ElmoConfig.from_preset(arguments.preset)
    torch.manual_seed(0)
    model = ElmoModel(config).to(getattr(torch, arguments.model_dtype))
    encoder = ElmoEncoder(model, ElmoTokenizer(), arguments.device)
    budget, most = batch_limits(encoder.device, arguments.budget, None)
    texts = make_text(arguments.sentences)
    corpus = Dataset.from_dict({"text": texts})
    vectors = {"layer": arguments.layer, "pooling": arguments.pooling, "dtype": arguments.dtype}
    options = {**vectors, "max_tokens_per_batch": budget, "batch_size": most}
    kind = encoder.vector_spec(**vectors)
    encoder.encode(texts[:64], **options)  # to the device, and warm

    planned = batches(encoder, texts, budget, most)
    ids = [batch.input_ids.to(encoder.device) for batch in planned]
    words = sum(sum(batch.lengths) for batch in planned)

    def model_alone() -> None:
        with torch.inference_mode():
            for batch in ids:
                batch_vectors(encoder.model, batch, None, kind)
        if encoder.device.type == "cuda":
            torch.cuda.synchronize()

    with tempfile.TemporaryDirectory() as folder:
        runs = 0

        def mapped(data: Dataset) -> None:
            nonlocal runs
            runs += 1
            file = str(Path(folder, f"{runs}.arrow"))
            data.map(encoder, batched=True, batch_size=WINDOW, fn_kwargs=options, cache_file_name=file)
            Path(file).unlink()

        ways: dict[str, Callable[[], object]] = {
            "model alone": model_alone,
            "encode": lambda: encoder.encode(texts, **options),
            "encode to Arrow": lambda: encoder.encode(texts, **options, output="arrow"),
            "datasets.map": lambda: mapped(corpus),
            "datasets.map, Arrow format": lambda: mapped(corpus.with_format("arrow")),
        }
        seconds = in_turns(ways, arguments.repeat)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    figures = {
        "sentences": len(texts),
        "words": words,
        "batches": len(planned),
        "words_per_second": {name: round(words / median) for name, median in medians.items()},
        "share_of_the_model": {name: round(medians["model alone"] / median, 3) for name, median in medians.items()},
    }
    print(json.dumps({**stamp(), **figures}, indent=2))


if __name__ == "__main__":
    main()
