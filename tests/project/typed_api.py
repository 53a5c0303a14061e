# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Types of the public API. This file is not executed: `mypy --strict` checks it against the package."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import assert_type

from modeling_elmo import (
    ElmoConfig,
    ElmoEncoder,
    ElmoForPreTraining,
    ElmoModel,
    ElmoModelOutput,
    ElmoScorer,
    ElmoTokenizer,
    bundled_model_path,
)
from modeling_elmo.encode.batches import Window
from modeling_elmo.encode.stream import EncodedWindow
from modeling_elmo.encode.vectors import VectorSpec
from modeling_elmo.scorer import Perplexity, SentenceScore
from modeling_elmo.vocabulary import LMVocabulary


def one_string(encoder: ElmoEncoder, pooling: str | None) -> None:
    assert_type(encoder.encode("The bank."), np.ndarray)
    assert_type(encoder.encode("The bank.", pooling="mean"), np.ndarray)
    assert_type(encoder.encode("The bank.", "all", pooling, normalize=True, batch_size=1), np.ndarray)
    assert_type(encoder.encode("The bank.", output="torch"), torch.Tensor)
    assert_type(encoder.encode("The bank.", "all", "max", output="torch", dtype=torch.bfloat16), torch.Tensor)


def many_sentences(encoder: ElmoEncoder, texts: list[str], words: Iterator[list[str]]) -> None:
    assert_type(encoder.encode(texts), list[np.ndarray])
    assert_type(encoder.encode(words), list[np.ndarray])
    assert_type(encoder.encode(["The bank.", ["the", "bank"]], "lstm_outputs1"), list[np.ndarray])
    assert_type(encoder.encode(texts, "elmo", None, True, output="numpy"), list[np.ndarray])
    assert_type(encoder.encode(texts, output="torch", show_progress_bar=True, device="cpu"), list[torch.Tensor])


def pooled_sentences(encoder: ElmoEncoder, texts: list[str], words: Sequence[Sequence[str]]) -> None:
    assert_type(encoder.encode(texts, pooling="mean"), np.ndarray)
    assert_type(encoder.encode(words, "all", "max", True, dtype="float16"), np.ndarray)
    assert_type(encoder.encode(texts, pooling="max", output="torch", max_tokens_per_batch=4096), torch.Tensor)
    assert_type(encoder.encode(words, "word_emb", "mean", output="torch"), torch.Tensor)


def options_at_run_time(encoder: ElmoEncoder, texts: list[str], output: str) -> None:
    assert_type(encoder.encode(texts, output=output), Any)
    encoder.encode(texts, color="red")  # type: ignore[call-overload]
    encoder.encode(3)  # type: ignore[call-overload]
    encoder.encode(texts, batch_size="3")  # type: ignore[call-overload]


def encoders(batch: Mapping[str, list[str]]) -> None:
    assert_type(ElmoEncoder(), ElmoEncoder)
    encoder = ElmoEncoder.from_pretrained("elmo-small-en", device="cpu", dtype="int8", revision="main")
    assert_type(encoder, ElmoEncoder)
    assert_type(encoder.device, torch.device)
    assert_type(encoder.tokenizer, ElmoTokenizer)
    assert_type(encoder.fingerprint(), str)
    spec = encoder.vector_spec("all", "mean")
    assert_type(spec, VectorSpec)
    assert_type(encoder.encode_windows([Window(["The bank."])], spec), Iterator[EncodedWindow])
    encoder(batch, column="text")


def scorers(model: ElmoForPreTraining, tokenizer: ElmoTokenizer) -> None:
    scorer = ElmoScorer(model, tokenizer, LMVocabulary(["<S>", "</S>", "<UNK>", "bank"]))
    assert_type(ElmoScorer.from_pretrained("folder", device="cpu"), ElmoScorer)
    assert_type(scorer.score(["The bank.", ["the", "bank"]]), list[SentenceScore])
    assert_type(scorer.score(["The bank."])[0].is_unknown, list[bool])
    assert_type(scorer.perplexity([["the", "bank"]], carry_states=True), Perplexity)
    assert_type(scorer.perplexity([]).combined, float)
    assert_type(scorer.perplexity([]).num_unknown, int)
    assert_type(scorer.substitutes("The bank .", 1, k=3, context="left"), list[tuple[str, float]])


def models_and_tokenizers(model: ElmoModel, output: ElmoModelOutput) -> None:
    assert_type(ElmoConfig.from_preset("small", cell_clip=None), ElmoConfig)
    assert_type(ElmoConfig().hidden_size, int)
    assert_type(output.last_hidden_state, torch.Tensor | None)
    tokenizer = ElmoTokenizer(splitter="whitespace")
    assert_type(tokenizer.tokenize("The bank."), list[str])
    assert_type(tokenizer.split(["The bank."]), list[list[tuple[int, int]]])
    assert_type(bundled_model_path(), Path)
