# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""One LSTM layer in all directions, and the scalar mix of the layers.

Adapters, quantized layers, and layers offloaded to disk do not expose their weights as plain parameters. Their weights
are read by passing the identity matrix and zeros through them (`_weight`, `_bias`).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_elmo import ElmoConfig
from .initialization_elmo import with_init
from .linear_elmo import is_unmodified
from .lstm_common_elmo import LSTMLayerParams
from .lstm_elmo import projected_lstm


class ElmoDirection(nn.Module):
    """Weights of one layer in one direction. Each is an `nn.Linear`, so LoRA and quantization find it."""

    def __init__(self, config: ElmoConfig, input_size: int) -> None:
        super().__init__()
        cell_size, output_size = config.cell_size, config.output_size
        # Glorot's bound for the single kernel of inputs and state in TensorFlow.
        bound = (6 / (input_size + output_size + 4 * cell_size)) ** 0.5
        self.input_linearity = with_init(nn.Linear(input_size, 4 * cell_size, bias=False), uniform=bound)
        self.state_linearity = with_init(nn.Linear(output_size, 4 * cell_size), uniform=bound)
        self.state_projection: nn.Module | None = None
        if config.use_cell_projection:
            bound = (6 / (cell_size + output_size)) ** 0.5
            self.state_projection = with_init(nn.Linear(cell_size, output_size, bias=False), uniform=bound)

    def weights(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return weight_ih, weight_hh, bias, and weight_hr of this direction.

        Args:
            like: Tensor with the device and dtype of the weights of modules that do not expose them.
        """
        bias = _bias(self.state_linearity, like)
        if not is_unmodified(self.input_linearity, like):  # an adapter can add a bias
            bias = bias + _bias(self.input_linearity, like)
        weight_hr = None
        if self.state_projection is not None:
            if not is_unmodified(self.state_projection, like):
                _check_no_bias("state_projection", self.state_projection)
            weight_hr = _weight(self.state_projection, like)
        return _weight(self.input_linearity, like), _weight(self.state_linearity, like), bias, weight_hr


def _weight(linear: Any, like: Tensor) -> Tensor:
    if is_unmodified(linear, like):
        return linear.weight
    # The factor keeps the rounding error of adding and subtracting a bias small in low precision.
    identity = torch.eye(linear.in_features, dtype=like.dtype, device=like.device)
    return ((linear(256 * identity) - linear(torch.zeros_like(identity[:1]))) / 256).T


def _bias(linear: Any, like: Tensor) -> Tensor:
    return linear.bias if is_unmodified(linear, like) else linear(like.new_zeros(1, linear.in_features)).squeeze(0)


def _check_no_bias(name: str, linear: Any) -> None:
    biases = [parameter for parameter, _ in linear.named_parameters() if parameter.endswith("bias")]
    if biases:
        raise ValueError(
            f"Expected `{name}` without a bias, got {biases[0]!r}. "
            "The LSTM does not apply it; use an adapter without a bias."
        )


class ElmoLayer(GradientCheckpointingLayer):
    """One LSTM layer in all directions, over packed inputs."""

    def __init__(self, config: ElmoConfig, index: int) -> None:
        super().__init__()
        input_size = config.output_size if index else config.projection_size
        self.directions: Any = nn.ModuleList(ElmoDirection(config, input_size) for _ in range(config.num_directions))
        # The first layer has no skip connection.
        self.skip = config.use_skip_connections and index > 0
        self.dropout = config.lstm_dropout
        self.cell_clip, self.projection_clip = config.cell_clip, config.projection_clip
        self.forget_bias = config.forget_bias

    def forward(
        self,
        inputs: Tensor,
        hidden: Tensor,
        cell: Tensor,
        batch_sizes: Tensor,
        implementation: str,
        weight_dtype: str | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the layer; see `projected_lstm` for the arguments.

        Returns:
            Outputs [directions, tokens, output_size] and the final states of the sorted sentences.
        """
        inputs = F.dropout(inputs, self.dropout, self.training)  # also applies to the skip connection
        weight_ih, weight_hh, bias, weight_hr = zip(
            *(direction.weights(inputs) for direction in self.directions), strict=True
        )
        layer = LSTMLayerParams(
            weight_ih=weight_ih,
            weight_hh=weight_hh,
            bias=bias,
            weight_hr=None if weight_hr[0] is None else weight_hr,
            cell_clip=self.cell_clip,
            projection_clip=self.projection_clip,
            forget_bias=self.forget_bias,
            weight_dtype=weight_dtype,
        )
        outputs, hidden, cell = projected_lstm(inputs, hidden, cell, layer, batch_sizes, implementation)
        return outputs + inputs if self.skip else outputs, hidden, cell


class ElmoScalarMix(nn.Module):
    """`gamma * sum_l softmax(weights)_l * layer_l` (Peters et al. 2018, equation 1)."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(config.num_hidden_layers + 1))
        self.gamma = nn.Parameter(torch.ones(1))

    def forward(self, layers: tuple[Tensor, ...]) -> Tensor:
        normed_weights = torch.softmax(self.weights, dim=0)
        mix: Any = sum(weight * layer for weight, layer in zip(normed_weights, layers, strict=True))
        return self.gamma * mix


def normalize_over_batch(layer: Tensor, statistics: Tensor, mask: Tensor, epsilon: float) -> Tensor:
    """Normalize a layer to zero mean and unit variance over all words and dimensions of `statistics`.

    Args:
        layer: Vectors to normalize, [batch, words, dim].
        statistics: Vectors that define mean and variance, [n, dim].
        mask: Words of `layer`, [batch, words]. The vectors of other positions become zero.
        epsilon: Value added to the variance.
    """
    variance, mean = torch.var_mean(statistics.to(torch.promote_types(statistics.dtype, torch.float32)), correction=0)
    return ((layer - mean) * torch.rsqrt(variance + epsilon) * mask[:, :, None]).to(layer.dtype)
