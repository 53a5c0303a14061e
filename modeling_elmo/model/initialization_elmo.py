# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""How a module's weights are drawn: the recipe stands beside the module that it is for."""

from typing import Any, NamedTuple


class Initialization(NamedTuple):
    """How bilm-tf draws a module's weights; the biases are constant."""

    uniform: float | None = None  # bound
    normal: float | None = None  # standard deviation
    bias: float = 0.0
    zero_row: bool = False  # row 0 of a table stands for no word and stays zero


def initialized(module: Any, **recipe: Any) -> Any:
    """`module`, with what `ElmoPreTrainedModel._init_weights` will do to it.

    transformers 5 looks at modules that own parameters, and at no other, so a parent cannot do it for its children.
    """
    module.initialization = Initialization(**recipe)
    return module
