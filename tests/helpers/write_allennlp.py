# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""AllenNLP models with an ELMo, as state dicts, written independently of the package's table of names."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from helpers.write_checkpoint import OPTIONS, write_checkpoint

EMBEDDER = "text_field_embedder.token_embedder_elmo."
MIX = ([0.5, -1.0, 2.0], 1.25)
CONFIG = {
    "dataset_reader": {"type": "sequence_tagging"},
    "model": {
        "type": "simple_tagger",
        "text_field_embedder": {
            "token_embedders": {
                "elmo": {"type": "elmo_token_embedder", "options_file": "elmo/my_options.json", "weight_file": "w.hdf5"}
            }
        },
    },
}


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an HDF5 checkpoint, with biases rounded so that adding 1 is exact."""
    with h5py.File(folder / "lm_weights.hdf5") as file:
        names: list[str] = []
        file.visit(names.append)
        arrays = {name: file[name][()] for name in names if isinstance(file[name], h5py.Dataset)}
    for name in arrays:
        if name.endswith("/B"):
            arrays[name] = (np.round(arrays[name] * 1024) / 1024).astype(np.float32)
    return arrays


def state_dict(
    arrays: dict[str, np.ndarray], options: dict[str, Any] = OPTIONS, prefix: str = f"{EMBEDDER}_elmo._elmo_lstm."
) -> dict[str, torch.Tensor]:
    """Return AllenNLP's state dict (`_ElmoCharacterEncoder._load_weights`, `ElmoLstm.load_weights`)."""
    tokens, state = "_token_embedder.", {}
    table = arrays["char_embed"]
    state[f"{tokens}_char_embedding_weights"] = np.concatenate([np.zeros_like(table[:1]), table])
    for i in range(len(options["char_cnn"]["filters"])):
        state[f"{tokens}char_conv_{i}.weight"] = np.moveaxis(arrays[f"CNN/W_cnn_{i}"][0], (0, 1, 2), (2, 1, 0))
        state[f"{tokens}char_conv_{i}.bias"] = arrays[f"CNN/b_cnn_{i}"]
    for k in range(options["char_cnn"]["n_highway"]):
        layer, high = f"{tokens}_highways._layers.{k}", f"CNN_high_{k}"
        state[f"{layer}.weight"] = np.vstack([arrays[f"{high}/W_transform"].T, -1.0 * arrays[f"{high}/W_carry"].T])
        state[f"{layer}.bias"] = np.hstack([arrays[f"{high}/b_transform"], -1.0 * arrays[f"{high}/b_carry"]])
    state[f"{tokens}_projection.weight"] = arrays["CNN_proj/W_proj"].T
    state[f"{tokens}_projection.bias"] = arrays["CNN_proj/b_proj"]
    cells, size = options["lstm"]["dim"], options["lstm"]["projection_dim"]
    for d, direction in enumerate(("forward", "backward")):
        for layer in range(options["lstm"]["n_layers"]):
            source, target = f"RNN_{d}/RNN/MultiRNNCell/Cell{layer}/LSTMCell", f"_elmo_lstm.{direction}_layer_{layer}"
            i, j, f, o = (slice(gate * cells, (gate + 1) * cells) for gate in range(4))
            order = np.r_[i, f, j, o]
            kernel, bias = arrays[f"{source}/W_0"], arrays[f"{source}/B"].copy()
            bias[f] += 1
            state[f"{target}.input_linearity.weight"] = kernel[:size, order].T
            state[f"{target}.state_linearity.weight"] = kernel[size:, order].T
            state[f"{target}.state_linearity.bias"] = bias[order]
            state[f"{target}.state_projection.weight"] = arrays[f"{source}/W_P_0"].T
    return {prefix + name: torch.tensor(np.ascontiguousarray(array)) for name, array in state.items()}


def mix_state(prefix: str = f"{EMBEDDER}_elmo.", number: int = 0, mix: Any = MIX) -> dict[str, torch.Tensor]:
    weights, gamma = mix
    state = {f"{prefix}scalar_mix_{number}.scalar_parameters.{i}": torch.tensor([w]) for i, w in enumerate(weights)}
    return {f"{prefix}scalar_mix_{number}.gamma": torch.tensor([gamma]), **state}


def tagger_state(arrays: dict[str, np.ndarray], options: dict[str, Any] = OPTIONS) -> dict[str, torch.Tensor]:
    """Return the state dict of a tagger with ELMo, its scalar mix, and other layers."""
    return {
        **mix_state(mix=(MIX[0][: options["lstm"]["n_layers"] + 1], MIX[1])),
        **state_dict(arrays, options),
        "encoder._module.weight_ih_l0": torch.ones(8, 12),
        "tag_projection_layer._module.weight": torch.ones(3, 4),
    }


def write_archive(folder: Path, options: dict[str, Any] = OPTIONS, **variant: Any) -> dict[str, np.ndarray]:
    """Write an extracted archive with `weights.th`, `config.json`, and options below `fta`. Return its arrays."""
    write_checkpoint(folder / "hdf5", options, **variant)
    arrays = read_arrays(folder / "hdf5")
    (folder / "hdf5" / "lm_weights.hdf5").unlink()
    (folder / "fta").mkdir()
    name = "model.text_field_embedder.token_embedders.elmo.options_file"
    (folder / "hdf5" / "options.json").rename(folder / "fta" / name)
    (folder / "hdf5").rmdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    torch.save(tagger_state(arrays, options), folder / "weights.th")
    return arrays
