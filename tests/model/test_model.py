# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Outputs by name, scalar mix, states, precision, and memory options of ElmoModel."""

import copy
from pathlib import Path

import pytest
import torch
from helpers.small_models import SENTENCES, inputs, max_difference, tiny_config, tiny_model
from helpers.tolerances import BFLOAT16, FLOAT16, SAME_BATCH

from modeling_elmo import ElmoConfig, ElmoModel, ElmoStates


@pytest.mark.parametrize(("preset", "count"), [("small", 13_593_296), ("medium", 28_027_728), ("original", 93_600_848)])
def test_released_sizes_have_the_released_number_of_weights(preset: str, count: int) -> None:
    config = ElmoConfig.from_preset(preset)
    with torch.device("meta"):
        model = ElmoModel(config)
    weights = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("scalar_mixes"))
    # The released files do not contain the padding row.
    assert weights - config.character_embedding_size == count


def test_layers_have_the_names_of_tf_hub_and_spark_nlp() -> None:
    output = tiny_model()(**inputs(SENTENCES), output_hidden_states=True)
    assert output.word_emb.shape == (6, 12, 8)
    assert output.lstm_outputs1 is output.hidden_states[1]
    assert output.lstm_outputs2 is output.hidden_states[2]
    assert torch.equal(output.elmo, output.last_hidden_state)
    assert torch.equal(output.hidden_states[0], torch.cat([output.word_emb] * 2, dim=-1))
    with pytest.raises(AttributeError, match="`lstm_outputs3` was not computed"):
        _ = output.lstm_outputs3
    with pytest.raises(AttributeError, match="no attribute 'logits'"):
        _ = output.logits


@pytest.mark.parametrize("layer", ["elmo", "word_emb", "lstm_outputs1", "lstm_outputs2"])
def test_pooling_layer_chooses_the_first_output(layer: str) -> None:
    batch = inputs(SENTENCES)
    all_layers = tiny_model()(**batch, output_hidden_states=True)
    expected = getattr(all_layers, layer)
    by_config = tiny_model(pooling_layer=layer)
    assert torch.equal(by_config(**batch)[0], expected)
    assert torch.equal(tiny_model()(**batch, pooling_layer=layer)[0], expected)
    assert torch.equal(by_config(**batch, output_hidden_states=True).elmo, all_layers.elmo)


def test_unused_layers_are_not_computed() -> None:
    model = tiny_model()
    called: list[int] = []
    for index, layer in enumerate(model.layers):
        layer.register_forward_hook(lambda *_, index=index: called.append(index))
    for layer, expected in (("word_emb", []), ("lstm_outputs1", [0]), ("lstm_outputs2", [0, 1]), ("elmo", [0, 1])):
        called.clear()
        output = model(**inputs(SENTENCES), pooling_layer=layer)
        assert called == expected
        assert (output.elmo_representations is None) == (layer != "elmo")
    assert output.word_emb is None


def test_boundaries_are_next_to_each_sentence() -> None:
    model = tiny_model()
    for side in ("left", "right"):
        batch = inputs(SENTENCES, padding_side=side)
        plain = model(**batch)[0]
        output = model(**batch, return_boundaries=True)
        for row, words in enumerate(SENTENCES):
            start = 12 - len(words) if side == "left" and words else 0
            mask = torch.zeros(14, dtype=torch.long)
            mask[start : start + len(words) + 2] = 1
            assert torch.equal(output.attention_mask[row], mask)
            assert torch.equal(
                output[0][row, start + 1 : start + 1 + len(words)], plain[row][batch["attention_mask"][row] > 0]
            )
            assert output[0][row, start].any()
            assert output[0][row, start + 1 + len(words)].any()
            assert not output[0][row][mask == 0].any()


# ---------------------------------------------------------------- scalar mix


def test_mix_parameters_are_weights_before_the_softmax() -> None:
    model = ElmoModel(tiny_config(scalar_mix_parameters=[-9e10, 1, -9e10], freeze_scalar_mix=True)).eval()
    output = model(**inputs(SENTENCES), output_hidden_states=True)
    assert torch.equal(output.elmo, output.lstm_outputs1)
    assert not any(p.requires_grad for p in model.scalar_mixes.parameters())


def test_an_untrained_mix_is_the_mean_and_trains() -> None:
    model = ElmoModel(tiny_config()).eval()
    output = model(**inputs(SENTENCES), output_hidden_states=True)
    assert max_difference(output.elmo, sum(output.hidden_states) / 3) <= SAME_BATCH
    output.elmo.square().sum().backward()
    assert model.scalar_mixes[0].weights.grad.abs().min() > 0
    assert model.scalar_mixes[0].gamma.grad.abs() > 0


