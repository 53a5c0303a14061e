# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""How probable words are to a biLM: log-probabilities in both directions, perplexity, substitutes.

Each sentence is read from `<S>` with the state that the model starts every sentence from, so that its score depends on
nothing else. A model that was trained on running text with carried states (the released ones were) knows no such start:
its first words come out too improbable. Score running text with `carry_states=True` then: sentences follow one another
in their order, and what is read to warm up is not counted.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .model.modeling_elmo import ElmoForPreTraining
from .model.softmax_elmo import IGNORED
from .model.tokenization_elmo import ElmoTokenizer
from .vocabulary import LmVocabulary

_WARM_UP = 3  # sentences that each row reads before its first one counts


@dataclass(frozen=True)
class SentenceScore:
    """Natural logarithms of probabilities for a sentence of n words.

    Attributes:
        words: the n words.
        unknown: whether each word stands outside the vocabulary and was scored as `<UNK>`.
        forward: log p(word | words before), n + 1 numbers, `</S>` last; None for a backward model alone.
        backward: log p(word | words after), n + 1 numbers, `<S>` *first*; None where the model has one direction.
    """

    words: list[str]
    unknown: list[bool]
    forward: list[float]
    backward: list[float] | None

    @property
    def log_prob(self) -> float:
        """Mean of the directions' log-probabilities of the whole sentence, its end included."""
        sums = [math.fsum(scores) for scores in (self.forward, self.backward) if scores is not None]
        return math.fsum(sums) / len(sums)


@dataclass(frozen=True)
class Perplexity:
    """`exp` of the mean negative log-probability over all words and sentence ends.

    Attributes:
        forward, backward: each direction's.
        both: of the mean of both, what ELMo is trained on.
        sentences, predictions: how many there were; a sentence of n words is n + 1 predictions in each direction.
        unknown: words scored as `<UNK>`.
    """

    forward: float
    backward: float | None
    both: float
    sentences: int
    predictions: int
    unknown: int


