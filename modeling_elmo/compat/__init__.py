# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""AllenNLP's `Elmo`, `batch_to_ids`, and `ElmoEmbedder`, and the outputs of TF Hub's module, for existing programs.

Signatures, defaults, and outputs are those of AllenNLP 2.10.1 and, for `ElmoEmbedder`, 0.9. There is one difference: a
sentence gets the same vectors every time. Pass `stateful=True` to reproduce AllenNLP's carried states.
docs/migration.md lists the equivalent calls of this package.
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
