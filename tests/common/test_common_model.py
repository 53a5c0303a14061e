# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Common tests of transformers for models, on all ELMo models. See `upstream` for how to run them."""

import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from common.upstream import MAJOR, excluding, for_major, large_weights, upstream
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto

import modeling_elmo
from modeling_elmo import ElmoConfig, ElmoModel
from modeling_elmo.model.configuration_elmo import BOW_ID, BYTE_OFFSET, CHARACTER_PAD_ID, EOW_ID

common = upstream("test_modeling_common")
# transformers 4 has no such tests.
TrainingTesterMixin = upstream("test_training_mixin").TrainingTesterMixin if MAJOR >= 5 else type("None_", (), {})

pytestmark = [pytest.mark.common, pytest.mark.slow]

# ElmoModel is the first one, because some tests require that the hidden states determine the first output.
MODELS = sorted(
    (value for value in vars(modeling_elmo).values() if isinstance(value, type) and issubclass(value, PreTrainedModel)),
    key=lambda model: model is not ElmoModel,
)
# These tables tell the tests which labels a model takes, if any. Every model needs an entry here.
TASKS = {
    "ElmoModel": modeling_auto.MODEL_MAPPING_NAMES,
    "ElmoForPreTraining": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,  # one label per word
    "ElmoForTokenClassification": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "ElmoForSequenceClassification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
}

_NO_ATTENTION = "ELMo has no attention heads"

EXCLUDED = {
    "test_load_with_mismatched_shapes": "it uses one id per word; test_can_load_ignoring_mismatched_shapes does not",
    **for_major(
        4,
        {
            "test_headmasking": _NO_ATTENTION,
            "test_head_pruning": _NO_ATTENTION,
            "test_head_pruning_integration": _NO_ATTENTION,
            "test_head_pruning_save_load_from_config_init": _NO_ATTENTION,
            "test_head_pruning_save_load_from_pretrained": _NO_ATTENTION,
            "test_torch_export": "the number of packed words depends on the data",
        },
    ),
}


def word_rows(letters: Tensor, lengths: Tensor) -> Tensor:
    """Return ids [..., M] of words with boundaries from letters [..., M] and their lengths [...]."""
    column = torch.arange(letters.shape[-1]) - 1
    ids = torch.where(column < lengths[..., None], letters + BYTE_OFFSET, CHARACTER_PAD_ID)
    ids = torch.where(column == lengths[..., None], EOW_ID, ids)
    return torch.where(column < 0, BOW_ID, ids)


class ElmoModelTester:
    """Tiny model, and a batch of sentences with padding on the right, the left, in between, and none."""

    batch_size = 4
    seq_length = 7
    num_hidden_layers = 2
    hidden_size = 32
    is_training = True

    def get_config(self) -> ElmoConfig:
        return ElmoConfig(
            vocab_size=300,  # some tests remove rows, but the alphabet must remain
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
        return word_rows(torch.randint(ord("a"), ord("z"), (*shape, width)), torch.randint(1, width - 2, shape))

    def prepare_config_and_inputs_for_common(self) -> tuple[ElmoConfig, dict[str, Tensor]]:
        config = self.get_config()
        attention_mask = torch.ones(self.batch_size, self.seq_length, dtype=torch.long)
        # Some tests compare the first sentence alone and in the batch, so it must not be the longest.
        attention_mask[0, -3:] = 0
        attention_mask[1, :2] = 0
        attention_mask[2, 2:4] = 0
        return config, {"input_ids": self.random_words(config), "attention_mask": attention_mask}


class ElmoWordModelTester(ElmoModelTester):
    """Tiny word-input model without projections, with a stored initial state."""

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
        if not self._testMethodName.startswith(
            ("test_can", "test_init_weights")
        ):  # these tests check the initialization
            patches.append(large_weights())
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)

    def _get_trainable_model_class(self) -> type:
        taggers = [model for model in MODELS if model.__name__ == "ElmoForTokenClassification"]
        if not taggers:
            self.skipTest("no model has a loss")
        return taggers[0]

    def _create_text_training_batch(self, batch_size: int, seq_length: int, vocab_size: int) -> dict[str, Any]:
        # The batch of transformers has one id per word.
        config = self.model_tester.get_config()
        words = self.model_tester.random_words(config).flatten(0, 1)[:seq_length]
        labels = torch.arange(seq_length) % config.num_labels
        return {"input_ids": torch.stack([words] * batch_size), "labels": torch.stack([labels] * batch_size)}


class ElmoWordModelTest(ElmoModelTest):
    new_model_tester = ElmoWordModelTester
