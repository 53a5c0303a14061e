# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Optimizers of `elmo train`: AdamW, bilm-tf's Adagrad, and Muon for the LSTM matrices.

Muon orthogonalizes the momentum of each matrix (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).
It applies to matrices whose rows and columns are both hidden dimensions. Embeddings, biases, the character encoder,
and the softmax stay with AdamW.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Adagrad, AdamW, Optimizer

OPTIMIZERS = ("adamw", "adagrad", "muon")
DEFAULT_MUON_LEARNING_RATE = 0.02
# A short average of squared gradients (the default is 0.999), because training runs of this size have few steps.
_ADAM_BETAS = (0.9, 0.98)


class MuonAdamW(Optimizer):
    """Optimizer that applies Muon to `matrices` and AdamW to `others`, with one state dictionary.

    The groups of `others` come first, so that the logged learning rate is AdamW's.

    Args:
        matrices: Parameters with two dimensions.
        others: All other parameters.
        learning_rate: Learning rate of AdamW.
        muon_learning_rate: Learning rate of Muon.
        weight_decay: Weight decay of AdamW. Muon has none.

    Raises:
        ImportError: If torch has no Muon (added in 2.9).
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        learning_rate: float,
        muon_learning_rate: float = DEFAULT_MUON_LEARNING_RATE,
        weight_decay: float = 0.0,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise ImportError(
                f"Expected torch 2.9 or later for optimizer 'muon', got {torch.__version__}. "
                'Upgrade torch or use optimizer "adamw".'
            )
        self._adamw = AdamW(others, lr=learning_rate, betas=_ADAM_BETAS, weight_decay=weight_decay, fused=True)
        self._muon = torch.optim.Muon(
            matrices, lr=muon_learning_rate, weight_decay=0.0, momentum=0.95, adjust_lr_fn="original"
        )
        super().__init__([*self._adamw.param_groups, *self._muon.param_groups], {})
        self._share_state()

    def _share_state(self) -> None:
        """Make both optimizers use the state and the parameter groups of this one."""
        count = len(self._adamw.param_groups)
        self._adamw.param_groups, self._muon.param_groups = self.param_groups[:count], self.param_groups[count:]
        self._adamw.state = self._muon.state = self.state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Replace the state and the groups. `load_state_dict` calls this."""
        super().__setstate__(state)
        self._share_state()

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update all parameters; return the closure's loss, if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._adamw.step()
        self._muon.step()
        return loss


def create_optimizer(
    model: nn.Module,
    optimizer: str,
    learning_rate: float,
    muon_learning_rate: float,
    weight_decay: float,
    unroll_steps: int,
) -> Optimizer | None:
    """Return the optimizer for `model`, or None for AdamW, which `transformers.Trainer` creates itself.

    Raises:
        ImportError: If the installed torch does not have the optimizer.
    """
    if optimizer == "adagrad":
        # bilm-tf multiplies the loss by the number of unroll steps. With Adagrad this equals a smaller accumulator.
        return Adagrad(model.parameters(), lr=learning_rate, initial_accumulator_value=1.0 / unroll_steps**2)
    if optimizer == "muon":
        trainable = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        matrices = [weight for name, weight in trainable if ".layers." in f".{name}" and weight.dim() == 2]
        matrix_ids = set(map(id, matrices))
        others = [weight for _, weight in trainable if id(weight) not in matrix_ids]
        return MuonAdamW(matrices, others, learning_rate, muon_learning_rate, weight_decay)
    return None
