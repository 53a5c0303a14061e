# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The probes: what a classifier that is linear, or only compares, finds in vectors that are given.

Nothing is tuned on what is tested. Seeds choose what there is to choose: the sentences that a linear probe learns from,
the pairs that set a threshold, the occurrences that are compared.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

LINEAR_PROBE = {"C": 0.01, "max_iter": 100, "solver": "lbfgs"}
SHARE = 0.8  # of the training items, for each seed


def chosen(items: int, seed: int) -> np.ndarray:
    """True for the share of the items that a seed learns from; bool [items]."""
    order = np.random.default_rng(seed).permutation(items)
    result = np.zeros(items, dtype=bool)
    result[order[: max(1, round(SHARE * items))]] = True
    return result


def standardise(train: np.ndarray, test: np.ndarray) -> None:
    """Scale both, in place, by the mean and the standard deviation of each number over the training vectors."""
    mean = train.mean(axis=0)
    deviation = np.maximum(train.std(axis=0), 1e-6)
    for vectors in (train, test):
        vectors -= mean
        vectors /= deviation


def linear_probe(train: np.ndarray, tags: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Tags of the test vectors by multinomial logistic regression with an L2 penalty.

    A convex problem: neither order nor initialisation matter, and the same number of steps from zero is the same
    early stop for every layer.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    probe: Any = LogisticRegression(**LINEAR_PROBE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is part of the protocol
        probe.fit(train, tags)
    return probe.predict(test)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows; 0 where one is zero."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / np.maximum(norms, 1e-12)


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """The threshold t for which `scores >= t` agrees with the labels most often; the lowest of equal ones."""
    order = np.argsort(scores, kind="stable")
    values, is_same = scores[order], labels[order].astype(int)
    # With the threshold before place k: the pairs above are called the same, those below different.
    right = np.concatenate([[0], np.cumsum(1 - is_same)]) + is_same.sum() - np.concatenate([[0], np.cumsum(is_same)])
    is_possible = np.concatenate([[True], values[1:] > values[:-1], [True]])  # not between equal scores
    place = int(np.argmax(np.where(is_possible, right, -1)))
    if place == len(values):
        return float(np.inf)
    return float(values[place]) if place == 0 else float((values[place - 1] + values[place]) / 2)


def nearest_sense(train: np.ndarray, senses: Sequence[str], test: np.ndarray) -> list[str]:
    """The sense of the training occurrence with the highest cosine, for each test vector."""
    unit = train / np.maximum(np.linalg.norm(train, axis=1, keepdims=True), 1e-12)
    return [senses[place] for place in np.argmax(test @ unit.T, axis=1)]
