# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Scoring of text with a biLM: log-probabilities in both directions, perplexity, and word substitutes.

By default each sentence is scored independently: it starts from `<S>` with the initial state of the model. A model that
was trained on contiguous text with carried states, such as the released ones, has never seen such a start, and it
assigns too low probabilities to the first words. Score contiguous text with `carry_states=True` for such a model. The
sentences are then read in order, and the warm-up sentences are not counted.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .device import check_device
from .encode.batches import Sentence
from .loading import HUB_OPTIONS, load_pretrained
from .model.modeling_elmo import ElmoForPreTraining
from .model.softmax_elmo import IGNORE_INDEX
from .model.tokenization_elmo import ElmoTokenizer
from .vocabulary import LMVocabulary

# Sentences that each row reads before its first scored sentence.
_NUM_WARMUP_SENTENCES = 3
_MAX_MEAN = math.log(sys.float_info.max)


@dataclass(frozen=True)
class SentenceScore:
    """Log-probabilities of a sentence of n words, in nats.

    Attributes:
        words: The n words.
        is_unknown: Whether each word is missing from the vocabulary and was scored as `<UNK>`.
        forward: log p(word | previous words), n + 1 values, the last for `</S>`.
        backward: log p(word | following words), n + 1 values, the first for `<S>`. None for a forward model.
    """

    words: list[str]
    is_unknown: list[bool]
    forward: list[float]
    backward: list[float] | None

    @property
    def log_prob(self) -> float:
        """Log-probability of the sentence, its end included, as the mean of the directions."""
        sums = [math.fsum(scores) for scores in (self.forward, self.backward) if scores is not None]
        return math.fsum(sums) / len(sums)


@dataclass(frozen=True)
class Perplexity:
    """Exponential of the mean negative log-probability of all words and sentence ends.

    Attributes:
        forward: Perplexity of the forward direction.
        backward: Perplexity of the backward direction. None for a forward model.
        combined: Perplexity for the mean log-probability of the directions, the training objective of ELMo.
        sentences: Number of sentences.
        predictions: Number of predictions per direction, n + 1 for a sentence of n words.
        num_unknown: Number of words that were scored as `<UNK>`.
    """

    forward: float
    backward: float | None
    combined: float
    sentences: int
    predictions: int
    num_unknown: int


