# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Corrupt checkpoints: truncated files and flipped bits raise one sentence, and nothing is left behind."""

import gzip
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers.small_models import randomize_weights, tiny_config
from helpers.write_allennlp import write_archive
from helpers.write_checkpoint import options_with, write_checkpoint

from modeling_elmo import ElmoForPreTraining
from modeling_elmo.conversion.convert import convert, load
from modeling_elmo.conversion.export import export
from modeling_elmo.conversion.formats.hdf5 import read_softmax
from modeling_elmo.conversion.source.fetch import resolve_source
from modeling_elmo.vocabulary import LMVocabulary

CUTS = 20
WORDS = ["<S>", "</S>", "<UNK>", "the", "bank"]


def compress_words(folder: Path) -> None:
    """Compress the vocabulary, so that a checksum reveals corrupt words."""
    (folder / "vocab.txt.gz").write_bytes(gzip.compress((folder / "vocab.txt").read_bytes()))
    (folder / "vocab.txt").unlink()


def bilm(folder: Path) -> None:
    write_checkpoint(folder)


def words(folder: Path) -> None:
    write_checkpoint(folder, options_with(char_cnn=None), words=WORDS)
    compress_words(folder)


def language_model(folder: Path) -> None:
    """Write a language model with `lm_softmax_weights.hdf5` and `scalar_mix.th`."""
    config = tiny_config(word_vocab_size=len(WORDS), word_bos_id=0, word_eos_id=1)
    randomize_weights(ElmoForPreTraining(config)).save_pretrained(folder / "model")
    LMVocabulary(WORDS).write(folder / "model")
    export(folder / "model", folder / "old")
    shutil.rmtree(folder / "model")
    for file in (folder / "old").iterdir():
        file.rename(folder / file.name)
    (folder / "old").rmdir()
    compress_words(folder)


def allennlp(folder: Path) -> None:
    write_archive(folder)


def allennlp_legacy(folder: Path) -> None:
    write_archive(folder)
    state = torch.load(folder / "weights.th", weights_only=True)
    torch.save(state, folder / "weights.th", _use_new_zipfile_serialization=False)


def nlpl_zip(folder: Path) -> None:
    write_checkpoint(folder / "old")
    with zipfile.ZipFile(folder / "212.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "old" / "lm_weights.hdf5", "model.hdf5")
        archive.write(folder / "old" / "options.json", "options.json")
    shutil.rmtree(folder / "old")


def model_tar(folder: Path) -> None:
    write_archive(folder / "a")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "a", ".")
    shutil.rmtree(folder / "a")


FOLDERS: list[Callable[[Path], None]] = [bilm, words, language_model, allennlp, allennlp_legacy]
ARCHIVES: list[Callable[[Path], None]] = [nlpl_zip, model_tar]


def run_convert(path: Path) -> None:
    """Run all of `convert`."""
    convert(path, path.parent / "converted", language_model=(path / "lm_softmax_weights.hdf5").exists())
    shutil.rmtree(path.parent / "converted")


def run_load(path: Path) -> None:
    """Run the part of `convert` that precedes writing."""
    load(resolve_source(path), language_model=(path / "lm_softmax_weights.hdf5").exists())


