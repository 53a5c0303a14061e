# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""HDF5 checkpoints: detection of the weight file by content, vocabulary, softmax, and rejected files."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from helpers.raises import assert_raises_with
from helpers.reference_data import reference_folder
from helpers.write_checkpoint import OPTIONS, VARIANTS, checkpoint_shapes, options_with, read_datasets, write_checkpoint

from modeling_elmo.conversion.formats.hdf5_checkpoint import matches, open_checkpoint
from modeling_elmo.conversion.source.archives import extract_archive
from modeling_elmo.conversion.source.fetch import SourceFile

WORDS = ["<S>", "</S>", "<UNK>", "the", "bank"]
WORD_OPTIONS = options_with(char_cnn=None)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "old")
    return tmp_path / "old"


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = np.asarray(array, np.float32)


def write_softmax(path: Path, words: int = 5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    weight = random.standard_normal((words, 6)).astype(np.float32)
    bias = random.standard_normal(words).astype(np.float32)
    write_arrays(path, {"softmax/W": weight, "softmax/b": bias})
    return weight, bias


def write_words(folder: Path, words: list[str], name: str = "vocab.txt") -> None:
    text = "".join(f"{word}\n" for word in words).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


def assert_rejected(path: Path, *parts: str, error: type[Exception] = ValueError, **arguments: Any) -> None:
    assert_raises_with(lambda: open_checkpoint(path, **arguments), *parts, error=error)


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_and_values_of_every_variant(variant: str, tmp_path: Path) -> None:
    _, layers, directions = VARIANTS[variant]
    options = options_with(lstm={"n_layers": min(layers, 2)})
    write_checkpoint(tmp_path, options, variant=variant, directions=directions)
    opened = open_checkpoint(tmp_path)
    assert opened.shapes == checkpoint_shapes(options, variant=variant, directions=directions)
    found = opened.read(opened.shapes)
    expected = read_datasets(tmp_path / "lm_weights.hdf5")
    assert {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in found.items()} == expected
    assert opened.options_text == json.dumps(options)
    assert (opened.options, opened.words, opened.softmax, opened.unused_arrays) == (options, None, None, ())


def test_the_weight_file_is_found_among_other_files(old: Path) -> None:
    write_arrays(old / "a_weights.hdf5", {"0": np.zeros((3, 4, 12)), "1": np.zeros((3, 2, 12))})  # precomputed vectors
    write_arrays(old / "b_weights.h5", {"embedding": np.zeros((9, 6))})
    (old / "c_weights.hdf5").write_bytes(b"")
    weights = old / "lm_weights.hdf5"
    for name in ("model", "model.h5", "zzz.hdf5"):
        weights = weights.rename(old / name)
        opened = open_checkpoint(old)
        assert {role: file.origin for role, file in opened.files.items()} == {
            "weights": name,
            "options": "options.json",
        }
    (old / "again.hdf5").write_bytes((old / "zzz.hdf5").read_bytes())
    assert_rejected(old, "one weight file", "again.hdf5, zzz.hdf5", error=FileNotFoundError)
    assert open_checkpoint(old / "again.hdf5").files["weights"].path == old / "again.hdf5"


def test_matches(old: Path, tmp_path: Path) -> None:
    assert matches(old)
    assert matches(old / "lm_weights.hdf5")
    assert not matches(old / "options.json")
    assert not matches(tmp_path)
    assert not matches(tmp_path / "nowhere")
    (old / "lm_weights.hdf5").write_bytes(b"")  # corrupt, but it has the suffix
    assert matches(old)


def test_locations_of_the_options(old: Path, tmp_path: Path) -> None:
    (old / "options.json").rename(old / "options262.json")
    assert open_checkpoint(old).files["options"].origin == "options262.json"
    (old / "my_options.json").write_text("{}")
    assert_rejected(old, "one options file", "my_options.json, options262.json", error=FileNotFoundError)
    given = SourceFile(old / "options262.json", "https://a.org/options.json")
    opened = open_checkpoint(old, given)
    assert opened.files["options"] == given
    (old / "my_options.json").write_text("[" * 100_000)
    assert_rejected(old, "as JSON", options=SourceFile(old / "my_options.json", "my_options.json"))
    (old / "my_options.json").write_bytes(b'{"\xff": 1}')
    assert_rejected(
        old, "Cannot decode my_options.json as UTF-8", options=SourceFile(old / "my_options.json", "my_options.json")
    )


def test_an_nlpl_zip(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old", WORD_OPTIONS, words=WORDS)
    with zipfile.ZipFile(tmp_path / "212.zip", "w") as archive:
        archive.write(tmp_path / "old" / "lm_weights.hdf5", "model.hdf5")
        archive.write(tmp_path / "old" / "options.json", "options.json")
        archive.writestr("meta.json", '{"id": 212}')
        archive.writestr("vocab.txt.gz", gzip.compress("".join(f"{word}\n" for word in WORDS).encode()))
    with extract_archive(tmp_path / "212.zip") as folder:
        opened = open_checkpoint(folder)
        assert opened.words == WORDS
        assert {role: file.origin for role, file in opened.files.items()} == {
            "weights": "model.hdf5",
            "options": "options.json",
            "vocab": "vocab.txt.gz",
            "meta": "meta.json",
        }
        assert opened.read(["embedding"])["embedding"].shape == (5, 6)


def test_vocabularies(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, WORD_OPTIONS, words=WORDS)
    (tmp_path / "vocab.txt").unlink()
    assert open_checkpoint(tmp_path).words is None
    odd = ["<S>", "</S>", "a\u2028b", "\u0301", "東京"]  # not line ends here
    write_words(tmp_path, odd, "vocab-2016.txt")
    assert open_checkpoint(tmp_path).words == odd
    write_words(tmp_path, WORDS, "vocab.txt.gz")
    assert open_checkpoint(tmp_path).words == WORDS
    data = (tmp_path / "vocab.txt.gz").read_bytes()
    for length in range(2, len(data), 3):
        (tmp_path / "vocab.txt.gz").write_bytes(data[:length])
        assert_rejected(tmp_path, "Cannot read vocab.txt.gz: truncated or corrupt gzip file")
    (tmp_path / "vocab.txt.gz").write_bytes(data[:1])
    assert_rejected(tmp_path, "vocab.txt.gz")
    (tmp_path / "vocab.txt.gz").write_bytes(gzip.compress(b"\xff\n"))
    assert_rejected(tmp_path, "Cannot decode vocab.txt.gz as UTF-8")
    write_words(tmp_path, WORDS[:3], "vocab.txt")
    assert_rejected(tmp_path, "one word per line, 5, in vocab.txt, got 3")
    assert open_checkpoint(tmp_path, vocab=SourceFile(tmp_path / "vocab-2016.txt", "mine")).words == odd


def test_the_softmax_in_the_weight_file(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, softmax=5)
    write_words(tmp_path, WORDS)
    opened = open_checkpoint(tmp_path)
    assert opened.unused_arrays == ("softmax/W", "softmax/b")
    assert opened.shapes == checkpoint_shapes(OPTIONS)
    assert opened.softmax is not None
    weight, bias = opened.softmax()
    with h5py.File(tmp_path / "lm_weights.hdf5") as file:
        assert (weight == file["softmax/W"][()]).all()
        assert (bias == file["softmax/b"][()]).all()
    assert (opened.files["vocab"].origin, opened.words) == ("vocab.txt", None)
    write_words(tmp_path, WORDS[:4])  # a vocabulary of another model
    assert "vocab" not in open_checkpoint(tmp_path).files
    assert_rejected(
        tmp_path, "one word per line, 5, in vocab.txt, got 4", vocab=SourceFile(tmp_path / "vocab.txt", "vocab.txt")
    )


def test_the_softmax_next_to_the_weight_file(old: Path) -> None:
    weight, bias = write_softmax(old / "softmax.hdf5")
    opened = open_checkpoint(old)
    assert opened.softmax is not None
    assert all((got == expected).all() for got, expected in zip(opened.softmax(), (weight, bias), strict=True))
    assert opened.files["softmax"].origin == "softmax.hdf5"
    assert opened.unused_arrays == ()
    assert open_checkpoint(old / "lm_weights.hdf5").softmax is None  # ambiguous without its folder
    fitting, _ = write_softmax(old / "lm_softmax_weights.hdf5", 7)
    for path in (old, old / "lm_weights.hdf5"):
        opened = open_checkpoint(path)
        assert opened.softmax is not None
        assert opened.softmax()[0].shape == fitting.shape
    (old / "lm_softmax_weights.hdf5").unlink()
    write_softmax(old / "other.hdf5")
    assert open_checkpoint(old).softmax is None
    (old / "other.hdf5").unlink()
    (old / "softmax.hdf5").write_bytes(b"cut")
    assert_rejected(old, "softmax.hdf5 (3 bytes): not an HDF5 file")
    write_arrays(old / "softmax.hdf5", {"softmax/W": np.zeros((5, 7)), "softmax/b": np.zeros(5)})
    opened = open_checkpoint(old)
    assert opened.softmax is not None
    with pytest.raises(ValueError, match=r"of shape \(5, 6\), got \(5, 7\)"):
        opened.softmax()


def test_word_vectors_and_softmax_files_are_rejected(old: Path) -> None:
    write_softmax(old / "softmax.hdf5")
    assert_rejected(old / "softmax.hdf5", "got only a softmax")
    write_arrays(old / "vectors.hdf5", {"embedding": np.zeros((9, 6))})
    assert_rejected(old / "vectors.hdf5", "got 9 word vectors of size 6")
    (old / "lm_weights.hdf5").unlink()
    assert_rejected(old, "got 9 word vectors")
    (old / "vectors.hdf5").unlink()
    assert_rejected(old, "got only a softmax")
    (old / "softmax.hdf5").unlink()
    assert_rejected(old, "one weight file (*.hdf5)", "got none", error=FileNotFoundError)


def test_corrupt_weights_are_named(old: Path) -> None:
    whole = (old / "lm_weights.hdf5").read_bytes()
    write_softmax(old / "softmax.hdf5")
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        (old / "lm_weights.hdf5").write_bytes(whole[:length])
        assert_rejected(old, f"lm_weights.hdf5 ({length} bytes): ")


def test_the_published_test_models() -> None:
    folder = reference_folder("allennlp")
    opened = open_checkpoint(folder)  # contains reference vectors in HDF5 and a test vocabulary
    assert {role: file.origin for role, file in opened.files.items()} == {
        "options": "options.json",
        "weights": "lm_weights.hdf5",
    }
    assert_rejected(folder / "elmo_token_embeddings.hdf5", "got 458 word vectors of size 16")
