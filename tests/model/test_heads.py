# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Classification models: trainable and frozen modules, losses, Trainer, saving and loading."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.small_models import SENTENCES, inputs, max_difference, randomize_weights, tiny_config
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


def build_model(model_class: type, seed: int = 0, **fields: Any) -> Any:
    return randomize_weights(model_class(tiny_config(**{"num_labels": 3, **fields})), seed)


def trainable(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("model_class", HEADS)
def test_modules_of_the_bilm_are_frozen_until_unfrozen(model_class: type, tmp_path: Path) -> None:
    model = build_model(model_class)
    assert trainable(model) == {*MIX, *CLASSIFIER}
    model.unfreeze("layers.1")
    assert {name.rsplit(".", 4)[0] for name in trainable(model) - {*MIX, *CLASSIFIER}} == {"elmo.layers.1"}
    model.unfreeze()
    assert trainable(model) == {name for name, _ in model.named_parameters()}
    model.save_pretrained(tmp_path)
    assert model_class.from_pretrained(tmp_path).config.trainable_modules == ["char_encoder", "layers", "layers.1"]
    assert trainable(model_class.from_pretrained(tmp_path)) == trainable(model)
    assert trainable(model_class.from_pretrained(tmp_path, trainable_modules=[])) == {*MIX, *CLASSIFIER}


@pytest.mark.parametrize("model_class", HEADS)
@pytest.mark.parametrize("name", ["layer", "layers.7", "scalar_mixes", ""])
def test_an_unknown_module_is_named(model_class: type, name: str) -> None:
    with pytest.raises(ValueError, match=f"got '{name}'"):
        build_model(model_class, trainable_modules=[name])


@pytest.mark.parametrize("model_class", HEADS)
def test_gradients_reach_only_the_mix_and_the_classifier(model_class: type) -> None:
    model = build_model(model_class, classifier_dropout=0.0, scalar_mix_l2=0.0)
    batch = inputs(SENTENCES)
    shape = batch["attention_mask"].shape if model_class is ElmoForTokenClassification else (len(SENTENCES),)
    model(**batch, labels=torch.zeros(shape, dtype=torch.long)).loss.backward()
    with_gradients = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradients == {*MIX, *CLASSIFIER}
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters() if parameter.requires_grad)


def test_an_early_layer_is_trained_through_frozen_layers_above() -> None:
    model = build_model(ElmoForTokenClassification, trainable_modules=["layers.0"]).train()
    batch = inputs(SENTENCES)
    model(**batch, labels=torch.zeros(batch["attention_mask"].shape, dtype=torch.long)).loss.backward()
    changing = {
        name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }
    assert changing == trainable(model)


