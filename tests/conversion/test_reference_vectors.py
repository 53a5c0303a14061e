# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Verification with published vectors, and its detection of sentence boundaries."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.small_models import build_oracle, randomize_weights, tiny_config

from elmo_cli import main
from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer
from modeling_elmo.conversion import verify as verify_module
from modeling_elmo.conversion.source.checkpoints import ReferenceVectors, checkpoints, reference_vectors
from modeling_elmo.conversion.verify import PUBLISHED_TOLERANCE, verify

WORDS = ["the", "cat", "ate", "apple"]


def saved(folder: Path, sentence_boundaries: bool) -> ElmoModel:
    model = randomize_weights(ElmoModel(tiny_config(sentence_boundaries=sentence_boundaries)))
    model.save_pretrained(folder)
    ElmoTokenizer().save_pretrained(folder)
    return model


def oracle_values(model: ElmoModel, layer: str, boundaries: bool) -> ReferenceVectors:
    """Return some of the values that the oracle computes with these weights."""
    layers, _ = build_oracle(model).run(WORDS, boundaries=boundaries)
    index = {"word_emb": 0, "lstm_outputs1": 1, "lstm_outputs2": 2}[layer]
    vectors = layers[index][1:-1] if boundaries else layers[index]
    if layer == "word_emb":
        vectors = vectors[:, : model.config.projection_size]
    rounded = np.round(vectors, 8)
    return ReferenceVectors(["tfhub"], "a test", WORDS, layer, rounded[:, :4].tolist(), rounded[:, -2:].tolist())


@pytest.mark.parametrize("boundaries", [True, False])
def test_published_vectors_decide_about_sentence_boundaries(
    boundaries: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path / "right", boundaries)
    saved(tmp_path / "wrong", not boundaries)
    rows = [oracle_values(model, "lstm_outputs2", boundaries), oracle_values(model, "word_emb", boundaries)]
    monkeypatch.setattr(verify_module, "reference_vectors", lambda name=None: rows if name in (None, "tfhub") else [])
    assert [row.passed for row in verify(tmp_path / "right", "tfhub")] == [True, True]
    assert main(["verify", str(tmp_path / "right"), "tfhub"]) == 0
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "wrong"), "tfhub"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"matches with sentence_boundaries={str(boundaries).lower()}" in lines[1]
    assert lines[1].endswith("FAIL")
    assert lines[2].endswith("ok")  # word vectors do not depend on boundaries
    assert ElmoConfig.from_pretrained(tmp_path / "wrong").sentence_boundaries is not boundaries


def test_other_numbers_agree_with_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = oracle_values(saved(tmp_path, True), "lstm_outputs1", True)
    for first in ([[x + 3 * PUBLISHED_TOLERANCE for x in row.first[0]], *row.first[1:]], row.first):
        for last in ([*row.last[:-1], [x - 3 * PUBLISHED_TOLERANCE for x in row.last[-1]]], row.last):
            rows = [replace(row, first=first, last=last)]
            monkeypatch.setattr(verify_module, "reference_vectors", lambda name=None, rows=rows: rows)
            (result,) = verify(tmp_path, "tfhub")
            assert result.passed == (first is row.first and last is row.last)
            assert "matches" not in result.name


def test_names_of_checkpoints_select_published_vectors(tmp_path: Path) -> None:
    saved(tmp_path, True)
    assert all(not row.passed for row in verify(tmp_path, "google/elmo"))
    with pytest.raises(FileNotFoundError, match="or one of spark-nlp, tfhub, got small"):
        verify(tmp_path, "small")


def test_the_list_of_published_vectors() -> None:
    names = {known.name for known in checkpoints()}
    config = ElmoConfig()
    assert [row.words for row in reference_vectors("tfhub")] == [row.words for row in reference_vectors("spark-nlp")]
    assert reference_vectors("small") == reference_vectors("nothing") == []
    for row in reference_vectors():
        assert set(row.checkpoints) <= names
        config.layer_index(row.layer)
        for numbers in (row.first, row.last):
            assert len(numbers) in (0, len(row.words))
            assert len({len(vector) for vector in numbers}) <= 1
        assert len(row.first) == len(row.words)
