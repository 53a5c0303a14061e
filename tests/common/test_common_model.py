# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""transformers' common tests of models, on ElmoModel (see `upstream` for how to run them)."""

import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from common.upstream import MAJOR, excluding, lively_weights, on, upstream
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto

import modeling_elmo
from modeling_elmo import ElmoConfig
from modeling_elmo.model.configuration_elmo import BOW_ID, BYTE_OFFSET, CHARACTER_PAD_ID, EOW_ID

common = upstream("test_modeling_common")
# Version 4 has no such tests.
TrainingTesterMixin = upstream("test_training_mixin").TrainingTesterMixin if MAJOR >= 5 else type("None_", (), {})

pytestmark = pytest.mark.common

MODELS = [
    value for value in vars(modeling_elmo).values() if isinstance(value, type) and issubclass(value, PreTrainedModel)
]
# transformers finds out by these tables what labels a model takes, if any. Every model needs an entry here.
TASKS = {
    "ElmoModel": modeling_auto.MODEL_MAPPING_NAMES,
    "ElmoForPreTraining": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,  # a label a word; pretraining has none
    "ElmoForTokenClassification": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "ElmoForSequenceClassification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
}

_NO_ATTENTION = "there is no attention, and no head of it to mask or prune"

EXCLUDED = {
    "test_load_with_mismatched_shapes": "it feeds single ids; test_can_load_ignoring_mismatched_shapes does not",
    **on(
        4,
        {
            "test_headmasking": _NO_ATTENTION,
            "test_head_pruning": _NO_ATTENTION,
            "test_head_pruning_integration": _NO_ATTENTION,
            "test_head_pruning_save_load_from_config_init": _NO_ATTENTION,
            "test_head_pruning_save_load_from_pretrained": _NO_ATTENTION,
            "test_torch_export": "only real words are computed, and how many they are is not known without the data",
        },
    ),
}


def spell(letters: Tensor, lengths: Tensor) -> Tensor:
    """Words of ids [..., M] between their boundaries from letters [..., M] and the numbers of them [...]."""
    column = torch.arange(letters.shape[-1]) - 1
    ids = torch.where(column < lengths[..., None], letters + BYTE_OFFSET, CHARACTER_PAD_ID)
    ids = torch.where(column == lengths[..., None], EOW_ID, ids)
    return torch.where(column < 0, BOW_ID, ids)


class ElmoModelTester:
    """A tiny model, and a batch of sentences without padding and with some on the right, the left and in between."""

    batch_size = 4
    seq_length = 7
    num_hidden_layers = 2
    hidden_size = 32
    is_training = True

    def get_config(self) -> ElmoConfig:
        return ElmoConfig(
            vocab_size=300,  # tests take rows away; the alphabet must survive that
            max_characters_per_token=8,
            character_embedding_size=4,
            filters=[[1, 4], [2, 8], [3, 12]],
            num_highway_layers=1,
            projection_size=16,
            cell_size=24,
            num_hidden_layers=self.num_hidden_layers,
            word_vocab_size=20,
            trainable_modules=["char_encoder", "layers"],
        )

    def random_words(self, config: ElmoConfig) -> Tensor:
        shape = (self.batch_size, self.seq_length)
        width = config.max_characters_per_token
        return spell(torch.randint(ord("a"), ord("z"), (*shape, width)), torch.randint(1, width - 2, shape))

    def prepare_config_and_inputs_for_common(self) -> tuple[ElmoConfig, dict[str, Tensor]]:
        config = self.get_config()
        attention_mask = torch.ones(self.batch_size, self.seq_length, dtype=torch.long)
        # Some tests compare the first sentence alone with itself in the batch, so the longest is another.
        attention_mask[0, -3:] = 0
        attention_mask[1, :2] = 0
        attention_mask[2, 2:4] = 0
        return config, {"input_ids": self.random_words(config), "attention_mask": attention_mask}


class ElmoWordModelTester(ElmoModelTester):
    """Word ids in the place of characters, no projections, sentences that start from a stored state."""

    def get_config(self) -> ElmoConfig:
        return ElmoConfig(
            input_type="words",
            vocab_size=99,
            bos_token_id=1,
            eos_token_id=2,
            projection_size=16,
            cell_size=16,
            use_cell_projection=False,
            num_hidden_layers=self.num_hidden_layers,
            stored_initial_state=True,
            word_vocab_size=20,
            trainable_modules=["word_embeddings", "layers"],
        )

    def random_words(self, config: ElmoConfig) -> Tensor:
        return torch.randint(3, config.vocab_size, (self.batch_size, self.seq_length))


@excluding(EXCLUDED)
class ElmoModelTest(common.ModelTesterMixin, TrainingTesterMixin, unittest.TestCase):
    all_model_classes = tuple(MODELS)
    has_attentions = False
    test_torch_exportable = True
    training_overfit_seq_length = 16
    training_overfit_learning_rate = 2e-3
    new_model_tester: Callable[[], ElmoModelTester] = ElmoModelTester

    def setUp(self) -> None:
        self.model_tester = self.new_model_tester()
        patches = [mock.patch.dict(TASKS[model.__name__], elmo=model.__name__) for model in MODELS]
        if not self._testMethodName.startswith(("test_can", "test_init_weights")):  # they test the real ones
            patches.append(lively_weights())
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)

    def _get_trainable_model_class(self) -> type:
        taggers = [model for model in MODELS if model.__name__ == "ElmoForTokenClassification"]
        if not taggers:
            self.skipTest("no model has a loss")
        return taggers[0]

    def _create_text_training_batch(self, batch_size: int, seq_length: int, vocab_size: int) -> dict[str, Any]:
        # Theirs is of single ids.
        config = self.model_tester.get_config()
        words = self.model_tester.random_words(config).flatten(0, 1)[:seq_length]
        labels = torch.arange(seq_length) % config.num_labels
        return {"input_ids": torch.stack([words] * batch_size), "labels": torch.stack([labels] * batch_size)}


class ElmoWordModelTest(ElmoModelTest):
    new_model_tester = ElmoWordModelTester