class ElmoScorer:
    """Scorer that combines a language model, its tokenizer, and its output vocabulary.

    Args:
        model: Language model; it is set to evaluation mode.
        tokenizer: Tokenizer of `model`.
        vocabulary: Words that the model predicts.
        max_tokens_per_batch: Maximum number of tokens per batch, padding and boundaries included.

    Raises:
        ValueError: If the vocabulary and the softmax of the model differ in size.
    """

    def __init__(
        self,
        model: ElmoForPreTraining,
        tokenizer: ElmoTokenizer,
        vocabulary: LMVocabulary,
        max_tokens_per_batch: int = 4096,
    ) -> None:
        if len(vocabulary) != model.softmax.vocab_size:
            raise ValueError(f"Expected a vocabulary of {model.softmax.vocab_size} words, got {len(vocabulary)}.")
        self.model, self.tokenizer, self.vocabulary = model.eval(), tokenizer, vocabulary
        self.max_tokens_per_batch = max_tokens_per_batch

    @classmethod
    def from_pretrained(cls, name: str, device: str | None = None, **kwargs: Any) -> "ElmoScorer":
        """Load a language model, its tokenizer, and its `vocab.txt`.

        Args:
            name: Folder or repository of the model.
            device: Device to compute on. Defaults to the CPU.
            kwargs: Further options of `ElmoForPreTraining.from_pretrained`, and `allow_nonfinite` to accept NaN and
                infinite weights.

        Raises:
            OSError: If the model or its vocabulary does not exist.
            ValueError: If it is no ELMo language model, or weights are missing, unexpected, or not finite.
        """
        from transformers.utils import cached_file

        model = load_pretrained(ElmoForPreTraining, name, **kwargs)
        hub = {key: kwargs[key] for key in HUB_OPTIONS & kwargs.keys()}
        tokenizer = ElmoTokenizer.from_pretrained(name, **hub)
        vocabulary = LMVocabulary.read(str(cached_file(name, "vocab.txt", **hub)))
        return cls(model.to(check_device(device)) if device else model, tokenizer, vocabulary)

    def _split(self, sentences: Sequence[Sentence]) -> list[list[str]]:
        """Return the words of each sentence. The tokenizer splits strings."""
        if isinstance(sentences, str):
            raise TypeError("Expected a list of sentences, got one string.")
        words = []
        for sentence in sentences:
            if isinstance(sentence, str):
                words.append(self.tokenizer.tokenize(sentence))
            else:
                words.append([str(word) for word in sentence])
        return words

    def _inputs(self, sentences: list[list[str]]) -> dict[str, Tensor]:
        encoded = self.tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
        labels = torch.full(encoded["attention_mask"].shape, IGNORE_INDEX)
        for row, sentence in zip(labels, sentences, strict=True):
            row[: len(sentence)] = torch.from_numpy(self.vocabulary.encode(sentence))
        inputs = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"], "labels": labels}
        return {name: tensor.to(self.model.device) for name, tensor in inputs.items()}

    def score(
        self, sentences: Sequence[Sentence], carry_states: bool = False, batch_size: int = 32
    ) -> list[SentenceScore]:
        """Compute the log-probabilities of each sentence, in the given order.

        Args:
            sentences: Strings, or lists of words.
            carry_states: Whether to score the sentences as contiguous text. See the module docstring.
            batch_size: Number of parts of the contiguous text that are read in parallel.
        """
        words = self._split(sentences)
        results: list[SentenceScore | None] = [None] * len(words)
        batches = self._contiguous_batches(words, batch_size) if carry_states else self._batches(words)
        states = None
        with torch.inference_mode():
            for indices, is_scored in batches:
                batch = [words[index] for index in indices]
                output = self.model(**self._inputs(batch), initial_states=states, return_states=carry_states)
                states = output.states
                if is_scored:
                    for index, score in zip(indices, self._to_scores(batch, output), strict=True):
                        results[index] = score
        return [score for score in results if score is not None]

    def _batches(self, words: list[list[str]]) -> Iterator[tuple[list[int], bool]]:
        """Yield indices of sentences of similar length, within the limit of tokens per batch."""
        batch: list[int] = []
        for index in sorted(range(len(words)), key=lambda index: -len(words[index])):
            if batch and (len(words[batch[0]]) + 2) * (len(batch) + 1) > self.max_tokens_per_batch:
                yield batch, True
                batch = []
            batch.append(index)
        if batch:
            yield batch, True

    def _contiguous_batches(self, words: list[list[str]], batch_size: int) -> Iterator[tuple[list[int], bool]]:
        """Yield sentence t of every part of the text, for increasing t, longer parts first, after warm-up batches."""
        if not words:
            return
        length = -(-len(words) // max(1, min(batch_size, len(words))))
        parts = [range(start, min(start + length, len(words))) for start in range(0, len(words), length)]
        for step in range(min(_NUM_WARMUP_SENTENCES, length)):
            yield [part[min(step, len(part) - 1)] for part in parts], False
        for step in range(length):
            yield [part[step] for part in parts if step < len(part)], True

    def _to_scores(self, batch: list[list[str]], output: Any) -> Iterator[SentenceScore]:
        forward = output.forward_log_probs.tolist()
        backward = None if output.backward_log_probs is None else output.backward_log_probs.tolist()
        ends = None if output.boundary_log_probs is None else output.boundary_log_probs.tolist()
        for row, words in enumerate(batch):
            n = len(words)
            yield SentenceScore(
                words=words,
                is_unknown=[word not in self.vocabulary.ids for word in words],
                forward=forward[row][:n] + ([ends[row][0]] if ends else []),
                backward=None if backward is None else ([ends[row][1]] if ends else []) + backward[row][:n],
            )

    def perplexity(self, sentences: Sequence[Sentence], carry_states: bool = False, batch_size: int = 32) -> Perplexity:
        """Compute the perplexity of a text. See `score` for the arguments."""
        return perplexity_from_scores(self.score(sentences, carry_states, batch_size))

    def substitutes(
        self, sentence: Sentence, position: int, k: int = 10, context: str = "both"
    ) -> list[tuple[str, float]]:
        """Predict the most probable words at one position of a sentence.

        Args:
            sentence: String, or list of words. The word at `position` has no influence.
            position: Index of the word. Negative indices count from the end.
            k: Maximum number of words to return.
            context: `"both"`, `"left"`, or `"right"`.

        Returns:
            Words and log-probabilities, in decreasing order. For both contexts, the probabilities of the directions are
            multiplied and normalized.

        Raises:
            ValueError: If `position` is out of range, or the model does not support `context`.
        """
        words = self._split([sentence])[0]
        if not -len(words) <= position < len(words):
            raise ValueError(f"Expected `position` within the {len(words)} words of the sentence, got {position}.")
        if context not in ("both", "left", "right"):
            raise ValueError(f"Expected `context` to be one of 'both', 'left', 'right', got {context!r}.")
        if context != "left" and not self.model.config.bidirectional:
            raise ValueError(f"Expected `context` to be 'left' for a forward model, got {context!r}.")
        inputs = self._inputs([words])
        del inputs["labels"]
        with torch.inference_mode():
            vectors = self.model(**inputs, return_prediction_states=True).prediction_states[0, position]
            states = vectors.view(self.model.config.num_directions, -1)
            directions = {"both": slice(None), "left": slice(0, 1), "right": slice(1, 2)}[context]
            log_probs = torch.log_softmax(self.model.softmax.log_probs(states[directions]).sum(0), dim=0)
            special_ids = [self.vocabulary.bos_id, self.vocabulary.eos_id, self.vocabulary.unk_id]
            log_probs[special_ids] = float("-inf")
            best = log_probs.topk(min(k, len(self.vocabulary) - len(special_ids)))
        return [
            (self.vocabulary.words[index], value)
            for index, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]


def perplexity_from_scores(scores: Sequence[SentenceScore]) -> Perplexity:
    """Compute the perplexity of scored sentences.

    Raises:
        ValueError: If there are no sentences, or the mean log-probability is NaN or too low for a finite perplexity.
    """
    predictions = sum(len(score.forward) for score in scores)
    if not predictions:
        raise ValueError("Cannot compute a perplexity: the text contains no sentences.")
    means = [-math.fsum(value for score in scores for value in score.forward) / predictions]
    if scores[0].backward is not None:
        means.append(-math.fsum(value for score in scores for value in score.backward or ()) / predictions)
    for mean in means:
        if not mean < _MAX_MEAN:  # also if it is NaN
            raise ValueError(f"Cannot compute a perplexity: the mean log-probability of the text is {-mean:.4g}.")
    perplexities = [math.exp(mean) for mean in means]
    return Perplexity(
        forward=perplexities[0],
        backward=perplexities[1] if len(perplexities) > 1 else None,
        combined=math.exp(sum(means) / len(means)),
        sentences=len(scores),
        predictions=predictions,
        num_unknown=sum(sum(score.is_unknown) for score in scores),
    )


__all__ = ["ElmoScorer", "Perplexity", "SentenceScore", "perplexity_from_scores"]
