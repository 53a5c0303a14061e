# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What is measured, and what needs no model: accuracies, entity F1, and the baselines that see no context."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from readers import Tagged

Entity = tuple[int, int, str]


def percent(hits: Sequence[bool]) -> float:
    """The share of True, in percent; ValueError if there is nothing to count."""
    if not len(hits):
        raise ValueError("an accuracy must be that of one item at least; got none.")
    return 100 * sum(map(bool, hits)) / len(hits)


def entities(tags: Sequence[str]) -> set[Entity]:
    """First word, end (exclusive) and type of each entity in IOB2 tags.

    As CoNLL's evaluation reads them: an `I-` after another type or after `O` begins an entity.
    """
    found: set[Entity] = set()
    start, kind = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, new = tag.partition("-")
        if kind and (prefix != "I" or new != kind):
            found.add((start, place, kind))
            kind = ""
        if new and not kind:
            start, kind = place, new
    return found


def entity_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """F1 in percent over the entities of all sentences, exact in words and type; 0 if none is right."""
    right = wanted = given = 0
    for one, other in zip(gold, predicted, strict=True):
        expected, found = entities(one), entities(other)
        right, wanted, given = right + len(expected & found), wanted + len(expected), given + len(found)
    return 200 * right / (wanted + given) if right else 0.0


def is_ambiguous(sentences: Sequence[Tagged], tags_of: Mapping[str, frozenset[str]]) -> list[bool]:
    """For every word of every sentence: is it one of the ambiguous words, with a tag that is listed for it?"""
    return [
        tag in tags_of.get(word.lower(), ())
        for sentence in sentences
        for word, tag in zip(sentence.words, sentence.tags, strict=True)
    ]


def most_frequent_tag(train: Sequence[Tagged], test: Sequence[Tagged], unseen: Callable[[str], str]) -> list[list[str]]:
    """The tag that each word (in lower case) has most often in the training sentences; of equal ones the first seen."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sentence in train:
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            counts[word.lower()][tag] += 1
    best = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    return [[best.get(word.lower()) or unseen(word) for word in sentence.words] for sentence in test]


def flat(tags: Sequence[Sequence[str]]) -> list[str]:
    """The tags of all sentences in one list."""
    return list(chain.from_iterable(tags))
