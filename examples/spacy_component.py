# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo in a spaCy pipeline: `token._.elmo` and `doc.tensor`, and a similarity that knows the context.

    python examples/spacy_component.py [MODEL]

Needs spaCy and no model of it: a blank pipeline with a tokenizer will do. MODEL is the bundled one by default.
"""

import sys
from collections.abc import Iterable, Iterator

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Token

from modeling_elmo import ElmoEncoder


@Language.factory("elmo", default_config={"model": None, "layer": "elmo"}, assigns=["doc.tensor", "token._.elmo"])
class ElmoComponent:
    """A vector for each token; with a sentence splitter before it, each sentence is read by itself."""

    def __init__(self, nlp: Language, name: str, model: str | None, layer: str) -> None:
        self.encoder = ElmoEncoder.from_pretrained(model)
        self.layer = layer
        Token.set_extension("elmo", getter=lambda token: token.doc.tensor[token.i], force=True)

    def __call__(self, doc: Doc) -> Doc:
        """One document."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], batch_size: int = 128) -> Iterator[Doc]:
        """Many documents, `batch_size` at a time."""
        for docs in spacy.util.minibatch(stream, batch_size):
            sentences = [list(doc.sents) if len(doc) and doc.has_annotation("SENT_START") else [doc[:]] for doc in docs]
            words = [[token.text for token in sentence] for doc in sentences for sentence in doc]
            vectors = iter(self.encoder.encode(words, layer=self.layer, dtype="float32"))
            for doc, spans in zip(docs, sentences, strict=True):
                doc.tensor = np.concatenate([next(vectors) for _ in spans])
                yield doc


def main(model: str | None = None) -> None:
    """The word `bank` in three sentences."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("elmo", config={"model": model})
    doc = nlp("We sat on the bank of the river. The bank lends money. Their bank charges interest.")
    banks = [token for token in doc if token.text == "bank"]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        a, b = banks[one]._.elmo, banks[other]._.elmo
        print(f"{banks[one].sent} | {banks[other].sent} | {a @ b / np.linalg.norm(a) / np.linalg.norm(b):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
