# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo in a spaCy pipeline: `token._.elmo`, `doc.tensor`, and a context-dependent similarity.

    python examples/spacy_component.py [MODEL]

Requires spaCy, but no spaCy model: a blank pipeline suffices. MODEL defaults to the bundled model.
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
    """Component that sets one vector per token. After a sentence splitter, it encodes each sentence separately."""

    def __init__(self, nlp: Language, name: str, model: str | None, layer: str) -> None:
        self.encoder = ElmoEncoder.from_pretrained(model)
        self.layer = layer
        Token.set_extension("elmo", getter=lambda token: token.doc.tensor[token.i], force=True)

    def __call__(self, doc: Doc) -> Doc:
        """Process one document."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], batch_size: int = 128) -> Iterator[Doc]:
        """Process a stream of documents in batches."""
        for docs in spacy.util.minibatch(stream, batch_size):
            sentences = [list(doc.sents) if len(doc) and doc.has_annotation("SENT_START") else [doc[:]] for doc in docs]
            words = [[token.text for token in sentence] for doc in sentences for sentence in doc]
            vectors = iter(self.encoder.encode(words, layer=self.layer, dtype="float32"))
            for doc, spans in zip(docs, sentences, strict=True):
                doc.tensor = np.concatenate([next(vectors) for _ in spans])
                yield doc


def main(model: str | None = None) -> None:
    """Print the similarities of "bank" in three sentences."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("elmo", config={"model": model})
    doc = nlp("We sat on the bank of the river. The bank lends money. Their bank charges interest.")
    banks = [token for token in doc if token.text == "bank"]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        a, b = banks[first]._.elmo, banks[second]._.elmo
        print(f"{banks[first].sent} | {banks[second].sent} | {a @ b / np.linalg.norm(a) / np.linalg.norm(b):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
