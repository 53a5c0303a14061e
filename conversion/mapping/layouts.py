# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Naming layouts of bilm-tf's LSTM weights, and detection of the layout of a weight file.

A layout consists of the path of an LSTM cell and the names of its three arrays. bilm-tf's `dump_weights` renames
TensorFlow's variables with regular expressions that assume several layers and two directions. Models with one layer
or one direction keep other names.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from modeling_elmo.messages import format_names
from modeling_elmo.model.configuration_elmo import NUM_CHARACTERS

Shape = tuple[int, ...]

# Tables that only ELMoForManyLangs has. bilm-tf has no names for them.
CODE_POINT_TABLE, LEXICON_TABLE = "code_point_embed", "lexicon_embed"

# Weights of the language model that the representations do not use. `hdf5.read_softmax` reads them.
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
        """Return the full name of an array, for example `path(layout.kernel, 0, 1)`."""
        return f"{self.cell.format(d=direction, l=layer)}/{array}"

    def supports(self, directions: int, layers: int) -> bool:
        """Return whether the layout has a separate name for every cell."""
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


def get_layout(name: str) -> Layout:
    """Return the layout with this name.

    Raises:
        ValueError: If no layout has this name.
    """
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise ValueError(
        f"Expected layout to be one of {', '.join(repr(layout.name) for layout in LAYOUTS)}, got {name!r}."
    )


@dataclass(frozen=True)
class WeightFileInfo:
    """Properties of a weight file that follow from its names and shapes and not from the options.

    Attributes:
        layout: Names of the LSTM cells' arrays.
        character_rows: Rows of the character table: 261, or 262 with the padding row; None without such a table.
        word_rows: Rows of the word embedding table; None without such a table.
        has_character_projection: Whether the file contains `CNN_proj`.
        has_cell_projection: Whether the LSTM cells have a projection (`W_P_0`).
        bidirectional: Whether the file contains a backward direction.
        code_point_rows: Rows of a table of code points that replaces the bytes; None without such a table.
        lexicon_rows: Rows of a word table that complements the characters; None without such a table.
        num_arrays: Number of arrays, an upper limit of the number of layers; None if it is unknown.
    """

    layout: Layout
    character_rows: int | None = NUM_CHARACTERS - 1
    word_rows: int | None = None
    has_character_projection: bool = True
    has_cell_projection: bool = True
    bidirectional: bool = True
    code_point_rows: int | None = None
    lexicon_rows: int | None = None
    num_arrays: int | None = None


def _num_rows(shapes: Mapping[str, Shape], name: str) -> int | None:
    shape = shapes.get(name)
    if shape is not None and (len(shape) != 2 or shape[0] < 1):
        raise ValueError(f"Expected {name} of shape [rows, size], got shape {shape}.")
    return shape[0] if shape is not None else None


def detect_layout(shapes: Mapping[str, Shape]) -> WeightFileInfo:
    """Return the layout and properties of a weight file.

    Args:
        shapes: Names and shapes of the file's arrays.

    Raises:
        ValueError: If this is not an ELMo weight file.
    """
    layout = next((layout for layout in LAYOUTS if layout.path(layout.kernel, 0, 0) in shapes), None)
    if layout is None:
        names = format_names(f"{name} {shape}" for name, shape in shapes.items()) if shapes else "no dataset"
        raise ValueError(
            f"Expected an ELMo weight file with an LSTM kernel such as {LAYOUTS[0].path('W_0', 0, 0)}, got {names}."
        )
    character_rows = _num_rows(shapes, "char_embed")
    if character_rows not in (None, NUM_CHARACTERS - 1, NUM_CHARACTERS):
        raise ValueError(
            f"Expected char_embed with {NUM_CHARACTERS - 1} or {NUM_CHARACTERS} rows, got shape {shapes['char_embed']}."
        )
    word_rows = _num_rows(shapes, "embedding")
    code_point_rows = _num_rows(shapes, CODE_POINT_TABLE)
    tables = [rows for rows in (character_rows, word_rows, code_point_rows) if rows is not None]
    if len(tables) != 1:
        raise ValueError(
            "Expected an ELMo weight file with either char_embed (characters) or embedding (words), "
            f"got {'both' if tables else 'neither'}."
        )
    return WeightFileInfo(
        layout=layout,
        character_rows=character_rows,
        word_rows=word_rows,
        has_character_projection="CNN_proj/W_proj" in shapes,
        has_cell_projection=layout.path(layout.projection, 0, 0) in shapes,
        bidirectional="{d}" in layout.cell and layout.path(layout.kernel, 1, 0) in shapes,
        code_point_rows=code_point_rows,
        lexicon_rows=_num_rows(shapes, LEXICON_TABLE),
        num_arrays=len(shapes),
    )
