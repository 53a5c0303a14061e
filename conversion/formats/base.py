# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What every reader makes of an old checkpoint: arrays under bilm-tf's names, and options in bilm-tf's keys.

One common form keeps `convert` free of formats: a reader renames and reshapes, the table in `name_map` does the rest.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..mapping.layouts import Shape
from ..mapping.options import Options
from ..mapping.tensor_ops import Array
from ..source.fetch import SourceFile


@dataclass(frozen=True)
class Opened:
    """An old checkpoint, opened and recognised; its numbers are not read yet.

    Attributes:
        format: what it is, for people: "bilm-tf HDF5", "TensorFlow checkpoint", ...
        options: the architecture, in the keys of bilm-tf's `options.json`.
        shapes: names and shapes of the arrays that belong into the model, under one of the `layouts`.
        read: the float32 arrays of these names; ValueError where they are damaged or not finite.
        files: the source's files by what they are ("weights", "options", "vocab", "archive", ...), for the record.
        options_text: the options as the source has them, byte by byte, if it has such a file; goes back on export.
        words: the word vocabulary, one word a row of `embedding`; for models with a word vocabulary.
        softmax: weight (V, P) and bias (V) of the language model when called; None without one.
        scalar_mixes: for each trained mix its weights, one number a layer (logits), and gamma.
        left_out: arrays that are known and have no place in the model.
        fields: further fields of the model's configuration.
        note: a sentence for the model card.
        lexicon: the names of a model's own code points and words ("characters" and "words", see `LexiconAlphabet`), in
            the order of the rows; None where the tokenizer needs none.
    """

    format: str
    options: Options
    shapes: Mapping[str, Shape]
    read: Callable[[Iterable[str]], dict[str, Array]]
    files: Mapping[str, SourceFile]
    options_text: str | None = None
    words: list[str] | None = None
    softmax: Callable[[], tuple[Array, Array]] | None = None
    scalar_mixes: tuple[tuple[Array, float], ...] = ()
    left_out: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    lexicon: Mapping[str, list[str | None] | None] | None = None