def test_several_mixes_and_dropout() -> None:
    model = tiny_model(num_output_representations=3, output_dropout=0.5)
    batch = inputs(SENTENCES)
    output = model(**batch, output_hidden_states=True)
    assert output.elmo_representations.shape == (6, 3, 12, 16)
    for index, scalar_mix in enumerate(model.scalar_mixes):
        assert torch.equal(output.elmo_representations[:, index], scalar_mix(output.hidden_states))
    model.train()
    dropped = model(**batch, output_hidden_states=True)
    zeros = (dropped.elmo_representations[0] == 0).float().mean(dim=(1, 2))  # the sentence has 8 words in 12 columns
    assert ((zeros > 1 / 3 + 0.2) & (zeros < 1 / 3 + 0.47)).all()
    assert torch.equal(dropped.hidden_states[2], output.hidden_states[2]), "dropout applies to the mixes only"


@pytest.mark.parametrize("scope", ["with_boundaries", "without_boundaries"])
def test_layer_norm_over_the_batch(scope: str) -> None:
    """The formulas of AllenNLP (with boundaries, 1e-13) and bilm-tf (without boundaries, 1e-12)."""
    model = tiny_model(dtype=torch.float64, mix_layer_norm=scope)
    batch = inputs(SENTENCES)
    output = model(**batch, output_hidden_states=True)
    with_boundaries = model(**batch, output_hidden_states=True, return_boundaries=True)
    mask = with_boundaries.attention_mask if scope == "with_boundaries" else batch["attention_mask"]
    layers = with_boundaries.hidden_states if scope == "with_boundaries" else output.hidden_states
    expected = torch.zeros_like(output.elmo)
    normed_weights = model.scalar_mixes[0].weights.softmax(0)
    for weight, layer, vectors in zip(normed_weights, layers, output.hidden_states, strict=True):
        words = layer[mask > 0]
        mean = words.mean()
        deviation = (words.square().mean() - mean**2 + (1e-13 if scope == "with_boundaries" else 1e-12)).sqrt()
        expected += model.scalar_mixes[0].gamma * weight * (vectors - mean) / deviation
    expected *= batch["attention_mask"][:, :, None]
    assert max_difference(output.elmo, expected) <= SAME_BATCH


# ---------------------------------------------------------------- states


def test_states_reset_by_row() -> None:
    model = tiny_model()
    batch = inputs(SENTENCES)
    states = model(**batch, return_states=True).states
    fresh, warm = model(**batch)[0], model(**batch, initial_states=states)[0]
    assert (fresh[0] - warm[0]).abs().max() > 1e-2
    rows = torch.tensor([True, False, True, False, True, False])
    mixed = model(**batch, initial_states=states.reset(rows))[0]
    assert max_difference(mixed[rows], fresh[rows]) <= SAME_BATCH
    assert max_difference(mixed[~rows], warm[~rows]) <= SAME_BATCH


def test_extra_states_are_returned_unchanged() -> None:
    model = tiny_model()
    states = model(**inputs(SENTENCES), return_states=True).states
    after = model(**inputs(SENTENCES[:2]), initial_states=tuple(states), return_states=True).states
    assert isinstance(after, ElmoStates)
    for old, new in zip(states, after, strict=True):
        assert torch.equal(old[2:], new[2:])
        assert not torch.equal(old[:2], new[:2])


def test_the_model_is_stateless() -> None:
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    first = model(**inputs(SENTENCES), return_states=True)[0]
    assert torch.equal(model(**inputs(SENTENCES))[0], first)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_stored_initial_state_is_the_same_for_every_batch(tmp_path: Path) -> None:
    cold = tiny_model()
    model = tiny_model(stored_initial_state=True)
    batch = inputs(SENTENCES)
    assert torch.equal(model(**batch)[0], cold(**batch)[0]), "the state is zero before the calibration"
    mean = model.calibrate_initial_state(**batch, num_passes=5)
    assert torch.equal(model.initial_hidden, mean.hidden[0])
    warm = model(**batch)[0]
    assert (warm - cold(**batch)[0]).abs().max() > 1e-2
    assert torch.equal(model(**batch)[0], warm)
    model.save_pretrained(tmp_path)
    assert torch.equal(ElmoModel.from_pretrained(tmp_path).eval()(**batch)[0], warm)
    explicit = ElmoStates(*(state.expand(len(SENTENCES), -1, -1, -1) for state in mean))
    assert torch.equal(cold(**batch, initial_states=explicit)[0], warm)


# ---------------------------------------------------------------- precision, memory, devices


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, BFLOAT16), (torch.float16, FLOAT16)])
def test_low_precision(dtype: torch.dtype, tolerance: float) -> None:
    batch = inputs(SENTENCES)
    expected = tiny_model()(**batch, output_hidden_states=True, return_states=True)
    output = tiny_model(dtype=dtype)(**batch, output_hidden_states=True, return_states=True)
    assert output[0].dtype == output.hidden_states[2].dtype == output.states.hidden.dtype == dtype
    assert output.states.cell.dtype == torch.float32, "the cell state accumulates over the sentence"
    for got, exact in zip(output.hidden_states, expected.hidden_states, strict=True):
        assert max_difference(got, exact) <= tolerance
    assert not output[0][batch["attention_mask"] == 0].any()


