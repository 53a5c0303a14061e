# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`pipeline("token-classification")` and `pipeline("text-classification")`: words, offsets, batches."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.small_models import inputs, randomize_weights, tiny_config
from helpers.tolerances import BATCHING_SMALL
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
    TokenClassificationPipeline,
    pipeline,
)

from modeling_elmo import (
    ElmoForSequenceClassification,
    ElmoForTokenClassification,
    ElmoTokenClassificationPipeline,
    ElmoTokenizer,
)
from modeling_elmo.model import pipelines_elmo

TEXTS = ["  John Smith wasn't in New York.", "One", "Müller met 東京 “friends” ."]
LABELS = {0: "O", 1: "B-PER", 2: "I-PER"}


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagger")
    config = tiny_config(id2label=LABELS, label2id={label: index for index, label in LABELS.items()})
    randomize_weights(ElmoForTokenClassification(config), seed=1).save_pretrained(folder)
    ElmoTokenizer(splitter="moses").save_pretrained(folder)
    return folder


def expected(folder: Path, words: list[str]) -> list[tuple[str, float]]:
    """Label and probability of each word, by the model itself."""
    with torch.no_grad():
        logits = ElmoForTokenClassification.from_pretrained(folder)(**inputs([words])).logits[0]
    scores, labels = logits.softmax(1).max(1)
    return [(LABELS[label], score) for label, score in zip(labels.tolist(), scores.tolist(), strict=True)]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_words_have_the_spans_of_the_text(tagger: Path, batch_size: int) -> None:
    words = pipeline("token-classification", model=str(tagger), ignore_labels=[])
    for text, entities in zip(TEXTS, words(TEXTS, batch_size=batch_size), strict=True):
        split = [entity["word"] for entity in entities]
        assert split == [text[entity["start"] : entity["end"]] for entity in entities]
        assert split == ElmoTokenizer(splitter="moses").tokenize(text)
        for entity, (label, score) in zip(entities, expected(tagger, split), strict=True):
            assert entity["entity"] == label
            assert abs(float(entity["score"]) - score) <= BATCHING_SMALL


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
def test_groups_are_runs_of_one_entity_in_the_texts_own_spelling(tagger: Path, strategy: str) -> None:
    groups = pipeline("token-classification", model=str(tagger), aggregation_strategy=strategy, ignore_labels=[])
    for text in TEXTS:
        found = groups(text)
        words = ElmoTokenizer(splitter="moses").tokenize(text)
        runs: list[list[int]] = []  # by the rule of IOB2: a new one where the label changes or starts anew
        labels = [label for label, _ in expected(tagger, words)]
        for index, label in enumerate(labels):
            goes_on = index and label[2:] == labels[index - 1][2:] and (label[:1] != "B" or not label[2:])
            runs[-1].append(index) if goes_on else runs.append([index])
        assert [len(group["word"].split()) >= 1 for group in found] == [True] * len(runs)
        assert [group["entity_group"] for group in found] == [labels[run[0]][2:] or "O" for run in runs]
        assert all(group["word"] == text[group["start"] : group["end"]] for group in found)


def test_words_given_are_kept_as_they_are(tagger: Path) -> None:
    words = pipeline("token-classification", model=str(tagger), ignore_labels=[])
    given = ["New York", "wasn't", "", "x"]
    [entities] = words(given, is_split_into_words=True)  # as in transformers, a list of words is a batch of one
    assert [(entity["word"], entity["start"]) for entity in entities if entity["word"]] == [
        ("New York", 0),
        ("wasn't", 9),
        ("x", 17),
    ]
    [other] = words(given, is_split_into_words=True, delimiter="--")
    assert [entity["start"] for entity in other if entity["word"]] == [0, 10, 20]


def test_a_text_instead_of_words_is_rejected(tagger: Path) -> None:
    words = pipeline("token-classification", model=str(tagger))
    with pytest.raises(ValueError, match="Expected a list of words with `is_split_into_words=True`, got str"):
        words("one text", is_split_into_words=True)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "John", "was", "in"])}
    words = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertForTokenClassification(BertConfig(vocab_size=len(vocabulary), **sizes, id2label=LABELS)).save_pretrained(folder)
    return folder


def test_other_models_keep_the_default_pipeline(bert: Path) -> None:
    tagger = pipeline("token-classification", model=str(bert), ignore_labels=[])
    assert type(tagger) is TokenClassificationPipeline
    assert [(entity["word"], entity["start"]) for entity in tagger("John was in")] == [
        ("John", 0),
        ("was", 5),
        ("in", 9),
    ]

    class Subclass(TokenClassificationPipeline):
        """A pipeline of somebody else."""

    assert type(Subclass(model=tagger.model, tokenizer=tagger.tokenizer)) is Subclass


def test_the_default_class_is_patched_once(tagger: Path, bert: Path) -> None:
    patched = TokenClassificationPipeline.__new__
    assert patched is pipelines_elmo._dispatch_pipeline_class
    # A second copy of the module, as remote code creates it. A reload runs the same code.
    spec = importlib.util.spec_from_file_location("copy_of_pipelines_elmo", pipelines_elmo.__file__)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert TokenClassificationPipeline.__new__ is patched
    assert type(pipeline("token-classification", model=str(bert))) is TokenClassificationPipeline
    assert type(pipeline("token-classification", model=str(tagger))) is ElmoTokenClassificationPipeline


def test_subclasses_of_the_tokenizer_get_the_elmo_pipeline(tagger: Path) -> None:
    class MyTokenizer(ElmoTokenizer):
        """A tokenizer of somebody else."""

    model = ElmoForTokenClassification.from_pretrained(tagger)
    words = TokenClassificationPipeline(model=model, tokenizer=MyTokenizer())
    assert type(words) is ElmoTokenClassificationPipeline
    with pytest.raises(TypeError, match="Expected `tokenizer` to be an ElmoTokenizer, got NoneType"):
        ElmoTokenClassificationPipeline(model=model)


def test_sentences_are_classified_alone_and_in_batches(tmp_path: Path) -> None:
    randomize_weights(ElmoForSequenceClassification(tiny_config(num_labels=3)), seed=2).save_pretrained(tmp_path)
    ElmoTokenizer(splitter="moses").save_pretrained(tmp_path)
    classes = pipeline("text-classification", model=str(tmp_path))
    with torch.no_grad():
        batch = ElmoTokenizer(splitter="moses")(TEXTS, padding=True, return_tensors="pt")
        logits = ElmoForSequenceClassification.from_pretrained(tmp_path)(**batch).logits
    probabilities = logits.softmax(1)

    def check(rows: Any, values: torch.Tensor) -> None:
        for row, value in zip(rows, values, strict=True):
            assert [entry["label"] for entry in row] == [f"LABEL_{index}" for index in value.argsort(descending=True)]
            scores = torch.tensor([entry["score"] for entry in row])
            assert (scores - value.sort(descending=True).values).abs().max() <= BATCHING_SMALL

    check(classes(TEXTS, top_k=None), probabilities)
    check(classes(TEXTS, top_k=None, batch_size=3), probabilities)
    check(classes(TEXTS, top_k=None, function_to_apply="none"), logits)
    best = classes(TEXTS[0])
    assert best[0]["label"] == f"LABEL_{int(logits[0].argmax())}"
