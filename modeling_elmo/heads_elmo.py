# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo with a linear layer on top, to label words or sentences.

As in the paper (Peters et al. 2018, section 3.2 and 3.3): the biLM keeps its weights, its layers are mixed by learned
weights, dropout lies on the mix, and `l2 * ||w||^2` over the mix's weights draws it towards the layers' mean.
B sentences, W words, D = hidden_size, K labels.
"""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput
from transformers.utils import can_return_tuple

from .configuration_elmo import ElmoConfig
from .initialization_elmo import initialized

# transformers 4 fetches the files that are named in this one, not those that they name in turn.
from .kernels_elmo import projected_lstm  # noqa: F401
from .modeling_elmo import ElmoModel, ElmoModelOutput, ElmoPreTrainedModel
from .packing_elmo import pack  # noqa: F401
from .pipelines_elmo import ElmoTokenClassificationPipeline
from .products_elmo import product  # noqa: F401
from .recurrence_elmo import run_direction  # noqa: F401
from .word_cache_elmo import WordCache  # noqa: F401

if TYPE_CHECKING:  # see modeling_elmo
    from .cuda_elmo import run_layer  # noqa: F401
    from .operators_elmo import lstm  # noqa: F401
    from .pretraining_elmo import ElmoForPreTraining  # noqa: F401
    from .softmax_elmo import ElmoSoftmax  # noqa: F401

FROZEN_BY_DEFAULT = ("char_encoder", "word_embeddings", "layers")


class ElmoHead(ElmoPreTrainedModel):
    """What both heads share: the biLM, frozen but for `config.trainable_parts`, dropout, and a linear layer."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.elmo = ElmoModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = initialized(
            nn.Linear(self._classifier_inputs(config), config.num_labels), normal=config.hidden_size**-0.5
        )
        self.post_init()
        self.freeze()

    def _classifier_inputs(self, config: ElmoConfig) -> int:
        return config.hidden_size

    def freeze(self) -> None:
        """Train the parts of the biLM that `config.trainable_parts` names, and no others; the rest always trains.

        Raises ValueError if a name is no part.
        """
        super().freeze()
        parts = self.config.trainable_parts
        known = {name for name, _ in self.elmo.named_modules() if name.split(".")[0] in FROZEN_BY_DEFAULT}
        unknown = [part for part in parts if part not in known]
        if unknown:
            raise ValueError(
                "trainable_parts must name modules of the biLM such as 'char_encoder', 'layers' or 'layers.1'; "
                f"got {unknown[0]!r}."
            )
        for name, parameter in self.elmo.named_parameters():
            if name.split(".")[0] in FROZEN_BY_DEFAULT:
                parameter.requires_grad_(any(name.startswith(f"{part}.") for part in parts))

    def unfreeze(self, *parts: str) -> None:
        """Train these parts of the biLM too, all of it without a name; kept in the config."""
        present = [name for name in FROZEN_BY_DEFAULT if getattr(self.elmo, name) is not None]
        self.config.trainable_parts = sorted({*self.config.trainable_parts, *(parts or present)})
        self.freeze()

    def get_input_embeddings(self) -> Any:
        return self.elmo.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        self.elmo.set_input_embeddings(value)

    def _with_mix_penalty(self, loss: Tensor) -> Tensor:
        strength = self.config.scalar_mix_l2
        if not strength or not self.elmo.scalar_mixes:
            return loss
        weights: Any = self.elmo.scalar_mixes[0].weights
        return loss + strength * weights.square().sum().to(loss.dtype)


class ElmoForTokenClassification(ElmoHead):
    """A label for each word: parts of speech, named entities."""

    _auto_class = "AutoModelForTokenClassification"
    accepts_loss_kwargs = False  # the loss is a mean already, whatever Trainer knows of the batch

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> tuple | TokenClassifierOutput:
        """`labels` [B, W] in 0..K-1, -100 where none counts; logits [B, W, K]. The rest is as for `ElmoModel`."""
        output: ElmoModelOutput = self.elmo(
            input_ids, attention_mask, inputs_embeds, output_hidden_states=output_hidden_states, **kwargs
        )
        logits = self.classifier(self.dropout(output.last_hidden_state))
        loss = None
        if labels is not None:
            if labels.shape != logits.shape[:2]:
                raise ValueError(f"labels must be [batch, words], {list(logits.shape[:2])}; got {list(labels.shape)}.")
            # The sum over no label is 0, where the mean would be no number.
            total = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten().to(logits.device), reduction="sum")
            loss = self._with_mix_penalty(total / (labels != -100).sum().clamp(min=1))
        return TokenClassifierOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)


class ElmoForSequenceClassification(ElmoHead):
    """A label or a number for each sentence, from the mean and the maximum of its words' vectors."""

    _auto_class = "AutoModelForSequenceClassification"
    accepts_loss_kwargs = False

    def _classifier_inputs(self, config: ElmoConfig) -> int:
        return config.hidden_size * len(config.sentence_pooling)

    def _pool(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """[B, W, D] to [B, D * number of poolings]; zeros for a sentence without words."""
        counts = mask.sum(1, keepdim=True)
        parts = []
        for pooling in self.config.sentence_pooling:
            if pooling == "mean":  # padding is zero already
                parts.append(vectors.sum(1) / counts.clamp(min=1))
            else:
                if vectors.shape[1]:
                    highest = vectors.masked_fill(~mask[:, :, None], torch.finfo(vectors.dtype).min).amax(1)
                else:
                    highest = vectors.new_zeros(len(vectors), vectors.shape[2])
                parts.append(highest * (counts > 0))
        return torch.cat(parts, dim=1)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> tuple | SequenceClassifierOutput:
        """`labels` [B] of classes, [B] of numbers (K = 1) or [B, K] of 0 and 1; logits [B, K]."""
        output: ElmoModelOutput = self.elmo(
            input_ids, attention_mask, inputs_embeds, output_hidden_states=output_hidden_states, **kwargs
        )
        vectors: Any = output.last_hidden_state
        mask = self.elmo._check_inputs(input_ids, attention_mask, inputs_embeds).to(vectors.device)
        logits = self.classifier(self.dropout(self._pool(vectors, mask)))
        loss = None
        if labels is not None:
            loss = self._with_mix_penalty(self._loss(logits, labels.to(logits.device)))
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.problem_type is None:
            if self.num_labels == 1:
                self.config.problem_type = "regression"
            else:
                is_classes = not labels.is_floating_point()
                self.config.problem_type = "single_label_classification" if is_classes else "multi_label_classification"
        problem = self.config.problem_type
        shape = logits.shape[:1] if problem == "single_label_classification" or self.num_labels == 1 else logits.shape
        if labels.numel() != shape.numel():
            raise ValueError(f"labels must be {list(shape)} for problem_type {problem!r}; got {list(labels.shape)}.")
        logits, labels = logits.float(), labels.reshape(shape)
        if problem == "single_label_classification":
            return F.cross_entropy(logits, labels)
        logits = logits.view(shape)
        if problem == "regression":
            return F.mse_loss(logits, labels.float())
        return F.binary_cross_entropy_with_logits(logits, labels.float())


__all__ = ["ElmoForSequenceClassification", "ElmoForTokenClassification", "ElmoTokenClassificationPipeline"]
