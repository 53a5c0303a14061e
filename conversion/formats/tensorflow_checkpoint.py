# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints of bilm-tf's training program: `model.ckpt-*` and `options.json`, with softmax and optimizer state.

The names of the variables start with `lm/`. Without this prefix they form the "TensorFlow" layouts of `layouts`.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..mapping.layouts import SOFTMAX_NAMES, Shape
from ..mapping.options import Options, read_options
from ..mapping.tensor_ops import Array
from ..source.fetch import SourceFile, find_options
from . import tensorflow_bundle as bundles
from .base import OpenCheckpoint, check_no_softmax
from .vocabulary import find_vocabulary, format_count, read_words

NAME = "TensorFlow checkpoint"
_PREFIX = "lm/"


def matches(path: Path) -> bool:
    """Return whether a path is a checkpoint with the variables of a training program, or a folder with one."""
    return any(not bundles.contains_name(prefix, "bilm/") for prefix in bundles.find_bundles(path))


def _variables_by_name(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """Return a map from bilm-tf's names to the names of the variables."""
    variables = {variable.removeprefix(_PREFIX): variable for variable in shapes}
    return variables if len(variables) == len(shapes) else {variable: variable for variable in shapes}


def _softmax_names(names: Iterable[str], options: Options) -> tuple[str, str] | None:
    """Return the names of weight and bias of the softmax, or None without a softmax."""
    weight, bias = SOFTMAX_NAMES
    if weight not in names and options.get("share_embedding_softmax") is True:
        weight = "embedding"
    return (weight, bias) if weight in names and bias in names else None


def _softmax_loader(
    names: tuple[str, str], shapes: Mapping[str, Shape], read: Callable[[Iterable[str]], dict[str, Array]], path: Path
) -> Callable[[], tuple[Array, Array]]:
    """Check the shapes of the softmax and return the function that reads it."""
    weight, bias = names
    if len(shapes[weight]) != 2 or shapes[bias] != shapes[weight][:1]:
        raise ValueError(
            f"Expected {weight} of shape [words, size] and {bias} of shape [words] in the softmax of {path}, "
            f"got {shapes[weight]} and {shapes[bias]}."
        )

    def load_softmax() -> tuple[Array, Array]:
        arrays = read(names)
        return arrays[weight], arrays[bias]

    return load_softmax


def open_checkpoint(
    path: Path,
    options: SourceFile | None = None,
    vocab: SourceFile | None = None,
    softmax: SourceFile | None = None,
) -> OpenCheckpoint:
    """Open a checkpoint.

    Args:
        path: Folder (the checkpoint that its file `checkpoint` names, or the only one), `.index` file, data file, or
            common prefix of these files.
        options: Options file, instead of the `options.json` next to the checkpoint.
        vocab: Vocabulary of the word inputs and of the softmax, one word per line, instead of the `vocab.txt` next to
            the checkpoint.
        softmax: Must be None.

    Raises:
        FileNotFoundError: If a file is missing or ambiguous.
        ValueError: If a file is corrupt, or the vocabulary and the checkpoint differ in the number of words.
        ImportError: If tensorflow is not installed.
    """
    check_no_softmax(softmax, NAME)
    bundle = bundles.open_bundle(bundles.find_bundle(path))
    folder = bundle.prefix.parent
    options = options or find_options(folder)
    parsed, options_text = read_options(options)

    all_variables = _variables_by_name(bundle.shapes)
    variables = {n: v for n, v in all_variables.items() if not bundles.is_training_state(n, all_variables)}
    shapes = {name: bundle.shapes[variable] for name, variable in variables.items()}

    def read(names: Iterable[str]) -> dict[str, Array]:
        names = list(names)
        arrays = bundle.read(variables.get(name, name) for name in names)
        return {name: arrays[variables.get(name, name)] for name in names}

    files = {**bundle.files(), "options": options}
    softmax_names = _softmax_names(shapes, parsed)
    load_softmax = _softmax_loader(softmax_names, shapes, read, bundle.prefix) if softmax_names else None
    table = "embedding" if shapes.get("embedding") else softmax_names[0] if softmax_names else None
    vocab_file, words = vocab or find_vocabulary(folder), None
    if vocab_file is not None and table is not None:
        expected = shapes[table][0]
        words = read_words(vocab_file, expected)
        if len(words) == expected:
            files["vocab"] = vocab_file
        elif vocab is not None or "embedding" in shapes:
            raise ValueError(
                f"Expected one word per line, {expected}, in {vocab_file.origin}, got {format_count(words, expected)}."
            )
        else:  # the file next to the checkpoint does not belong to the softmax
            words = None
    return OpenCheckpoint(
        format=NAME,
        options=parsed,
        options_text=options_text,
        shapes={n: shape for n, shape in shapes.items() if n == "embedding" or n not in (softmax_names or ())},
        read=read,
        files=files,
        words=words if "embedding" in shapes else None,
        softmax=load_softmax,
        unused_arrays=tuple(name for name in all_variables if name not in variables),
    )
