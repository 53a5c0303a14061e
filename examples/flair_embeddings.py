# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo in flair: a `TokenEmbeddings` class that replaces `ELMoEmbeddings`, which requires AllenNLP.

    python examples/flair_embeddings.py [MODEL]

Requires flair, which requires transformers 4. MODEL defaults to the bundled model.
"""

import sys

import flair
import torch
from flair.data import Sentence
from flair.embeddings import TokenEmbeddings

from modeling_elmo import ElmoEncoder


class ElmoTokenEmbeddings(TokenEmbeddings):
    """ELMo vectors of tokens. They can be stacked with other embeddings of flair.

    Args:
        model: Folder or repository. Defaults to the bundled model.
        layer: `"all"` concatenates the layers, as flair's `embedding_mode="all"`; or a layer of `ElmoEncoder.encode`:
            `"elmo"`, `"lstm_outputs2"`, ...
    """

    def __init__(self, model: str | None = None, layer: str = "all") -> None:
        super().__init__()
        self.name = f"elmo-{layer}"
        self.static_embeddings = True  # not trained, so flair may delete and recompute them
        self.layer = layer
        self.encoder = ElmoEncoder.from_pretrained(model, device=flair.device)
        self._size = int(torch.tensor(self.encoder.vector_spec(layer).shape).prod())

    @property
    def embedding_length(self) -> int:
        """Size of a token vector."""
        return self._size

    def _add_embeddings_internal(self, sentences: list[Sentence]) -> list[Sentence]:
        sentence_words = [[token.text for token in sentence] for sentence in sentences]
        arrays = self.encoder.encode(sentence_words, self.layer, dtype="float32", output="torch")
        for sentence, vectors in zip(sentences, arrays, strict=True):
            for token, vector in zip(sentence, vectors.flatten(1).to(flair.device), strict=True):
                token.set_embedding(self.name, vector)
        return sentences


def main(model: str | None = None) -> None:
    """Print the vector sizes of one sentence."""
    sentence = Sentence("The bank lends them money .")
    embeddings = ElmoTokenEmbeddings(model)
    embeddings.embed(sentence)
    for token in sentence:
        print(f"{token.text:8}", list(token.embedding.shape))


if __name__ == "__main__":
    main(*sys.argv[1:2])
