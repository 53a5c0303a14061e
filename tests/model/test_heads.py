# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Task heads: what trains and what is frozen, the losses by hand, Trainer, saving and loading."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.small_models import SENTENCES, inputs, lively, max_difference, tiny_config
from helpers.tolerances import BATCHING_SMALL, SAME_BATCH
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from modeling_elmo import ElmoForSequenceClassification, ElmoForTokenClassification, ElmoTokenizer

HEADS = [ElmoForTokenClassification, ElmoForSequenceClassification]
MIX = ("elmo.scalar_mixes.0.weights", "elmo.scalar_mixes.0.gamma")
CLASSIFIER = ("classifier.weight", "classifier.bias")


def head(kind: type, seed: int = 0, **fields: Any) -> Any:
    return lively(kind(tiny_config(**{"num_labels": 3, **fields})), seed)


def trainable(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("kind", HEADS)
def test_the_bilm_is_frozen_until_it_is_told_otherwise_part_by_part(kind: type, tmp_path: Path) -> None:
    model = head(kind)
    assert trainable(model) == {*MIX, *CLASSIFIER}
    model.unfreeze("layers.1")
    assert {name.rsplit(".", 4)[0] for name in trainable(model) - {*MIX, *CLASSIFIER}} == {"elmo.layers.1"}
    model.unfreeze()
    assert trainable(model) == {name for name, _ in model.named_parameters()}
    model.save_pretrained(tmp_path)
    assert kind.from_pretrained(tmp_path).config.trainable_modules == ["char_encoder", "layers", "layers.1"]
    assert trainable(kind.from_pretrained(tmp_path)) == trainable(model)
    assert trainable(kind.from_pretrained(tmp_path, trainable_modules=[])) == {*MIX, *CLASSIFIER}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("part", ["layer", "layers.7", "scalar_mixes", ""])
def test_a_part_that_is_not_there_is_named(kind: type, part: str) -> None:
    with pytest.raises(ValueError, match=f"got '{part}'"):
        head(kind, trainable_modules=[part])


@pytest.mark.parametrize("kind", HEADS)
def test_gradients_reach_the_mix_and_the_classifier_alone(kind: type) -> None:
    model = head(kind, classifier_dropout=0.0, scalar_mix_l2=0.0)
    batch = inputs(SENTENCES)
    shape = batch["attention_mask"].shape if kind is ElmoForTokenClassification else (len(SENTENCES),)
    model(**batch, labels=torch.zeros(shape, dtype=torch.long)).loss.backward()
    with_gradients = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradients == {*MIX, *CLASSIFIER}
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters() if parameter.requires_grad)


def test_an_early_layer_alone_learns_through_the_frozen_ones_above() -> None:
    model = head(ElmoForTokenClassification, trainable_modules=["layers.0"]).train()
    batch = inputs(SENTENCES)
    model(**batch, labels=torch.zeros(batch["attention_mask"].shape, dtype=torch.long)).loss.backward()
    learns = {
        name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }
    assert learns == trainable(model)


