# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Table of weight names: the name of each bilm-tf array in the model, and the change of its layout.

One table serves both directions, `to_model` and `from_model`. A rule consists of a source name, the target names, and
an invertible operation. Its templates are resolved for every filter {i}, highway layer {k}, LSTM layer {l}, and
direction {d}. Letters denote sizes: d character embedding, F filters, P projection, C cell, I an LSTM layer's input,
H its output. A and V count the rows of the input tables, and X those of a lexicon with vectors of size D.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modeling_elmo.messages import format_names, format_value
from modeling_elmo.model.configuration_elmo import CHARACTER_INPUT, NUM_CHARACTERS, ElmoConfig

from .layouts import CODE_POINT_TABLE, LEXICON_TABLE, SOFTMAX_NAMES, Layout, Shape, WeightFileInfo
from .tensor_ops import CONVOLUTION, GATE_ORDER, IDENTITY, LSTM_KERNEL, PADDING_ROW, TRANSPOSE, Array, Operation

_MAX_CONFLICTS = 8  # in a message


@dataclass(frozen=True)
class WeightRule:
    """Mapping of one array of a file to arrays of the model, with templates for names and letters for sizes."""

    source: str
    shape: tuple[str, ...]
    targets: Mapping[str, tuple[str, ...]]
    operation: Operation


@dataclass(frozen=True)
class ResolvedRule:
    """`WeightRule` with the names and sizes of one architecture."""

    source: str
    shape: Shape
    targets: Mapping[str, Shape]
    operation: Operation


_CHARACTERS = {"char_encoder.embeddings.weight": ("A", "d")}
CHARACTERS = WeightRule("char_embed", ("A-1", "d"), _CHARACTERS, PADDING_ROW)
ALL_CHARACTERS = WeightRule("char_embed", ("A", "d"), _CHARACTERS, IDENTITY)
CODE_POINTS = WeightRule(CODE_POINT_TABLE, ("A-1", "d"), _CHARACTERS, PADDING_ROW)
LEXICON = WeightRule(LEXICON_TABLE, ("X-1", "D"), {"char_encoder.lexicon.weight": ("X", "D")}, PADDING_ROW)
WORDS = WeightRule("embedding", ("V-1", "P"), {"word_embeddings.weight": ("V", "P")}, PADDING_ROW)

_CONVOLUTION = "char_encoder.convolutions.{i}"
CONVOLUTIONS = (
    WeightRule("CNN/W_cnn_{i}", ("1", "w", "d", "n"), {f"{_CONVOLUTION}.weight": ("n", "d", "w")}, CONVOLUTION),
    WeightRule("CNN/b_cnn_{i}", ("n",), {f"{_CONVOLUTION}.bias": ("n",)}, IDENTITY),
)

_HIGHWAY = "char_encoder.highways.{k}"
HIGHWAYS = (
    WeightRule("CNN_high_{k}/W_carry", ("F", "F"), {f"{_HIGHWAY}.carry.weight": ("F", "F")}, TRANSPOSE),
    WeightRule("CNN_high_{k}/b_carry", ("F",), {f"{_HIGHWAY}.carry.bias": ("F",)}, IDENTITY),
    WeightRule("CNN_high_{k}/W_transform", ("F", "F"), {f"{_HIGHWAY}.transform.weight": ("F", "F")}, TRANSPOSE),
    WeightRule("CNN_high_{k}/b_transform", ("F",), {f"{_HIGHWAY}.transform.bias": ("F",)}, IDENTITY),
)

CHARACTER_PROJECTION = (
    WeightRule("CNN_proj/W_proj", ("D+F", "P"), {"char_encoder.projection.weight": ("P", "D+F")}, TRANSPOSE),
    WeightRule("CNN_proj/b_proj", ("P",), {"char_encoder.projection.bias": ("P",)}, IDENTITY),
)

_CELL = "layers.{l}.directions.{d}"
_KERNEL = {f"{_CELL}.input_linearity.weight": ("4C", "I"), f"{_CELL}.state_linearity.weight": ("4C", "H")}


def _cell_rules(layout: Layout, has_projection: bool) -> Iterator[WeightRule]:
    yield WeightRule(f"{layout.cell}/{layout.kernel}", ("I+H", "4C"), _KERNEL, LSTM_KERNEL)
    yield WeightRule(f"{layout.cell}/{layout.bias}", ("4C",), {f"{_CELL}.state_linearity.bias": ("4C",)}, GATE_ORDER)
    if has_projection:
        projection = {f"{_CELL}.state_projection.weight": ("P", "C")}
        yield WeightRule(f"{layout.cell}/{layout.projection}", ("C", "P"), projection, TRANSPOSE)


def _resolve(rule: WeightRule, sizes: Mapping[str, int], **indices: int) -> ResolvedRule:
    def shape(names: tuple[str, ...]) -> Shape:
        return tuple(sizes[name] for name in names)

    targets = {target.format(**indices): shape(names) for target, names in rule.targets.items()}
    return ResolvedRule(rule.source.format(**indices), shape(rule.shape), targets, rule.operation)


