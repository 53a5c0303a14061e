# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Metrics (accuracy, entity F1) and the baseline without context."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from readers import TaggedSentence

Entity = tuple[int, int, str]


def percent(hits: Sequence[bool]) -> float:
    """Return the share of True, in percent.

    Raises:
        ValueError: If there are no items.
    """
    if not len(hits):
        raise ValueError("Expected at least one item for an accuracy, got none.")
    return 100 * sum(map(bool, hits)) / len(hits)


def entities(tags: Sequence[str]) -> set[Entity]:
    """Return first word, end (exclusive), and type of each entity in IOB2 tags.

    As in the CoNLL evaluation, an `I-` after another type or after `O` begins an entity.
    """
    result: set[Entity] = set()
    start, entity_type = 0, ""
    for index, tag in enumerate([*tags, "O"]):
        prefix, _, tag_type = tag.partition("-")
        if entity_type and (prefix != "I" or tag_type != entity_type):
            result.add((start, index, entity_type))
            entity_type = ""
        if tag_type and not entity_type:
            start, entity_type = index, tag_type
    return result


def entity_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Return F1 in percent over the entities of all sentences. An entity is correct if its words and its type are."""
    num_correct = num_gold = num_predicted = 0
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        gold_entities, predicted_entities = entities(gold_tags), entities(predicted_tags)
        num_correct += len(gold_entities & predicted_entities)
        num_gold += len(gold_entities)
        num_predicted += len(predicted_entities)
    return 200 * num_correct / (num_gold + num_predicted) if num_correct else 0.0


def is_ambiguous(sentences: Sequence[TaggedSentence], tags_of: Mapping[str, frozenset[str]]) -> list[bool]:
    """Return, for every word of every sentence, whether it is an ambiguous word with one of its listed tags."""
    return [
        tag in tags_of.get(word.lower(), ())
        for sentence in sentences
        for word, tag in zip(sentence.words, sentence.tags, strict=True)
    ]


def most_frequent_tag(
    train: Sequence[TaggedSentence], test: Sequence[TaggedSentence], unseen: Callable[[str], str]
) -> list[list[str]]:
    """Return the most frequent training tag of each lowercased word; ties are resolved by first occurrence."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sentence in train:
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            counts[word.lower()][tag] += 1
    best = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    return [[best.get(word.lower()) or unseen(word) for word in sentence.words] for sentence in test]


def flatten(tags: Sequence[Sequence[str]]) -> list[str]:
    """Return the tags of all sentences in one list."""
    return list(chain.from_iterable(tags))
