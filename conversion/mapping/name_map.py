# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The table of weight names: what each array of a bilm-tf file is called in the model, and how its layout changes.

One table serves both directions, `to_model` and `from_model`. A row is a source name, the target names and an
operation with its inverse; templates are filled in for every filter {i}, highway layer {k}, LSTM layer {l} and
direction {d}. Sizes are written with the letters of the paper's code: d characters, F filters, P projection,
C cell, I an LSTM layer's input, H its output; A and V count the rows of tables, X those of a lexicon of D numbers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modeling_elmo.model.configuration_elmo import ALPHABET_SIZE, CHARACTER_INPUT, ElmoConfig

from .layouts import CODE_POINT_TABLE, LEXICON_TABLE, SOFTMAX_NAMES, Contents, Layout, Shape
from .tensor_ops import CONVOLUTION, GATES, KERNEL, SAME, TRANSPOSE, ZERO_ROW, Array, Operation


@dataclass(frozen=True)
class Row:
    """One array of a file, the arrays of the model that it becomes, and their shapes as names of sizes."""

    source: str
    shape: tuple[str, ...]
    targets: Mapping[str, tuple[str, ...]]
    operation: Operation


@dataclass(frozen=True)
class Entry:
    """A row with its templates filled in."""

    source: str
    shape: Shape
    targets: Mapping[str, Shape]
    operation: Operation


_CHARACTERS = {"char_encoder.embeddings.weight": ("A", "d")}
CHARACTERS = Row("char_embed", ("A-1", "d"), _CHARACTERS, ZERO_ROW)
ALL_CHARACTERS = Row("char_embed", ("A", "d"), _CHARACTERS, SAME)
CODE_POINTS = Row(CODE_POINT_TABLE, ("A-1", "d"), _CHARACTERS, ZERO_ROW)
LEXICON = Row(LEXICON_TABLE, ("X-1", "D"), {"char_encoder.lexicon.weight": ("X", "D")}, ZERO_ROW)
WORDS = Row("embedding", ("V-1", "P"), {"word_embeddings.weight": ("V", "P")}, ZERO_ROW)

_CONVOLUTION = "char_encoder.convolutions.{i}"
CONVOLUTIONS = (
    Row("CNN/W_cnn_{i}", ("1", "w", "d", "n"), {f"{_CONVOLUTION}.weight": ("n", "d", "w")}, CONVOLUTION),
    Row("CNN/b_cnn_{i}", ("n",), {f"{_CONVOLUTION}.bias": ("n",)}, SAME),
)

_HIGHWAY = "char_encoder.highways.{k}"
HIGHWAYS = (
    Row("CNN_high_{k}/W_carry", ("F", "F"), {f"{_HIGHWAY}.carry.weight": ("F", "F")}, TRANSPOSE),
    Row("CNN_high_{k}/b_carry", ("F",), {f"{_HIGHWAY}.carry.bias": ("F",)}, SAME),
    Row("CNN_high_{k}/W_transform", ("F", "F"), {f"{_HIGHWAY}.transform.weight": ("F", "F")}, TRANSPOSE),
    Row("CNN_high_{k}/b_transform", ("F",), {f"{_HIGHWAY}.transform.bias": ("F",)}, SAME),
)

CHARACTER_PROJECTION = (
    Row("CNN_proj/W_proj", ("D+F", "P"), {"char_encoder.projection.weight": ("P", "D+F")}, TRANSPOSE),
    Row("CNN_proj/b_proj", ("P",), {"char_encoder.projection.bias": ("P",)}, SAME),
)

_CELL = "layers.{l}.directions.{d}"
_KERNEL = {f"{_CELL}.input_linearity.weight": ("4C", "I"), f"{_CELL}.state_linearity.weight": ("4C", "H")}


def _cell_rows(layout: Layout, has_projection: bool) -> Iterator[Row]:
    yield Row(f"{layout.cell}/{layout.kernel}", ("I+H", "4C"), _KERNEL, KERNEL)
    yield Row(f"{layout.cell}/{layout.bias}", ("4C",), {f"{_CELL}.state_linearity.bias": ("4C",)}, GATES)
    if has_projection:
        projection = {f"{_CELL}.state_projection.weight": ("P", "C")}
        yield Row(f"{layout.cell}/{layout.projection}", ("C", "P"), projection, TRANSPOSE)


def _fill(row: Row, sizes: Mapping[str, int], **indices: int) -> Entry:
    def shape(names: tuple[str, ...]) -> Shape:
        return tuple(sizes[name] for name in names)

    targets = {target.format(**indices): shape(names) for target, names in row.targets.items()}
    return Entry(row.source.format(**indices), shape(row.shape), targets, row.operation)


