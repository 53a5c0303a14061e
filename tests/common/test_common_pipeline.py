# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Common tests of transformers for pipelines, on ElmoModel and ElmoTokenizer. See `upstream` for how to run them.

The tests load tiny models from a folder, which this module creates. `FeatureExtraction` replaces a test class that is
not in the source distribution.
"""

import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from common.upstream import MAJOR, large_weights, upstream
from transformers import FeatureExtractionPipeline

import modeling_elmo
from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer

TINY_MODELS = tempfile.TemporaryDirectory()
SUMMARY = {"ElmoModel": {"tokenizer_classes": ["ElmoTokenizer"], "processor_classes": [], "model_classes": []}}

Path(TINY_MODELS.name, "reports").mkdir()
Path(TINY_MODELS.name, "reports", "tiny_model_summary.json").write_text(json.dumps(SUMMARY))

with mock.patch.dict(os.environ, TRANSFORMERS_TINY_MODEL_PATH=TINY_MODELS.name):
    common = upstream("test_pipeline_mixin")

pytestmark = [pytest.mark.common, pytest.mark.slow]


class FeatureExtraction:
    """Tests of the vectors of a text: they depend on both contexts and not on the rest of the batch."""

    def get_test_pipeline(self, model: Any, tokenizer: Any = None, dtype: str = "float32", **processors: Any) -> tuple:
        pipeline = FeatureExtractionPipeline(model=model, tokenizer=tokenizer, dtype=dtype, **processors)
        return pipeline, ["ELMo reads words .", "", "So does it read this , which is longer .", "<S> ..."]

    def run_pipeline_test(self, pipeline: Any, examples: list[str]) -> None:
        self.check_padding(pipeline, examples)
        self.check_reading_order(pipeline)

    def check_padding(self, pipeline: Any, examples: list[str]) -> None:
        tokenizer, size = pipeline.tokenizer, pipeline.model.config.hidden_size
        for side in ("left", "right"):
            tokenizer.padding_side = side
            # The collator of the pipelines cannot pad an empty text on the left, because it assigns to the slice [-0:].
            texts = [text for text in examples if text or side == "right"]
            for text, alone, batched in zip(texts, pipeline(texts), pipeline(texts, batch_size=4), strict=True):
                words = len(tokenizer.tokenize(text))
                expected, padded = torch.tensor(alone).reshape(1, words, size), torch.tensor(batched)
                vectors = padded[:, padded.shape[1] - words :] if side == "left" else padded[:, :words]
                torch.testing.assert_close(vectors, expected, rtol=1e-3, atol=1e-3)

    def check_reading_order(self, pipeline: Any) -> None:
        size = pipeline.model.config.output_size
        text, followed, preceded = (
            torch.tensor(pipeline(text)).split(size, dim=2)  # forward, backward
            for text in ("he read it", "he read it today", "today he read it")
        )
        torch.testing.assert_close(followed[0][:, :3], text[0], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(preceded[1][:, 1:], text[1], rtol=1e-3, atol=1e-3)
        assert not torch.allclose(followed[1][:, :3], text[1], atol=0.01)
        assert not torch.allclose(preceded[0][:, 1:], text[0], atol=0.01)


class ElmoPipelineTest(common.PipelineTesterMixin, unittest.TestCase):
    pipeline_model_mapping = {"feature-extraction": ElmoModel}

    @classmethod
    def setUpClass(cls) -> None:
        config = ElmoConfig(filters=[[1, 4], [2, 8]], projection_size=8, cell_size=16, num_highway_layers=1)
        folder = Path(TINY_MODELS.name, "elmo", "ElmoModel")
        with large_weights():
            ElmoModel(config).save_pretrained(folder)
        ElmoTokenizer().save_pretrained(folder)

    def setUp(self) -> None:
        test = f"{__name__}.FeatureExtraction" if MAJOR >= 5 else FeatureExtraction
        for patch in (
            mock.patch.object(common, "transformers_module", modeling_elmo),  # for the lookup of tokenizers
            mock.patch.dict(common.pipeline_test_mapping, {"feature-extraction": {"test": test}}),
        ):
            patch.start()
            self.addCleanup(patch.stop)
