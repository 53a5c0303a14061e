# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Common tests of transformers for tokenizers, on ElmoTokenizer. See `upstream` for how to run them."""

import tempfile
import unittest
from typing import Any

import pytest
from common.upstream import MAJOR, excluding, for_major, upstream

from modeling_elmo import ElmoTokenizer

common = upstream("test_tokenization_common")

pytestmark = [pytest.mark.common, pytest.mark.slow]

_PAIRS = "the tokenizer rejects pairs of sentences"
_SCALARS = "expects one id per word; ELMo has a row of ids per word"

EXCLUDED = {
    "test_call": _PAIRS,
    "test_encode_plus_with_padding": _SCALARS,
    "test_maximum_encoding_length_pair_input": _PAIRS,
    "test_number_of_added_tokens": _PAIRS,
    "test_padding_with_attention_mask": _SCALARS,
    "test_pretokenized_inputs": _PAIRS,
    "test_special_tokens_mask_input_pairs": _PAIRS,
    **for_major(
        5,
        {
            "test_batch_encode_dynamic_overflowing": _SCALARS,
            "test_encode_basic_padding": _SCALARS,
            "test_mask_output": _PAIRS,
        },
    ),
    **for_major(4, {"test_add_tokens_tokenizer": _SCALARS, "test_right_and_left_padding": _SCALARS}),
}


@excluding(EXCLUDED)
class ElmoTokenizerTest(common.TokenizerTesterMixin, unittest.TestCase):
    tokenizer_class = ElmoTokenizer
    test_rust_tokenizer = False
    test_slow_tokenizer = True
    test_seq2seq = False
    test_tokenizer_from_extractor = False
    space_between_special_tokens = True  # between any two words

    @classmethod
    def setUpClass(cls) -> None:
        # The original reads a text that is not in the source distribution, and tokenizers from the Hub.
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.tmpdirname = folder.name
        # In transformers 4, the list contains the fast tokenizers.
        cls.tokenizers_list = [(ElmoTokenizer, folder.name, {})] if MAJOR >= 5 else []
        cls._data = "ELMo reads words .\nIt reads them from both sides , and forgets nothing of them .\n" * 5
        ElmoTokenizer().save_pretrained(folder.name)

    @classmethod
    def tearDownClass(cls) -> None:
        pass

    def get_clean_sequence(self, tokenizer: Any, *arguments: Any, **keywords: Any) -> tuple[str, Any]:
        # The original text consists of vocabulary entries, which are characters here.
        text = "the cat sat on the mat and saw the dog of the man"
        return text, tokenizer.encode(text, add_special_tokens=False)