def mixed(model: Any, batch: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model.elmo(**batch).last_hidden_state


def test_the_loss_of_words_is_the_mean_over_labels_and_the_mixs_l2() -> None:
    model = head(ElmoForTokenClassification, scalar_mix_l2=0.25)
    batch = inputs(SENTENCES)
    labels = torch.randint(0, 3, batch["attention_mask"].shape)
    labels[batch["attention_mask"] == 0] = -100
    labels[0, 1] = -100
    with torch.no_grad():
        output = model(**batch, labels=labels)
        logits = mixed(model, batch) @ model.classifier.weight.T + model.classifier.bias
    assert max_difference(output.logits, logits) <= SAME_BATCH
    chosen = [-torch.log_softmax(logits[b, w], 0)[labels[b, w]] for b, w in (labels != -100).nonzero().tolist()]
    weights = model.elmo.scalar_mixes[0].weights
    expected = sum(chosen) / len(chosen) + 0.25 * float((weights**2).sum())
    assert abs(float(output.loss) - float(expected)) <= 10 * SAME_BATCH
    nothing = model(**batch, labels=torch.full_like(labels, -100)).loss
    assert abs(float(nothing) - 0.25 * float((weights**2).sum())) <= SAME_BATCH


def test_dropout_lies_on_the_mix_in_training_alone() -> None:
    model = head(ElmoForTokenClassification)
    assert model.dropout.p == 0.5
    batch = inputs(SENTENCES[:1])
    seen: list[Tensor] = []
    model.classifier.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    model.train()(**batch)
    model.eval()(**batch)
    dropped, whole = seen
    assert max_difference(whole, mixed(model, batch)) <= SAME_BATCH
    kept = dropped != 0
    assert 0.2 < kept.float().mean() < 0.8
    assert max_difference(dropped[kept], 2 * whole[kept]) <= 10 * SAME_BATCH


@pytest.mark.parametrize(
    ("problem", "labels"),
    [
        ("regression", torch.tensor([0.5, -1.0, 2.0])),
        ("single_label_classification", torch.tensor([2, 0, 1])),
        ("multi_label_classification", torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0]])),
    ],
)
def test_the_loss_of_sentences(problem: str, labels: Tensor) -> None:
    fields = {"num_labels": 1 if problem == "regression" else 3, "sentence_pooling": ["mean", "max"]}
    model = head(ElmoForSequenceClassification, scalar_mix_l2=0.0, **fields)
    batch = inputs([SENTENCES[0], SENTENCES[1], []])
    output = model(**batch, labels=labels)
    vectors, lengths = mixed(model, batch), batch["attention_mask"].sum(1).tolist()
    pooled = [
        torch.cat([v[:n].mean(0), v[:n].amax(0)]) if n else v.new_zeros(2 * v.shape[1])
        for v, n in zip(vectors, lengths, strict=True)
    ]
    logits = torch.stack(pooled) @ model.classifier.weight.T + model.classifier.bias
    assert max_difference(output.logits, logits) <= SAME_BATCH
    losses = {
        "regression": lambda: F.mse_loss(logits[:, 0], labels),
        "single_label_classification": lambda: F.cross_entropy(logits, labels),
        "multi_label_classification": lambda: F.binary_cross_entropy_with_logits(logits, labels),
    }
    assert abs(float(output.loss) - float(losses[problem]())) <= 10 * SAME_BATCH
    assert model.config.problem_type == problem


@pytest.mark.parametrize("labels", [torch.tensor([[1.0], [2.0]]), torch.tensor([1, 2]), torch.tensor([1.0, 2.0])])
def test_one_number_a_sentence_in_any_form_is_regression(labels: Tensor) -> None:
    model = head(ElmoForSequenceClassification, num_labels=1, scalar_mix_l2=0.0)
    output = model(**inputs(SENTENCES[:2]), labels=labels)
    errors = output.logits[:, 0] - torch.tensor([1.0, 2.0])
    assert abs(float(output.loss) - float((errors**2).mean())) <= SAME_BATCH


def test_several_numbers_a_sentence_are_regression_where_the_config_says_so() -> None:
    model = head(ElmoForSequenceClassification, problem_type="regression", scalar_mix_l2=0.0)
    labels = torch.tensor([[0.0, 1, 2], [3, 4, 5]])
    output = model(**inputs(SENTENCES[:2]), labels=labels)
    assert abs(float(output.loss) - float(((output.logits - labels) ** 2).mean())) <= 10 * SAME_BATCH


@pytest.mark.parametrize(
    ("problem", "labels", "message"),
    [
        ("single_label_classification", torch.zeros(2, 3, dtype=torch.long), r"\[2\] for .*; got \[2, 3\]"),
        ("multi_label_classification", torch.zeros(2), r"\[2, 3\] for .*; got \[2\]"),
        ("regression", torch.zeros(2), r"\[2, 3\] for .*; got \[2\]"),
    ],
)
def test_labels_of_sentences_of_another_shape_are_refused(problem: str, labels: Tensor, message: str) -> None:
    model = head(ElmoForSequenceClassification, problem_type=problem)
    with pytest.raises(ValueError, match=f"labels must be {message}"):
        model(**inputs(SENTENCES[:2]), labels=labels)


