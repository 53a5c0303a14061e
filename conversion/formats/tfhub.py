# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""TensorFlow Hub's modules google/elmo/1 to 3, and those of DeepPavlov: `variables/variables.*` without options.

Their variables are those of bilm-tf's inference graph, with the prefix `bilm/`, and the scalar mix. Their shapes
determine the sizes of the architecture. Other options are those of the released model, or of an options file.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..mapping.layouts import Shape
from ..mapping.options import Options, fill_defaults, read_options
from ..mapping.tensor_ops import Array
from ..source.fetch import SourceFile
from . import tensorflow_bundle as bundles
from .base import OpenCheckpoint, check_no_softmax
from .tensorflow_bundle import Bundle

NAME = "TF Hub module"

_MODULE = re.compile(r"module(?:_\d+)?/")
_CELL = re.compile(r"(RNN_[01]/RNN/MultiRNNCell/Cell\d+)/rnn/lstm_cell/(kernel|bias|projection/kernel)")
_ARRAY_NAMES = {"kernel": "W_0", "bias": "B", "projection/kernel": "W_P_0"}
_STATE = re.compile(r"(?:bilm(?:_\d+)?/)?Variable(?:_\d+)?")  # LSTM states that the graph carries between calls
_GOOGLE_MIX = ("aggregation/weights", "aggregation/scaling")
_DEEPPAVLOV_MIX = ("elmo_output_ELMo_W", "elmo_output_ELMo_gamma")

# Options of the released model that no variable determines.
_RELEASED: Options = {
    "lstm": {"use_skip_connections": True, "cell_clip": 3, "proj_clip": 3},
    "char_cnn": {"activation": "relu", "n_characters": 262, "max_characters_per_token": 50},
}
_ASSUMED = (
    "The module contains no options. As in the released ELMo model, clip values of 3, skip connections, relu, and 50 "
    "characters per word were assumed."
)
_WITHOUT_BOUNDARIES = (
    "It is not documented whether its LSTMs were trained with sentence boundaries. This model adds none "
    "(`sentence_boundaries`)."
)
_WITH_BOUNDARIES = (
    "Its LSTMs were trained with sentence boundaries. The module carries their states from batch to batch; this model "
    "is stateless."
)


def _find_prefix(path: Path) -> Path:
    """Return the checkpoint's prefix. The folder of a module contains it in `variables`."""
    variables = path / "variables"
    return bundles.find_bundle(variables if bundles.find_bundles(variables) else path)


def matches(path: Path) -> bool:
    """Return whether a path is a checkpoint with the variables of bilm-tf's inference graph, or a folder with one."""
    if bundles.find_bundles(path / "variables") and (path / "saved_model.pb").is_file():
        return True
    return any(bundles.contains_name(prefix, "bilm/") for prefix in bundles.find_bundles(path))


def _bilm_name(variable: str) -> str:
    name = _MODULE.sub("", variable, count=1) if _MODULE.match(variable) else variable
    name = name.removeprefix("bilm/") if not _STATE.fullmatch(name) else name
    cell = _CELL.fullmatch(name)
    return f"{cell[1]}/LSTMCell/{_ARRAY_NAMES[cell[2]]}" if cell else name


def _variables_by_name(bundle: Bundle) -> dict[str, str]:
    """Return a map from bilm-tf's names to the names of the variables.

    Raises:
        ValueError: If two variables have the same name in bilm-tf.
    """
    variables: dict[str, str] = {}
    for variable in bundle.shapes:
        other = variables.setdefault(_bilm_name(variable), variable)
        if other != variable:
            raise ValueError(f"Expected every variable once in {bundle.prefix}, got {other} and {variable}.")
    return variables


def _size(shapes: Mapping[str, Shape], name: str, rank: int, axis: int) -> int:
    shape = shapes.get(name, ())
    if len(shape) != rank or min(shape) < 1:
        got = f"shape {shape}" if name in shapes else "no such variable"
        raise ValueError(f"Expected a TF Hub module with {name}, an array of {rank} dimensions, got {got}.")
    return shape[axis]


