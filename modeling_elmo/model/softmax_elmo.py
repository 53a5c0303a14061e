# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Softmax of the language model over a vocabulary of words, shared by both directions.

`full` normalizes over all words. `sampled` trains with a sample of words and scores with all of them (Jean et al. 2015,
arXiv:1412.2007; Peters et al. 2018). `adaptive` uses smaller dimensions for rare words in a tree of two levels, and is
exact in training and scoring (Grave et al. 2017, arXiv:1609.04309). `sampled` and `adaptive` require a vocabulary
sorted by decreasing frequency.

Shapes: n predictions, H output of one direction, V words of the vocabulary, S sampled words.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from .configuration_elmo import ElmoConfig
from .initialization_elmo import with_init

IGNORE_INDEX = -100  # as in nn.CrossEntropyLoss
# The logits of a block of rows with a sample of 8192 words take 16 MB, which fits into the cache.
_SAMPLED_BLOCK_ROWS = 512
# Maximum size of the logits in memory, so that a vocabulary of 800,000 words fits.
_MAX_LOGITS_BYTES = 128 * 2**20


def log_uniform_sample(vocab_size: int, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, int]:
    """Sample distinct words, where each draw has word w with a probability proportional to log((w + 2) / (w + 1)).

    Returns:
        `count` words, and the number of draws that were necessary to find as many distinct ones.
    """
    draws = torch.empty(0, dtype=torch.long)
    while True:
        uniform = torch.rand(2 * count, generator=generator, dtype=torch.float64)
        words = torch.exp(uniform * math.log(vocab_size + 1)).long() - 1
        draws = torch.cat([draws, words.clamp_(0, vocab_size - 1)])
        distinct, index = torch.unique(draws, return_inverse=True)
        if len(distinct) >= count:
            first = torch.full((len(distinct),), len(draws)).scatter_reduce_(0, index, torch.arange(len(draws)), "amin")
            first, order = first.sort()
            return distinct[order[:count]], int(first[count - 1]) + 1


def log_expected_count(ids: Tensor, vocab_size: int, num_tries: int) -> Tensor:
    """Return the log of the expected count of each word among the distinct samples of `num_tries` draws.

    This is the formula of TensorFlow's candidate sampling.
    """
    ids = ids.double()
    probability = torch.log((ids + 2) / (ids + 1)) / math.log(vocab_size + 1)
    return torch.log(-torch.expm1(num_tries * torch.log1p(-probability)))


