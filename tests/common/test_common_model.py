# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""transformers' common tests of models, on ElmoModel (see `upstream` for how to run them)."""

import unittest
from typing import Any
from unittest import mock

import pytest
import torch
from common.upstream import MAJOR, excluding, lively_weights, on, upstream
from torch import Tensor
from transformers.models.auto import modeling_auto

import modeling_elmo
from modeling_elmo import ElmoConfig
from modeling_elmo.configuration_elmo import BOW_ID, BYTE_OFFSET, CHARACTER_PAD_ID, EOW_ID

common = upstream("test_modeling_common")

pytestmark = pytest.mark.common

# transformers finds the labels that a head needs, and the models that have no loss, by name in these tables.
TASKS = {
    "ElmoModel": modeling_auto.MODEL_MAPPING_NAMES,
    "ElmoForTokenClassification": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "ElmoForSequenceClassification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
}

EXCLUDED = {}


class ElmoModelTester:
    """A tiny model and a batch of every kind of padding."""

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
        )

    def prepare_config_and_inputs_for_common(self) -> tuple[ElmoConfig, dict[str, Tensor]]:
        config = self.get_config()
        width = config.max_characters_per_token
        lengths = torch.randint(1, width - 2, (self.batch_size, self.seq_length, 1))
        column = torch.arange(width) - 1
        letters = torch.randint(ord("a"), ord("z"), (self.batch_size, self.seq_length, width)) + BYTE_OFFSET
        input_ids = torch.where(column < lengths, letters, CHARACTER_PAD_ID)
        input_ids = torch.where(column == lengths, EOW_ID, input_ids)
        input_ids[..., 0] = BOW_ID
        attention_mask = torch.ones(self.batch_size, self.seq_length, dtype=torch.long)
        attention_mask[1, -3:] = 0
        attention_mask[2, :2] = 0
        attention_mask[3, 2:4] = 0
        return config, {"input_ids": input_ids, "attention_mask": attention_mask}


@excluding(EXCLUDED)
class ElmoModelTest(common.ModelTesterMixin, unittest.TestCase):
    all_model_classes = tuple(getattr(modeling_elmo, name) for name in TASKS if hasattr(modeling_elmo, name))
    has_attentions = False
    test_head_masking = False
    test_pruning = False
    test_torch_exportable = True

    def setUp(self) -> None:
        self.model_tester = ElmoModelTester()
        patches = [mock.patch.dict(table, elmo=name) for name, table in TASKS.items()]
        if not self._testMethodName.startswith(("test_can_init", "test_init_weights")):  # they test the real ones
            patches.append(lively_weights())
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)
