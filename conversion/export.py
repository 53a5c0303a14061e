# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""A model folder back to `options.json` and `lm_weights.hdf5`, for bilm-tf, AllenNLP and what is built on them.

A folder that `convert` wrote in float32 gives back the same datasets bit by bit, under the same names. What the two
files have no place for goes beside them: the softmax of a language model into `lm_softmax_weights.hdf5`, as in the
released checkpoints, and a trained scalar mix into `scalar_mix.th`, a state dict that AllenNLP's `Elmo` takes:
`elmo.load_state_dict(torch.load("scalar_mix.th", weights_only=True), strict=False)`.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from modeling_elmo.files import atomic_folder, check_output_folder
from modeling_elmo.model.configuration_elmo import ALPHABET_SIZE, CHARACTER_INPUT, WORD_INPUT, ElmoConfig
from modeling_elmo.optional import import_h5py

from .formats.allennlp_names import MIX_FILE
from .mapping.layouts import LAYOUTS, SOFTMAX_NAMES, Contents, layout_named
from .mapping.name_map import entries, from_model, target_shapes
from .mapping.options import config_from_options, options_from_config, parse
from .mapping.tensor_ops import Array

MARKER = "options.json"  # a folder with it may be overwritten
SOFTMAX_FILE = "lm_softmax_weights.hdf5"
_BASE_PREFIX = "elmo."  # of the model inside one with a head
_OUTSIDE = ("scalar_mixes.", "initial_hidden", "initial_cell")  # parts of a model that the old files have no place for
_SOFTMAX = dict(zip(SOFTMAX_NAMES, ("head:softmax.linear.weight", "head:softmax.linear.bias"), strict=True))


@dataclass(frozen=True)
class ExportRecord:
    """What was exported: the new folder, its datasets, and notes on what the format cannot hold."""

    output: Path
    datasets: tuple[str, ...]
    notes: tuple[str, ...]

    def summary(self) -> str:
        """A few lines for a terminal."""
        return "\n".join([f"wrote {self.output}: options.json and {len(self.datasets)} datasets", *self.notes])


def _read_config(folder: Path) -> ElmoConfig:
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"a model folder must have config.json; {folder} has none.")
    fields = parse(path.read_text(encoding="utf-8"), str(path))
    if fields.get("model_type") != "elmo":
        raise ValueError(f"{path} must have the model_type 'elmo'; got {fields.get('model_type')!r}.")
    return ElmoConfig.from_dict(fields)


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"  # large models are saved in several files
    if index.is_file():
        names = set(parse(index.read_text(encoding="utf-8"), str(index)).get("weight_map", {}).values())
        return sorted(folder / name for name in names)
    return [folder / "model.safetensors"]


