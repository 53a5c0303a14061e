# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Initialization of weights, declared where a module is created."""

from typing import Any, NamedTuple


class InitSpec(NamedTuple):
    """Initialization of a module's weights as in bilm-tf. Biases are constant."""

    uniform: float | None = None  # bound
    normal: float | None = None  # standard deviation
    bias: float = 0.0
    zero_padding_row: bool = False  # row 0 of an embedding is the padding and stays zero


def with_init(module: Any, **init: Any) -> Any:
    """Return `module` with the initialization that `ElmoPreTrainedModel._init_weights` applies to it.

    Each module carries its own, because transformers 5 initializes only modules that own parameters.
    """
    module.initialization = InitSpec(**init)
    return module
