# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What makes a model folder one for sentence-transformers: the mean over a sentence's words, padding left out."""

import json
from pathlib import Path
from typing import Any

from modeling_elmo.model.configuration_elmo import ElmoConfig

_POOLING = "1_Pooling"
# The names that versions 2 to 6 understand.
_MODULES = (("", "sentence_transformers.models.Transformer"), (_POOLING, "sentence_transformers.models.Pooling"))


def sentence_transformers_files(config: ElmoConfig) -> dict[str, bytes]:
    """The files by their paths in the folder; vectors are means of what `config.pooling_layer` names."""
    is_word = config.layer_index(config.pooling_layer) == 0
    modules = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(_MODULES)]
    pooling = {
        "word_embedding_dimension": config.projection_size if is_word else config.hidden_size,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    files: dict[str, Any] = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": None, "do_lower_case": False},  # any length, case matters
        f"{_POOLING}/config.json": pooling,
    }
    return {path: (json.dumps(content, indent=2) + "\n").encode() for path, content in files.items()}


def write_sentence_transformers_files(folder: Path, config: ElmoConfig) -> None:
    """Write them into a model folder."""
    for path, content in sentence_transformers_files(config).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
