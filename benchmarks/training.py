# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Words a second of `elmo train`'s steps: forward, backward and AdamW, for a model of the bundled one's size.

    python benchmarks/training.py TEXT VOCABULARY [--model FOLDER] [--steps 8] [--output docs/training.json]

TEXT is what `elmo train` reads, VOCABULARY a `vocab.txt`. The settings take turns on the same batches, so that a noisy
machine is noisy for all of them; printed are medians. Before the clock starts, the settings must agree on the loss of
one batch, or nothing is printed. On Linux the command sets nothing of the C library's allocator; see docs/training.md.
"""

import argparse
import json
import resource
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from machine import in_turns, stamp
from torch import Tensor

from modeling_elmo import ElmoForPreTraining, bundled_model_path
from modeling_elmo.training.callbacks import LanguageModelCollator
from modeling_elmo.training.text import SentenceBatches, TextStream, text_files
from modeling_elmo.training.train import TrainOptions, load_model

Batch = dict[str, Tensor]
AGREEMENT = 0.02  # of the losses, which are about 10: what bfloat16 may change


def step(
    model: ElmoForPreTraining, optimizer: torch.optim.Optimizer, batch: Batch, low: bool, recurrence: str
) -> float:
    """One update; returns the loss."""
    model.config.recurrence = recurrence
    device = next(model.parameters()).device.type
    with torch.autocast(device, torch.bfloat16) if low else nullcontext():
        loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def losses(model: ElmoForPreTraining, batch: Batch) -> dict[str, float]:
    """Of each setting, without an update; the sample of words is the same for all."""
    found = {}
    for name, low, recurrence in SETTINGS:
        torch.manual_seed(0)
        model.config.recurrence = recurrence
        with torch.no_grad(), torch.autocast(batch["input_ids"].device.type, torch.bfloat16, enabled=low):
            found[name] = float(model(**batch).loss)
    return found


SETTINGS = (
    ("float32", False, "auto"),
    ("bfloat16", True, "auto"),
    ("float32, reference", False, "reference"),
    ("bfloat16, reference", True, "reference"),
)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="files or folder of text")
    parser.add_argument("vocabulary", type=Path, help="vocab.txt")
    parser.add_argument("--model", default=str(bundled_model_path()), help="whose architecture to train")
    parser.add_argument("--max-tokens", type=int, default=4000, help="words a step")
    parser.add_argument("--num-sampled-words", type=int, default=4096, help="of the sampled softmax")
    parser.add_argument("--steps", type=int, default=8, help="batches, each trained on in every setting")
    parser.add_argument("--output", type=Path, help="file for the JSON too")
    arguments = parser.parse_args()

    softmax: dict[str, Any] = {"softmax": "sampled", "num_sampled_words": arguments.num_sampled_words}
    options = TrainOptions(
        [arguments.text], Path(), vocabulary=arguments.vocabulary, model=arguments.model, config=softmax
    )
    model, tokenizer, vocabulary = load_model(options)
    model.to("cuda" if torch.cuda.is_available() else "cpu").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    text = SentenceBatches(TextStream(tuple(text_files([arguments.text])), seed=0), arguments.max_tokens, pool=10)
    collator = LanguageModelCollator(tokenizer, vocabulary)
    batches = [
        {name: tensor.to(model.device) for name, tensor in collator([item]).items()}
        for item in islice(text, arguments.steps + 1)
    ]
    found = losses(model, batches[0])
    if max(found.values()) - min(found.values()) > AGREEMENT:
        raise SystemExit(f"the settings disagree, no figures: {found}")

    seconds: dict[str, list[float]] = {name: [] for name, _, _ in SETTINGS}
    for index, batch in enumerate(batches):
        ways: dict[str, Callable[[], object]] = {
            name: lambda batch=batch, low=low, recurrence=recurrence: step(model, optimizer, batch, low, recurrence)
            for name, low, recurrence in SETTINGS
        }
        times = in_turns(ways, 1)
        if index:  # the first one warms up
            words = int(batch["attention_mask"].sum())
            for name, values in times.items():
                seconds[name].append(words / values[0])
    report = {
        **stamp(),
        "parameters": sum(p.numel() for p in model.elmo.parameters()),
        "parameters of the softmax": sum(p.numel() for p in model.softmax.parameters()),
        "words a second": {name: round(statistics.median(values)) for name, values in seconds.items()},
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    text_of_report = json.dumps(report, indent=1)
    print(text_of_report)
    if arguments.output:
        arguments.output.write_text(text_of_report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