@pytest.mark.parametrize("kind", HEADS)
def test_neighbours_and_padding_change_nothing(kind: type) -> None:
    model = head(kind)
    with torch.no_grad():
        together = model(**inputs(SENTENCES)).logits
        left = model(**inputs(SENTENCES, ElmoTokenizer(padding_side="left"))).logits
        for row, sentence in enumerate(SENTENCES):
            alone = model(**inputs([sentence])).logits[0]
            mine, mirrored = together[row], left[row]
            if kind is ElmoForTokenClassification:
                mine, mirrored = mine[: len(sentence)], mirrored[len(mirrored) - len(sentence) :]
            assert max_difference(mine, alone) <= BATCHING_SMALL
            assert max_difference(mirrored, alone) <= BATCHING_SMALL


@pytest.mark.parametrize("labels", [torch.zeros(2, 3, dtype=torch.long), torch.zeros(1, dtype=torch.long)])
def test_labels_of_another_shape_are_refused(labels: Tensor) -> None:
    batch = inputs([["one", "two"]])
    with pytest.raises(ValueError, match=r"labels must be \[batch, words\], \[1, 2\]; got"):
        head(ElmoForTokenClassification)(**batch, labels=labels)


# A toy language: a word's label is 1 after "bank", 0 elsewhere. Only context tells.
_TEXT = [["the", "bank", "x", "x"], ["x", "the", "bank", "x"], ["x", "x", "bank", "x", "x"], ["bank", "x", "the", "x"]]


class Examples(torch.utils.data.Dataset):
    def __init__(self, kind: type) -> None:
        tokenizer, self.items = ElmoTokenizer(), []
        for words in _TEXT:
            item: dict[str, Any] = dict(tokenizer(words, is_split_into_words=True))
            after = [int(index > 0 and words[index - 1] == "bank") for index in range(len(words))]
            item["labels"] = after if kind is ElmoForTokenClassification else int(words[-1] == "x" and after[-1])
            self.items.append(item)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.items[index]


@pytest.mark.parametrize("kind", HEADS)
def test_trainer_teaches_a_head_that_loads_back(kind: type, tmp_path: Path) -> None:
    is_tagger = kind is ElmoForTokenClassification
    torch.manual_seed(0)
    model = lively(kind(tiny_config(num_labels=2, classifier_dropout=0.0, cell_size=24, projection_size=16)), seed=3)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    data = Examples(kind)
    collator = DataCollatorForTokenClassification if is_tagger else DataCollatorWithPadding
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "run"),
        per_device_train_batch_size=4,
        max_steps=80,
        learning_rate=0.05,
        lr_scheduler_type="constant",
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data, data_collator=collator(ElmoTokenizer()))
    trainer.train()
    predictions = trainer.predict(data)
    chosen = predictions.predictions.argmax(-1)
    counted = predictions.label_ids != -100
    assert (chosen == predictions.label_ids)[counted].mean() == 1.0
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {*MIX, *CLASSIFIER}
    optimized = {id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]}
    assert optimized == {id(model.get_parameter(name)) for name in changed}
    assert {id(parameter) for parameter in trainer.optimizer.state} == optimized

    trainer.save_model(str(tmp_path / "saved"))
    auto = AutoModelForTokenClassification if is_tagger else AutoModelForSequenceClassification
    again = auto.from_pretrained(tmp_path / "saved")
    assert type(again) is kind
    batch = inputs(_TEXT)
    with torch.no_grad():
        assert trainable(again) == {*MIX, *CLASSIFIER}
        assert torch.equal(again(**batch).logits, model.eval()(**batch).logits)
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["auto_map"][auto.__name__].startswith(
        "modeling"
    )
