# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Which vectors are asked for, and how a batch becomes them."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.configuration_elmo import PAD_ID, ElmoConfig

ALL_LAYERS = "all"
POOLINGS = (None, "mean", "max")
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}

Pooling = Literal["mean", "max"] | None


@dataclass(frozen=True)
class VectorSpec:
    """The vectors that are asked for, checked against the model."""

    layer: str
    pooling: Pooling
    normalize: bool
    dtype: torch.dtype
    shape: tuple[int, ...]  # of one vector: [D], or [L + 1, D] for all layers


def parse_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """A floating-point type by its name or itself; ValueError for any other."""
    parsed = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if parsed is None or parsed not in DTYPES.values():
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}.")
    return parsed


def vector_spec(config: ElmoConfig, layer: str, pooling: str | None, normalize: bool, dtype: torch.dtype) -> VectorSpec:
    """Check the choice of layer and pooling.

    Raises:
        ValueError: the model has no such layer, there is no such pooling, or the layers are of different sizes.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(map(repr, POOLINGS))}; got {pooling!r}.")
    shape: tuple[int, ...]
    if layer == ALL_LAYERS:
        if not config.has_scalar_mix:
            raise ValueError(
                f"layer 'all' needs layers of one size; word vectors have {config.projection_size} numbers a direction "
                f"and LSTM outputs {config.output_size}."
            )
        shape = (config.num_hidden_layers + 1, config.hidden_size)
    else:
        try:
            is_word = config.layer_index(layer) == 0
        except ValueError as error:
            raise ValueError(str(error).replace("pooling_layer", "layer").replace("elmo,", "all, elmo,", 1)) from None
        shape = (config.projection_size if is_word else config.hidden_size,)
    return VectorSpec(layer, pooling, normalize, dtype, shape)  # type: ignore[arg-type]


def batch_vectors(model: Any, ids: Tensor, places: Tensor | None, kind: VectorSpec) -> Tensor:
    """The vectors of a batch, on its device.

    Args:
        model: an `ElmoModel`.
        ids: [B, W, M].
        places: [words], where the words are among the B * W places; None where they are pooled.
        kind: what is asked for.

    Returns:
        [words, *shape] in reading order of the batch, or [B, *shape] where they are pooled.
    """
    if kind.layer == ALL_LAYERS:
        layers = model(ids, output_hidden_states=True, pooling_layer="word_emb").hidden_states
        rows = torch.stack(layers, dim=2)
    else:
        rows = model(ids, output_hidden_states=False, pooling_layer=kind.layer).last_hidden_state
    if kind.pooling is None:
        rows = rows.flatten(0, 1) if places is None else rows.flatten(0, 1).index_select(0, places)
    else:
        rows = pool(_wide(rows), (ids != PAD_ID).any(-1), kind.pooling)
    if kind.normalize:
        rows = F.normalize(_wide(rows), dim=-1)  # a vector of zeros stays one
    return rows.to(kind.dtype)


def _wide(rows: Tensor) -> Tensor:
    """Sums run in float32 at least."""
    return rows.to(torch.promote_types(rows.dtype, torch.float32))


def pool(rows: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """One vector a sentence [B, *shape] of its words' [B, W, *shape]; zero if it has none."""
    mask = mask.reshape(*mask.shape, *[1] * (rows.dim() - 2))
    count = mask.sum(1)
    if pooling == "mean":
        return (rows * mask).sum(1) / count.clamp(min=1)
    return rows.masked_fill(~mask, -torch.inf).amax(1).where(count > 0, 0.0)
