# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""AllenNLP 2.10.1's `Elmo` and `ScalarMix`, as modules of their own; see `compat`."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..model.layers_elmo import normalize_over_batch
from ..model.modeling_elmo import ElmoModel, ElmoStates
from .inputs import load_model


class Elmo(nn.Module):
    """AllenNLP's `Elmo`: the biLM and one or more mixes of its layers.

    Args:
        options_file, weight_file: see `load_model`.
        num_output_representations: how many mixes of the same layers, each with weights of its own. Two of them are
            not two layers.
        requires_grad: whether the biLM trains; the mixes always do.
        do_layer_norm: normalise each layer over the whole batch before mixing; ties a sentence to its neighbours.
        dropout: of the mixes, in training mode. The default is AllenNLP's.
        vocab_to_cache: accepted and not needed: repeated words are encoded once in any case.
        keep_sentence_boundaries: return the vectors of `<S>` and `</S>` too.
        scalar_mix_parameters: the mix's weights *before* the softmax, not to be trained: `[-9e10, 1, -9e10]` is the
            second of three layers, `[0, 0, 1]` mixes all.
        module: in place of the biLM; has `num_layers`, returns `activations` and `mask` with boundaries, as AllenNLP's.
        stateful: carry LSTM states from call to call as AllenNLP does, so that results depend on what came before.
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
            raise ValueError("options_file and weight_file must be None where module is given; got both.")
        bilm: Any = load_model(options_file, weight_file) if module is None else module
        layers = bilm.config.num_hidden_layers + 1 if module is None else bilm.num_layers
        if scalar_mix_parameters is not None and len(scalar_mix_parameters) != layers:
            raise ValueError(
                f"scalar_mix_parameters must have one number a layer, {layers}; got {len(scalar_mix_parameters)}."
            )
        if module is None:
            bilm.scalar_mixes = nn.ModuleList()  # this module's own take their place
            bilm.requires_grad_(requires_grad)
        self._elmo_lstm = bilm
        self._num_mixes = num_output_representations
        for k in range(num_output_representations):  # AllenNLP's names, so that mixes trained there load here
            mix = ScalarMix(layers, do_layer_norm, scalar_mix_parameters, trainable=scalar_mix_parameters is None)
            self.add_module(f"scalar_mix_{k}", mix)
        self._dropout = nn.Dropout(dropout)
        self._keep_sentence_boundaries = keep_sentence_boundaries
        self._stateful = stateful
        self._states: ElmoStates | None = None

    def get_output_dim(self) -> int:
        """The size of a vector."""
        bilm: Any = self._elmo_lstm
        return bilm.config.hidden_size if isinstance(bilm, ElmoModel) else bilm.get_output_dim()

    def reset_states(self) -> None:
        """With `stateful`: start anew."""
        self._states = None

    def forward(self, inputs: Tensor, word_inputs: Tensor | None = None) -> dict[str, Any]:
        """Mix the layers of each word.

        Args:
            inputs: character ids [B, words, 50], or more dimensions before the words, from `batch_to_ids`.
            word_inputs: accepted and not needed, see `vocab_to_cache`.

        Returns:
            `elmo_representations`, a list of tensors [B, words, D], and `mask` [B, words], true for words.
        """
        if inputs.dim() < 3:
            raise ValueError(
                f"inputs must be character ids [sentences, words, 50] from batch_to_ids; got {list(inputs.shape)}."
            )
        outer = inputs.shape[:-2]
        layers, mask = self._layers(inputs.reshape(-1, *inputs.shape[-2:]))
        shown = mask if self._keep_sentence_boundaries else _inner_mask(mask)
        representations = []
        for k in range(self._num_mixes):
            mixed = self.get_submodule(f"scalar_mix_{k}")(layers, mask)
            if not self._keep_sentence_boundaries:
                mixed = mixed[:, 1:-1] * shown[..., None]
            mixed = self._dropout(mixed)
            representations.append(mixed.reshape(*outer, *mixed.shape[1:]))
        return {"elmo_representations": representations, "mask": shown.reshape(*outer, shown.shape[1])}

    def _layers(self, ids: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """All layers and the mask, with sentence boundaries."""
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
        mixture_size: the number of layers.
        do_layer_norm: normalise each layer over all words of the batch first.
        initial_scalar_parameters: `w`, before the softmax; zeros by default.
        trainable: whether `w` and `gamma` train.
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
            raise ValueError(f"initial_scalar_parameters must have {mixture_size} numbers; got {len(initial)}.")
        self.mixture_size, self.do_layer_norm = mixture_size, do_layer_norm
        self.scalar_parameters = nn.ParameterList(nn.Parameter(torch.tensor([float(w)]), trainable) for w in initial)
        self.gamma = nn.Parameter(torch.ones(1), trainable)

    def forward(self, tensors: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
        """Mix `mixture_size` tensors [B, words, D]; the mask [B, words] is for layer normalisation."""
        if len(tensors) != self.mixture_size:
            raise ValueError(f"there must be {self.mixture_size} tensors to mix; got {len(tensors)}.")
        if self.do_layer_norm:
            if mask is None:
                raise ValueError("a mix with layer normalisation must have a mask; got None.")
            tensors = [normalize_over_batch(layer, layer[mask], mask, 1e-13) for layer in tensors]
        shares = torch.softmax(torch.cat([*self.scalar_parameters]), dim=0)
        mixed: Any = sum(share * tensor for share, tensor in zip(shares, tensors, strict=True))
        return self.gamma * mixed


def _inner_mask(mask: Tensor) -> Tensor:
    """The mask [B, words] of the words alone, from that with their boundaries [B, words + 2]."""
    return torch.arange(mask.shape[1] - 2, device=mask.device) < mask.sum(1, keepdim=True) - 2
