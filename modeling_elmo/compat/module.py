# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""AllenNLP 2.10.1's `Elmo` and `ScalarMix`. See `compat`."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..model.layers_elmo import normalize_over_batch
from ..model.modeling_elmo import ElmoModel, ElmoStates
from .inputs import load_model


class Elmo(nn.Module):
    """AllenNLP's `Elmo`: the biLM and one or more scalar mixes of its layers.

    Args:
        options_file: See `load_model`.
        weight_file: See `load_model`.
        num_output_representations: Number of scalar mixes, each with separate weights. Each mixes all layers.
        requires_grad: Whether the biLM is trained. The mixes always are, unless `scalar_mix_parameters` is given.
        do_layer_norm: Whether to normalize each layer over the batch before mixing. The vectors of a sentence then
            depend on the other sentences.
        dropout: Dropout probability of the mixes in training mode. The default is AllenNLP's.
        vocab_to_cache: Ignored, because repeated words are always encoded once.
        keep_sentence_boundaries: Whether to also return the vectors of `<S>` and `</S>`.
        scalar_mix_parameters: Fixed weights of the mixes *before* the softmax, one per layer. `[-9e10, 1, -9e10]`
            selects the second of three layers; `[0, 0, 1]` mixes all of them.
        module: Module to use instead of the biLM. As AllenNLP's, it has `num_layers` and returns `activations` and
            `mask` with boundaries.
        stateful: Whether to carry the LSTM states from call to call, as AllenNLP does. Results then depend on earlier
            calls.

    Raises:
        ValueError: If `module` is given with files, or `scalar_mix_parameters` has another length than the layers.
    """

    def __init__(
        self,
        options_file: str | os.PathLike[str] | None,
        weight_file: str | os.PathLike[str] | None,
        num_output_representations: int,
        requires_grad: bool = False,
        do_layer_norm: bool = False,
        dropout: float = 0.5,
        vocab_to_cache: list[str] | None = None,
        keep_sentence_boundaries: bool = False,
        scalar_mix_parameters: list[float] | None = None,
        module: nn.Module | None = None,
        *,
        stateful: bool = False,
    ) -> None:
        super().__init__()
        if module is not None and (options_file is not None or weight_file is not None):
            raise ValueError("Expected `options_file` and `weight_file` to be None if `module` is given, got both.")
        bilm: Any = load_model(options_file, weight_file) if module is None else module
        layers = bilm.config.num_hidden_layers + 1 if module is None else bilm.num_layers
        if scalar_mix_parameters is not None and len(scalar_mix_parameters) != layers:
            raise ValueError(
                f"Expected `scalar_mix_parameters` of length {layers}, one per layer, got {len(scalar_mix_parameters)}."
            )
        if module is None:
            bilm.scalar_mixes = nn.ModuleList()  # replaced by the mixes of this module
            bilm.requires_grad_(requires_grad)
        self._elmo_lstm = bilm
        self._num_mixes = num_output_representations
        # AllenNLP's names, so that its trained mixes can be loaded.
        for k in range(num_output_representations):
            mix = ScalarMix(layers, do_layer_norm, scalar_mix_parameters, trainable=scalar_mix_parameters is None)
            self.add_module(f"scalar_mix_{k}", mix)
        self._dropout = nn.Dropout(dropout)
        self._keep_sentence_boundaries = keep_sentence_boundaries
        self._stateful = stateful
        self._states: ElmoStates | None = None

    def get_output_dim(self) -> int:
        """Return the embedding dimension."""
        bilm: Any = self._elmo_lstm
        return bilm.config.hidden_size if isinstance(bilm, ElmoModel) else bilm.get_output_dim()

    def reset_states(self) -> None:
        """Discard the states that `stateful` carries."""
        self._states = None

    def forward(self, inputs: Tensor, word_inputs: Tensor | None = None) -> dict[str, Any]:
        """Mix the layers of each word.

        Args:
            inputs: Character ids from `batch_to_ids`, [B, words, 50], or with more batch dimensions.
            word_inputs: Ignored, see `vocab_to_cache`.

        Returns:
            `elmo_representations`, a list of tensors [B, words, D], and `mask` [B, words], true for words.

        Raises:
            ValueError: If `inputs` has fewer than three dimensions.
        """
        if inputs.dim() < 3:
            raise ValueError(
                f"Expected `inputs` of shape [sentences, words, 50] from batch_to_ids, got {list(inputs.shape)}."
            )
        batch_shape = inputs.shape[:-2]
        layers, mask = self._run_bilm(inputs.reshape(-1, *inputs.shape[-2:]))
        output_mask = mask if self._keep_sentence_boundaries else _inner_mask(mask)
        representations = []
        for k in range(self._num_mixes):
            mixed = self.get_submodule(f"scalar_mix_{k}")(layers, mask)
            if not self._keep_sentence_boundaries:
                mixed = mixed[:, 1:-1] * output_mask[..., None]
            mixed = self._dropout(mixed)
            representations.append(mixed.reshape(*batch_shape, *mixed.shape[1:]))
        return {
            "elmo_representations": representations,
            "mask": output_mask.reshape(*batch_shape, output_mask.shape[1]),
        }

    def _run_bilm(self, ids: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Return all layers and the mask, with sentence boundaries."""
        bilm: Any = self._elmo_lstm
        if not isinstance(bilm, ElmoModel):
            output = bilm(ids)
            return output["activations"], output["mask"].bool()
        output = bilm(
            ids,
            initial_states=self._states if self._stateful else None,
            output_hidden_states=True,
            return_boundaries=True,
            return_states=self._stateful,
        )
        if self._stateful:
            self._states = ElmoStates(*(state.detach() for state in output.states))
        return output.hidden_states, output.attention_mask.bool()


class ScalarMix(nn.Module):
    """AllenNLP's `ScalarMix`: `gamma * sum_l softmax(w)_l * layer_l` (Peters et al. 2018, equation 1).

    Args:
        mixture_size: Number of layers.
        do_layer_norm: Whether to first normalize each layer over all words of the batch.
        initial_scalar_parameters: Initial `w`, before the softmax. Defaults to zeros.
        trainable: Whether `w` and `gamma` are trained.

    Raises:
        ValueError: If `initial_scalar_parameters` has another length than `mixture_size`.
    """

    def __init__(
        self,
        mixture_size: int,
        do_layer_norm: bool = False,
        initial_scalar_parameters: list[float] | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        initial = [0.0] * mixture_size if initial_scalar_parameters is None else initial_scalar_parameters
        if len(initial) != mixture_size:
            raise ValueError(f"Expected `initial_scalar_parameters` of length {mixture_size}, got {len(initial)}.")
        self.mixture_size, self.do_layer_norm = mixture_size, do_layer_norm
        self.scalar_parameters = nn.ParameterList(nn.Parameter(torch.tensor([float(w)]), trainable) for w in initial)
        self.gamma = nn.Parameter(torch.ones(1), trainable)

    def forward(self, tensors: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
        """Mix the layers.

        Args:
            tensors: One tensor [B, words, D] per layer.
            mask: Mask of the words, [B, words]. Required for layer normalization.

        Raises:
            ValueError: If there are not `mixture_size` tensors, or the mask is missing.
        """
        if len(tensors) != self.mixture_size:
            raise ValueError(f"Expected {self.mixture_size} tensors to mix, got {len(tensors)}.")
        if self.do_layer_norm:
            if mask is None:
                raise ValueError("Expected `mask` for layer normalization, got None.")
            tensors = [normalize_over_batch(layer, layer[mask], mask, 1e-13) for layer in tensors]
        normed_weights = torch.softmax(torch.cat([*self.scalar_parameters]), dim=0)
        mixed: Any = sum(weight * tensor for weight, tensor in zip(normed_weights, tensors, strict=True))
        return self.gamma * mixed


def _inner_mask(mask: Tensor) -> Tensor:
    """Return the mask of the words, [B, words], from the mask with boundaries, [B, words + 2]."""
    return torch.arange(mask.shape[1] - 2, device=mask.device) < mask.sum(1, keepdim=True) - 2
