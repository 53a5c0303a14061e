# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo (Peters et al. 2018, arXiv:1802.05365) as a Hugging Face model. Importing it registers the Auto classes."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from ._version import __version__
from .bundled import bundled_model_path
from .encoder import ElmoEncoder
from .model.configuration_elmo import ElmoConfig
from .model.modeling_elmo import (
    ElmoForPreTraining,
    ElmoForSequenceClassification,
    ElmoForTokenClassification,
    ElmoModel,
    ElmoModelOutput,
    ElmoStates,
    ElmoTokenClassificationPipeline,
)
from .model.tokenization_elmo import ElmoTokenizer
from .scorer import ElmoScorer

AutoConfig.register("elmo", ElmoConfig, exist_ok=True)
AutoModel.register(ElmoConfig, ElmoModel, exist_ok=True)
AutoModelForPreTraining.register(ElmoConfig, ElmoForPreTraining, exist_ok=True)
AutoModelForTokenClassification.register(ElmoConfig, ElmoForTokenClassification, exist_ok=True)
AutoModelForSequenceClassification.register(ElmoConfig, ElmoForSequenceClassification, exist_ok=True)
AutoTokenizer.register(ElmoConfig, slow_tokenizer_class=ElmoTokenizer, exist_ok=True)

__all__ = [
    "ElmoConfig",
    "ElmoEncoder",
    "ElmoForPreTraining",
    "ElmoForSequenceClassification",
    "ElmoForTokenClassification",
    "ElmoModel",
    "ElmoModelOutput",
    "ElmoScorer",
    "ElmoStates",
    "ElmoTokenClassificationPipeline",
    "ElmoTokenizer",
    "__version__",
    "bundled_model_path",
]
