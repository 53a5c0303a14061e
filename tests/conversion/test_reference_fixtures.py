# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""AllenNLP's fixtures: cross-lingual models with their alignment matrices, and a language model without an LSTM."""

import json
from pathlib import Path

import pytest
import torch
from helpers.oracle import NumpyElmo
from helpers.reference_data import allennlp_fixtures
from helpers.small_models import SENTENCES, inputs
from helpers.tolerances import TENSORFLOW, assert_close

from modeling_elmo import ElmoModel
from modeling_elmo.conversion.alignment import add_alignment, read_matrix
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.formats.hdf5 import read_arrays


@pytest.mark.parametrize("language", ["es", "it"])
def test_aligned_model_agrees_with_the_oracle(language: str, tmp_path: Path) -> None:
    source = allennlp_fixtures() / "elmo_multilingual" / language
    matrix = read_matrix(source / "align.pth")
    convert(source, tmp_path, language=language, overwrite=True)
    add_alignment(tmp_path, [source / "align.pth"] * 3)
    model = ElmoModel.from_pretrained(tmp_path).eval()
    options = json.loads((source / "options.json").read_text(encoding="utf-8"))
    oracle = NumpyElmo(options, read_arrays(source / "weights.hdf5"))
    with torch.no_grad():
        output = model(**inputs(SENTENCES), output_hidden_states=True)
    for row, words in enumerate(SENTENCES):
        for index, layer in enumerate(oracle.run(words)[0]):
            got = output.hidden_states[index][row, : len(words)]
            assert_close(f"sentence {row}, layer {index}", got, layer[1:-1] @ matrix.T, TENSORFLOW)


def test_folder_with_two_weight_files_is_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"weights\.hdf5, weights_zero\.hdf5"):
        convert(allennlp_fixtures() / "elmo_multilingual" / "fr", tmp_path / "model")


def test_language_model_with_a_transformer_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"_token_embedder\._char_embedding_weights\) in weights\.th"):
        convert(allennlp_fixtures() / "language_model" / "model.tar.gz", tmp_path / "model")
    assert not (tmp_path / "model").exists()
