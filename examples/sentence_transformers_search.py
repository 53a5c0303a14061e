# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Semantic search with sentence-transformers: rank sentences by the cosine of their mean vectors.

    python examples/sentence_transformers_search.py MODEL

MODEL is a folder that `elmo convert` wrote, or a Hub repository.
"""

import sys

from sentence_transformers import SentenceTransformer, util

TEXTS = [
    "We sat on the bank of the river and watched the boats.",
    "The bank would not lend them the money.",
    "It raised its interest on Monday.",
]


def main(model: str) -> None:
    """Rank the texts by their similarity to a question."""
    encoder = SentenceTransformer(model, trust_remote_code=True)
    question = "Which bank lends money?"
    hits = util.semantic_search(encoder.encode([question]), encoder.encode(TEXTS), top_k=len(TEXTS))[0]
    print(question)
    for hit in hits:
        print(f"{hit['score']:.3f}", TEXTS[hit["corpus_id"]])


if __name__ == "__main__":
    main(sys.argv[1])
