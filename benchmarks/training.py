# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Words per second of the steps of `elmo train` (forward, backward, AdamW) for a model of the bundled one's size.

    python benchmarks/training.py TEXT VOCABULARY [--model FOLDER] [--steps 8] [--output docs/training.json]

TEXT is text as `elmo train` reads it, VOCABULARY a `vocab.txt`. The settings run alternately on the same batches; the
results are medians. If the settings disagree on the loss of one batch, nothing is printed. The benchmark does not
configure the memory allocator; see docs/training.md.
"""

import argparse
import json
import resource
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from machine import environment_info, run_interleaved
from torch import Tensor

from modeling_elmo import ElmoForPreTraining, bundled_model_path
from modeling_elmo.training.callbacks import LanguageModelCollator
from modeling_elmo.training.text import DocumentStream, SentenceBatchDataset, text_files
from modeling_elmo.training.train import TrainOptions, load_training_model

Batch = dict[str, Tensor]
MAX_LOSS_DIFFERENCE = 0.02  # rounding of bfloat16; the losses are about 10


def step(
    model: ElmoForPreTraining, optimizer: torch.optim.Optimizer, batch: Batch, use_bfloat16: bool, implementation: str
) -> float:
    """Update the model, and return the loss."""
    model.config.lstm_implementation = implementation
    device = next(model.parameters()).device.type
    with torch.autocast(device, torch.bfloat16) if use_bfloat16 else nullcontext():
        loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def compute_losses(model: ElmoForPreTraining, batch: Batch) -> dict[str, float]:
    """Return the loss of each setting without an update, with the same sampled words."""
    losses = {}
    for name, use_bfloat16, implementation in SETTINGS:
        torch.manual_seed(0)
        model.config.lstm_implementation = implementation
        with torch.no_grad(), torch.autocast(batch["input_ids"].device.type, torch.bfloat16, enabled=use_bfloat16):
            losses[name] = float(model(**batch).loss)
    return losses


SETTINGS = (
    ("float32", False, "auto"),
    ("bfloat16", True, "auto"),
    ("float32, reference", False, "eager"),
    ("bfloat16, reference", True, "eager"),
)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="text file or folder")
    parser.add_argument("vocabulary", type=Path, help="vocab.txt")
    parser.add_argument(
        "--model",
        default=str(bundled_model_path()),
        help="model to train (default: bundled)",
    )
    parser.add_argument("--max-tokens", type=int, default=4000, help="tokens per step (default: 4000)")
    parser.add_argument("--num-sampled-words", type=int, default=4096, help="softmax samples (default: 4096)")
    parser.add_argument("--steps", type=int, default=8, help="number of batches per setting (default: 8)")
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    arguments = parser.parse_args()

    softmax: dict[str, Any] = {"softmax_type": "sampled", "num_sampled_words": arguments.num_sampled_words}
    options = TrainOptions(
        [arguments.text], Path(), vocabulary=arguments.vocabulary, model=arguments.model, config=softmax
    )
    model, tokenizer, vocabulary = load_training_model(options)
    model.to("cuda" if torch.cuda.is_available() else "cpu").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    text = SentenceBatchDataset(
        DocumentStream(tuple(text_files([arguments.text])), seed=0), arguments.max_tokens, buffer_batches=10
    )
    collator = LanguageModelCollator(tokenizer, vocabulary)
    batches = [
        {name: tensor.to(model.device) for name, tensor in collator([item]).items()}
        for item in islice(text, arguments.steps + 1)
    ]
    losses = compute_losses(model, batches[0])
    if max(losses.values()) - min(losses.values()) > MAX_LOSS_DIFFERENCE:
        raise SystemExit(f"The settings disagree: {losses}")

    seconds: dict[str, list[float]] = {name: [] for name, _, _ in SETTINGS}
    for index, batch in enumerate(batches):
        functions: dict[str, Callable[[], object]] = {
            name: partial(step, model, optimizer, batch, use_bfloat16, implementation)
            for name, use_bfloat16, implementation in SETTINGS
        }
        times = run_interleaved(functions, 1)
        if index:  # the first batch is a warm-up
            words = int(batch["attention_mask"].sum())
            for name, values in times.items():
                seconds[name].append(words / values[0])
    report = {
        **environment_info(),
        "parameters": sum(p.numel() for p in model.elmo.parameters()),
        "parameters of the softmax": sum(p.numel() for p in model.softmax.parameters()),
        "words per second": {name: round(statistics.median(values)) for name, values in seconds.items()},
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    text_of_report = json.dumps(report, indent=1)
    print(text_of_report)
    if arguments.output:
        arguments.output.write_text(text_of_report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