def mix_vectors(model: Any, batch: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model.elmo(**batch).last_hidden_state


def test_the_loss_of_words_is_the_mean_over_labels_plus_the_mix_penalty() -> None:
    model = build_model(ElmoForTokenClassification, scalar_mix_l2=0.25)
    batch = inputs(SENTENCES)
    labels = torch.randint(0, 3, batch["attention_mask"].shape)
    labels[batch["attention_mask"] == 0] = -100
    labels[0, 1] = -100
    with torch.no_grad():
        output = model(**batch, labels=labels)
        logits = mix_vectors(model, batch) @ model.classifier.weight.T + model.classifier.bias
    assert max_difference(output.logits, logits) <= SAME_BATCH
    losses = [-torch.log_softmax(logits[b, w], 0)[labels[b, w]] for b, w in (labels != -100).nonzero().tolist()]
    weights = model.elmo.scalar_mixes[0].weights
    expected = sum(losses) / len(losses) + 0.25 * float((weights**2).sum())
    assert abs(float(output.loss) - float(expected)) <= 10 * SAME_BATCH
    penalty = model(**batch, labels=torch.full_like(labels, -100)).loss
    assert abs(float(penalty) - 0.25 * float((weights**2).sum())) <= SAME_BATCH


def test_dropout_applies_to_the_mix_only_in_training() -> None:
    model = build_model(ElmoForTokenClassification)
    assert model.dropout.p == 0.5
    batch = inputs(SENTENCES[:1])
    inputs_of_classifier: list[Tensor] = []
    model.classifier.register_forward_pre_hook(
        lambda module, arguments: inputs_of_classifier.append(arguments[0].detach())
    )
    model.train()(**batch)
    model.eval()(**batch)
    dropped, complete = inputs_of_classifier
    assert max_difference(complete, mix_vectors(model, batch)) <= SAME_BATCH
    kept = dropped != 0
    assert 0.2 < kept.float().mean() < 0.8
    assert max_difference(dropped[kept], 2 * complete[kept]) <= 10 * SAME_BATCH


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
    model = build_model(ElmoForSequenceClassification, scalar_mix_l2=0.0, **fields)
    batch = inputs([SENTENCES[0], SENTENCES[1], []])
    output = model(**batch, labels=labels)
    vectors, lengths = mix_vectors(model, batch), batch["attention_mask"].sum(1).tolist()
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
def test_one_number_per_sentence_in_any_form_is_regression(labels: Tensor) -> None:
    model = build_model(ElmoForSequenceClassification, num_labels=1, scalar_mix_l2=0.0)
    output = model(**inputs(SENTENCES[:2]), labels=labels)
    errors = output.logits[:, 0] - torch.tensor([1.0, 2.0])
    assert abs(float(output.loss) - float((errors**2).mean())) <= SAME_BATCH


def test_several_numbers_per_sentence_are_regression_if_the_config_says_so() -> None:
    model = build_model(ElmoForSequenceClassification, problem_type="regression", scalar_mix_l2=0.0)
    labels = torch.tensor([[0.0, 1, 2], [3, 4, 5]])
    output = model(**inputs(SENTENCES[:2]), labels=labels)
    assert abs(float(output.loss) - float(((output.logits - labels) ** 2).mean())) <= 10 * SAME_BATCH


@pytest.mark.parametrize(
    ("problem", "labels", "message"),
    [
        ("single_label_classification", torch.zeros(2, 3, dtype=torch.long), r"\[2\] for .*, got \[2, 3\]"),
        ("multi_label_classification", torch.zeros(2), r"\[2, 3\] for .*, got \[2\]"),
        ("regression", torch.zeros(2), r"\[2, 3\] for .*, got \[2\]"),
    ],
)
def test_labels_of_sentences_with_a_wrong_shape_are_rejected(problem: str, labels: Tensor, message: str) -> None:
    model = build_model(ElmoForSequenceClassification, problem_type=problem)
    with pytest.raises(ValueError, match=f"Expected `labels` of shape {message}"):
        model(**inputs(SENTENCES[:2]), labels=labels)


@pytest.mark.parametrize("model_class", HEADS)
def test_neighbors_and_padding_change_nothing(model_class: type) -> None:
    model = build_model(model_class)
    with torch.no_grad():
        together = model(**inputs(SENTENCES)).logits
        left = model(**inputs(SENTENCES, ElmoTokenizer(padding_side="left"))).logits
        for row, sentence in enumerate(SENTENCES):
            alone = model(**inputs([sentence])).logits[0]
            batched, left_padded = together[row], left[row]
            if model_class is ElmoForTokenClassification:
                batched = batched[: len(sentence)]
                left_padded = left_padded[len(left_padded) - len(sentence) :]
            assert max_difference(batched, alone) <= BATCHING_SMALL
            assert max_difference(left_padded, alone) <= BATCHING_SMALL


@pytest.mark.parametrize("labels", [torch.zeros(2, 3, dtype=torch.long), torch.zeros(1, dtype=torch.long)])
def test_labels_with_a_wrong_shape_are_rejected(labels: Tensor) -> None:
    batch = inputs([["one", "two"]])
    with pytest.raises(ValueError, match=r"Expected `labels` of shape \[batch, words\] = \[1, 2\], got"):
        build_model(ElmoForTokenClassification)(**batch, labels=labels)


# A toy language: the label of a word is 1 after "bank", else 0. It depends on the context only.
_TEXT = [["the", "bank", "x", "x"], ["x", "the", "bank", "x"], ["x", "x", "bank", "x", "x"], ["bank", "x", "the", "x"]]


class Examples(torch.utils.data.Dataset):
    def __init__(self, model_class: type) -> None:
        tokenizer, self.items = ElmoTokenizer(), []
        for words in _TEXT:
            item: dict[str, Any] = dict(tokenizer(words, is_split_into_words=True))
            tags = [int(index > 0 and words[index - 1] == "bank") for index in range(len(words))]
            item["labels"] = tags if model_class is ElmoForTokenClassification else int(words[-1] == "x" and tags[-1])
            self.items.append(item)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.items[index]


@pytest.mark.parametrize("model_class", HEADS)
def test_trainer_trains_a_model_that_loads_again(model_class: type, tmp_path: Path) -> None:
    is_tagger = model_class is ElmoForTokenClassification
    torch.manual_seed(0)
    model = randomize_weights(
        model_class(tiny_config(num_labels=2, classifier_dropout=0.0, cell_size=24, projection_size=16)), seed=3
    )
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    data = Examples(model_class)
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
    predicted = predictions.predictions.argmax(-1)
    has_label = predictions.label_ids != -100
    assert (predicted == predictions.label_ids)[has_label].mean() == 1.0
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {*MIX, *CLASSIFIER}
    optimized = {id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]}
    assert optimized == {id(model.get_parameter(name)) for name in changed}
    assert {id(parameter) for parameter in trainer.optimizer.state} == optimized

    trainer.save_model(str(tmp_path / "saved"))
    auto = AutoModelForTokenClassification if is_tagger else AutoModelForSequenceClassification
    loaded = auto.from_pretrained(tmp_path / "saved")
    assert type(loaded) is model_class
    batch = inputs(_TEXT)
    with torch.no_grad():
        assert trainable(loaded) == {*MIX, *CLASSIFIER}
        assert torch.equal(loaded(**batch).logits, model.eval()(**batch).logits)
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["auto_map"][auto.__name__].startswith(
        "modeling"
    )
