# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""One contender of `speed.py` in its own process: reads a JSON request a line, answers with a JSON line.

    python speed_worker.py CONTENDER WEIGHTS SENTENCES THREADS DEVICE

CONTENDER is `elmo-DTYPE`, `elmo-DTYPE-RECURRENCE`, `allennlp` or `simple_elmo`; the last two need an environment with
AllenNLP 2.10.1 or simple_elmo. WEIGHTS is a folder with options.json and lm_weights.hdf5. Only what the contender needs
is imported, so that this file runs in any of these environments.
"""

import json
import os
import resource
import sys
import time
import types
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np

Batch = list[list[str]]
Layers = list[np.ndarray]  # [layers, words, size] a sentence


def finish(model: Any) -> None:
    """Wait until the gradients are there."""
    next(p.grad for p in model.parameters() if p.grad is not None).flatten()[0].item()


class Elmo:
    """ELMo as it is here, converted weights, stateless."""

    def __init__(self, name: str, weights: str, threads: int, device: str) -> None:
        import torch

        from modeling_elmo import ElmoModel, ElmoTokenizer
        from modeling_elmo.conversion.convert import convert

        torch.set_num_threads(threads)
        _, dtype, *recurrence = name.split("-")
        folder = Path(weights) / "converted"
        if not (folder / "config.json").exists():
            convert(weights, folder, language="en")
        self.torch, self.tokenizer = torch, ElmoTokenizer()
        self.model = ElmoModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval().to(device)
        self.model.config.recurrence = recurrence[0] if recurrence else "auto"

    def encode(self, batch: Batch) -> dict:
        encoded = self.tokenizer(batch, is_split_into_words=True, padding=True, return_tensors="pt")
        return dict(encoded.to(self.model.device))

    def layers(self, batch: Batch) -> Layers:
        with self.torch.inference_mode():
            output = self.model(**self.encode(batch), output_hidden_states=True)
            stacked = self.torch.stack(output.hidden_states, dim=1).float().cpu().numpy()
        return [stacked[row, :, : len(words)] for row, words in enumerate(batch)]

    def train(self, batch: Batch) -> None:
        self.model.zero_grad(set_to_none=True)
        self.model(**self.encode(batch))[0].sum().backward()
        finish(self.model)


class AllenNlp:
    """AllenNLP 2.10.1's `_ElmoBiLm`; states run on from batch to batch, as it has them."""

    def __init__(self, name: str, weights: str, threads: int, device: str) -> None:
        # allennlp imports torchvision, which ELMo does not use and which has no build beside torch for CPUs.
        stand_in = types.ModuleType("torchvision")
        stand_in.__spec__ = ModuleSpec("torchvision", None)
        sys.modules.setdefault("torchvision", stand_in)
        import torch
        from allennlp.modules.elmo import _ElmoBiLm, batch_to_ids
        from allennlp.nn.util import remove_sentence_boundaries

        torch.set_num_threads(threads)
        self.torch, self.batch_to_ids, self.without_boundaries = torch, batch_to_ids, remove_sentence_boundaries
        self.files = [str(Path(weights, file)) for file in ("options.json", "lm_weights.hdf5")]
        self.load = _ElmoBiLm
        self.device = device
        self.model = _ElmoBiLm(*self.files).eval().to(device)
        self.trained = None

    def layers(self, batch: Batch) -> Layers:
        with self.torch.no_grad():
            output = self.model(self.batch_to_ids(batch).to(self.device))
            layers = [self.without_boundaries(layer, output["mask"])[0] for layer in output["activations"]]
            stacked = self.torch.stack(layers, dim=1).cpu().numpy()
        return [stacked[row, :, : len(words)] for row, words in enumerate(batch)]

    def train(self, batch: Batch) -> None:
        if self.trained is None:
            self.trained = self.load(*self.files, requires_grad=True).to(self.device)
        self.trained.zero_grad(set_to_none=True)
        ids = self.batch_to_ids(batch).to(self.device)
        sum(layer.sum() for layer in self.trained(ids)["activations"]).backward()
        finish(self.trained)


class SimpleElmo:
    """simple_elmo on TensorFlow, one session for all batches; states run on."""

    def __init__(self, name: str, weights: str, threads: int, device: str) -> None:
        os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
        import logging

        logging.disable(logging.INFO)
        import tensorflow as tf
        from simple_elmo import ElmoModel, weight_layers

        self.elmo = ElmoModel()
        self.elmo.load(weights, max_batch_size=128)
        self.output = weight_layers("all", self.elmo.sentence_embeddings_op, use_layers="all")["weighted_op"]
        v1 = tf.compat.v1
        settings = v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)
        self.session = v1.Session(config=settings)
        self.session.run(v1.global_variables_initializer())

    def layers(self, batch: Batch) -> Layers:
        ids = self.elmo.batcher.batch_sentences(batch)
        stacked = self.session.run(self.output, {self.elmo.sentence_character_ids: ids})
        return [stacked[row, :, : len(words)] for row, words in enumerate(batch)]

    def train(self, batch: Batch) -> None:
        raise NotImplementedError


TRAINED = [["the", "bank", "lends", "money"] * 5] * 32  # the batch of a step of training
CONTENDERS = {"elmo": Elmo, "allennlp": AllenNlp, "simple_elmo": SimpleElmo}


def batches(sentences: Batch, request: dict) -> list[Batch]:
    """The request's sentences in its order: `every` n-th, `sorted` by length, `batch` or `tokens` at a time."""
    chosen = sentences[:: request["every"]]
    if request["sorted"]:
        chosen = sorted(chosen, key=len, reverse=True)
    made: list[Batch] = []
    for words in chosen:
        longest = max(len(words), *map(len, made[-1])) if made else 0
        count = len(made[-1]) + 1 if made else 0
        fits = longest * count <= request["tokens"] if "tokens" in request else count <= request["batch"]
        if made and fits:
            made[-1].append(words)
        else:
            made.append([words])
    return made


def answer(contender: Elmo | AllenNlp | SimpleElmo, sentences: Batch, request: dict) -> dict:
    """Do what is asked: `save` the layers of a few sentences, `train` or `run` with the clock on."""
    if request["do"] == "save":
        layers = contender.layers(sentences[: request["count"]])
        np.savez(request["file"], *layers)
        return {}
    work = [TRAINED] * 2 if request["do"] == "train" else batches(sentences, request)
    call = contender.train if request["do"] == "train" else contender.layers
    start = time.perf_counter()
    for batch in work:
        call(batch)
    seconds = time.perf_counter() - start
    tokens = sum(len(words) for batch in work for words in batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": seconds / (len(work) if request["do"] == "train" else 1),
        "tokens": tokens,
        "peak_mb": round(peak),
    }


def main() -> None:
    """Answer requests until there are no more."""
    warnings.filterwarnings("ignore")
    name, weights, file, threads, device = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get among the answers
    lines = Path(file).read_text(encoding="utf-8").split("\n")
    sentences = [line.split(" ") for line in lines if line.strip()]
    contender = CONTENDERS[name.split("-")[0]](name, weights, int(threads), device)
    print(json.dumps({"ready": name}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(contender, sentences, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
