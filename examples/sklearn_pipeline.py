# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo as a step of a scikit-learn pipeline, with a grid search over its layers.

    python examples/sklearn_pipeline.py [MODEL]

MODEL defaults to the bundled model.
"""

import sys
from collections.abc import Sequence

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from modeling_elmo import ElmoEncoder


class ElmoVectors(TransformerMixin, BaseEstimator):
    """Transformer from sentences (strings or lists of words) to one vector each. It has no fitted parameters."""

    def __init__(
        self, model: str | None = None, layer: str = "elmo", pooling: str = "mean", normalize: bool = False
    ) -> None:
        self.model = model
        self.layer = layer
        self.pooling = pooling
        self.normalize = normalize

    def fit(self, sentences: Sequence[str | list[str]], y: object = None) -> "ElmoVectors":
        """Load the model."""
        self.encoder_ = ElmoEncoder.from_pretrained(self.model)
        return self

    def transform(self, sentences: Sequence[str | list[str]]) -> np.ndarray:
        """Return the sentence vectors, [sentences, D]."""
        return self.encoder_.encode(sentences, self.layer, self.pooling, self.normalize)


def main(model: str | None = None) -> None:
    """Classify sentences with "bank" as river or money."""
    rivers = ["We sat on the bank of the river.", "The bank was muddy after the rain.", "Reeds grow on the far bank."]
    money = ["The bank lends them money.", "Her bank raised its interest.", "My bank closed the account."]
    texts, topics = rivers + money, ["river"] * 3 + ["money"] * 3
    pipeline = make_pipeline(ElmoVectors(model), LogisticRegression(max_iter=1000))
    search = GridSearchCV(pipeline, {"elmovectors__layer": ["word_emb", "lstm_outputs1", "elmo"]}, cv=3)
    search.fit(texts, topics)
    print(search.best_params_, f"accuracy {search.best_score_:.2f}")
    for text in ("The boat lay at the bank.", "The bank sold its shares."):
        print(search.predict([text])[0], "|", text)


if __name__ == "__main__":
    main(*sys.argv[1:2])
