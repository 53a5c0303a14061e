# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""From an old checkpoint to word vectors of real text, in five steps, without a network.

    python examples/convert_checkpoint.py [FOLDER]

The checkpoint is small and random, made here in the format of bilm-tf: it has learnt nothing, and its vectors mean
nothing. Put a trained checkpoint's folder in its place and the rest stays as it is.
"""

import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer, pipeline

from modeling_elmo.cli import main as elmo
from modeling_elmo.conversion.demo import write_demo

TEXT = [
    "We sat on the bank of the river and watched the boats.",
    "The bank wouldn't lend them the money.",
    "It raised $1.5 billion, Dr. Smith said in the U.S. on Monday.",
]


def main(folder: Path) -> None:
    """Run the steps in `folder`."""
    print("1. An old checkpoint: options.json and lm_weights.hdf5, small and RANDOM - its vectors mean nothing.")
    write_demo(folder / "old", overwrite=True)

    print(f"2. elmo convert {folder / 'old'} {folder / 'elmo'} --language en --overwrite")
    if elmo(["convert", str(folder / "old"), str(folder / "elmo"), "--language", "en", "--overwrite"]):
        sys.exit(1)

    print("3. AutoTokenizer and AutoModel: one vector a word.")
    tokenizer = AutoTokenizer.from_pretrained(folder / "elmo")
    model = AutoModel.from_pretrained(folder / "elmo").eval()
    batch = tokenizer(TEXT, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = model(**batch, output_hidden_states=True)
    for row in range(len(TEXT)):
        words = [token for token, word in zip(batch.tokens(row), batch.word_ids(row), strict=True) if word is not None]
        print("  ", " ".join(words))
    for layer in ("word_emb", "lstm_outputs1", "lstm_outputs2", "elmo"):
        print(f"   {layer:14}", list(getattr(output, layer).shape))

    print("4. The same sentence alone and in the batch.")
    with torch.no_grad():
        alone = model(**tokenizer(TEXT[1], return_tensors="pt"))[0]
    together = output.last_hidden_state[1, : alone.shape[1]]
    print(f"   largest difference: {(alone[0] - together).abs().max():.1e}")

    print('5. pipeline("feature-extraction").')
    features = pipeline("feature-extraction", model=str(folder / "elmo"))
    vectors = features(TEXT[1])[0]
    print(f"   {len(vectors)} words, {len(vectors[0])} numbers each")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
