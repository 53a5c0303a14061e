# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo (Peters et al. 2018) as a native Hugging Face model. Importing registers it with the Auto classes."""

from transformers import AutoConfig, AutoModel, AutoTokenizer

from ._version import __version__
from .configuration_elmo import ElmoConfig
from .encoder import ElmoEncoder
from .modeling_elmo import ElmoModel, ElmoModelOutput, ElmoStates
from .tokenization_elmo import ElmoTokenizer

AutoConfig.register("elmo", ElmoConfig, exist_ok=True)
AutoModel.register(ElmoConfig, ElmoModel, exist_ok=True)
AutoTokenizer.register(ElmoConfig, slow_tokenizer_class=ElmoTokenizer, exist_ok=True)

__all__ = ["ElmoConfig", "ElmoEncoder", "ElmoModel", "ElmoModelOutput", "ElmoStates", "ElmoTokenizer", "__version__"]