def _read_state(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors as float32, the base model's without its prefix and all others after `head:`."""
    state: dict[str, torch.Tensor] = {}
    for path in _weight_files(folder):
        if not path.is_file():
            raise FileNotFoundError(f"a model folder must have its weights; {path} does not exist.")
        try:
            with safe_open(path, framework="pt") as file:
                state |= {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (no mapping)
        except SafetensorError as error:
            raise ValueError(f"{path} must be a whole safetensors file; {error}.") from error
    if any(name.startswith(_BASE_PREFIX) for name in state):
        inside = {name: name.removeprefix(_BASE_PREFIX) for name in state if name.startswith(_BASE_PREFIX)}
        state = {inside.get(name, f"head:{name}"): tensor for name, tensor in state.items()}
    return state


def _refuse_what_has_no_place(config: ElmoConfig) -> None:
    if config.aligned:
        raise ValueError("the old format has no place for alignment matrices; this model has them.")
    if config.input_type == CHARACTER_INPUT and not config.is_byte_level:
        raise ValueError(
            "the old format spells words as UTF-8 bytes; this model has an alphabet or lexicon of its own."
        )
    if config.input_type == CHARACTER_INPUT and config.vocab_size != ALPHABET_SIZE:
        raise ValueError(
            f"the old format has {ALPHABET_SIZE} characters; the model has {config.vocab_size}: "
            "characters that were added have no place in it."
        )
    if config.forget_bias != 1.0:
        raise ValueError(
            f"the old format's readers add 1.0 to the forget gate; config.forget_bias is {config.forget_bias}."
        )
    if not config.use_cell_projection and config.projection_size < config.cell_size:
        raise ValueError(
            f"the old format projects {config.cell_size} cells to {config.projection_size}; this model does not."
        )


def _contents(config: ElmoConfig) -> Contents:
    """The names and rows that the model's source had; bilm-tf's usual ones if it had none."""
    recorded: Mapping[str, Any] = getattr(config, "conversion", None) or {}
    layout = layout_named(recorded["layout"]) if "layout" in recorded else LAYOUTS[0]
    is_character_model = config.input_type == CHARACTER_INPUT
    return Contents(
        layout=layout if layout.can_hold(config.num_directions, config.num_hidden_layers) else LAYOUTS[0],
        character_rows=(recorded.get("character_rows") or ALPHABET_SIZE - 1) if is_character_model else None,
        word_rows=None if is_character_model else config.vocab_size - 1,
        has_character_projection=config.use_character_projection,
        has_cell_projection=config.use_cell_projection,
        bidirectional=config.bidirectional,
    )


def _options_text(config: ElmoConfig, contents: Contents) -> str:
    """The source's own options if they still describe the model, else new ones."""
    options = options_from_config(config)
    recorded = (getattr(config, "conversion", None) or {}).get("options")
    if recorded is not None:
        try:
            unchanged = options_from_config(config_from_options(parse(recorded), contents)) == options
        except (TypeError, ValueError):
            unchanged = False
        if unchanged:
            return recorded
    return json.dumps(options, indent=2) + "\n"


def scalar_mix_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The mixes under AllenNLP's names, one tensor a number; empty unless one is trained."""
    mixes = {name: tensor for name, tensor in state.items() if name.startswith("scalar_mixes.")}
    uniform = all(torch.equal(tensor, tensor[:1].expand_as(tensor)) for tensor in mixes.values())
    if uniform and all(torch.equal(mix, torch.ones(1)) for name, mix in mixes.items() if name.endswith(".gamma")):
        return {}
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in mixes.items():
        _, number, what = name.split(".")
        if what == "gamma":
            renamed[f"scalar_mix_{number}.gamma"] = tensor.clone()
        else:
            parts = {f"scalar_mix_{number}.scalar_parameters.{i}": tensor[i : i + 1] for i in range(len(tensor))}
            renamed |= {name: part.clone() for name, part in parts.items()}  # not the storage of them all
    return renamed


def _notes(config: ElmoConfig, outside: list[str], softmax: bool, mix: bool) -> list[str]:
    notes = []
    if softmax:
        notes.append(
            f"wrote {SOFTMAX_FILE}: the softmax of the language model (simple_elmo takes any *.hdf5 of a folder)"
        )
    if mix:
        normalized = " with do_layer_norm=True" if config.mix_layer_norm else ""
        notes.append(
            f"wrote {MIX_FILE}: the trained scalar mix, for load_state_dict(..., strict=False) of AllenNLP's Elmo"
            f"{normalized}"
        )
    if not config.sentence_boundaries:
        notes.append("the old readers put <S> and </S> around each sentence, which this model does without")
    if "initial_hidden" in outside:
        notes.append("left out: the stored initial state, which the format has no place for")
    written = _SOFTMAX.values() if softmax else ()
    heads = [name.removeprefix("head:") for name in outside if name.startswith("head:") and name not in written]
    if heads:
        notes.append(f"left out: the head ({', '.join(heads)})")
    return notes


def write_hdf5(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write the arrays as float32 datasets of an HDF5 file."""
    with import_h5py().File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, dtype="f4")


def export(folder: str | Path, output: str | Path, *, overwrite: bool = False) -> ExportRecord:
    """Write a model folder as `options.json` and `lm_weights.hdf5`, with what else it has in files of their own.

    These are `vocab.txt` for word models and language models, `lm_softmax_weights.hdf5` for language models whose
    softmax is not adaptive, and `scalar_mix.th` where the mix is trained. float16 and bfloat16 weights become float32
    without loss.

    Args:
        folder: what `convert` or `save_pretrained` wrote, with or without a head.
        output: the folder to write; it appears complete or not at all.
        overwrite: replace a folder with an old checkpoint that is there already.

    Raises:
        FileNotFoundError, FileExistsError: a file is missing, or the output in the way.
        ValueError: the model has what the old format cannot hold, or its weights do not fit its configuration.
        ImportError: h5py is not installed.
    """
    folder, output = Path(folder), Path(output)
    check_output_folder(output, overwrite, MARKER)
    import_h5py()
    config = _read_config(folder)
    _refuse_what_has_no_place(config)
    contents = _contents(config)
    table = entries(config, contents)
    state = _read_state(folder)
    wanted = target_shapes(table)
    outside = [name for name in state if name not in wanted and name.startswith((*_OUTSIDE, "head:"))]
    arrays = from_model(table, {name: tensor.numpy() for name, tensor in state.items() if name not in outside})
    has_softmax = all(name in state for name in _SOFTMAX.values())
    mix = scalar_mix_state(state)
    with atomic_folder(output, overwrite, MARKER) as new:
        (new / "options.json").write_bytes(_options_text(config, contents).encode())
        write_hdf5(new / "lm_weights.hdf5", arrays)
        if has_softmax:
            write_hdf5(new / SOFTMAX_FILE, {name: state[tensor].numpy() for name, tensor in _SOFTMAX.items()})
        if mix:
            torch.save(mix, new / MIX_FILE)
        if config.input_type == WORD_INPUT or has_softmax:
            if not (folder / "vocab.txt").is_file():
                what = "word" if config.input_type == WORD_INPUT else "language"
                raise FileNotFoundError(f"a {what} model's folder must have vocab.txt; {folder} has none.")
            shutil.copyfile(folder / "vocab.txt", new / "vocab.txt")
    return ExportRecord(output, tuple(arrays), tuple(_notes(config, outside, has_softmax, bool(mix))))
