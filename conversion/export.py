# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Export of a model folder to `options.json` and `lm_weights.hdf5`, for bilm-tf, AllenNLP, and programs based on them.

The export of a folder that `convert` wrote in float32 has the same dataset names and bit-identical values. Further
files hold what these two cannot store: `lm_softmax_weights.hdf5` the softmax of a language model, as in the released
checkpoints, and `scalar_mix.th` trained scalar mixes, as a state dict for AllenNLP's `Elmo`:
`elmo.load_state_dict(torch.load("scalar_mix.th", weights_only=True), strict=False)`.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modeling_elmo.files import EXPORTED_FOLDER, atomic_folder, check_output
from modeling_elmo.messages import format_names
from modeling_elmo.model.configuration_elmo import CHARACTER_INPUT, NUM_CHARACTERS, WORD_INPUT, ElmoConfig
from modeling_elmo.optional import import_h5py

from .formats.allennlp_names import MIX_FILE
from .mapping.layouts import LAYOUTS, SOFTMAX_NAMES, WeightFileInfo, get_layout
from .mapping.name_map import from_model, resolve_rules, target_shapes
from .mapping.options import config_from_options, options_from_config, parse
from .mapping.tensor_ops import Array
from .model_files import BASE_MODEL_PREFIX, read_config, read_weights

OPTIONS_FILE = "options.json"
WEIGHTS_FILE = "lm_weights.hdf5"
SOFTMAX_FILE = "lm_softmax_weights.hdf5"
VOCABULARY_FILE = "vocab.txt"
_HEAD_PREFIX = "head:"  # marks tensors outside the base model
_NOT_EXPORTED = ("scalar_mixes.", "initial_hidden", "initial_cell", _HEAD_PREFIX)  # no arrays of lm_weights.hdf5
_SOFTMAX = dict(zip(SOFTMAX_NAMES, ("head:softmax.linear.weight", "head:softmax.linear.bias"), strict=True))


@dataclass(frozen=True)
class ExportRecord:
    """Result of an export.

    Attributes:
        output: Folder that was written.
        datasets: Names of the datasets in `lm_weights.hdf5`.
        notes: Notes on further files and on what the format cannot store.
    """

    output: Path
    datasets: tuple[str, ...]
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Return a few lines for the terminal."""
        return "\n".join([f"Wrote {self.output}: {OPTIONS_FILE} and {len(self.datasets)} datasets.", *self.notes])


def _read_state(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors as float32: the base model's without its prefix, all others with the prefix `head:`."""
    state = {name: tensor.float() for name, tensor in read_weights(folder)[0].items()}
    if any(name.startswith(BASE_MODEL_PREFIX) for name in state):
        state = {
            name.removeprefix(BASE_MODEL_PREFIX) if name.startswith(BASE_MODEL_PREFIX) else _HEAD_PREFIX + name: tensor
            for name, tensor in state.items()
        }
    return state


def _check_exportable(config: ElmoConfig) -> None:
    if config.aligned:
        raise ValueError("Cannot export an aligned model: the HDF5 format does not store alignment matrices.")
    if config.input_type == CHARACTER_INPUT and not config.is_byte_level:
        raise ValueError(
            "Cannot export a model with its own alphabet or lexicon: the HDF5 format encodes words as UTF-8 bytes."
        )
    if config.input_type == CHARACTER_INPUT and config.vocab_size != NUM_CHARACTERS:
        raise ValueError(
            f"Cannot export a model with {config.vocab_size} characters: the HDF5 format has {NUM_CHARACTERS}."
        )
    if config.forget_bias != 1.0:
        raise ValueError(
            f"Cannot export a model with forget_bias={config.forget_bias}: readers of the HDF5 format always add 1.0."
        )
    if not config.use_cell_projection and config.projection_size < config.cell_size:
        raise ValueError(
            f"Cannot export a model without cell projection: readers of the HDF5 format project {config.cell_size} "
            f"cells to {config.projection_size} dimensions."
        )


def _weight_file_info(config: ElmoConfig) -> WeightFileInfo:
    """Return the layout and row counts of the model's source; bilm-tf's defaults for a model without a source."""
    recorded: Mapping[str, Any] = getattr(config, "conversion", None) or {}
    layout = get_layout(recorded["layout"]) if "layout" in recorded else LAYOUTS[0]
    is_character_model = config.input_type == CHARACTER_INPUT
    return WeightFileInfo(
        layout=layout if layout.supports(config.num_directions, config.num_hidden_layers) else LAYOUTS[0],
        character_rows=(recorded.get("character_rows") or NUM_CHARACTERS - 1) if is_character_model else None,
        word_rows=None if is_character_model else config.vocab_size - 1,
        has_character_projection=config.use_character_projection,
        has_cell_projection=config.use_cell_projection,
        bidirectional=config.bidirectional,
    )


