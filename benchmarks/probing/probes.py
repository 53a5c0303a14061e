# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Probes: a linear classifier, a cosine threshold, and a nearest neighbor, on fixed vectors.

Nothing is tuned on test data. The seed selects the training data: the sentences of a linear probe, the pairs that set a
threshold, or the occurrences to compare with.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

LINEAR_PROBE = {"C": 0.01, "max_iter": 100, "solver": "lbfgs"}
TRAINING_SHARE = 0.8  # share of the training items per seed


def seed_mask(num_items: int, seed: int) -> np.ndarray:
    """Return a mask of the training items of a seed, bool [items]."""
    order = np.random.default_rng(seed).permutation(num_items)
    mask = np.zeros(num_items, dtype=bool)
    mask[order[: max(1, round(TRAINING_SHARE * num_items))]] = True
    return mask


def standardize(train: np.ndarray, test: np.ndarray) -> None:
    """Standardize both in place by the mean and standard deviation of each dimension over the training vectors."""
    mean = train.mean(axis=0)
    deviation = np.maximum(train.std(axis=0), 1e-6)
    for vectors in (train, test):
        vectors -= mean
        vectors /= deviation


def linear_probe(train: np.ndarray, tags: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the tags of the test vectors by multinomial logistic regression with an L2 penalty.

    The problem is convex, so order and initialization do not matter. All layers stop after the same number of steps.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    probe: Any = LogisticRegression(**LINEAR_PROBE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the fixed number of steps is intended
        probe.fit(train, tags)
    return probe.predict(test)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows; 0 if one is zero."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / np.maximum(norms, 1e-12)


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the lowest threshold t for which `scores >= t` matches the most labels."""
    order = np.argsort(scores, kind="stable")
    values, is_same = scores[order], labels[order].astype(int)
    # Number of correct pairs with the threshold before index k: from k on "same", before it "different".
    num_correct = (
        np.concatenate([[0], np.cumsum(1 - is_same)]) + is_same.sum() - np.concatenate([[0], np.cumsum(is_same)])
    )
    is_possible = np.concatenate([[True], values[1:] > values[:-1], [True]])  # not between equal scores
    index = int(np.argmax(np.where(is_possible, num_correct, -1)))
    if index == len(values):
        return float(np.inf)
    return float(values[index]) if index == 0 else float((values[index - 1] + values[index]) / 2)


def nearest_sense(train: np.ndarray, senses: Sequence[str], test: np.ndarray) -> list[str]:
    """Return, for each test vector, the sense of the training occurrence with the highest cosine."""
    unit = train / np.maximum(np.linalg.norm(train, axis=1, keepdims=True), 1e-12)
    return [senses[index] for index in np.argmax(test @ unit.T, axis=1)]
