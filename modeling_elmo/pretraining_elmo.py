# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The biLM with its softmax: trains the model, and says how probable words are.

The forward direction predicts each word and `</S>` from the words before it, the backward direction each word and
`<S>` from the words after it (Peters et al. 2018, section 3.1). B sentences, W words, V words of the vocabulary, H
output of one direction, N slots of the packed batch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_elmo import ElmoConfig

# transformers 4 fetches the files that are named in this one, not those that they name in turn.
from .initialization_elmo import initialized  # noqa: F401
from .kernels_elmo import projected_lstm  # noqa: F401
from .modeling_elmo import ElmoModel, ElmoPreTrainedModel, ElmoStates
from .packing_elmo import Packing, pack, place, unpack
from .products_elmo import product  # noqa: F401
from .recurrence_elmo import run_direction  # noqa: F401
from .softmax_elmo import IGNORED, ElmoSoftmax
from .word_cache_elmo import WordCache  # noqa: F401

if TYPE_CHECKING:  # see modeling_elmo
    from .cuda_elmo import run_layer  # noqa: F401
    from .heads_elmo import ElmoHead  # noqa: F401
    from .operators_elmo import lstm  # noqa: F401
    from .pipelines_elmo import ElmoTokenClassificationPipeline  # noqa: F401


@dataclass
class ElmoForPreTrainingOutput(ModelOutput):
    """What the language model says of words.

    Args:
        loss: with `labels`: the mean of the directions' mean losses, in nats a prediction. In training that of the
            training softmax, otherwise exact: `exp(loss)` is the perplexity.
        forward_log_probs: with `labels`, outside training: log p(word | words before) [B, W], 0 where nothing is asked.
        backward_log_probs: log p(word | words after) [B, W].
        boundary_log_probs: log p(`</S>` | sentence) forward and log p(`<S>` | sentence) backward, [B, directions].
        prediction_states: what each word is predicted from, [B, W, directions * H]; by default
            without `labels` alone.
        hidden_states: with `output_hidden_states`: the layers of `ElmoModel`, L + 1 of [B, W, directions * H].
        states: with `return_states`: the LSTM states after each sentence.
    """

    loss: Tensor | None = None
    forward_log_probs: Tensor | None = None
    backward_log_probs: Tensor | None = None
    boundary_log_probs: Tensor | None = None
    prediction_states: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    states: ElmoStates | None = None


