# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""TensorFlow Hub's modules google/elmo/1 to 3, and those of DeepPavlov: `variables/variables.*` and no options.

Their variables are those of bilm-tf's inference graph, below `bilm/`, with the scalar mix beside them. The sizes of
the architecture follow from their shapes; what does not is taken from the released model, or from given options.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..mapping.layouts import Shape
from ..mapping.options import Options
from ..mapping.tensor_ops import Array
from ..source.fetch import SourceFile
from . import tensorflow_bundle as bundles
from .base import Opened
from .hdf5_checkpoint import read_options
from .tensorflow_bundle import Bundle

NAME = "TF Hub module"

_MODULE = re.compile(r"module(?:_\d+)?/")
_CELL = re.compile(r"(RNN_[01]/RNN/MultiRNNCell/Cell\d+)/rnn/lstm_cell/(kernel|bias|projection/kernel)")
_LEAVES = {"kernel": "W_0", "bias": "B", "projection/kernel": "W_P_0"}
_STATE = re.compile(r"(?:bilm(?:_\d+)?/)?Variable(?:_\d+)?")  # LSTM states carried from call to call
_GOOGLE_MIX = ("aggregation/weights", "aggregation/scaling")
_DEEPPAVLOV_MIX = ("elmo_output_ELMo_W", "elmo_output_ELMo_gamma")

# No variable tells these: they are the released model's, in whose `options.json` they stand.
_RELEASED: dict[str, dict[str, Any]] = {
    "lstm": {"use_skip_connections": True, "cell_clip": 3, "proj_clip": 3},
    "char_cnn": {"activation": "relu", "n_characters": 262, "max_characters_per_token": 50},
}
_ASSUMED = (
    "The module has no options: clips of 3, skip connections, relu and 50 characters a word are those of the "
    "released ELMo model"
)
_WITHOUT_BOUNDARIES = (
    "whether its LSTMs saw sentence boundaries is not documented, and this model adds none (`sentence_boundaries`)"
)
_WITH_BOUNDARIES = (
    "its LSTMs saw sentence boundaries, and went on from the states of earlier batches, where this model starts anew"
)


def _prefix(path: Path) -> Path:
    """A module's folder has its variables one folder down."""
    inside = path / "variables"
    return bundles.find_one(inside if bundles.find(inside) else path)


def matches(path: Path) -> bool:
    """Whether a path leads to a checkpoint with the variables of bilm-tf's inference graph."""
    if bundles.find(path / "variables") and (path / "saved_model.pb").is_file():
        return True
    return any(bundles.mentions(prefix, "bilm/") for prefix in bundles.find(path))


def _bilm_name(variable: str) -> str:
    name = _MODULE.sub("", variable, count=1) if _MODULE.match(variable) else variable
    name = name.removeprefix("bilm/") if not _STATE.fullmatch(name) else name
    cell = _CELL.fullmatch(name)
    return f"{cell[1]}/LSTMCell/{_LEAVES[cell[2]]}" if cell else name


def _names(bundle: Bundle) -> dict[str, str]:
    """bilm-tf's names of the variables, to their own; ValueError where two of them are the same."""
    names: dict[str, str] = {}
    for variable in bundle.shapes:
        other = names.setdefault(_bilm_name(variable), variable)
        if other != variable:
            raise ValueError(f"{bundle.prefix} must have every variable once; got {other} and {variable}.")
    return names


def _size(shapes: Mapping[str, Shape], name: str, rank: int, axis: int) -> int:
    shape = shapes.get(name, ())
    if len(shape) != rank or min(shape) < 1:
        got = f"shape {shape}" if name in shapes else "no such variable"
        raise ValueError(f"a TF Hub module must have {name}, an array of {rank} dimensions; got {got}.")
    return shape[axis]


def _count(shapes: Mapping[str, Shape], template: str) -> int:
    numbers = range(len(shapes) + 1)
    return next(number for number in numbers if template.format(number) not in shapes)


