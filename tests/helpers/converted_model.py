# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Model in memory from an `OpenCheckpoint`, by the table that `convert` uses."""

import torch

from modeling_elmo import ElmoModel
from modeling_elmo.conversion.formats.base import OpenCheckpoint
from modeling_elmo.conversion.mapping.layouts import detect_layout
from modeling_elmo.conversion.mapping.name_map import check_shapes, resolve_rules, source_shapes, to_model
from modeling_elmo.conversion.mapping.options import config_from_options


def build_model(opened: OpenCheckpoint, dtype: torch.dtype = torch.float32) -> ElmoModel:
    info = detect_layout(opened.shapes)
    mixes = len(opened.scalar_mixes) or 1
    fields = {"num_output_representations": mixes, **opened.fields}
    if opened.words is not None:
        fields |= {f"{name}_token_id": opened.words.index(word) + 1 for name, word in (("bos", "<S>"), ("eos", "</S>"))}
    config = config_from_options(opened.options, info, **fields)
    table = resolve_rules(config, info)
    check_shapes(source_shapes(table), opened.shapes, "the weight file")
    state = {name: torch.from_numpy(array) for name, array in to_model(table, opened.read(opened.shapes)).items()}
    for number, (weights, gamma) in enumerate(opened.scalar_mixes):
        state |= {f"scalar_mixes.{number}.weights": torch.from_numpy(weights)}
        state |= {f"scalar_mixes.{number}.gamma": torch.tensor([gamma])}
    model = ElmoModel(config).to(dtype)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("scalar_mix" in name for name in missing)
    return model.eval()