def entries(config: ElmoConfig, contents: Contents) -> list[Entry]:
    """The table for one architecture.

    Args:
        config: sizes and numbers of layers.
        contents: names of the file's cells, and whether its character table has 261 or 262 rows, or code points.

    Raises:
        ValueError: if the layout has no names for so many layers or directions.
    """
    directions, layers = config.num_directions, config.num_hidden_layers
    if not contents.layout.can_hold(directions, layers):
        raise ValueError(
            f"weights named {contents.layout.cell}/{contents.layout.kernel} must have one name a layer and direction; "
            f"got {layers} layers and {directions} directions."
        )
    C, P, H, V = config.cell_size, config.projection_size, config.output_size, config.vocab_size
    sizes = {"1": 1, "4C": 4 * C, "C": C, "P": P, "H": H, "F": config.num_filters, "d": config.character_embedding_size}
    A, X = ALPHABET_SIZE if contents.code_point_rows is None else V, config.lexicon_size or 0
    sizes |= {"A": A, "A-1": A - 1, "V": V, "V-1": V - 1, "X": X, "X-1": X - 1}
    sizes |= {"D": config.lexicon_embedding_size or 0, "D+F": config.char_projection_input_size}

    table: list[Entry] = []
    if config.input_type == CHARACTER_INPUT:
        characters = ALL_CHARACTERS if contents.character_rows == ALPHABET_SIZE else CHARACTERS
        table.append(_fill(characters if contents.code_point_rows is None else CODE_POINTS, sizes))
        if config.lexicon_size:
            table.append(_fill(LEXICON, sizes))
        for i, (width, count) in enumerate(config.filters):
            table += [_fill(row, {**sizes, "w": width, "n": count}, i=i) for row in CONVOLUTIONS]
        table += [_fill(row, sizes, k=k) for k in range(config.num_highway_layers) for row in HIGHWAYS]
        if config.use_character_projection:
            table += [_fill(row, sizes) for row in CHARACTER_PROJECTION]
    else:
        table.append(_fill(WORDS, sizes))
    for d in range(directions):
        for layer in range(layers):
            input_size = H if layer else P
            cell_sizes = {**sizes, "I": input_size, "I+H": input_size + H}
            rows = _cell_rows(contents.layout, config.use_cell_projection)
            table += [_fill(row, cell_sizes, d=d, l=layer) for row in rows]
    return table


def _list(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def check(expected: Mapping[str, Shape], got: Mapping[str, Shape], holder: str) -> None:
    """Raise ValueError unless the names and shapes of both are the same.

    Args:
        expected: what the configuration asks for.
        got: what there is.
        holder: what has it, for the message: "the weight file".
    """
    missing = {name: shape for name, shape in expected.items() if name not in got}
    if missing:
        raise ValueError(f"{holder} must have {_list(missing)}, as its options say; got no such array.")
    wrong = [name for name, shape in expected.items() if got[name] != shape]
    if wrong:
        conflicts = [f"{name} must have shape {expected[name]}; got {got[name]}" for name in wrong]
        raise ValueError(f"in {holder}, by its options, {', and '.join(conflicts)}.")
    unused = {name: shape for name, shape in got.items() if name not in expected}
    if unused:
        raise ValueError(f"{holder} must have no other array than its options say; got {_list(unused)}.")


def source_shapes(table: list[Entry]) -> dict[str, Shape]:
    """Names and shapes of the file's arrays."""
    return {entry.source: entry.shape for entry in table}


def target_shapes(table: list[Entry]) -> dict[str, Shape]:
    """Names and shapes of the model's arrays."""
    return {name: shape for entry in table for name, shape in entry.targets.items()}


def left_out(shapes: Mapping[str, Shape]) -> list[str]:
    """The datasets that are known and have no place in the model."""
    return [name for name in SOFTMAX_NAMES if name in shapes]


def to_model(table: list[Entry], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The model's arrays from the file's; ValueError if names or shapes are not the table's."""
    check(source_shapes(table), {name: array.shape for name, array in arrays.items()}, "the weight file")
    state: dict[str, Array] = {}
    for entry in table:
        results = entry.operation.forward(arrays[entry.source], list(entry.targets.values()))
        state.update(zip(entry.targets, results, strict=True))
    return state


def from_model(table: list[Entry], state: Mapping[str, Array]) -> dict[str, Array]:
    """The file's arrays from the model's; ValueError if names or shapes are not the table's."""
    check(target_shapes(table), {name: array.shape for name, array in state.items()}, "the model folder")
    return {entry.source: entry.operation.backward(*(state[name] for name in entry.targets)) for entry in table}
