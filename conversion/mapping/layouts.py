# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""How old HDF5 files name and shape their weights: the known layouts, and which of them a file has.

A layout is where an LSTM cell lies and what its three arrays are called. bilm-tf's `dump_weights` renames
TensorFlow's variables with regular expressions that assume several layers and two directions; models without
the one or the other keep other names.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from modeling_elmo.model.configuration_elmo import ALPHABET_SIZE

Shape = tuple[int, ...]

# No names of bilm-tf's: tables that only ELMoForManyLangs has, by what `many_langs` calls them.
CODE_POINT_TABLE, LEXICON_TABLE = "code_point_embed", "lexicon_embed"

# Trained with the model but no part of its representations: read by `readers.read_softmax`.
SOFTMAX_NAMES = ("softmax/W", "softmax/b")


@dataclass(frozen=True)
class Layout:
    """Names of an LSTM cell's arrays; `cell` is a template with {d} for the direction and {l} for the layer."""

    name: str
    cell: str
    kernel: str = "W_0"
    bias: str = "B"
    projection: str = "W_P_0"

    def path(self, array: str, direction: int, layer: int) -> str:
        """The name of an array, e.g. `path(layout.kernel, 0, 1)`."""
        return f"{self.cell.format(d=direction, l=layer)}/{array}"

    def can_hold(self, directions: int, layers: int) -> bool:
        """Whether every cell gets a name of its own."""
        return ("{d}" in self.cell or directions == 1) and ("{l}" in self.cell or layers == 1)


_RAW = ("kernel", "bias", "projection/kernel")
LAYOUTS = (
    Layout("bilm-tf", "RNN_{d}/RNN/MultiRNNCell/Cell{l}/LSTMCell"),
    Layout("bilm-tf, one layer", "RNN_{d}/RNN/LSTMCell"),
    Layout("bilm-tf, one direction", "rnn/MultiRNNCell/Cell{l}/LSTMCell", *_RAW),
    Layout("bilm-tf, one direction, one layer", "rnn/LSTMCell", *_RAW),
    Layout("TensorFlow", "RNN_{d}/rnn/multi_rnn_cell/cell_{l}/lstm_cell", *_RAW),
    Layout("TensorFlow, one layer", "RNN_{d}/rnn/lstm_cell", *_RAW),
    Layout("TensorFlow, one direction", "rnn/multi_rnn_cell/cell_{l}/lstm_cell", *_RAW),
    Layout("TensorFlow, one direction, one layer", "rnn/lstm_cell", *_RAW),
)


def layout_named(name: str) -> Layout:
    """The layout called `name`; ValueError if there is none."""
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise ValueError(f"layout must be one of {', '.join(repr(layout.name) for layout in LAYOUTS)}; got {name!r}.")


@dataclass(frozen=True)
class Contents:
    """What a weight file holds, as far as its names and shapes tell and the options do not.

    Attributes:
        layout: names of the LSTM cells' arrays.
        character_rows: rows of the character table: 261, or 262 where row 0 (no word) is stored too; None without one.
        word_rows: rows of the table of word vectors; None without one.
        code_point_rows: rows of a table of code points in place of bytes; None without one.
        lexicon_rows: rows of a table of word vectors beside the characters; None without one.
        has_character_projection: whether `CNN_proj` is there.
        has_cell_projection: whether the LSTM cells have `W_P_0`.
        bidirectional: whether there is a backward direction.
    """

    layout: Layout
    character_rows: int | None = ALPHABET_SIZE - 1
    word_rows: int | None = None
    has_character_projection: bool = True
    has_cell_projection: bool = True
    bidirectional: bool = True
    code_point_rows: int | None = None
    lexicon_rows: int | None = None


def _rows(shapes: Mapping[str, Shape], name: str) -> int | None:
    shape = shapes.get(name)
    if shape is not None and (len(shape) != 2 or shape[0] < 1):
        raise ValueError(f"{name} must be a table of vectors, (rows, size); got shape {shape}.")
    return shape[0] if shape is not None else None


def recognise(shapes: Mapping[str, Shape]) -> Contents:
    """What the file with these datasets holds; ValueError if it is no ELMo weight file."""
    layout = next((layout for layout in LAYOUTS if layout.path(layout.kernel, 0, 0) in shapes), None)
    if layout is None:
        found = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:8]) or "no dataset"
        raise ValueError(
            f"an ELMo weight file must have an LSTM kernel such as {LAYOUTS[0].path('W_0', 0, 0)}; got {found}"
            f"{', ...' if len(shapes) > 8 else ''}."
        )
    character_rows = _rows(shapes, "char_embed")
    if character_rows not in (None, ALPHABET_SIZE - 1, ALPHABET_SIZE):
        raise ValueError(
            f"char_embed must have {ALPHABET_SIZE - 1} or {ALPHABET_SIZE} rows; got shape {shapes['char_embed']}."
        )
    word_rows = _rows(shapes, "embedding")
    code_point_rows = _rows(shapes, CODE_POINT_TABLE)
    tables = [rows for rows in (character_rows, word_rows, code_point_rows) if rows is not None]
    if len(tables) != 1:
        got = "both" if tables else "neither"
        raise ValueError(
            f"an ELMo weight file must have either char_embed (characters) or embedding (words); got {got}."
        )
    return Contents(
        layout=layout,
        character_rows=character_rows,
        word_rows=word_rows,
        has_character_projection="CNN_proj/W_proj" in shapes,
        has_cell_projection=layout.path(layout.projection, 0, 0) in shapes,
        bidirectional="{d}" in layout.cell and layout.path(layout.kernel, 1, 0) in shapes,
        code_point_rows=code_point_rows,
        lexicon_rows=_rows(shapes, LEXICON_TABLE),
    )
