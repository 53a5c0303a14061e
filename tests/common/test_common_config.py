# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Common tests of transformers for configurations, on ElmoConfig. See `upstream` for how to run them."""

import unittest
from typing import Any
from unittest import mock

import pytest
from common.upstream import MAJOR, upstream

from modeling_elmo import ElmoConfig

common = upstream("test_configuration_common")

pytestmark = [pytest.mark.common, pytest.mark.slow]

# Common fields of all configurations, with values that are not defaults. The source distribution has no such table.
COMMON_ARGUMENTS = {
    "architectures": ["ElmoModel"],
    "chunk_size_feed_forward": 5,
    "dtype": "float16",
    "id2label": {0: "label"},
    "label2id": {"label": 0},
    "name_or_path": "somewhere",
    "output_hidden_states": True,
    "problem_type": "regression",
    "return_dict": False,
}


class ElmoConfigTester(common.ConfigTester):
    def create_and_test_config_common_properties(self) -> None:
        if MAJOR >= 5:
            super().create_and_test_config_common_properties()
            return
        # Version 4 also sets each property to 0, 1, 2: hidden_size follows from others, and no size can be 0.
        config = self.config_class(**self.inputs_dict)
        for name in (*self.common_properties, "vocab_size"):
            assert hasattr(config, name), name


class ElmoConfigTest(unittest.TestCase):
    def run_common_tests(self, **arguments: Any) -> None:
        tester = ElmoConfigTester(
            self, config_class=ElmoConfig, common_properties=["hidden_size", "num_hidden_layers"], **arguments
        )
        with mock.patch.object(common, "config_common_kwargs", COMMON_ARGUMENTS):
            tester.run_common_tests()

    def test_config(self) -> None:
        self.run_common_tests(projection_size=16, cell_size=32, num_hidden_layers=3, vocab_size=270)

    def test_config_of_a_word_model(self) -> None:
        self.run_common_tests(
            input_type="words",
            vocab_size=99,
            bidirectional=False,
            pooling_layer="word_emb",
            bos_token_id=1,
            eos_token_id=2,
        )
