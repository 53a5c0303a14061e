# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Alignment of layers with stored matrices."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.oracle import mix
from helpers.small_models import SENTENCES, build_oracle, inputs, max_difference, tiny_config, tiny_model
from helpers.tolerances import ORACLE, SAME_BATCH
from safetensors import safe_open

from modeling_elmo import ElmoForTokenClassification, ElmoModel
from modeling_elmo.conversion.alignment import add_alignment, read_matrix

SIZE = 16


def matrices(seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).standard_normal((3, SIZE, SIZE)).astype(np.float32) / 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_every_layer_and_the_mix_agree_with_the_oracle(folder: Path) -> None:
    plain = build_oracle(tiny_model())
    add_alignment(folder, matrices())
    model = ElmoModel.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.no_grad():
        output = model(**inputs(SENTENCES), output_hidden_states=True)
        second = model(**inputs(SENTENCES), pooling_layer="lstm_outputs1")[0]
    weights, gamma = (model.scalar_mixes[0].weights.detach().numpy(), float(model.scalar_mixes[0].gamma.detach()))
    for index, words in enumerate(SENTENCES):
        layers = [layer[1:-1] for layer in plain.run(words)[0]]
        aligned = [x @ w.astype(np.float64).T for x, w in zip(layers, matrices(), strict=True)]
        kept = slice(len(words))
        for got, want in zip(output.hidden_states, aligned, strict=True):
            assert np.abs(got[index, kept].numpy() - want).max(initial=0) <= ORACLE
        assert np.abs(output.elmo[index, kept].numpy() - mix(aligned, weights, gamma)).max(initial=0) <= ORACLE
        assert np.abs(output.word_emb[index, kept].numpy() - layers[0][:, : SIZE // 2]).max(initial=0) <= ORACLE
        assert not output.elmo[index, len(words) :].any()
    assert torch.equal(second, output.hidden_states[1])


def test_a_model_that_is_not_aligned_has_no_trace_of_it(folder: Path) -> None:
    assert "aligned" not in json.loads((folder / "config.json").read_text())
    assert not [name for name in tiny_model().state_dict() if "alignment" in name]
    identity = ElmoModel(tiny_config(aligned=True)).eval()
    identity.load_state_dict({**tiny_model().state_dict(), **{f"alignment_{k}": torch.eye(SIZE) for k in range(3)}})
    fresh = ElmoModel.from_pretrained(folder, aligned=True)
    assert all(torch.equal(matrix, torch.eye(SIZE)) for matrix in fresh.alignments())
    with torch.no_grad():
        assert max_difference(identity(**inputs(SENTENCES))[0], tiny_model()(**inputs(SENTENCES))[0]) <= SAME_BATCH


def test_it_is_stored_and_comes_back(folder: Path, tmp_path: Path) -> None:
    (folder / "note.txt").write_text("kept")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    add_alignment(folder, matrices())
    changed = {name for name, content in before.items() if (folder / name).read_bytes() != content}
    assert changed == {"config.json", "model.safetensors"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    model = ElmoModel.from_pretrained(folder)
    model.save_pretrained(tmp_path / "again")
    again = ElmoModel.from_pretrained(tmp_path / "again")
    for got, want in zip(again.alignments(), matrices(), strict=True):
        assert torch.equal(got, torch.from_numpy(want))
    add_alignment(folder, matrices(seed=1))
    assert torch.equal(ElmoModel.from_pretrained(folder).alignment_2, torch.from_numpy(matrices(seed=1)[2]))


def test_a_model_with_a_head(tmp_path: Path) -> None:
    tagger = ElmoForTokenClassification(tiny_config(num_labels=3)).to(torch.bfloat16)
    tagger.save_pretrained(tmp_path / "tagger")
    add_alignment(tmp_path / "tagger", matrices())
    again = ElmoForTokenClassification.from_pretrained(tmp_path / "tagger", dtype=torch.bfloat16)
    assert torch.equal(again.elmo.alignment_1, torch.from_numpy(matrices()[1]).bfloat16())
    with safe_open(tmp_path / "tagger" / "model.safetensors", "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118


def test_sharded_weights_become_one_file(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path / "model", max_shard_size="4KB")
    assert len(list((tmp_path / "model").glob("model-*.safetensors"))) > 1
    add_alignment(tmp_path / "model", matrices())
    assert [path.name for path in (tmp_path / "model").glob("model*.safetensors*")] == ["model.safetensors"]
    again = ElmoModel.from_pretrained(tmp_path / "model").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(again["alignment_1"], torch.from_numpy(matrices()[1]))


def text(path: Path, matrix: np.ndarray) -> None:
    np.savetxt(path, matrix, fmt="%.9g")


@pytest.mark.parametrize(
    "write",
    [
        text,
        lambda path, matrix: torch.save(torch.from_numpy(matrix), path),
        lambda path, matrix: torch.save(matrix, path),
        lambda path, matrix: torch.save(matrix, path, _use_new_zipfile_serialization=False),
        lambda path, matrix: torch.save(matrix.astype(np.float64), path, _use_new_zipfile_serialization=False),
    ],
    ids=["text", "tensor", "array", "old array", "old array of doubles"],
)
def test_published_formats(write: Callable[[Path, np.ndarray], None], tmp_path: Path) -> None:
    """The published files are NumPy arrays that an old version of `torch.save` wrote."""
    write(tmp_path / "matrix", matrices()[0])
    got = read_matrix(tmp_path / "matrix")
    assert got.dtype == np.float32
    assert np.array_equal(got, matrices()[0])


def test_names_that_old_versions_of_numpy_wrote(tmp_path: Path) -> None:
    torch.save(matrices()[0], tmp_path / "matrix", _use_new_zipfile_serialization=False)
    content = (tmp_path / "matrix").read_bytes().replace(b"cnumpy._core.", b"cnumpy.core.")
    (tmp_path / "matrix").write_bytes(content)
    assert np.array_equal(read_matrix(tmp_path / "matrix"), matrices()[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1 2\n3\n", "Expected a matrix in text or written by torch.save"),
        (b"PK\x03\x04 no archive", "Expected a matrix in text or written by torch.save"),
        (b"\x80\x02cposix\nsystem\nX\x08\x00\x00\x00touch ran\x85R.", "Expected a matrix in text"),
        (b"\xff\xfe", "Expected a matrix in text"),
        (b"", r"shape \(16, 16\) for layer 0|Expected a matrix in text"),
        (b"1 2\n3 4\n", r"Expected a matrix of shape \(16, 16\) for layer 0, got \(2, 2\)"),
        (
            b" ".join([b"nan"] * 16) + b"\n" + b"\n".join([b" ".join([b"1"] * 16)] * 15),
            "Expected finite values",
        ),
    ],
)
def test_bad_matrices_change_nothing(
    content: bytes, message: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "matrix").write_bytes(content)
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match=message) as caught:
        add_alignment(folder, [tmp_path / "matrix", *matrices()[1:]])
    assert "\n" not in str(caught.value)
    assert (folder / "model.safetensors").read_bytes() == before
    assert not (tmp_path / "ran").exists()


def test_what_does_not_fit(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Expected one matrix per layer, 3, got 2\."):
        add_alignment(folder, matrices()[:2])
    with pytest.raises(FileNotFoundError, match=r"model folder with config\.json"):
        add_alignment(tmp_path, matrices())
    with pytest.raises(FileNotFoundError, match="Expected a matrix file"):
        add_alignment(folder, [tmp_path / "gone"] * 3)
    with pytest.raises(ValueError, match="`mix_layer_norm` to be None in an aligned model"):
        tiny_config(aligned=True, mix_layer_norm="with_boundaries")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors, which does not exist"):
        add_alignment(folder, matrices())


def test_layers_of_two_sizes(tmp_path: Path) -> None:
    model: Any = ElmoModel(tiny_config(aligned=True, use_cell_projection=False, pooling_layer="lstm_outputs2"))
    assert [len(matrix) for matrix in model.alignments()] == [16, 24, 24]
    assert model(**inputs(SENTENCES))[0].shape[-1] == 24
