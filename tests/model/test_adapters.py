# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""PEFT adapters on ELMo: each changes the outputs and gets gradients, although fast paths read weights directly."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.small_models import SENTENCES, inputs, max_difference, randomize_weights, tiny_config
from helpers.tolerances import SAME_BATCH
from torch import Tensor
from transformers import Trainer, TrainingArguments

from modeling_elmo import ElmoForPreTraining, ElmoForSequenceClassification, ElmoForTokenClassification, ElmoTokenizer

peft = pytest.importorskip("peft", reason="adapters need the package peft")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # raised by peft

BATCH = inputs(SENTENCES)
LABELS = torch.zeros(BATCH["attention_mask"].shape, dtype=torch.long)
LSTM = ["input_linearity", "state_linearity", "state_projection"]
EVERY_LINEAR = [*LSTM, "carry", "transform", "projection"]


def tagger(**fields: Any) -> Any:
    return randomize_weights(ElmoForTokenClassification(tiny_config(num_labels=3, **fields)))


def lora(targets: Any, **options: Any) -> Any:
    return peft.LoraConfig(**{"r": 2, "target_modules": targets, "task_type": "TOKEN_CLS", **options})


@torch.no_grad()
def logits(model: Any) -> Tensor:
    return model.eval()(**BATCH).logits


def adapters(model: Any) -> dict[str, torch.nn.Parameter]:
    """Return the parameters of the adapter. PEFT also trains the classifier."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad and "classifier" not in name}


@torch.no_grad()
def perturb(parameters: Any, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter += 0.3 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize(
    "config",
    [
        *[pytest.param(lora([name]), id=name) for name in [*EVERY_LINEAR, "embeddings"]],
        pytest.param(lora(r".*convolutions\.\d"), id="convolutions"),
        pytest.param(lora(EVERY_LINEAR, use_dora=True), id="dora"),
        pytest.param(lora(["input_linearity", "state_linearity"], lora_bias=True), id="lora_bias"),
        pytest.param(lora(LSTM, bias="lora_only"), id="bias"),
        pytest.param(lora(["carry"], modules_to_save=["scalar_mixes.0", "layers.1"]), id="modules_to_save"),
        pytest.param(
            peft.IA3Config(target_modules=LSTM, feedforward_modules=["state_projection"], task_type="TOKEN_CLS"),
            id="ia3",
        ),
    ],
)
def test_every_parameter_of_an_adapter_has_an_effect_and_a_gradient(config: Any, tmp_path: Path) -> None:
    plain = logits(tagger())
    model = peft.get_peft_model(tagger(), config)
    assert max_difference(logits(model), plain) <= 10 * SAME_BATCH, "an untrained adapter changes nothing"
    added = adapters(model)
    assert added
    perturb(added.values())
    changed = logits(model)
    assert max_difference(changed, plain) > 0.01
    for name, parameter in added.items():
        original = parameter.detach().clone()
        perturb([parameter], seed=2)
        assert max_difference(logits(model), changed) > 1e-4, f"{name} does not reach the outputs"
        with torch.no_grad():
            parameter.copy_(original)
    model.eval()(**BATCH, labels=LABELS).loss.backward()
    without_gradient = [name for name, parameter in added.items() if parameter.grad is None or not parameter.grad.any()]
    assert without_gradient == []

    model.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(tagger(), tmp_path)
    assert max_difference(logits(loaded), changed) <= 10 * SAME_BATCH


def test_disabling_and_merging_update_prepacked_weights() -> None:
    model = peft.get_peft_model(tagger(), lora(EVERY_LINEAR))
    plain = logits(model)
    perturb(adapters(model).values())
    changed = logits(model)
    assert max_difference(changed, plain) > 0.01
    close = 100 * SAME_BATCH  # weights plus their update, rounded once more
    with model.disable_adapter():
        assert max_difference(logits(model), plain) <= close
    model.merge_adapter()
    assert max_difference(logits(model), changed) <= close
    model.unmerge_adapter()
    assert max_difference(logits(model), changed) <= close
    assert max_difference(logits(model.merge_and_unload()), changed) <= close


def test_dropout_on_an_adapter_preserves_the_mean() -> None:
    """The LSTM reads an adapted weight once per batch, so all words share one dropout mask."""
    model = peft.get_peft_model(tagger(classifier_dropout=0.0), lora(["state_projection"], lora_dropout=0.5))
    perturb(adapters(model).values())
    layer = model.base_model.model.elmo.layers[0].directions[0]
    exact = layer.eval().weights(torch.zeros(1))[3]
    layer.train()
    torch.manual_seed(0)
    draws = torch.stack([layer.weights(torch.zeros(1))[3].detach() for _ in range(400)])
    assert draws.std(0).max() > 0.05
    assert (draws.mean(0) - exact).abs().max() < 5 * draws.std(0).max() / 20


def test_all_linear_layers_of_a_sentence_classifier() -> None:
    model = randomize_weights(ElmoForSequenceClassification(tiny_config(num_labels=3)))
    adapted = peft.get_peft_model(model, lora("all-linear", task_type="SEQ_CLS"))
    targets = {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in adapters(adapted)}
    assert targets == set(EVERY_LINEAR)
    plain = logits(adapted)
    perturb(adapters(adapted).values())
    assert max_difference(logits(adapted), plain) > 0.01


def test_a_bias_that_the_lstm_does_not_apply_raises() -> None:
    model = peft.get_peft_model(tagger(), lora(["state_projection"], lora_bias=True))
    with pytest.raises(
        ValueError, match=r"Expected `state_projection` without a bias, got 'lora_B\.default\.bias'\. The LSTM"
    ):
        model(**BATCH)


def language_model(softmax: str) -> Any:
    config = tiny_config(word_vocab_size=20, softmax_type=softmax, num_sampled_words=5, adaptive_softmax_div_value=2.0)
    model = randomize_weights(ElmoForPreTraining(config))
    return peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules=r"softmax\.(linear|adaptive\.(head|tail\.\d\.\d))")
    )


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_adapters_on_the_softmax_learn(softmax: str) -> None:
    model = language_model(softmax)
    perturb(adapters(model).values())
    labels = torch.arange(LABELS.numel()).view(LABELS.shape) % 20
    model.train()(**BATCH, labels=labels).loss.backward()
    assert [name for name, parameter in adapters(model).items() if not parameter.grad.any()] == []


def test_an_adapter_on_a_sampled_softmax_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Cannot train an adapter on `softmax.linear` with softmax_type 'sampled'"):
        language_model("sampled").train()(**BATCH, labels=LABELS)


def test_trainer_trains_adapter_mix_and_classifier(tmp_path: Path) -> None:
    model = peft.get_peft_model(tagger(), lora(LSTM, modules_to_save=["scalar_mixes.0"]))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    rows = [
        {key: BATCH[key][index] for key in BATCH} | {"labels": LABELS[index]}
        for index, words in enumerate(SENTENCES)
        if words
    ]
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=5, learning_rate=0.05, report_to=[], save_strategy="no", use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, processing_class=ElmoTokenizer())
    start = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < start
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    parts = ("lora_A", "lora_B", "classifier.modules_to_save", "scalar_mixes.0.modules_to_save")
    assert all(any(part in name for part in parts) for name in changed)
    assert all(any(part in name for name in changed) for part in parts)
