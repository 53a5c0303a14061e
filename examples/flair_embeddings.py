# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo for flair: a `TokenEmbeddings` in place of flair's own `ELMoEmbeddings`, which needs AllenNLP.

    python examples/flair_embeddings.py [MODEL]

Needs flair, and with it transformers 4. MODEL is the bundled one by default.
"""

import sys

import flair
import torch
from flair.data import Sentence
from flair.embeddings import TokenEmbeddings

from modeling_elmo import ElmoEncoder


class ElmoTokenEmbeddings(TokenEmbeddings):
    """ELMo's vectors of a sentence's tokens, stackable with flair's other embeddings.

    Args:
        model: folder or repository; None for the bundled model.
        layer: `"all"` puts the layers one behind the other, as flair's `embedding_mode="all"`; or one of
            `ElmoEncoder.encode`: `"elmo"`, `"lstm_outputs2"`, ...
    """

    def __init__(self, model: str | None = None, layer: str = "all") -> None:
        super().__init__()
        self.name = f"elmo-{layer}"
        self.static_embeddings = True  # nothing trains: flair may drop and compute them anew
        self.layer = layer
        self.encoder = ElmoEncoder.from_pretrained(model, device=flair.device)
        self._size = int(torch.tensor(self.encoder.vector_spec(layer).shape).prod())

    @property
    def embedding_length(self) -> int:
        """The size of a token's vector."""
        return self._size

    def _add_embeddings_internal(self, sentences: list[Sentence]) -> list[Sentence]:
        words = [[token.text for token in sentence] for sentence in sentences]
        arrays = self.encoder.encode(words, self.layer, dtype="float32", output="torch")
        for sentence, vectors in zip(sentences, arrays, strict=True):
            for token, vector in zip(sentence, vectors.flatten(1).to(flair.device), strict=True):
                token.set_embedding(self.name, vector)
        return sentences


def main(model: str | None = None) -> None:
    """Vectors of one sentence."""
    sentence = Sentence("The bank lends them money .")
    embeddings = ElmoTokenEmbeddings(model)
    embeddings.embed(sentence)
    for token in sentence:
        print(f"{token.text:8}", list(token.embedding.shape))


if __name__ == "__main__":
    main(*sys.argv[1:2])
