# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The softmax of the language model over a vocabulary of words, shared by both directions, in three kinds.

`full` sums over all words. `sampled` trains with a sample of words and scores with all of them (Jean et al. 2015; the
recipe of Peters et al. 2018). `adaptive` gives rare words fewer numbers in a tree of two levels (Grave et al. 2017),
and is exact in training and in scoring. The vocabulary must be sorted by falling frequency for the latter two.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from .configuration_elmo import ElmoConfig
from .initialization_elmo import initialized

IGNORED = -100  # label of what is not predicted, as everywhere in PyTorch
_SAMPLED_ROWS = 512  # at a time; with a sample of 8192 words their logits are 16 MB
_CHUNK_BYTES = 128 * 2**20  # of logits at a time, so that a vocabulary of 800,000 words fits


def sample_log_uniform(words: int, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, int]:
    """`count` distinct words, word w with a chance proportional to log((w + 2) / (w + 1)) at each draw.

    Returns:
        the words [count], and how many draws it took to find as many distinct ones.
    """
    draws = torch.empty(0, dtype=torch.long)
    while True:
        uniform = torch.rand(2 * count, generator=generator, dtype=torch.float64)
        new = torch.exp(uniform * math.log(words + 1)).long() - 1
        draws = torch.cat([draws, new.clamp_(0, words - 1)])
        distinct, index = torch.unique(draws, return_inverse=True)
        if len(distinct) >= count:
            first = torch.full((len(distinct),), len(draws)).scatter_reduce_(0, index, torch.arange(len(draws)), "amin")
            first, order = first.sort()
            return distinct[order[:count]], int(first[count - 1]) + 1


def expected_log_uniform(ids: Tensor, words: int, draws: int) -> Tensor:
    """The logarithm of a word's expected number among the distinct words of so many draws (TensorFlow's formula)."""
    ids = ids.double()
    chance = torch.log((ids + 2) / (ids + 1)) / math.log(words + 1)
    return torch.log(-torch.expm1(draws * torch.log1p(-chance)))


