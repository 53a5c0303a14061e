# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""An `Opened` checkpoint as a model in memory, by the tables that `convert` uses."""

import torch

from modeling_elmo import ElmoModel
from modeling_elmo.conversion.formats.base import Opened
from modeling_elmo.conversion.mapping.layouts import recognise
from modeling_elmo.conversion.mapping.name_map import check, entries, source_shapes, to_model
from modeling_elmo.conversion.mapping.options import config_from_options


def model_of(opened: Opened, dtype: torch.dtype = torch.float32) -> ElmoModel:
    contents = recognise(opened.shapes)
    mixes = len(opened.scalar_mixes) or 1
    fields = {"num_output_representations": mixes, **opened.fields}
    if opened.words is not None:
        fields |= {f"{mark}_token_id": opened.words.index(word) + 1 for mark, word in (("bos", "<S>"), ("eos", "</S>"))}
    config = config_from_options(opened.options, contents, **fields)
    table = entries(config, contents)
    check(source_shapes(table), opened.shapes, "the weight file")
    state = {name: torch.from_numpy(array) for name, array in to_model(table, opened.read(opened.shapes)).items()}
    for number, (weights, gamma) in enumerate(opened.scalar_mixes):
        state |= {f"scalar_mixes.{number}.weights": torch.from_numpy(weights)}
        state |= {f"scalar_mixes.{number}.gamma": torch.tensor([gamma])}
    model = ElmoModel(config).to(dtype)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("scalar_mix" in name for name in missing)
    return model.eval()
