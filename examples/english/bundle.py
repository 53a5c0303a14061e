# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Convert a trained language model to the folder of the bundled model: the ElmoModel with weights in float16.

The softmax and its vocabulary are omitted. float16 halves the file size; the model computes in float32.

    python examples/english/bundle.py RUN modeling_elmo/elmo_small_en
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from modeling_elmo import ElmoModel, ElmoTokenizer

# Fields of language-model training and of the softmax, which this model does not use.
_OMITTED_FIELDS = ("softmax_type", "word_vocab_size", "word_bos_id", "word_eos_id", "num_sampled_words")
_OMITTED_FIELDS += ("adaptive_softmax_cutoffs", "adaptive_softmax_div_value", "lstm_dropout")


def bundle(run: Path, output: Path) -> int:
    """Write config.json, model.safetensors, and tokenizer_config.json, and return the size of the weights in bytes."""
    model = ElmoModel.from_pretrained(run, dtype=torch.float32)
    output.mkdir(parents=True, exist_ok=True)
    fields = model.config.to_diff_dict()
    fields = {name: value for name, value in fields.items() if name not in _OMITTED_FIELDS}
    fields |= {"architectures": ["ElmoModel"], "dtype": "float32"}
    (output / "config.json").write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    state = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, output / "model.safetensors", {"format": "pt"})
    tokenizer = ElmoTokenizer(max_characters_per_token=model.config.max_characters_per_token)
    tokenizer._auto_class = None  # the package contains the code
    tokenizer.save_pretrained(output)
    return (output / "model.safetensors").stat().st_size


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="output folder of `elmo train`")
    parser.add_argument("output", type=Path, help="folder to write")
    arguments = parser.parse_args()
    print(f"Wrote {arguments.output}: {bundle(arguments.run, arguments.output):,} bytes of weights.")


if __name__ == "__main__":
    main()