def _options_text(config: ElmoConfig, contents: WeightFileInfo) -> str:
    """Return the options of the source if they still describe the model, otherwise new ones."""
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
    """Return the scalar mixes with AllenNLP's names, one tensor per value; empty unless one is trained."""
    mixes = {name: tensor for name, tensor in state.items() if name.startswith("scalar_mixes.")}
    uniform = all(torch.equal(tensor, tensor[:1].expand_as(tensor)) for tensor in mixes.values())
    if uniform and all(torch.equal(mix, torch.ones(1)) for name, mix in mixes.items() if name.endswith(".gamma")):
        return {}
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in mixes.items():
        _, index, parameter = name.split(".")
        if parameter == "gamma":
            renamed[f"scalar_mix_{index}.gamma"] = tensor.clone()
        else:
            # Clone, because `torch.save` writes the whole storage of a view.
            renamed |= {
                f"scalar_mix_{index}.scalar_parameters.{i}": tensor[i : i + 1].clone() for i in range(len(tensor))
            }
    return renamed


def _notes(config: ElmoConfig, unused: list[str], has_softmax: bool, has_mix: bool) -> list[str]:
    notes = []
    if has_softmax:
        notes.append(
            f"Wrote {SOFTMAX_FILE}: the softmax of the language model. Move it before loading the folder with "
            "simple_elmo, which loads any *.hdf5 file."
        )
    if has_mix:
        normalized = " with do_layer_norm=True" if config.mix_layer_norm else ""
        notes.append(
            f"Wrote {MIX_FILE}: the trained scalar mix, for load_state_dict(..., strict=False) of AllenNLP's Elmo"
            f"{normalized}."
        )
    if not config.sentence_boundaries:
        notes.append("Readers of the HDF5 format add <S> and </S> to each sentence; this model does not.")
    if "initial_hidden" in unused:
        notes.append("Not exported: the stored initial state, which the format cannot store.")
    written = _SOFTMAX.values() if has_softmax else ()
    heads = [
        name.removeprefix(_HEAD_PREFIX) for name in unused if name.startswith(_HEAD_PREFIX) and name not in written
    ]
    if heads:
        notes.append(f"Not exported: the head ({format_names(heads)}).")
    return notes


def write_hdf5(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write the arrays as float32 datasets of an HDF5 file."""
    with import_h5py().File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, dtype="f4")


def export(folder: str | Path, output: str | Path, *, overwrite: bool = False) -> ExportRecord:
    """Export a model folder to `options.json` and `lm_weights.hdf5`.

    Further files are `vocab.txt` for word models and language models, `lm_softmax_weights.hdf5` for language models
    whose softmax is not adaptive, and `scalar_mix.th` if a scalar mix is trained. float16 and bfloat16 weights are
    converted to float32, which is exact.

    Args:
        folder: Model folder that `convert` or `save_pretrained` wrote, with or without a head.
        output: Folder to write. It is written atomically.
        overwrite: Whether to replace an existing export that contains nothing else.

    Returns:
        Record of the export, with a summary for the terminal.

    Raises:
        FileNotFoundError: If a file is missing.
        FileExistsError: If `output` exists and may not be replaced.
        ValueError: If the format cannot store the model, or its weights do not match its configuration.
        ImportError: If h5py is not installed.
    """
    folder, output = Path(folder), Path(output)
    check_output(output, EXPORTED_FOLDER, overwrite=overwrite, inputs=[folder])
    import_h5py()
    config = read_config(folder)
    _check_exportable(config)
    contents = _weight_file_info(config)
    table = resolve_rules(config, contents)
    state = _read_state(folder)
    required = target_shapes(table)
    unused = [name for name in state if name not in required and name.startswith(_NOT_EXPORTED)]
    arrays = from_model(table, {name: tensor.numpy() for name, tensor in state.items() if name not in unused})
    has_softmax = all(name in state for name in _SOFTMAX.values())
    mix = scalar_mix_state(state)
    with atomic_folder(output, EXPORTED_FOLDER, overwrite=overwrite, inputs=[folder]) as temporary:
        (temporary / OPTIONS_FILE).write_bytes(_options_text(config, contents).encode())
        write_hdf5(temporary / WEIGHTS_FILE, arrays)
        if has_softmax:
            write_hdf5(temporary / SOFTMAX_FILE, {name: state[tensor].numpy() for name, tensor in _SOFTMAX.items()})
        if mix:
            torch.save(mix, temporary / MIX_FILE)
        if config.input_type == WORD_INPUT or has_softmax:
            if not (folder / VOCABULARY_FILE).is_file():
                model_kind = "word" if config.input_type == WORD_INPUT else "language"
                raise FileNotFoundError(
                    f"Cannot export the {model_kind} model in {folder}: {VOCABULARY_FILE} is missing."
                )
            shutil.copyfile(folder / VOCABULARY_FILE, temporary / VOCABULARY_FILE)
    return ExportRecord(output, tuple(arrays), tuple(_notes(config, unused, has_softmax, bool(mix))))