def test_autocast_trains() -> None:
    batch = inputs(SENTENCES)
    model = tiny_model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**batch)[0]
    assert max_difference(output, tiny_model()(**batch)[0]) <= BFLOAT16
    output.float().square().sum().backward()
    assert all(
        p.grad is not None and p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters()
    )


def test_gradient_checkpointing_changes_no_gradient() -> None:
    batch = inputs(SENTENCES)
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(**batch)[0].square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_frozen_modules_get_no_gradients() -> None:
    model = tiny_model()
    model.char_encoder.requires_grad_(False)
    model(**inputs(SENTENCES))[0].sum().backward()
    assert all(p.grad is None for p in model.char_encoder.parameters())
    assert all(p.grad is not None for p in model.layers.parameters())


def test_meta_initialization_and_device_map(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="device_map needs accelerate")
    model = tiny_model()
    model.save_pretrained(tmp_path)
    batch = inputs(SENTENCES)
    expected = model(**batch)[0]
    mixed_map = {"char_encoder": "cpu", "layers.0": "cpu", "layers.1": "disk", "scalar_mixes": "cpu"}
    for device_map in ("cpu", "auto", mixed_map):
        loaded = ElmoModel.from_pretrained(tmp_path, device_map=device_map, offload_folder=tmp_path / "offload").eval()
        with torch.no_grad():
            assert max_difference(loaded(**batch)[0], expected) <= SAME_BATCH


def test_adapters_around_linear_layers_are_applied() -> None:
    """LoRA wraps each nn.Linear. An LSTM that reads `.weight` would ignore the adapter without an error."""

    class Adapter(torch.nn.Module):
        def __init__(self, base: torch.nn.Linear) -> None:
            super().__init__()
            self.base, self.in_features = base, base.in_features
            self.up = torch.nn.Parameter(torch.randn(base.out_features, 2) * 0.3)
            self.down = torch.nn.Parameter(torch.randn(2, base.in_features) * 0.3)

        @property
        def weight(self) -> torch.Tensor:
            return self.base.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.base(x) + x @ self.down.T @ self.up.T

    torch.manual_seed(0)
    adapted, merged = tiny_model(), tiny_model()
    adapters = []
    for adapted_layer, merged_layer in zip(adapted.layers, merged.layers, strict=True):
        for direction, plain in zip(adapted_layer.directions, merged_layer.directions, strict=True):
            for name in ("input_linearity", "state_linearity", "state_projection"):
                adapter = Adapter(getattr(direction, name))
                adapters.append(adapter)
                setattr(direction, name, adapter)
                with torch.no_grad():
                    getattr(plain, name).weight += adapter.up @ adapter.down
    batch = inputs(SENTENCES)
    output = adapted(**batch)[0]
    assert (output - tiny_model()(**batch)[0]).abs().max() > 1e-2
    assert max_difference(output, merged(**batch)[0]) <= SAME_BATCH
    output.sum().backward()
    assert all(adapter.up.grad.abs().max() > 0 for adapter in adapters)


# ---------------------------------------------------------------- inputs


def test_character_vectors_instead_of_ids() -> None:
    model = tiny_model()
    batch = inputs([["the", "bank"], ["of", "sand"]])
    embeds = model.get_input_embeddings()(batch["input_ids"])
    assert max_difference(model(inputs_embeds=embeds)[0], model(**batch)[0]) <= SAME_BATCH


def test_word_vectors_instead_of_ids() -> None:
    model = tiny_model(input_type="words", vocab_size=9, bos_token_id=1, eos_token_id=2)
    ids = torch.tensor([[3, 4, 5], [8, 7, 3]])
    embeds = model.get_input_embeddings()(ids)
    assert max_difference(model(inputs_embeds=embeds)[0], model(ids)[0]) <= SAME_BATCH


def test_added_characters_are_usable_immediately() -> None:
    from modeling_elmo import ElmoTokenizer

    tokenizer, model = ElmoTokenizer(), tiny_model()
    before = model(**inputs([["the", "bank"]], tokenizer))[0]
    tokenizer.add_tokens(["[ENT]"])
    model.resize_token_embeddings(len(tokenizer))
    assert model.config.vocab_size == len(tokenizer) == 263
    batch = inputs([["the", "[ENT]"]], tokenizer)
    assert batch["input_ids"][0, 1, :4].tolist() == [259, 262, 260, 261]
    assert model(**batch)[0].isfinite().all()
    assert torch.equal(model(**inputs([["the", "bank"]], tokenizer))[0], before)


def test_a_seed_determines_the_untrained_model() -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(ElmoModel(tiny_config()))
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))
    assert not models[0].char_encoder.embeddings.weight[0].any()
    assert (models[0].char_encoder.highways[0].carry.bias == -2).all()
    assert not models[0].layers[1].directions[1].state_linearity.bias.any()
    bound = (6 / (8 + 8 + 4 * 12)) ** 0.5
    assert 0.9 * bound < models[0].layers[0].directions[0].input_linearity.weight.abs().max() <= bound
