# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Perplexity of an interpolated modified Kneser-Ney 3-gram, the baseline of the bundled English model.

    python benchmarks/kneser_ney.py VOCABULARY TRAIN VALID [--output docs/kneser_ney.json]

TRAIN and VALID are files or folders of text as `elmo train` reads it, VOCABULARY a `vocab.txt` or a model folder.
What is predicted is what `elmo perplexity` predicts: the words of each sentence and its end, sentence by sentence; a
word outside the vocabulary is the one event `<UNK>`, in training as in scoring. The backward figure is that of a
second 3-gram, counted on reversed text, which ends each sentence with `<S>`. So every figure compares with the same
one of `elmo perplexity`.

The estimate is that of Chen & Goodman (1998), "An Empirical Study of Smoothing Techniques for Language Modeling",
section 3: three discounts an order, taken from the counts of counts; continuation counts below the highest order
(counts as they are for what follows the start of a sentence, where nothing stands further left); all orders
interpolated, the lowest with the uniform distribution over the vocabulary without the start mark.
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
from machine import stamp

from modeling_elmo.scorer import Perplexity, SentenceScore, perplexity_from_scores
from modeling_elmo.training.text import Sentence, read_documents, text_files
from modeling_elmo.vocabulary import LmVocabulary

# For counts of counts that give no discount between 0 and the count itself, as in a vocabulary of frequent words only;
# the constants of KenLM's `--discount_fallback`.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
ID_BITS = 21  # three ids in one int64


def discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken from counts of 0, 1, 2, and 3 or more; float64 [4], the first one 0."""
    n1, n2, n3, n4 = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if min(n1, n2, n3) == 0:
        return np.array([0.0, *FALLBACK_DISCOUNTS])
    y = n1 / (n1 + 2 * n2)
    found = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    is_usable = all(0 < discount <= count for count, discount in enumerate(found, start=1))
    return np.array([0.0, *(found if is_usable else FALLBACK_DISCOUNTS)])


def find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted key stands in the sorted keys, and whether it does."""
    places = np.searchsorted(keys, wanted)
    places[places == len(keys)] = 0
    return places, keys[places] == wanted


