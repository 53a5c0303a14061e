# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Perplexity of an interpolated modified Kneser-Ney trigram model, the baseline of the bundled English model.

    python benchmarks/kneser_ney.py VOCABULARY TRAIN VALID [--output docs/kneser_ney.json]

TRAIN and VALID are files or folders of text as `elmo train` reads it, VOCABULARY is a `vocab.txt` or a model folder.
The figures are comparable with those of `elmo perplexity`, because both predict the words of each sentence and its end.
Words outside the vocabulary are replaced by `<UNK>` in training and scoring. The backward figure is that of a second
trigram model of reversed text, which ends each sentence with `<S>`.

Reference: Chen & Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling", section 3. Each
order has three discounts, estimated from the counts of counts. Orders below the highest use continuation counts, except
after the start of a sentence, which has no left context. All orders are interpolated, the lowest one with the uniform
distribution over the vocabulary without the start token.
"""

import argparse
import json
import resource
import time
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from machine import environment_info

from modeling_elmo.scorer import Perplexity, SentenceScore, perplexity_from_scores
from modeling_elmo.training.text import Sentence, read_documents, text_files
from modeling_elmo.vocabulary import LMVocabulary

# Used if the counts of counts yield no discount between 0 and the count itself, for example in a vocabulary of frequent
# words only. The values are those of KenLM's `--discount_fallback`.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
ID_BITS = 21  # three ids in one int64


def estimate_discounts(counts: np.ndarray) -> np.ndarray:
    """Return the discounts of the counts 0, 1, 2, and at least 3; float64 [4], the first is 0."""
    n1, n2, n3, n4 = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if min(n1, n2, n3) == 0:
        return np.array([0.0, *FALLBACK_DISCOUNTS])
    y = n1 / (n1 + 2 * n2)
    discounts = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    is_usable = all(0 < discount <= count for count, discount in enumerate(discounts, start=1))
    return np.array([0.0, *(discounts if is_usable else FALLBACK_DISCOUNTS)])


def find_keys(keys: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of each query in the sorted keys, and whether it is one of them."""
    indices = np.searchsorted(keys, queries)
    indices[indices == len(keys)] = 0
    return indices, keys[indices] == queries


