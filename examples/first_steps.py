# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""One word in two senses, by the small English ELMo that comes with the package; no network is needed.

    python examples/first_steps.py [MODEL]

Peters et al. (2018, table 4) look at the word "play". Each layer's vectors of it are compared by their cosine.
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
    """Print the cosines of the word's vectors, layer by layer."""
    encoder = ElmoEncoder.from_pretrained(model)
    sentences = [sentence.split() for of_one_sense in SENSES.values() for sentence in of_one_sense]
    sense = [name for name, of_one_sense in SENSES.items() for _ in of_one_sense]
    for name, of_one_sense in SENSES.items():
        print(f"{name + ':':9}", " ".join(of_one_sense))
    print(f"\n{'layer':14} {'size':>4}  cosine, one sense  two senses")
    for layer in LAYERS:
        vectors = encoder.encode(sentences, layer=layer)
        chosen = np.stack([array[words.index(WORD)] for array, words in zip(vectors, sentences, strict=True)])
        chosen /= np.linalg.norm(chosen, axis=1, keepdims=True)
        cosines = chosen @ chosen.T
        pairs = list(combinations(range(len(sentences)), 2))
        same = np.mean([cosines[pair] for pair in pairs if sense[pair[0]] == sense[pair[1]]])
        other = np.mean([cosines[pair] for pair in pairs if sense[pair[0]] != sense[pair[1]]])
        print(f"{layer:14} {chosen.shape[1]:4}  {same:17.2f}  {other:10.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