def _count(shapes: Mapping[str, Shape], template: str) -> int:
    return next(i for i in range(len(shapes) + 1) if template.format(i) not in shapes)


def infer_options(shapes: Mapping[str, Shape]) -> Options:
    """Return the options of a model with these arrays, by bilm-tf's names.

    Clip values, skip connections, the activation, and the maximum word length do not follow from shapes. They are
    those of the released model.

    Raises:
        ValueError: If an array that determines a size is missing or has another number of dimensions.
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


def _scalar_mix(arrays: Mapping[str, Array], names: tuple[str, str], layers: int) -> tuple[Array, float]:
    weights, gamma = (arrays[name] for name in names)
    if weights.shape != (layers + 1,) or gamma.size != 1:
        raise ValueError(
            f"Expected {names[0]} of shape {(layers + 1,)}, one weight per layer, and one value in {names[1]}, "
            f"got shapes {weights.shape} and {gamma.shape}."
        )
    return weights, float(gamma.reshape(()))


def open_variables(bundle: Bundle, options: SourceFile | None, format: str) -> OpenCheckpoint:
    """Open a checkpoint with the variables of bilm-tf's inference graph; see `open_checkpoint`.

    Args:
        bundle: TensorFlow checkpoint.
        options: File with options that replace the inferred ones.
        format: Name of the format.

    Raises:
        ValueError: If the variables are not those of an ELMo, or the options file is corrupt.
    """
    variables = _variables_by_name(bundle)
    all_shapes = {name: bundle.shapes[variable] for name, variable in variables.items()}
    unused = [name for name in variables if bundles.is_training_state(name, variables) or _STATE.fullmatch(name)]
    mix = next((mix for mix in (_GOOGLE_MIX, _DEEPPAVLOV_MIX) if set(mix) <= variables.keys()), ())
    shapes = {name: shape for name, shape in all_shapes.items() if name not in (*unused, *mix)}

    def read(names: Iterable[str]) -> dict[str, Array]:
        names = list(names)
        arrays = bundle.read(variables.get(name, name) for name in names)
        return {name: np.asarray(arrays[variables.get(name, name)]) for name in names}

    parsed = infer_options(shapes)
    files = bundle.files()
    if options is not None:
        parsed = fill_defaults(read_options(options)[0], parsed)
        files["options"] = options
    has_boundaries = mix == _DEEPPAVLOV_MIX
    inferred_layers = _count(shapes, "RNN_0/RNN/MultiRNNCell/Cell{}/LSTMCell/B")
    assumed = [_ASSUMED] if options is None else []
    return OpenCheckpoint(
        format=format,
        options=parsed,
        shapes=shapes,
        read=read,
        files=files,
        scalar_mixes=(_scalar_mix(read(mix), mix, inferred_layers),) if mix else (),
        unused_arrays=tuple(unused),
        fields={"sentence_boundaries": has_boundaries},
        note=" ".join([*assumed, _WITH_BOUNDARIES if has_boundaries else _WITHOUT_BOUNDARIES]),
    )


def open_checkpoint(
    path: Path,
    options: SourceFile | None = None,
    vocab: SourceFile | None = None,
    softmax: SourceFile | None = None,
) -> OpenCheckpoint:
    """Open a module.

    Args:
        path: Folder of the module, its folder `variables`, or the checkpoint's `.index` file or prefix.
        options: File with all or some keys of bilm-tf's `options.json`, which replace the inferred ones.
        vocab: Ignored.
        softmax: Must be None.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is corrupt, or the variables are not those of an ELMo module.
        ImportError: If tensorflow is not installed.
    """
    check_no_softmax(softmax, NAME)
    return open_variables(bundles.open_bundle(_find_prefix(path)), options, NAME)
