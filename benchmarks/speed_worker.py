# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Worker process of `speed.py` for one system. It reads one JSON request per line and writes one JSON response each.

    python speed_worker.py SYSTEM WEIGHTS SENTENCES THREADS DEVICE

SYSTEM is `elmo-DTYPE`, `elmo-DTYPE-RECURRENCE`, `allennlp`, or `simple_elmo`; the last two require an environment with
AllenNLP 2.10.1 or simple_elmo. WEIGHTS is a folder with options.json and lm_weights.hdf5. Only the packages of the
system are imported, so that this file runs in each of these environments.
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
Layers = list[np.ndarray]  # one array [layers, words, size] per sentence


def synchronize_gradients(model: Any) -> None:
    """Wait until the gradients are computed."""
    next(p.grad for p in model.parameters() if p.grad is not None).flatten()[0].item()


class Elmo:
    """`ElmoModel` with converted weights, stateless."""

    def __init__(self, name: str, weights: str, threads: int, device: str) -> None:
        import torch

        from modeling_elmo import ElmoModel, ElmoTokenizer
        from modeling_elmo.conversion.convert import convert

        torch.set_num_threads(threads)
        _, dtype, *variant = name.split("-")
        folder = Path(weights) / "converted"
        if not (folder / "config.json").exists():
            convert(weights, folder, language="en")
        self.torch, self.tokenizer = torch, ElmoTokenizer()
        self.model = ElmoModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval().to(device)
        self.model.config.lstm_implementation = "eager" if "reference" in variant else "auto"
        self.model.config.lstm_weight_dtype = "int8" if "int8" in variant else None

    def encode(self, batch: Batch) -> dict:
        """Return the model inputs of a batch."""
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
        synchronize_gradients(self.model)


class AllenNlp:
    """`_ElmoBiLm` of AllenNLP 2.10.1, which carries states from batch to batch."""

    def __init__(self, name: str, weights: str, threads: int, device: str) -> None:
        # allennlp imports torchvision, which ELMo does not use and which does not exist for CPU builds of torch.
        stub = types.ModuleType("torchvision")
        stub.__spec__ = ModuleSpec("torchvision", None)
        sys.modules.setdefault("torchvision", stub)
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
        synchronize_gradients(self.trained)


class SimpleElmo:
    """simple_elmo on TensorFlow, with one session for all batches and carried states."""

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


TRAINING_BATCH = [["the", "bank", "lends", "money"] * 5] * 32
SYSTEMS = {"elmo": Elmo, "allennlp": AllenNlp, "simple_elmo": SimpleElmo}


def make_batches(sentences: Batch, request: dict) -> list[Batch]:
    """Return batches of the sentences of a request.

    Its keys are `every` (take each n-th sentence), `sorted` (by length), and `batch` (sentences per batch) or `tokens`
    (tokens per batch).
    """
    selected = sentences[:: request["every"]]
    if request["sorted"]:
        selected = sorted(selected, key=len, reverse=True)
    batches: list[Batch] = []
    for words in selected:
        max_length = max(len(words), *map(len, batches[-1])) if batches else 0
        count = len(batches[-1]) + 1 if batches else 0
        fits = max_length * count <= request["tokens"] if "tokens" in request else count <= request["batch"]
        if batches and fits:
            batches[-1].append(words)
        else:
            batches.append([words])
    return batches


def handle_request(system: Elmo | AllenNlp | SimpleElmo, sentences: Batch, request: dict) -> dict:
    """Handle a request: `save` the layers of a few sentences, or measure `train` or `run`."""
    if request["do"] == "save":
        layers = system.layers(sentences[: request["count"]])
        np.savez(request["file"], *layers)
        return {}
    batches = [TRAINING_BATCH] * 2 if request["do"] == "train" else make_batches(sentences, request)
    call = system.train if request["do"] == "train" else system.layers
    start = time.perf_counter()
    for batch in batches:
        call(batch)
    seconds = time.perf_counter() - start
    tokens = sum(len(words) for batch in batches for words in batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": seconds / (len(batches) if request["do"] == "train" else 1),
        "tokens": tokens,
        "peak_mb": round(peak),
    }


def main() -> None:
    """Handle requests until the input ends."""
    warnings.filterwarnings("ignore")
    name, weights, file, threads, device = sys.argv[1:]
    responses = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keep output of libraries out of the responses
    lines = Path(file).read_text(encoding="utf-8").split("\n")
    sentences = [line.split(" ") for line in lines if line.strip()]
    system = SYSTEMS[name.split("-")[0]](name, weights, int(threads), device)
    print(json.dumps({"ready": name}), file=responses, flush=True)
    for line in sys.stdin:
        print(json.dumps(handle_request(system, sentences, json.loads(line))), file=responses, flush=True)


if __name__ == "__main__":
    main()