class NGramOrder:
    """Discounted counts of an order above the first.

    Args:
        keys: Sorted n-grams, with the last word in the lowest bits.
        counts: Count of each n-gram.
    """

    def __init__(self, keys: np.ndarray, counts: np.ndarray) -> None:
        subtracted = estimate_discounts(counts)[np.minimum(counts, 3)]
        self.keys = keys
        self.contexts, starts = np.unique(keys >> ID_BITS, return_index=True)
        totals = np.add.reduceat(counts, starts)
        self.weights = np.add.reduceat(subtracted, starts) / totals  # interpolation weights of the lower order
        self.discounted = (counts - subtracted) / np.repeat(totals, np.diff(starts, append=len(keys)))

    def probabilities(self, contexts: np.ndarray, words: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """Return p(word | context), given p(word | shorter context), which an unseen context leaves unchanged."""
        if not len(self.keys):
            return lower
        indices, is_known = find_keys(self.contexts, contexts)
        weights = np.where(is_known, self.weights[indices], 1.0)
        indices, is_known = find_keys(self.keys, contexts << ID_BITS | words)
        return np.where(is_known, self.discounted[indices], 0.0) + weights * lower


class KneserNey:
    """Trigram model of one direction.

    Args:
        stream: Ids of all sentences, each between its start and end token; integers [n].
        vocab_size: Size of the vocabulary.
        start_id: Id of the start token, which is never predicted.

    Raises:
        ValueError: If the vocabulary is too large, or there is no sentence.
    """

    def __init__(self, stream: np.ndarray, vocab_size: int, start_id: int) -> None:
        if vocab_size > 1 << ID_BITS:
            raise ValueError(f"Expected a vocabulary of at most {1 << ID_BITS} words, got {vocab_size}.")
        if not len(stream):
            raise ValueError("Expected at least one sentence of training text, got none.")
        self.start_id = start_id
        two, three = _ngrams(stream, start_id)
        keys, counts = np.unique(three, return_counts=True)
        del three
        self.trigrams = NGramOrder(keys, counts)
        # The continuation count of a bigram is the number of distinct words before it. Bigrams at the start of a
        # sentence keep their counts.
        pairs = np.concatenate([keys & ((1 << 2 * ID_BITS) - 1), two[two >> ID_BITS == start_id]])
        del keys, counts, two
        keys, counts = np.unique(pairs, return_counts=True)
        self.bigrams = NGramOrder(keys, counts)
        continuations = np.bincount(keys & ((1 << ID_BITS) - 1), minlength=vocab_size)
        subtracted = estimate_discounts(continuations)[np.minimum(continuations, 3)]
        uniform = np.full(vocab_size, 1 / (vocab_size - 1))
        uniform[start_id] = 0.0
        self.unigrams = (continuations - subtracted + subtracted.sum() * uniform) / continuations.sum()

    def log_probabilities(self, stream: np.ndarray) -> np.ndarray:
        """Return the natural log-probabilities of all tokens of a stream except the start tokens, in order; float64."""
        stream = stream.astype(np.int64)
        positions = np.flatnonzero(stream != self.start_id)
        words, before = stream[positions], stream[positions - 1]
        result = self.bigrams.probabilities(before, words, self.unigrams[words])
        later = np.flatnonzero(before != self.start_id)
        contexts = stream[positions[later] - 2] << ID_BITS | before[later]
        result[later] = self.trigrams.probabilities(contexts, words[later], result[later])
        return np.log(result)


def _ngrams(stream: np.ndarray, start_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all bigrams and trigrams that end in a predicted token and lie within a sentence."""
    two = stream[:-1].astype(np.int64) << ID_BITS | stream[1:]
    three = stream[:-2].astype(np.int64) << 2 * ID_BITS | two[1:]
    is_first = stream == start_id
    return two[~is_first[1:]], three[~(is_first[2:] | is_first[1:-1])]


def id_stream(sentences: Iterable[Sentence], vocabulary: LMVocabulary) -> np.ndarray:
    """Return `<S> w1 ... wn </S> <S> ...`, int32 [n]. Reversed, it is the stream of the backward model."""
    ids = array("i")
    for sentence in sentences:
        ids.append(vocabulary.bos_id)
        ids.extend(vocabulary.ids.get(word, vocabulary.unk_id) for word in sentence)
        ids.append(vocabulary.eos_id)
    return np.frombuffer(ids, dtype=np.int32)


def read_sentences(path: Path) -> Iterable[Sentence]:
    """All sentences of one file."""
    return (sentence for document in read_documents(path) for sentence in document)


class KneserNeyScorer:
    """Trigram models of both directions, with the results of `ElmoScorer.score`."""

    def __init__(self, stream: np.ndarray, vocabulary: LMVocabulary) -> None:
        self.vocabulary = vocabulary
        self.forward = KneserNey(stream, len(vocabulary), vocabulary.bos_id)
        self.backward = KneserNey(stream[::-1], len(vocabulary), vocabulary.eos_id)

    def score(self, sentences: Sequence[Sentence]) -> list[SentenceScore]:
        """Return the log-probabilities of each sentence of n words, n + 1 per direction."""
        if not sentences:
            return []
        stream = id_stream(sentences, self.vocabulary)
        ends = np.cumsum([len(sentence) + 1 for sentence in sentences])[:-1]
        forward = np.split(self.forward.log_probabilities(stream), ends)
        backward = np.split(self.backward.log_probabilities(stream[::-1])[::-1], ends)
        return [
            SentenceScore(
                words=list(sentence),
                is_unknown=[word not in self.vocabulary.ids for word in sentence],
                forward=one.tolist(),
                backward=other.tolist(),
            )
            for sentence, one, other in zip(sentences, forward, backward, strict=True)
        ]


def main() -> None:
    """Train, score, and print or write one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vocabulary", type=Path, help="vocab.txt, or a model folder that contains it")
    parser.add_argument("train", type=Path, help="training text")
    parser.add_argument("valid", type=Path, help="text to score; each file is a source")
    parser.add_argument("--output", type=Path, help="JSON file (default: print)")
    arguments = parser.parse_args()
    if arguments.output and not arguments.output.parent.is_dir():
        parser.error(f"Expected an existing folder for --output, got {arguments.output}.")

    start_time = time.perf_counter()
    vocabulary = LMVocabulary.read(arguments.vocabulary)
    train, valid = text_files([arguments.train]), text_files([arguments.valid])
    stream = id_stream((sentence for path in train for sentence in read_sentences(path)), vocabulary)
    scorer = KneserNeyScorer(stream, vocabulary)
    scores = {path.name.split(".")[0]: scorer.score(list(read_sentences(path))) for path in valid}
    results: dict[str, Perplexity] = {source: perplexity_from_scores(each) for source, each in scores.items()}
    results["all"] = perplexity_from_scores([score for each in scores.values() for score in each])
    report = {
        **environment_info(),
        "command": "python benchmarks/kneser_ney.py VOCABULARY TRAIN VALID",  # without local paths
        "numpy": np.__version__,
        "model": "interpolated modified Kneser-Ney trigram",
        "vocabulary": len(vocabulary),
        "train": {
            "sentences": int((stream == vocabulary.bos_id).sum()),
            "words": int((stream != vocabulary.bos_id).sum() - (stream == vocabulary.eos_id).sum()),
            "unknown": int((stream == vocabulary.unk_id).sum()),
            "bigrams": len(scorer.forward.bigrams.keys),
            "trigrams": len(scorer.forward.trigrams.keys),
        },
        "seconds": round(time.perf_counter() - start_time),
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "perplexity": {source: asdict(result) for source, result in results.items()},
    }
    text = json.dumps(report, indent=1)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
