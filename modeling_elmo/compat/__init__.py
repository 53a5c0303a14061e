# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The calls of old programs: AllenNLP's `Elmo`, `batch_to_ids` and `ElmoEmbedder`, and the outputs of TF Hub's module.

Signatures, defaults and outputs are those of AllenNLP 2.10.1 and, for `ElmoEmbedder`, 0.9. One thing differs: a
sentence gets the same vectors every time. `stateful=True` brings back the old drift, for those who must reproduce it.
What replaces which call: docs/migration.md.
"""

from .embedder import ElmoEmbedder
from .inputs import DEFAULT_OPTIONS_FILE, DEFAULT_WEIGHT_FILE, batch_to_ids, load_model
from .module import Elmo, ScalarMix
from .tfhub import tfhub_outputs

__all__ = [
    "DEFAULT_OPTIONS_FILE",
    "DEFAULT_WEIGHT_FILE",
    "Elmo",
    "ElmoEmbedder",
    "ScalarMix",
    "batch_to_ids",
    "load_model",
    "tfhub_outputs",
]
