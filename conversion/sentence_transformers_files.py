# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Files for sentence-transformers: the vector of a sentence is the mean over its words, without padding."""

import json
from pathlib import Path
from typing import Any

from modeling_elmo.model.configuration_elmo import ElmoConfig

_POOLING = "1_Pooling"
# Versions 2 to 6 of sentence-transformers recognize these names.
_MODULES = (("", "sentence_transformers.models.Transformer"), (_POOLING, "sentence_transformers.models.Pooling"))


def sentence_transformers_files(config: ElmoConfig) -> dict[str, bytes]:
    """Return the files by their paths in the model folder. The vectors are means of `config.pooling_layer`."""
    is_word_layer = config.layer_index(config.pooling_layer) == 0
    modules = [{"idx": i, "name": str(i), "path": path, "type": name} for i, (path, name) in enumerate(_MODULES)]
    pooling = {
        "word_embedding_dimension": config.projection_size if is_word_layer else config.hidden_size,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    files: dict[str, Any] = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": None, "do_lower_case": False},  # any length, cased
        f"{_POOLING}/config.json": pooling,
    }
    return {path: (json.dumps(content, indent=2) + "\n").encode() for path, content in files.items()}


def write_sentence_transformers_files(folder: Path, config: ElmoConfig) -> None:
    """Write the files into a model folder."""
    for path, content in sentence_transformers_files(config).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