class Order:
    """The discounted counts of one order above the first.

    Args:
        keys: n-grams, sorted; the last word in the lowest bits.
        counts: of each.
    """

    def __init__(self, keys: np.ndarray, counts: np.ndarray) -> None:
        taken = discounts(counts)[np.minimum(counts, 3)]
        self.keys = keys
        self.contexts, starts = np.unique(keys >> ID_BITS, return_index=True)
        totals = np.add.reduceat(counts, starts)
        self.weights = np.add.reduceat(taken, starts) / totals  # of the lower order
        self.kept = (counts - taken) / np.repeat(totals, np.diff(starts, append=len(keys)))

    def probabilities(self, contexts: np.ndarray, words: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """p(word | context), given p(word | shorter context); an unseen context leaves that as it is."""
        if not len(self.keys):
            return lower
        places, is_known = find(self.contexts, contexts)
        weights = np.where(is_known, self.weights[places], 1.0)
        places, is_known = find(self.keys, contexts << ID_BITS | words)
        return np.where(is_known, self.kept[places], 0.0) + weights * lower


class KneserNey:
    """A 3-gram of one direction.

    Args:
        stream: ids of sentences, each between its start and end marks; integers [n].
        words: size of the vocabulary, V.
        start: never predicted.
    """

    def __init__(self, stream: np.ndarray, words: int, start: int) -> None:
        if words > 1 << ID_BITS:
            raise ValueError(f"the vocabulary must have at most {1 << ID_BITS} words; got {words}.")
        if not len(stream):
            raise ValueError("training text must have at least one sentence; got none.")
        self.start = start
        two, three = _ngrams(stream, start)
        keys, counts = np.unique(three, return_counts=True)
        del three
        self.trigrams = Order(keys, counts)
        # A pair counts once for every word that stood before it; a sentence's first word as often as it occurs.
        pairs = np.concatenate([keys & ((1 << 2 * ID_BITS) - 1), two[two >> ID_BITS == start]])
        del keys, counts, two
        keys, counts = np.unique(pairs, return_counts=True)
        self.bigrams = Order(keys, counts)
        continuations = np.bincount(keys & ((1 << ID_BITS) - 1), minlength=words)
        taken = discounts(continuations)[np.minimum(continuations, 3)]
        uniform = np.full(words, 1 / (words - 1))
        uniform[start] = 0.0
        self.unigrams = (continuations - taken + taken.sum() * uniform) / continuations.sum()

    def log_probabilities(self, stream: np.ndarray) -> np.ndarray:
        """Natural logarithms for all of a stream but its start marks, in their order; float64."""
        stream = stream.astype(np.int64)
        places = np.flatnonzero(stream != self.start)
        words, before = stream[places], stream[places - 1]
        result = self.bigrams.probabilities(before, words, self.unigrams[words])
        later = np.flatnonzero(before != self.start)
        contexts = stream[places[later] - 2] << ID_BITS | before[later]
        result[later] = self.trigrams.probabilities(contexts, words[later], result[later])
        return np.log(result)


def _ngrams(stream: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Every 2-gram and 3-gram that ends in a predicted word and stays within its sentence."""
    two = stream[:-1].astype(np.int64) << ID_BITS | stream[1:]
    three = stream[:-2].astype(np.int64) << 2 * ID_BITS | two[1:]
    is_first = stream == start
    return two[~is_first[1:]], three[~(is_first[2:] | is_first[1:-1])]


def id_stream(sentences: Iterable[Sentence], vocabulary: LmVocabulary) -> np.ndarray:
    """`<S> w1 ... wn </S> <S> ...`, int32 [n]; reversed, it is the stream of the other direction."""
    ids = array("i")
    for sentence in sentences:
        ids.append(vocabulary.bos)
        ids.extend(vocabulary.ids.get(word, vocabulary.unknown) for word in sentence)
        ids.append(vocabulary.eos)
    return np.frombuffer(ids, dtype=np.int32)


def read_sentences(path: Path) -> Iterable[Sentence]:
    """All sentences of one file."""
    return (sentence for document in read_documents(path) for sentence in document)


class KneserNeyScorer:
    """Both directions, with results as `ElmoScorer` gives them."""

    def __init__(self, stream: np.ndarray, vocabulary: LmVocabulary) -> None:
        self.vocabulary = vocabulary
        self.forward = KneserNey(stream, len(vocabulary), vocabulary.bos)
        self.backward = KneserNey(stream[::-1], len(vocabulary), vocabulary.eos)

    def score(self, sentences: Sequence[Sentence]) -> list[SentenceScore]:
        """Log-probabilities of each sentence, n + 1 in each direction."""
        if not sentences:
            return []
        stream = id_stream(sentences, self.vocabulary)
        ends = np.cumsum([len(sentence) + 1 for sentence in sentences])[:-1]
        forward = np.split(self.forward.log_probabilities(stream), ends)
        backward = np.split(self.backward.log_probabilities(stream[::-1])[::-1], ends)
        return [
            SentenceScore(
                words=list(sentence),
                unknown=[word not in self.vocabulary.ids for word in sentence],
                forward=one.tolist(),
                backward=other.tolist(),
            )
            for sentence, one, other in zip(sentences, forward, backward, strict=True)
        ]


def main() -> None:
    """Count, score, and print or write one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vocabulary", type=Path, help="vocab.txt, or a model folder that has it")
    parser.add_argument("train", type=Path, help="text to count")
    parser.add_argument("valid", type=Path, help="text to score; each of its files is a source")
    parser.add_argument("--output", type=Path, help="JSON file (default: print)")
    arguments = parser.parse_args()
    if arguments.output and not arguments.output.parent.is_dir():
        parser.error(f"the folder of --output must exist; got {arguments.output}.")

    begin = time.perf_counter()
    vocabulary = LmVocabulary.read(arguments.vocabulary)
    train, valid = text_files([arguments.train]), text_files([arguments.valid])
    stream = id_stream((sentence for path in train for sentence in read_sentences(path)), vocabulary)
    scorer = KneserNeyScorer(stream, vocabulary)
    scores = {path.name.split(".")[0]: scorer.score(list(read_sentences(path))) for path in valid}
    results: dict[str, Perplexity] = {source: perplexity_from_scores(each) for source, each in scores.items()}
    results["all"] = perplexity_from_scores([score for each in scores.values() for score in each])
    report = {
        **stamp(),
        "command": "python benchmarks/kneser_ney.py VOCABULARY TRAIN VALID",  # where they lay is of no use to others
        "numpy": np.__version__,
        "model": "interpolated modified Kneser-Ney 3-gram",
        "vocabulary": len(vocabulary),
        "train": {
            "sentences": int((stream == vocabulary.bos).sum()),
            "words": int((stream != vocabulary.bos).sum() - (stream == vocabulary.eos).sum()),
            "unknown": int((stream == vocabulary.unknown).sum()),
            "bigrams": len(scorer.forward.bigrams.keys),
            "trigrams": len(scorer.forward.trigrams.keys),
        },
        "seconds": round(time.perf_counter() - begin),
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
