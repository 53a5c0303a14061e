# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Specification of the requested vectors and their computation from a batch."""

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
    """Specification of vectors, validated against the model."""

    layer: str
    pooling: Pooling
    normalize: bool
    dtype: torch.dtype
    shape: tuple[int, ...]  # of one vector: [D], or [L + 1, D] for all layers


def parse_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """Return the floating-point dtype of this name.

    Raises:
        ValueError: If `dtype` is not one of `DTYPES`.
    """
    parsed = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if parsed is None or parsed not in DTYPES.values():
        raise ValueError(f"Expected `dtype` to be one of {', '.join(map(repr, DTYPES))}, got {dtype!r}.")
    return parsed


def vector_spec(config: ElmoConfig, layer: str, pooling: str | None, normalize: bool, dtype: torch.dtype) -> VectorSpec:
    """Validate the choice of layer and pooling.

    Raises:
        ValueError: If the model has no such layer, the pooling is unknown, or the layers differ in size.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"Expected `pooling` to be one of {', '.join(map(repr, POOLINGS))}, got {pooling!r}.")
    layers = ["word_emb", *(f"lstm_outputs{index + 1}" for index in range(config.num_hidden_layers))]
    names = [ALL_LAYERS, "elmo", *layers]
    if layer not in names:
        raise ValueError(f"Expected `layer` to be one of {', '.join(map(repr, names))}, got {layer!r}.")
    if layer not in layers and not config.has_scalar_mix:
        raise ValueError(
            f"Cannot return layer {layer!r}: word vectors have {config.projection_size} dimensions per direction and "
            f"LSTM outputs {config.output_size}. Choose one of {', '.join(map(repr, layers))}."
        )
    size = config.projection_size if layer == "word_emb" else config.hidden_size
    shape = (len(layers), size) if layer == ALL_LAYERS else (size,)
    return VectorSpec(layer, pooling, normalize, dtype, shape)  # type: ignore[arg-type]


def batch_vectors(model: Any, ids: Tensor, word_index: Tensor | None, spec: VectorSpec) -> Tensor:
    """Compute the vectors of a batch on its device.

    Args:
        model: An `ElmoModel`.
        ids: Character or word ids, [B, W, M].
        word_index: Indices of the words among the B * W positions, [words]. None if the vectors are pooled.
        spec: Requested vectors.

    Returns:
        Vectors in reading order, [words, *shape], or [B, *shape] if pooled.
    """
    if spec.layer == ALL_LAYERS:
        layers = model(ids, output_hidden_states=True, pooling_layer="word_emb").hidden_states
        rows = torch.stack(layers, dim=2)
    else:
        rows = model(ids, output_hidden_states=False, pooling_layer=spec.layer).last_hidden_state
    if spec.pooling is None:
        rows = rows.flatten(0, 1) if word_index is None else rows.flatten(0, 1).index_select(0, word_index)
    else:
        rows = pool(_to_float32(rows), (ids != PAD_ID).any(-1), spec.pooling)
    if spec.normalize:
        rows = F.normalize(_to_float32(rows), dim=-1)
    return rows.to(spec.dtype)


def _to_float32(rows: Tensor) -> Tensor:
    """Convert to at least float32, in which sums are computed."""
    return rows.to(torch.promote_types(rows.dtype, torch.float32))


def pool(rows: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Pool the word vectors of each sentence, [B, W, *shape] to [B, *shape]. Sentences without words give zeros."""
    mask = mask.reshape(*mask.shape, *[1] * (rows.dim() - 2))
    count = mask.sum(1)
    if pooling == "mean":
        return (rows * mask).sum(1) / count.clamp(min=1)
    return rows.masked_fill(~mask, -torch.inf).amax(1).where(count > 0, 0.0)
