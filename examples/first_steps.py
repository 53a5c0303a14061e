# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Compare the vectors of a word in two senses with the bundled English ELMo, offline.

    python examples/first_steps.py [MODEL]

Peters et al. (2018, table 4) analyze the word "play". This script prints the cosines of its vectors by layer.
"""

import sys
from itertools import combinations

import numpy as np

from modeling_elmo import ElmoEncoder

WORD = "play"
SENSES = {
    "a game": ["The children play in the garden .", "You can play the game with three friends ."],
    "a drama": ["The play was written by a young poet .", "His first play opened at a theatre in London ."],
}
LAYERS = ("word_emb", "lstm_outputs1", "lstm_outputs2", "elmo")


def main(model: str | None = None) -> None:
    """Print the mean cosines of the word's vectors by layer."""
    encoder = ElmoEncoder.from_pretrained(model)
    sentences = [sentence.split() for examples in SENSES.values() for sentence in examples]
    senses = [name for name, examples in SENSES.items() for _ in examples]
    for name, examples in SENSES.items():
        print(f"{name + ':':9}", " ".join(examples))
    print(f"\n{'layer':14} {'size':>4}  cosine, one sense  two senses")
    for layer in LAYERS:
        vectors = encoder.encode(sentences, layer=layer)
        word_vectors = np.stack([array[words.index(WORD)] for array, words in zip(vectors, sentences, strict=True)])
        word_vectors /= np.linalg.norm(word_vectors, axis=1, keepdims=True)
        cosines = word_vectors @ word_vectors.T
        pairs = list(combinations(range(len(sentences)), 2))
        same = np.mean([cosines[pair] for pair in pairs if senses[pair[0]] == senses[pair[1]]])
        other = np.mean([cosines[pair] for pair in pairs if senses[pair[0]] != senses[pair[1]]])
        print(f"{layer:14} {word_vectors.shape[1]:4}  {same:17.2f}  {other:10.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