def resolve_rules(config: ElmoConfig, info: WeightFileInfo) -> list[ResolvedRule]:
    """Return the table of weight names for one architecture.

    Args:
        config: Configuration with the sizes and numbers of layers.
        info: Properties of the weight file: its layout, and the kind and rows of its character table.

    Raises:
        ValueError: If the layout has no names for the number of layers or directions.
    """
    directions, layers = config.num_directions, config.num_hidden_layers
    if not info.layout.supports(directions, layers):
        raise ValueError(
            f"Expected one name per layer and direction, got the single name {info.layout.cell}/{info.layout.kernel} "
            f"for {layers} layers and {directions} directions."
        )
    C, P, H, V = config.cell_size, config.projection_size, config.output_size, config.vocab_size
    sizes = {"1": 1, "4C": 4 * C, "C": C, "P": P, "H": H, "F": config.num_filters, "d": config.character_embedding_size}
    A, X = NUM_CHARACTERS if info.code_point_rows is None else V, config.lexicon_size or 0
    sizes |= {"A": A, "A-1": A - 1, "V": V, "V-1": V - 1, "X": X, "X-1": X - 1}
    sizes |= {"D": config.lexicon_embedding_size or 0, "D+F": config.char_projection_input_size}

    table: list[ResolvedRule] = []
    if config.input_type == CHARACTER_INPUT:
        characters = ALL_CHARACTERS if info.character_rows == NUM_CHARACTERS else CHARACTERS
        table.append(_resolve(characters if info.code_point_rows is None else CODE_POINTS, sizes))
        if config.lexicon_size:
            table.append(_resolve(LEXICON, sizes))
        for i, (width, count) in enumerate(config.filters):
            table += [_resolve(rule, {**sizes, "w": width, "n": count}, i=i) for rule in CONVOLUTIONS]
        table += [_resolve(rule, sizes, k=k) for k in range(config.num_highway_layers) for rule in HIGHWAYS]
        if config.use_character_projection:
            table += [_resolve(rule, sizes) for rule in CHARACTER_PROJECTION]
    else:
        table.append(_resolve(WORDS, sizes))
    for d in range(directions):
        for layer in range(layers):
            input_size = H if layer else P
            cell_sizes = {**sizes, "I": input_size, "I+H": input_size + H}
            rules = _cell_rules(info.layout, config.use_cell_projection)
            table += [_resolve(rule, cell_sizes, d=d, l=layer) for rule in rules]
    return table


def _format_shapes(shapes: Mapping[str, Shape]) -> str:
    return format_names(f"{name} {shape}" for name, shape in shapes.items())


def check_shapes(expected: Mapping[str, Shape], actual: Mapping[str, Shape], holder: str) -> None:
    """Check that two sets of arrays have the same names and shapes.

    Args:
        expected: Names and shapes that follow from the configuration.
        actual: Names and shapes that exist.
        holder: Name of the file or folder with the actual arrays, for the message, such as "the weight file".

    Raises:
        ValueError: If a name is missing or unknown, or a shape differs.
    """
    missing = {name: shape for name, shape in expected.items() if name not in actual}
    if missing:
        raise ValueError(f"Expected {_format_shapes(missing)} in {holder} by its options, got no such array.")
    wrong = [name for name, shape in expected.items() if actual[name] != shape]
    if wrong:
        conflicts = [
            f"{name} of shape {format_value(expected[name])}, got {format_value(actual[name])}"
            for name in wrong[:_MAX_CONFLICTS]
        ]
        raise ValueError(f"Expected in {holder} by its options: {'; '.join(conflicts)}.")
    unknown = {name: shape for name, shape in actual.items() if name not in expected}
    if unknown:
        raise ValueError(f"Expected no other array in {holder} by its options, got {_format_shapes(unknown)}.")


def source_shapes(table: list[ResolvedRule]) -> dict[str, Shape]:
    """Return names and shapes of the file's arrays."""
    return {rule.source: rule.shape for rule in table}


def target_shapes(table: list[ResolvedRule]) -> dict[str, Shape]:
    """Return names and shapes of the model's arrays."""
    return {name: shape for rule in table for name, shape in rule.targets.items()}


def unused_arrays(shapes: Mapping[str, Shape]) -> list[str]:
    """Return the names of known arrays that the model does not use."""
    return [name for name in SOFTMAX_NAMES if name in shapes]


def to_model(table: list[ResolvedRule], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Convert the file's arrays to the model's.

    Raises:
        ValueError: If names or shapes differ from those of the table.
    """
    check_shapes(source_shapes(table), {name: array.shape for name, array in arrays.items()}, "the weight file")
    state: dict[str, Array] = {}
    for rule in table:
        results = rule.operation.forward(arrays[rule.source], list(rule.targets.values()))
        state.update(zip(rule.targets, results, strict=True))
    return state


def from_model(table: list[ResolvedRule], state: Mapping[str, Array]) -> dict[str, Array]:
    """Convert the model's arrays to the file's.

    Raises:
        ValueError: If names or shapes differ from those of the table.
    """
    check_shapes(target_shapes(table), {name: array.shape for name, array in state.items()}, "the model folder")
    return {rule.source: rule.operation.backward(*(state[name] for name in rule.targets)) for rule in table}