def infer_options(shapes: Mapping[str, Shape]) -> Options:
    """The options of a model with these arrays, in bilm-tf's names.

    Clips, skip connections, the activation and the width of a word's row of characters, which no shape tells, are
    those of the released model.

    Raises:
        ValueError: an array that tells a size is missing or no array of that kind.
    """
    kernels = [f"CNN/W_cnn_{i}" for i in range(_count(shapes, "CNN/W_cnn_{}"))] or ["CNN/W_cnn_0"]
    filters = [[_size(shapes, name, 4, 1), _size(shapes, name, 4, 3)] for name in kernels]
    projection = "CNN_proj/W_proj"
    cell = "RNN_0/RNN/MultiRNNCell/Cell{}/LSTMCell/B"
    return {
        "lstm": {
            **_RELEASED["lstm"],
            "projection_dim": (
                _size(shapes, projection, 2, 1) if projection in shapes else sum(count for _, count in filters)
            ),
            "dim": _size(shapes, cell.format(0), 1, 0) // 4,
            "n_layers": _count(shapes, cell),
        },
        "char_cnn": {
            **_RELEASED["char_cnn"],
            "filters": filters,
            "n_highway": _count(shapes, "CNN_high_{}/W_carry"),
            "embedding": {"dim": _size(shapes, "char_embed", 2, 1)},
        },
    }


def _merged(inferred: Options, given: Options) -> Options:
    """The inferred options with the given ones in their place, key by key in each section."""
    merged = {**inferred, **given}
    for section, values in inferred.items():
        if isinstance(given.get(section), dict):
            merged[section] = {**values, **given[section]}
    return merged


def _scalar_mix(arrays: Mapping[str, Array], names: tuple[str, str], layers: int) -> tuple[Array, float]:
    weights, gamma = (arrays[name] for name in names)
    if weights.shape != (layers + 1,) or gamma.size != 1:
        raise ValueError(
            f"{names[0]} must have one weight a layer, shape {(layers + 1,)}, and {names[1]} one number; "
            f"got shapes {weights.shape} and {gamma.shape}."
        )
    return weights, float(gamma.reshape(()))


def opened(bundle: Bundle, options: SourceFile | None, format: str) -> Opened:
    """A checkpoint with the variables of bilm-tf's inference graph; see `open_checkpoint`."""
    names = _names(bundle)
    all_shapes = {name: bundle.shapes[variable] for name, variable in names.items()}
    outside = [name for name in names if bundles.is_training_state(name, names) or _STATE.fullmatch(name)]
    mix = next((mix for mix in (_GOOGLE_MIX, _DEEPPAVLOV_MIX) if set(mix) <= names.keys()), ())
    shapes = {name: shape for name, shape in all_shapes.items() if name not in (*outside, *mix)}

    def read(wanted: Iterable[str]) -> dict[str, Array]:
        wanted = list(wanted)
        arrays = bundle.read(names.get(name, name) for name in wanted)
        return {name: np.asarray(arrays[names.get(name, name)]) for name in wanted}

    parsed = infer_options(shapes)
    files = bundle.files()
    if options is not None:
        parsed = _merged(parsed, read_options(options)[0])
        files["options"] = options
    with_boundaries = mix == _DEEPPAVLOV_MIX
    inferred_layers = _count(shapes, "RNN_0/RNN/MultiRNNCell/Cell{}/LSTMCell/B")
    assumed = [_ASSUMED] if options is None else []
    note = "; ".join([*assumed, _WITH_BOUNDARIES if with_boundaries else _WITHOUT_BOUNDARIES])
    return Opened(
        format=format,
        options=parsed,
        shapes=shapes,
        read=read,
        files=files,
        scalar_mixes=(_scalar_mix(read(mix), mix, inferred_layers),) if mix else (),
        left_out=tuple(outside),
        fields={"sentence_boundaries": with_boundaries},
        note=f"{note[0].upper()}{note[1:]}.",
    )


def open_checkpoint(path: Path, options: SourceFile | None = None, vocab: SourceFile | None = None) -> Opened:
    """Open a module.

    Args:
        path: its folder, its folder `variables`, or the checkpoint's `.index` file or prefix.
        options: keys of bilm-tf's `options.json` in place of what is inferred, all or some of them.
        vocab: has no use here.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or these are not the variables of an ELMo module.
        ImportError: tensorflow is not installed.
    """
    return opened(bundles.open_bundle(_prefix(path)), options, NAME)
