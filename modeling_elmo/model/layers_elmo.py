# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""One LSTM layer in all directions, and the scalar mix of the layers.

Adapters, quantised layers and layers offloaded to the disk do not show their matrices as plain parameters, but they
pass the identity and zero through like anything else (`_weight`, `_bias`).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_elmo import ElmoConfig
from .initialization_elmo import initialized
from .linear_elmo import is_plain
from .lstm_elmo import LstmOptions, LstmWeights, projected_lstm


class ElmoDirection(nn.Module):
    """The matrices of one layer in one direction, each an `nn.Linear` so that LoRA and quantisation find it."""

    def __init__(self, config: ElmoConfig, input_size: int) -> None:
        super().__init__()
        cells, size = config.cell_size, config.output_size
        # Glorot's bound, of the one kernel for input and state that TensorFlow has.
        bound = (6 / (input_size + size + 4 * cells)) ** 0.5
        self.input_linearity = initialized(nn.Linear(input_size, 4 * cells, bias=False), uniform=bound)
        self.state_linearity = initialized(nn.Linear(size, 4 * cells), uniform=bound)
        self.state_projection: nn.Module | None = None
        if config.use_cell_projection:
            bound = (6 / (cells + size)) ** 0.5
            self.state_projection = initialized(nn.Linear(cells, size, bias=False), uniform=bound)

    def weights(self, like: Tensor) -> LstmWeights:
        """What the modules compute, as matrices; `like` gives dtype and device where they must be read off."""
        bias = _bias(self.state_linearity, like)
        if not is_plain(self.input_linearity, like):  # an adapter can have a bias where the layer itself has none
            bias = bias + _bias(self.input_linearity, like)
        if self.state_projection is not None and not is_plain(self.state_projection, like):
            _refuse_bias("state_projection", self.state_projection)
        return LstmWeights(
            input=_weight(self.input_linearity, like),
            state=_weight(self.state_linearity, like),
            bias=bias,
            projection=None if self.state_projection is None else _weight(self.state_projection, like),
        )


def _weight(linear: Any, like: Tensor) -> Tensor:
    if is_plain(linear, like):
        return linear.weight
    # Enlarged, so that a bias that is added and taken away again leaves the digits of a low precision alone.
    identity = torch.eye(linear.in_features, dtype=like.dtype, device=like.device)
    return ((linear(256 * identity) - linear(torch.zeros_like(identity[:1]))) / 256).T


def _bias(linear: Any, like: Tensor) -> Tensor:
    return linear.bias if is_plain(linear, like) else linear(like.new_zeros(1, linear.in_features)).squeeze(0)


def _refuse_bias(name: str, linear: Any) -> None:
    biases = [parameter for parameter, _ in linear.named_parameters() if parameter.endswith("bias")]
    if biases:
        raise ValueError(f"{name} must have no bias, which the recurrence would leave out; got {biases[0]!r}.")


class ElmoLayer(GradientCheckpointingLayer):
    """One LSTM layer in all directions, over packed streams."""

    def __init__(self, config: ElmoConfig, index: int) -> None:
        super().__init__()
        input_size = config.output_size if index else config.projection_size
        self.directions: Any = nn.ModuleList(ElmoDirection(config, input_size) for _ in range(config.num_directions))
        # Word vectors are never added to the first layer's outputs.
        self.skip = config.use_skip_connections and index > 0
        self.dropout = config.lstm_dropout
        self.options = LstmOptions(config.cell_clip, config.projection_clip, config.forget_bias)

    def forward(
        self, streams: Tensor, hidden: Tensor, cell: Tensor, batch_sizes: Tensor, recurrence: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Streams [directions, N, input size] to [directions, N, H], with the states of the ranked sentences."""
        streams = F.dropout(streams, self.dropout, self.training)  # what the skip connection adds is dropped too
        weights = [direction.weights(streams) for direction in self.directions]
        outputs, hidden, cell = projected_lstm(streams, batch_sizes, weights, hidden, cell, self.options, recurrence)
        return outputs + streams if self.skip else outputs, hidden, cell


class ElmoScalarMix(nn.Module):
    """`gamma * sum_l softmax(weights)_l * layer_l` (Peters et al. 2018, equation 1)."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(config.num_hidden_layers + 1))
        self.gamma = nn.Parameter(torch.ones(1))

    def forward(self, layers: tuple[Tensor, ...]) -> Tensor:
        shares = torch.softmax(self.weights, dim=0)
        mix: Any = sum(share * layer for share, layer in zip(shares, layers, strict=True))
        return self.gamma * mix


def normalize_over_batch(layer: Tensor, statistics: Tensor, mask: Tensor, epsilon: float) -> Tensor:
    """One mean and one variance over all words and sizes in `statistics` [n, D]; words outside `mask` stay zero."""
    variance, mean = torch.var_mean(statistics.to(torch.promote_types(statistics.dtype, torch.float32)), correction=0)
    return ((layer - mean) * torch.rsqrt(variance + epsilon) * mask[:, :, None]).to(layer.dtype)