class ElmoScorer:
    """A language model, its tokenizer and its vocabulary.

    Args:
        model: in evaluation mode from here on.
        tokenizer: how raw sentences become words.
        vocabulary: the words that the model predicts.
        max_tokens_per_batch: words computed at once, padding and boundaries counted.
    """

    def __init__(
        self,
        model: ElmoForPreTraining,
        tokenizer: ElmoTokenizer,
        vocabulary: LmVocabulary,
        max_tokens_per_batch: int = 4096,
    ) -> None:
        if len(vocabulary) != model.softmax.words:
            raise ValueError(
                f"the vocabulary must have the model's {model.softmax.words} words; got {len(vocabulary)}."
            )
        self.model, self.tokenizer, self.vocabulary = model.eval(), tokenizer, vocabulary
        self.max_tokens_per_batch = max_tokens_per_batch

    @classmethod
    def from_pretrained(cls, name: str, device: str | None = None, **kwargs: Any) -> "ElmoScorer":
        """From a model folder or repository that has `vocab.txt`; `kwargs` as for `from_pretrained` of the model."""
        from transformers.utils import cached_file

        model = ElmoForPreTraining.from_pretrained(name, **kwargs)
        hub = {key: kwargs[key] for key in ("revision", "cache_dir", "token", "local_files_only") if key in kwargs}
        tokenizer = ElmoTokenizer.from_pretrained(name, **hub)
        vocabulary = LmVocabulary.read(str(cached_file(name, "vocab.txt", **hub)))
        return cls(model.to(device) if device else model, tokenizer, vocabulary)

    def _words(self, sentences: Sequence[str] | Sequence[Sequence[str]]) -> list[list[str]]:
        """Words of each sentence; raw text is split as the tokenizer does."""
        if isinstance(sentences, str):
            raise TypeError("sentences must be a list of sentences; got one string.")
        words = []
        for sentence in sentences:
            if isinstance(sentence, str):
                spans = self.tokenizer(sentence, return_offsets_mapping=True)["offset_mapping"]
                words.append([sentence[start:end] for start, end in spans])
            else:
                words.append([str(word) for word in sentence])
        return words

    def _inputs(self, sentences: list[list[str]]) -> dict[str, Tensor]:
        encoded = self.tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
        labels = torch.full(encoded["attention_mask"].shape, IGNORED)
        for row, sentence in zip(labels, sentences, strict=True):
            row[: len(sentence)] = torch.from_numpy(self.vocabulary.encode(sentence))
        inputs = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"], "labels": labels}
        return {name: tensor.to(self.model.device) for name, tensor in inputs.items()}

    def score(
        self, sentences: Sequence[str] | Sequence[Sequence[str]], carry_states: bool = False, rows: int = 32
    ) -> list[SentenceScore]:
        """Log-probabilities of each sentence, in the order given.

        Args:
            sentences: strings, or lists of words.
            carry_states: read them as running text, see the module.
            rows: parts of the running text that are read side by side.
        """
        words = self._words(sentences)
        results: list[SentenceScore | None] = [None] * len(words)
        groups = self._running(words, rows) if carry_states else self._batches(words)
        states = None
        with torch.inference_mode():
            for indices, counted in groups:
                batch = [words[index] for index in indices]
                output = self.model(**self._inputs(batch), initial_states=states, return_states=carry_states)
                states = output.states
                if counted:
                    for index, score in zip(indices, self._results(batch, output), strict=True):
                        results[index] = score
        return [score for score in results if score is not None]

    def _batches(self, words: list[list[str]]) -> Iterator[tuple[list[int], bool]]:
        """Indices of sentences of about one length, up to the budget."""
        batch: list[int] = []
        for index in sorted(range(len(words)), key=lambda index: -len(words[index])):
            if batch and (len(words[batch[0]]) + 2) * (len(batch) + 1) > self.max_tokens_per_batch:
                yield batch, True
                batch = []
            batch.append(index)
        if batch:
            yield batch, True

    def _running(self, words: list[list[str]], rows: int) -> Iterator[tuple[list[int], bool]]:
        """Sentence t of every part of the text, t after t, the longer parts first; a few of them first to warm up."""
        if not words:
            return
        length = -(-len(words) // max(1, min(rows, len(words))))
        parts = [range(start, min(start + length, len(words))) for start in range(0, len(words), length)]
        for step in range(min(_WARM_UP, length)):
            yield [part[min(step, len(part) - 1)] for part in parts], False
        for step in range(length):
            yield [part[step] for part in parts if step < len(part)], True

    def _results(self, batch: list[list[str]], output: Any) -> Iterator[SentenceScore]:
        forward = output.forward_log_probs.tolist()
        backward = None if output.backward_log_probs is None else output.backward_log_probs.tolist()
        ends = None if output.boundary_log_probs is None else output.boundary_log_probs.tolist()
        for row, words in enumerate(batch):
            n = len(words)
            yield SentenceScore(
                words=words,
                unknown=[word not in self.vocabulary.ids for word in words],
                forward=forward[row][:n] + ([ends[row][0]] if ends else []),
                backward=None if backward is None else ([ends[row][1]] if ends else []) + backward[row][:n],
            )

    def perplexity(
        self, sentences: Sequence[str] | Sequence[Sequence[str]], carry_states: bool = False, rows: int = 32
    ) -> Perplexity:
        """The perplexity of a text, every word and sentence end counted once in each direction."""
        return perplexity_from_scores(self.score(sentences, carry_states, rows))

    def substitutes(
        self, sentence: str | Sequence[str], position: int, k: int = 10, context: str = "both"
    ) -> list[tuple[str, float]]:
        """The words that fit best in the place of one.

        Args:
            sentence: text or words; the word at `position` itself has no influence.
            position: index of the word, from 0; negative from the end.
            k: how many.
            context: `"both"`, or `"left"` or `"right"` alone.

        Returns:
            words and log-probabilities, best first. For both contexts the directions' probabilities are multiplied
            and normalised.
        """
        words = self._words([sentence])[0]
        if not -len(words) <= position < len(words):
            raise ValueError(f"position must be one of the sentence's {len(words)} words; got {position}.")
        if context not in ("both", "left", "right"):
            raise ValueError(f"context must be 'both', 'left' or 'right'; got {context!r}.")
        if context != "left" and not self.model.config.bidirectional:
            raise ValueError(f"a model of one direction sees the left context only; got context {context!r}.")
        inputs = self._inputs([words])
        del inputs["labels"]
        with torch.inference_mode():
            vectors = self.model(**inputs, return_prediction_states=True).prediction_states[0, position]
            parts = vectors.view(self.model.config.num_directions, -1)
            chosen = {"both": slice(None), "left": slice(0, 1), "right": slice(1, 2)}[context]
            log_probs = torch.log_softmax(self.model.softmax.log_probs(parts[chosen]).sum(0), dim=0)
            marks = [self.vocabulary.bos, self.vocabulary.eos, self.vocabulary.unknown]
            log_probs[marks] = float("-inf")
            best = log_probs.topk(min(k, len(self.vocabulary) - len(marks)))
        return [
            (self.vocabulary.words[index], value)
            for index, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]


def perplexity_from_scores(scores: Sequence[SentenceScore]) -> Perplexity:
    """Of sentences that are scored already; ValueError if there are none."""
    predictions = sum(len(score.forward) for score in scores)
    if not predictions:
        raise ValueError("a perplexity must be that of a sentence at least; got none.")
    means = [-math.fsum(value for score in scores for value in score.forward) / predictions]
    if scores[0].backward is not None:
        means.append(-math.fsum(value for score in scores for value in score.backward or ()) / predictions)
    each = [math.exp(mean) for mean in means]
    return Perplexity(
        forward=each[0],
        backward=each[1] if len(each) > 1 else None,
        both=math.exp(sum(means) / len(means)),
        sentences=len(scores),
        predictions=predictions,
        unknown=sum(sum(score.unknown) for score in scores),
    )


__all__ = ["ElmoScorer", "Perplexity", "SentenceScore", "perplexity_from_scores"]