class ElmoForPreTraining(ElmoPreTrainedModel):
    """`ElmoModel` and the softmax that both directions share; needs `config.word_vocab_size`."""

    _auto_class = "AutoModelForPreTraining"
    accepts_loss_kwargs = False  # the loss is a mean already, whatever Trainer knows of the batch

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__(config)
        self.elmo = ElmoModel(config)
        self.softmax = ElmoSoftmax(config)
        self.post_init()
        self.freeze()

    def freeze(self) -> None:
        """The scalar mix is no part of the language model, and weights without gradients would stop several GPUs."""
        super().freeze()
        self.elmo.scalar_mixes.requires_grad_(False)

    def get_input_embeddings(self) -> Any:
        return self.elmo.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        self.elmo.set_input_embeddings(value)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        reverse_input_ids: Tensor | None = None,
        reverse_labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        initial_states: ElmoStates | tuple[Tensor, Tensor] | None = None,
        output_hidden_states: bool | None = None,
        return_states: bool = False,
        return_prediction_states: bool | None = None,
        **kwargs: Any,
    ) -> tuple | ElmoForPreTrainingOutput:
        r"""Whole sentences, or, with `reverse_input_ids`, windows of running text.

        Args:
            input_ids: [B, W, M] as for `ElmoModel`. Of running text every word counts, `<S>` and `</S>` among them, and
                the model adds none.
            attention_mask: [B, W] as for `ElmoModel`; not for running text, which has no padding.
            labels: ids [B, W] of the words in the vocabulary, -100 for none. Of running text: the next words.
            reverse_input_ids, reverse_labels: the text that the backward direction reads from left to right, each
                sentence reversed, and its next words; same shapes.
            inputs_embeds: in place of `input_ids`, as for `ElmoModel`.
            initial_states: as for `ElmoModel`; running text carries the `states` from window to window.
            output_hidden_states, return_states, return_prediction_states: see `ElmoForPreTrainingOutput`.
            kwargs: ignored.

        Raises:
            ValueError: if an input has the wrong shape or ids, or contradicts another.
        """
        elmo = self.elmo
        mask = elmo._check_inputs(input_ids, attention_mask, inputs_embeds)
        for name, given in (("labels", labels), ("reverse_labels", reverse_labels)):
            self._check_labels(name, given, mask)
        running = reverse_input_ids is not None
        if reverse_input_ids is not None:
            if input_ids is None or reverse_input_ids.shape != input_ids.shape:
                raise ValueError(
                    f"reverse_input_ids must have the shape of input_ids; got {list(reverse_input_ids.shape)}."
                )
            if not bool((mask & elmo._check_inputs(reverse_input_ids, None, None)).all()):
                raise ValueError("running text must have no padding; got rows of zeros or an attention_mask with 0.")
        packing = pack(mask, self.config.sentence_boundaries and not running)
        if running:
            both: Any = [input_ids, reverse_input_ids][: self.config.num_directions]
            streams = torch.stack([elmo._packed_words(ids, None, mask, packing) for ids in both])
        else:
            streams = elmo._directions(elmo._packed_words(input_ids, inputs_embeds, mask, packing), packing)
        packed, states = elmo.run_layers(streams, packing, initial_states)
        tops = F.dropout(packed[-1], self.config.lstm_dropout, self.training)

        if running:
            texts = [labels, reverse_labels][: self.config.num_directions]
            targets = None if labels is None else [self._running_targets(ids, packing, mask) for ids in texts]
            predictors = torch.ones(packing.num_slots, dtype=torch.bool, device=mask.device)
        else:
            targets = None if labels is None else self._sentence_targets(labels, packing, mask)
            predictors = self._predictors(packing)
        loss, log_probs = None, {}
        if targets is not None:
            vectors = [top[predictors] for top in tops]
            losses = [self.softmax.loss(v, t) for v, t in zip(vectors, targets, strict=True)] if self.training else []
            if not self.training:
                scores = [self.softmax.log_prob(v, t) for v, t in zip(vectors, targets, strict=True)]
                counts = [(t != IGNORED).sum().clamp(min=1) for t in targets]
                losses = [-score.sum() / count for score, count in zip(scores, counts, strict=True)]
                if not running:
                    log_probs = self._placed(scores, packing, mask)
            loss = torch.stack(losses).mean()
        seen_from = None
        if not running and (labels is None if return_prediction_states is None else return_prediction_states):
            seen_from = self._prediction_states(tops, predictors, packing, mask)
        layers = None
        if self.config.output_hidden_states if output_hidden_states is None else output_hidden_states:
            layers = tuple(unpack(layer, packing, mask) for layer in packed)
        return ElmoForPreTrainingOutput(
            loss=loss,
            prediction_states=seen_from,
            hidden_states=layers,
            states=states if return_states else None,
            **log_probs,
        )

    def _check_labels(self, name: str, labels: Tensor | None, mask: Tensor) -> None:
        if labels is None:
            return
        if labels.shape != mask.shape or labels.is_floating_point():
            raise ValueError(
                f"{name} must be integers [batch, words], {list(mask.shape)}; got {labels.dtype} {list(labels.shape)}."
            )
        wrong = labels[mask & (labels != IGNORED) & ((labels < 0) | (labels >= self.softmax.words))]
        if len(wrong):
            raise ValueError(
                f"{name} must be word ids in 0..{self.softmax.words - 1}, or {IGNORED}; got {int(wrong[0])}."
            )

    def _predictors(self, packing: Packing) -> Tensor:
        """Whether a slot [N] has a next one in its sentence; those have, in order, the slots from step 1 on."""
        follows = [
            [True] * after + [False] * (live - after)
            for live, after in zip(packing.batch_sizes, [*packing.batch_sizes[1:], 0], strict=False)
        ]
        flat = [flag for step in follows for flag in step]
        return torch.tensor(flat, dtype=torch.bool, device=packing.reverse.device)

    def _sentence_targets(self, labels: Tensor, packing: Packing, mask: Tensor) -> list[Tensor]:
        """What each predicting slot should predict, for each direction."""
        words = labels.new_full((packing.num_slots,), IGNORED)
        words[packing.word_slots] = labels.to(words.device)[mask]
        if len(packing.boundary_slots):
            bos, eos = self.config.word_bos_id, self.config.word_eos_id
            words[packing.boundary_slots[0]] = IGNORED if bos is None else bos
            words[packing.boundary_slots[1]] = IGNORED if eos is None else eos
        first = packing.batch_sizes[0] if packing.batch_sizes else 0
        return [words[first:], words[packing.reverse][first:]][: self.config.num_directions]

    def _running_targets(self, labels: Tensor | None, packing: Packing, mask: Tensor) -> Tensor:
        if labels is None:
            raise ValueError("running text must have labels for both directions; got one of them.")
        targets = labels.new_empty(packing.num_slots)
        targets[packing.word_slots] = labels[mask]
        return targets

    def _placed(self, scores: list[Tensor], packing: Packing, mask: Tensor) -> dict[str, Tensor]:
        """Log-probabilities of the predicted slots to those of the words and of the boundaries."""
        first = packing.batch_sizes[0] if packing.batch_sizes else 0
        slots = [packing.word_slots, packing.reverse[packing.word_slots]]
        ends = []
        placed = {}
        for direction, (name, score) in enumerate(zip(("forward", "backward"), scores, strict=False)):
            every = torch.cat([score.new_zeros(first), score])
            placed[f"{name}_log_probs"] = place(every[slots[direction], None], mask).squeeze(2)
            if len(packing.boundary_slots):
                # The last slot in each direction's own order of time is that of `</S>`, mirrored or not.
                ends.append(every[packing.boundary_slots[1]])
        if ends:
            placed["boundary_log_probs"] = torch.stack(ends, dim=1)
        return placed

    def _prediction_states(self, tops: Tensor, predictors: Tensor, packing: Packing, mask: Tensor) -> Tensor:
        first = packing.batch_sizes[0] if packing.batch_sizes else 0
        slots = [packing.word_slots, packing.reverse[packing.word_slots]]
        parts = []
        for top, slot in zip(tops, slots, strict=False):
            every = torch.cat([top.new_zeros(first, top.shape[1]), top[predictors]])
            parts.append(every[slot])
        return place(torch.cat(parts, dim=1), mask)


__all__ = ["ElmoForPreTraining", "ElmoForPreTrainingOutput"]