def read_error(path: Path, read: Callable[[Path], None] = run_load) -> str | None:
    """Return the error message, or None without an error, and check that no files are left behind."""
    before = sorted(path.parent.rglob("*"))
    message = None
    try:
        read(path)
    except (ValueError, TypeError, FileNotFoundError) as error:
        message = str(error)
    if message is not None:
        assert message.isprintable()
        assert message.endswith(".")
        assert len(message) < 1500
    assert sorted(path.parent.rglob("*")) == before
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    return message


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def write_files(make: Callable[[Path], None], tmp_path: Path) -> tuple[Path, list[Path]]:
    """Write a checkpoint, and return its path and its files."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    make(folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    path = files[0] if make in ARCHIVES else folder
    assert read_error(path) is None
    return path, files


@pytest.mark.parametrize("make", FOLDERS + ARCHIVES, ids=lambda make: make.__name__)
def test_every_truncated_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    path, files = write_files(make, tmp_path)
    for file in files:
        whole = file.read_bytes()
        for length in np.linspace(0, len(whole) - 1, CUTS).astype(int):
            file.write_bytes(whole[:length])
            if whole[:length].strip() == whole.strip():
                continue  # text without the final newline
            assert read_error(path, run_convert) is not None, f"{file.name} truncated to {length} of {len(whole)} bytes"
        file.write_bytes(whole)
    assert read_error(path, run_convert) is None


def header_bytes(file: Path) -> np.ndarray:
    """Return the offsets of all bytes that are not known to be values of a tensor."""
    data = np.frombuffer(file.read_bytes(), np.uint8)
    is_header = np.ones(len(data), bool)
    if file.suffix == ".hdf5":
        with h5py.File(file) as opened:

            def visit(_: str, item: object) -> None:
                if isinstance(item, h5py.Dataset):
                    is_header[item.id.get_offset() : item.id.get_offset() + item.nbytes] = False

            opened.visititems(visit)
    return np.flatnonzero(is_header)


@pytest.mark.slow
@pytest.mark.parametrize("make", FOLDERS + ARCHIVES, ids=lambda make: make.__name__)
def test_bits_flipped_in_headers(make: Callable[[Path], None], tmp_path: Path) -> None:
    """Each flipped bit raises an expected error or does not affect what is read."""
    path, files = write_files(make, tmp_path)
    random = np.random.default_rng(0)
    for file in files:
        whole = file.read_bytes()
        offsets = header_bytes(file)
        selected = np.concatenate([offsets[:10], offsets[-10:], random.choice(offsets, 20)])
        num_errors = 0
        for offset in selected:
            corrupt = bytearray(whole)
            corrupt[offset] ^= 1 << int(random.integers(8))
            file.write_bytes(corrupt)
            num_errors += read_error(path) is not None
        file.write_bytes(whole)
        assert num_errors > (0 if file.name == "config.json" else 3), file.name
    assert read_error(path) is None


def value_offsets(file: Path) -> list[int]:
    """Return offsets of values in a file with checksums, a few per member of a zip, whose last bytes may be unused."""
    if file.suffix == ".gz":
        return np.linspace(100, file.stat().st_size - 100, 30).astype(int).tolist()
    offsets: list[int] = []
    data = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            header = data[info.header_offset : info.header_offset + 30]
            start = info.header_offset + 30 + sum(int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
            offsets += np.linspace(start, start + max(0, info.compress_size - 4), 3).astype(int).tolist()
    return offsets


@pytest.mark.parametrize("make", [allennlp, nlpl_zip, model_tar], ids=lambda make: make.__name__)
def test_checksums_detect_flipped_bits_of_values(make: Callable[[Path], None], tmp_path: Path) -> None:
    path, files = write_files(make, tmp_path)
    file = next(file for file in files if file.suffix in (".th", ".zip", ".gz"))
    whole = file.read_bytes()
    for offset in value_offsets(file):
        corrupt = bytearray(whole)
        corrupt[offset] ^= 4
        file.write_bytes(corrupt)
        assert read_error(path) is not None, offset


def test_hdf5_files_that_refer_to_other_files(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old")
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(24))
    weights = tmp_path / "old" / "lm_weights.hdf5"
    whole = weights.read_bytes()
    with h5py.File(weights, "r+") as file:
        del file["CNN_proj/b_proj"]
        file.create_dataset("CNN_proj/b_proj", (6,), "f4", external=[(str(secret), 0, 24)])
    assert "CNN_proj/b_proj" in str(read_error(tmp_path / "old"))
    assert "refers to other files" in str(read_error(tmp_path / "old"))
    weights.write_bytes(whole)
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["b"] = np.zeros(6, np.float32)
    for link in (h5py.ExternalLink(str(tmp_path / "other.hdf5"), "b"), h5py.SoftLink("/char_embed")):
        with h5py.File(weights, "r+") as file:
            del file["CNN_proj/b_proj"]
            file["CNN_proj/b_proj"] = link
        assert "Expected CNN_proj/b_proj" in str(read_error(tmp_path / "old"))
    weights.write_bytes(whole)
    layout = h5py.VirtualLayout((6,), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.hdf5"), "b", (6,))
    with h5py.File(weights, "r+") as file:
        del file["CNN_proj/b_proj"]
        file.create_virtual_dataset("CNN_proj/b_proj", layout)
    assert "refers to other files" in str(read_error(tmp_path / "old"))


def test_hdf5_files_with_wrong_sizes(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old")
    for chunks in (None, (1, 6)):
        with h5py.File(tmp_path / "old" / "lm_softmax_weights.hdf5", "w") as file:
            file.create_dataset("softmax/W", (1 << 40, 6), "f4", chunks=chunks)  # never written
            file.create_dataset("softmax/b", (1 << 40,), "f4")
        assert "some of its values are not stored" in str(read_error(tmp_path / "old"))
    with h5py.File(tmp_path / "old" / "lm_softmax_weights.hdf5", "w") as file:
        file["softmax/W"] = h5py.Empty("f4")
        file["softmax/b"] = np.zeros(5, np.float32)
    assert "is empty or refers to other files" in str(read_error(tmp_path / "old"))


def test_compressed_hdf5_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "softmax.hdf5", "w") as file:
        for name, shape in (("softmax/W", (9000, 6)), ("softmax/b", (9000,))):
            file.create_dataset(name, data=np.ones(shape, np.float32), compression="gzip", compression_opts=9)
    assert (tmp_path / "softmax.hdf5").stat().st_size < 20_000
    weight, bias = read_softmax(tmp_path / "softmax.hdf5", 6)
    assert (weight == 1).all()
    assert (bias == 1).all()
