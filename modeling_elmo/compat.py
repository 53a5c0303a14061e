# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The calls of old programs: AllenNLP's `Elmo`, `batch_to_ids` and `ElmoEmbedder`, and the outputs of TF Hub's module.

Signatures, defaults and outputs are those of AllenNLP 2.10.1 and, for `ElmoEmbedder`, 0.9. One thing differs: a
sentence gets the same vectors every time. `stateful=True` brings back the old drift, for those who must reproduce it.
What replaces which call: docs/migration.md.
"""

from .compat_embedder import ElmoEmbedder
from .compat_inputs import DEFAULT_OPTIONS_FILE, DEFAULT_WEIGHT_FILE, batch_to_ids, load_model
from .compat_module import Elmo, ScalarMix
from .compat_tfhub import tfhub_outputs

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
