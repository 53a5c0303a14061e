# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints of bilm-tf's training program: `model.ckpt-*` and `options.json`, with softmax and optimizer state.

Its variables have the prefix `lm/`; without it they are the "TensorFlow" layouts of `layouts`.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..mapping.layouts import SOFTMAX_NAMES, Shape
from ..mapping.options import Options
from ..mapping.tensor_ops import Array
from ..source.fetch import SourceFile, find_options
from . import tensorflow_bundle as bundles
from . import vocabulary
from .base import Opened
from .hdf5_checkpoint import read_options

NAME = "TensorFlow checkpoint"
_PREFIX = "lm/"


def matches(path: Path) -> bool:
    """Whether a path leads to a checkpoint with the variables of a training program."""
    return any(not bundles.mentions(prefix, "bilm/") for prefix in bundles.find(path))


def _names(variables: Mapping[str, Shape]) -> dict[str, str]:
    """bilm-tf's names of the variables, to their own."""
    names = {variable.removeprefix(_PREFIX): variable for variable in variables}
    return names if len(names) == len(variables) else {variable: variable for variable in variables}


def _softmax_parts(names: Iterable[str], options: Options) -> tuple[str, str] | None:
    """What weight and bias of the softmax are called, if there is a softmax."""
    weight, bias = SOFTMAX_NAMES
    if weight not in names and options.get("share_embedding_softmax") is True:
        weight = "embedding"
    return (weight, bias) if weight in names and bias in names else None


def _softmax(
    parts: tuple[str, str], shapes: Mapping[str, Shape], read: Callable[[Iterable[str]], dict[str, Array]], path: Path
) -> Callable[[], tuple[Array, Array]]:
    weight, bias = parts
    if len(shapes[weight]) != 2 or shapes[bias] != shapes[weight][:1]:
        raise ValueError(
            f"the softmax of {path} must have {weight} (words, size) and {bias} (words,); "
            f"got {shapes[weight]} and {shapes[bias]}."
        )

    def arrays() -> tuple[Array, Array]:
        found = read(parts)
        return found[weight], found[bias]

    return arrays


def open_checkpoint(path: Path, options: SourceFile | None = None, vocab: SourceFile | None = None) -> Opened:
    """Open a checkpoint.

    Args:
        path: its folder (the checkpoint that the file `checkpoint` names, or the only one), its `.index` file, one of
            its data files, or their common prefix.
        options: in place of the `options.json` beside it.
        vocab: the words, one a line, in place of the `vocab.txt` beside it; those of the input of a word-input model,
            and of the softmax.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or the vocabulary has another number of words than the checkpoint.
        ImportError: tensorflow is not installed.
    """
    bundle = bundles.open_bundle(bundles.find_one(path))
    folder = bundle.prefix.parent
    options = options or find_options(folder)
    parsed, options_text = read_options(options)

    names = _names(bundle.shapes)
    own = {name: variable for name, variable in names.items() if not bundles.is_training_state(name, names)}
    shapes = {name: bundle.shapes[variable] for name, variable in own.items()}

    def read(wanted: Iterable[str]) -> dict[str, Array]:
        wanted = list(wanted)
        arrays = bundle.read(own.get(name, name) for name in wanted)
        return {name: arrays[own.get(name, name)] for name in wanted}

    files = {**bundle.files(), "options": options}
    parts = _softmax_parts(shapes, parsed)
    softmax = _softmax(parts, shapes, read, bundle.prefix) if parts else None
    rows = shapes["embedding"][0] if shapes.get("embedding") else shapes[parts[0]][0] if parts else None
    given = vocab or vocabulary.find(folder)
    words = vocabulary.read_words(given) if given and rows is not None else None
    if given and words is not None and len(words) != rows:
        if vocab or "embedding" in shapes:
            raise ValueError(f"{given.origin} must have one word a line, {rows}; got {len(words)}.")
        given = words = None  # of something else than the softmax
    if given and words is not None:
        files["vocab"] = given
    return Opened(
        format=NAME,
        options=parsed,
        options_text=options_text,
        shapes={name: shape for name, shape in shapes.items() if name == "embedding" or name not in (parts or ())},
        read=read,
        files=files,
        words=words if "embedding" in shapes else None,
        softmax=softmax,
        left_out=tuple(name for name in names if name not in own),
    )