def _log_prob(logits: Tensor, targets: Tensor) -> Tensor:
    """Log p(target) [n] of logits [n, words], in float32 at least; 0 where the target is `IGNORED`."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")


class SampledLoss(torch.autograd.Function):
    """The mean of -log p(target) among the target and a sample of words, with its gradients at once.

    Both need the probabilities [n, sample]; made for a few rows at a time they stay in the processor's cache, and
    nothing of that size is kept for the backward pass.
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
        """Vectors [n, H], weight [V, H], bias [V]; targets [n], sampled [S] words; corrections in float32 at least."""
        device, dtype = vectors.device, target_corrections.dtype
        autocast = torch.is_autocast_enabled(device.type)
        low = torch.get_autocast_dtype(device.type) if autocast else weight.dtype
        with torch.autocast(device.type, enabled=False):
            words = weight[sampled].to(low)
            offsets = bias[sampled].to(dtype) - sampled_corrections
            place = torch.full((len(weight),), -1, device=device)
            place[sampled] = torch.arange(len(sampled), device=device)
            of_vectors = torch.empty(vectors.shape, dtype=dtype, device=device)
            of_words, of_offsets = torch.zeros_like(words, dtype=dtype), torch.zeros_like(offsets)
            of_true = torch.empty(len(targets), dtype=dtype, device=device)
            loss = offsets.new_zeros(())
            for start in range(0, len(vectors), _SAMPLED_ROWS):
                rows = slice(start, start + _SAMPLED_ROWS)
                inputs, target = vectors[rows].to(low), targets[rows]
                true_words = weight[target].to(dtype)
                true = (inputs.to(dtype) * true_words).sum(1) + bias[target].to(dtype) - target_corrections[rows]
                logits = (inputs @ words.T).to(dtype) + offsets
                hits = (place[target] >= 0).nonzero().squeeze(1)
                logits[hits, place[target[hits]]] = float("-inf")  # the target counts once
                total = torch.logaddexp(torch.logsumexp(logits, 1), true)
                loss += (total - true).sum()
                chances = logits.sub_(total[:, None]).exp_()
                of_true[rows] = torch.expm1(true - total)
                of_offsets += chances.sum(0)
                chances = chances.to(low)
                of_vectors[rows] = (chances @ words).to(dtype).addcmul_(of_true[rows, None], true_words)
                of_words += (chances.T @ inputs).to(dtype)
            of_weight = torch.zeros_like(weight, dtype=dtype).index_add_(0, sampled, of_words)
            of_weight.index_add_(0, targets, of_true[:, None] * vectors.to(dtype))
            of_bias = torch.zeros_like(bias, dtype=dtype).index_add_(0, sampled, of_offsets)
            of_bias.index_add_(0, targets, of_true)
        ctx.dtypes = vectors.dtype, weight.dtype, bias.dtype
        ctx.save_for_backward(of_vectors, of_weight, of_bias)
        return loss / len(targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        scale = gradient / len(ctx.saved_tensors[0])
        parts = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return *((part * scale).to(dtype) for part, dtype in parts), None, None, None, None


class ElmoSoftmax(nn.Module):
    """Vectors of one direction [n, H] to logarithms of probabilities of V words."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        words, size = config.word_vocab_size, config.output_size
        if words is None:
            raise ValueError("a language model's config must have word_vocab_size, the number of words; got None.")
        self.kind = config.softmax
        self.words = words
        self.num_sampled = min(config.num_sampled_words, words)
        self.linear: Any = None
        self.adaptive: Any = None
        if self.kind == "adaptive":
            cutoffs = config.adaptive_softmax_cutoffs or ()
            self.adaptive = nn.AdaptiveLogSoftmaxWithLoss(
                size, words, cutoffs, div_value=config.adaptive_softmax_div_value
            )
            for module in self.adaptive.modules():
                if isinstance(module, nn.Linear):
                    initialized(module, uniform=module.in_features**-0.5)
        else:
            self.linear = initialized(nn.Linear(size, words), normal=size**-0.5)

    def loss(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """The mean loss to train on; targets [n] are word ids, `IGNORED` left out."""
        if self.kind == "sampled" and self.training:
            kept = targets != IGNORED
            return self._sampled_loss(vectors[kept], targets[kept])
        log_probs = self.log_prob(vectors, targets)
        return -log_probs.sum() / (targets != IGNORED).sum().clamp(min=1)

    def log_prob(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """Log p(target) [n] in float32 at least, exact; 0 where the target is `IGNORED`."""
        if self.adaptive is not None:
            return self._adaptive_log_prob(vectors, targets)
        blocks = zip(vectors.split(self._rows()), targets.split(self._rows()), strict=True)
        if torch.is_grad_enabled() and len(vectors) > self._rows():
            # Logits of many words are computed twice rather than kept.
            parts = [checkpoint(self._linear_log_prob, *block, use_reentrant=False) for block in blocks]
        else:
            parts = [self._linear_log_prob(*block) for block in blocks]
        return torch.cat(parts) if parts else vectors.sum(1)

    def _adaptive_log_prob(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """What `nn.AdaptiveLogSoftmaxWithLoss` computes, its sums in float32 under autocast too."""
        first, *cutoffs = self.adaptive.cutoffs
        head = targets.clamp(max=first)  # its last columns stand for the parts of the tail
        parts = []
        for index, (start, stop) in enumerate(zip([first, *cutoffs], cutoffs, strict=False)):
            inside = ((targets >= start) & (targets < stop)).nonzero().squeeze(1)
            if len(inside):
                head = head.index_fill(0, inside, first + index)
                parts.append((inside, _log_prob(self.adaptive.tail[index](vectors[inside]), targets[inside] - start)))
        log_probs = _log_prob(self.adaptive.head(vectors), head)
        for inside, part in parts:
            log_probs = log_probs.index_add(0, inside, part)
        return log_probs

    def _rows(self) -> int:
        return max(1, _CHUNK_BYTES // (4 * self.words))

    def _linear_log_prob(self, vectors: Tensor, targets: Tensor) -> Tensor:
        return _log_prob(self.logits(vectors), targets)

    def logits(self, vectors: Tensor) -> Tensor:
        """[n, V], before the normalisation; for `adaptive` after it."""
        if self.adaptive is not None:
            return self.adaptive.log_prob(vectors.to(torch.promote_types(vectors.dtype, torch.float32)))
        return self.linear(vectors.to(self.linear.weight.dtype))

    def log_probs(self, vectors: Tensor) -> Tensor:
        """Log p of every word, [n, V]; call it with as many rows as memory has room for V numbers each."""
        logits = self.logits(vectors)
        return (
            logits
            if self.adaptive is not None
            else F.log_softmax(logits, dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))
        )

    def _sampled_loss(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """The true word against a sample that the whole batch shares, corrected for how often words are sampled."""
        if not len(targets):
            return vectors.sum() * 0.0
        sampled, draws = sample_log_uniform(self.words, self.num_sampled)
        if type(self.linear) is not nn.Linear:  # rows of the weight are read here, past whatever is wrapped around it
            raise ValueError(
                "softmax must be 'full' or 'adaptive' to train an adapter on softmax.linear; got 'sampled', "
                "which would ignore it."
            )
        dtype = torch.promote_types(vectors.dtype, torch.float32)
        corrections = [
            expected_log_uniform(ids.cpu(), self.words, draws).to(vectors.device, dtype) for ids in (targets, sampled)
        ]
        sampled = sampled.to(vectors.device)
        return SampledLoss.apply(vectors, self.linear.weight, self.linear.bias, targets, sampled, *corrections)
