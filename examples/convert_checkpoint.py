# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Convert a checkpoint and compute word vectors, in five steps, offline.

    python examples/convert_checkpoint.py [FOLDER]

The script writes a small random checkpoint in the format of bilm-tf, whose vectors are meaningless. Replace it with the
folder of a trained checkpoint; the other steps remain the same.
"""

import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer, pipeline

from elmo_cli import main as elmo
from modeling_elmo.conversion.demo import write_demo

TEXT = [
    "We sat on the bank of the river and watched the boats.",
    "The bank wouldn't lend them the money.",
    "It raised $1.5 billion, Dr. Smith said in the U.S. on Monday.",
]


def main(folder: Path) -> None:
    """Run the steps in `folder`."""
    print("1. Checkpoint: options.json and lm_weights.hdf5, small and RANDOM, so its vectors are meaningless.")
    write_demo(folder / "old", overwrite=True)

    print(f"2. elmo convert {folder / 'old'} {folder / 'elmo'} --language en --overwrite")
    if elmo(["convert", str(folder / "old"), str(folder / "elmo"), "--language", "en", "--overwrite"]):
        sys.exit(1)

    print("3. AutoTokenizer and AutoModel: one vector per word.")
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

    print("4. The same sentence alone and in a batch.")
    with torch.no_grad():
        alone = model(**tokenizer(TEXT[1], return_tensors="pt"))[0]
    together = output.last_hidden_state[1, : alone.shape[1]]
    print(f"   maximum difference: {(alone[0] - together).abs().max():.1e}")

    print('5. pipeline("feature-extraction").')
    features = pipeline("feature-extraction", model=str(folder / "elmo"))
    vectors = features(TEXT[1])[0]
    print(f"   {len(vectors)} words, {len(vectors[0])} dimensions")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