def mean_loss(log_probs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean negative log-probability of the targets [n] that are not `IGNORE_INDEX`; 0 if all are."""
    return -log_probs.sum() / (targets != IGNORE_INDEX).sum().clamp(min=1)


def _log_prob(logits: Tensor, targets: Tensor) -> Tensor:
    """Return log p(target), [n], at least in float32; 0 if the target is `IGNORE_INDEX`."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -F.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX, reduction="none")


class SampledSoftmaxLoss(torch.autograd.Function):
    """Mean of -log p(target) among the target and a sample of words. The forward pass computes the gradients too.

    Both need the probabilities [n, S]. In blocks of rows, these stay in the processor's cache, and the backward pass
    stores nothing of that size.
    """

    @staticmethod
    def forward(
        ctx: Any,
        vectors: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        sampled: Tensor,
        target_corrections: Tensor,
        sampled_corrections: Tensor,
    ) -> Tensor:
        """Compute the loss and its gradients.

        Args:
            ctx: Context of autograd.
            vectors: Outputs of the LSTM, [n, H].
            weight: Weight of all words, [V, H].
            bias: Bias of all words, [V].
            targets: Ids of the words to predict, [n].
            sampled: Ids of the sampled words, [S].
            target_corrections: Log of the expected count of each target in the sample, [n], at least float32.
            sampled_corrections: Log of the expected count of each sampled word, [S], at least float32.
        """
        device, dtype = vectors.device, target_corrections.dtype
        autocast = torch.is_autocast_enabled(device.type)
        compute_dtype = torch.get_autocast_dtype(device.type) if autocast else weight.dtype
        with torch.autocast(device.type, enabled=False):
            sampled_weight = weight[sampled].to(compute_dtype)
            sampled_bias = bias[sampled].to(dtype) - sampled_corrections
            sample_index = torch.full((len(weight),), -1, device=device)
            sample_index[sampled] = torch.arange(len(sampled), device=device)
            grad_hidden = torch.empty(vectors.shape, dtype=dtype, device=device)
            grad_sampled, grad_sampled_bias = (
                torch.zeros_like(sampled_weight, dtype=dtype),
                torch.zeros_like(sampled_bias),
            )
            grad_target = torch.empty(len(targets), dtype=dtype, device=device)
            loss = sampled_bias.new_zeros(())
            for start in range(0, len(vectors), _SAMPLED_BLOCK_ROWS):
                rows = slice(start, start + _SAMPLED_BLOCK_ROWS)
                inputs, target = vectors[rows].to(compute_dtype), targets[rows]
                target_weight = weight[target].to(dtype)
                target_logits = (inputs.to(dtype) * target_weight).sum(1) + bias[target].to(dtype)
                target_logits = target_logits - target_corrections[rows]
                logits = (inputs @ sampled_weight.T).to(dtype) + sampled_bias
                hits = (sample_index[target] >= 0).nonzero().squeeze(1)
                # A target that is also sampled counts once.
                logits[hits, sample_index[target[hits]]] = float("-inf")
                normalizer = torch.logaddexp(torch.logsumexp(logits, 1), target_logits)
                loss += (normalizer - target_logits).sum()
                probs = logits.sub_(normalizer[:, None]).exp_()
                grad_target[rows] = torch.expm1(target_logits - normalizer)
                grad_sampled_bias += probs.sum(0)
                probs = probs.to(compute_dtype)
                grad_hidden[rows] = (probs @ sampled_weight).to(dtype).addcmul_(grad_target[rows, None], target_weight)
                grad_sampled += (probs.T @ inputs).to(dtype)
            grad_weight = torch.zeros_like(weight, dtype=dtype).index_add_(0, sampled, grad_sampled)
            grad_weight.index_add_(0, targets, grad_target[:, None] * vectors.to(dtype))
            grad_bias = torch.zeros_like(bias, dtype=dtype).index_add_(0, sampled, grad_sampled_bias)
            grad_bias.index_add_(0, targets, grad_target)
        ctx.dtypes = vectors.dtype, weight.dtype, bias.dtype
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return loss / len(targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> Any:
        """Scale the gradients of the forward pass."""
        scale = grad_loss / len(ctx.saved_tensors[0])
        grads = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return *((grad * scale).to(dtype) for grad, dtype in grads), None, None, None, None


class ElmoSoftmax(nn.Module):
    """Log-probabilities of V words from the vectors of one direction, [n, H]."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        vocab_size, input_size = config.word_vocab_size, config.output_size
        if vocab_size is None:
            raise ValueError("Expected `word_vocab_size` in the configuration of a language model, got None.")
        self.softmax_type = config.softmax_type
        self.vocab_size = vocab_size
        self.num_sampled = min(config.num_sampled_words, vocab_size)
        self.linear: Any = None
        self.adaptive: Any = None
        if self.softmax_type == "adaptive":
            cutoffs = config.adaptive_softmax_cutoffs or ()
            self.adaptive = nn.AdaptiveLogSoftmaxWithLoss(
                input_size, vocab_size, cutoffs, div_value=config.adaptive_softmax_div_value
            )
            for module in self.adaptive.modules():
                if isinstance(module, nn.Linear):
                    with_init(module, uniform=module.in_features**-0.5)
        else:
            self.linear = with_init(nn.Linear(input_size, vocab_size), normal=input_size**-0.5)

    def loss(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of the word ids `targets` [n]; `IGNORE_INDEX` is skipped. Sampled only in training."""
        if self.softmax_type == "sampled" and self.training:
            kept = targets != IGNORE_INDEX
            return self._sampled_loss(vectors[kept], targets[kept])
        return mean_loss(self.log_prob(vectors, targets), targets)

    def log_prob(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """Return the exact log p(target), [n], at least in float32; 0 if the target is `IGNORE_INDEX`."""
        if self.adaptive is not None:
            return self._adaptive_log_prob(vectors, targets)
        max_rows = max(1, _MAX_LOGITS_BYTES // (4 * self.vocab_size))
        blocks = zip(vectors.split(max_rows), targets.split(max_rows), strict=True)
        if torch.is_grad_enabled() and len(vectors) > max_rows:
            # Recompute the logits of many words in the backward pass, to save memory.
            parts = [checkpoint(self._linear_log_prob, *block, use_reentrant=False) for block in blocks]
        else:
            parts = [self._linear_log_prob(*block) for block in blocks]
        return torch.cat(parts) if parts else vectors.sum(1)

    def _adaptive_log_prob(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """Compute what `nn.AdaptiveLogSoftmaxWithLoss` computes, with sums in float32 under autocast too."""
        first, *cutoffs = self.adaptive.cutoffs
        head = targets.clamp(max=first)  # the last columns of the head are the clusters of the tail
        parts = []
        for index, (start, stop) in enumerate(zip([first, *cutoffs], cutoffs, strict=False)):
            rows = ((targets >= start) & (targets < stop)).nonzero().squeeze(1)
            if len(rows):
                head = head.index_fill(0, rows, first + index)
                parts.append((rows, _log_prob(self.adaptive.tail[index](vectors[rows]), targets[rows] - start)))
        log_probs = _log_prob(self.adaptive.head(vectors), head)
        for rows, part in parts:
            log_probs = log_probs.index_add(0, rows, part)
        return log_probs

    def _linear_log_prob(self, vectors: Tensor, targets: Tensor) -> Tensor:
        return _log_prob(self.logits(vectors), targets)

    def logits(self, vectors: Tensor) -> Tensor:
        """Return the unnormalized scores, [n, V]; the log-probabilities of the adaptive softmax."""
        if self.adaptive is not None:
            return self.adaptive.log_prob(vectors.to(torch.promote_types(vectors.dtype, torch.float32)))
        return self.linear(vectors.to(self.linear.weight.dtype))

    def log_probs(self, vectors: Tensor) -> Tensor:
        """Return the log-probabilities of all words, [n, V]. The caller chunks the rows to bound memory."""
        logits = self.logits(vectors)
        if self.adaptive is not None:
            return logits
        return F.log_softmax(logits, dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))

    def _sampled_loss(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """Return the loss against a sample that the whole batch shares, corrected by the expected counts."""
        if not len(targets):
            return vectors.sum() * 0.0
        sampled, num_tries = log_uniform_sample(self.vocab_size, self.num_sampled)
        # This loss reads rows of the weight, and would bypass a module that wraps the linear layer.
        if type(self.linear) is not nn.Linear:
            raise ValueError(
                "Cannot train an adapter on `softmax.linear` with softmax_type 'sampled', which ignores it. "
                "Use 'full' or 'adaptive'."
            )
        dtype = torch.promote_types(vectors.dtype, torch.float32)
        corrections = [
            log_expected_count(ids.cpu(), self.vocab_size, num_tries).to(vectors.device, dtype)
            for ids in (targets, sampled)
        ]
        sampled = sampled.to(vectors.device)
        return SampledSoftmaxLoss.apply(vectors, self.linear.weight, self.linear.bias, targets, sampled, *corrections)
