# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Small files that expand to gigabytes, or hang, in a reader that believes what they declare."""

import gzip
import io
import json
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from helpers.small_models import tiny_config, tiny_model
from helpers.write_checkpoint import options_with, write_checkpoint

from modeling_elmo import ElmoForPreTraining, ElmoTokenizer

HUGE = 10**9
_NESTED = '{"a":' * 100_000 + "1" + "}" * 100_000


def vocabulary_of_newlines(folder: Path) -> None:
    write_checkpoint(folder, options_with(char_cnn=None), words=["<S>", "</S>", "the"])
    (folder / "vocab.txt").unlink()
    member = gzip.compress(b"\n" * 10_000_000)
    (folder / "vocab.txt.gz").write_bytes(member * 30)


def _with_options(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_checkpoint(folder)
        (folder / "options.json").write_text(text)

    return write


OPTIONS: dict[str, Any] = {
    "layers": options_with(lstm={"n_layers": HUGE}),
    "highways": options_with(char_cnn={"n_highway": HUGE}),
    "cells": options_with(lstm={"dim": HUGE}),
    "projection": options_with(lstm={"projection_dim": HUGE}),
    "characters": options_with(char_cnn={"max_characters_per_token": HUGE}),
    "filters": options_with(char_cnn={"filters": [[1, 1]] * 300_000}),
    "filter sizes": options_with(char_cnn={"filters": [[1, HUGE]] * 3}),
    "long values": options_with(char_cnn={"activation": "x" * 1_000_000}),
    "digits": json.dumps(options_with()).replace('"dim": 10', f'"dim": {"9" * 4000}'),
    "nesting": _NESTED,
    "size": json.dumps({"lstm": [0] * 3_000_000}),
}


def scalar_mix_of_many_layers(folder: Path) -> None:
    _with_options(json.dumps(OPTIONS["layers"]))(folder)
    torch.save({"scalar_mix_0.gamma": torch.ones(1)}, folder / "scalar_mix.th")


def compressed_state(folder: Path) -> None:
    """Write a `.th` file with 1.2 GB of zeros in a compressed member, as `torch.load` reads it."""
    plain = io.BytesIO()
    torch.save({"_token_embedder._char_embedding_weights": torch.zeros(4, 4)}, plain)
    block = bytes(1 << 24)
    with (
        zipfile.ZipFile(plain) as source,
        zipfile.ZipFile(folder / "weights.th", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target,
    ):
        for name in source.namelist():
            with target.open(name, "w", force_zip64=True) as member:
                for _ in range(75 if name.endswith("/data/0") else 0):
                    member.write(block)
                member.write(source.read(name))


def sparse_tar(folder: Path) -> None:
    """Write a tar whose member of 7 GB consists of a gap, in GNU's format."""
    info = tarfile.TarInfo("weights.hdf5")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (7 << 30, 0)  # first entry of the map: at 7 GB, nothing
    header[483:495] = b"%011o\0" % (7 << 30)  # real size
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header[:512])
    (folder / "a.tar").write_bytes(bytes(header) + bytes(tarfile.RECORDSIZE))


def archive_of_zeros(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("lm_weights.hdf5", bytes(200 << 20))


def _compressed_hdf5(folder: Path, num_chunks: int, num_written: int) -> None:
    """Write a matrix of chunks of 64 MB. All that are written have the same bytes."""
    write_checkpoint(folder)
    shape = (1 << 14, 1 << 10)
    chunk = zlib.compress(np.zeros(shape, np.float32).tobytes())
    with h5py.File(folder / "lm_weights.hdf5", "r+") as file:
        del file["char_embed"]
        full = (num_chunks * shape[0], shape[1])
        dataset = file.create_dataset("char_embed", full, "f4", chunks=shape, compression="gzip")
        for index in range(num_written):
            dataset.id.write_direct_chunk((index * shape[0], 0), chunk)


def hdf5_of_zeros(folder: Path) -> None:
    _compressed_hdf5(folder, 40, 40)


def hdf5_of_few_chunks(folder: Path) -> None:
    _compressed_hdf5(folder, 40, 1)


def hdf5_of_one_chunk(folder: Path) -> None:
    write_checkpoint(folder)
    with h5py.File(folder / "lm_weights.hdf5", "r+") as file:
        del file["char_embed"]
        file.create_dataset("char_embed", (1 << 18, 1 << 10), "f4", chunks=(1 << 18, 1 << 10), compression="gzip")


def hdf5_link_to_a_pipe(folder: Path) -> None:
    write_checkpoint(folder)
    os.mkfifo(folder / "pipe")
    with h5py.File(folder / "lm_weights.hdf5", "r+") as file:
        del file["RNN_0"]
        file["RNN_0"] = h5py.ExternalLink(str(folder / "pipe"), "/")


CHECKPOINTS: dict[str, Callable[[Path], None]] = {
    **{f"options: {name}": _with_options(o if isinstance(o, str) else json.dumps(o)) for name, o in OPTIONS.items()},
    "vocabulary of newlines": vocabulary_of_newlines,
    "scalar mix of many layers": scalar_mix_of_many_layers,
    "compressed state": compressed_state,
    "sparse tar": sparse_tar,
    "archive of zeros": archive_of_zeros,
    "HDF5 of zeros": hdf5_of_zeros,
    "HDF5 of few chunks": hdf5_of_few_chunks,
    "HDF5 of one chunk": hdf5_of_one_chunk,
    "HDF5 link to a pipe": hdf5_link_to_a_pipe,
}

# Fields of a saved `config.json`.
CONFIGS: dict[str, dict[str, Any]] = {
    "layers": {"num_hidden_layers": HUGE},
    "highways": {"num_highway_layers": HUGE},
    "small layers": {"num_hidden_layers": 10_000, "projection_size": 1, "cell_size": 1},
    "cells": {"cell_size": HUGE},
    "projection": {"projection_size": HUGE},
    "digits": {"cell_size": 10**18},
    "filters": {"filters": [[1, HUGE]]},
    "many filters": {"filters": [[1, 1]] * 300_000},
    "rows": {"vocab_size": HUGE},
    "mixes": {"num_output_representations": HUGE},
    "words": {"word_vocab_size": HUGE},
    "labels": {"num_labels": HUGE},
    "lexicon": {"lexicon_size": HUGE, "lexicon_embedding_size": 9, "lexicon_bos_id": 1, "lexicon_eos_id": 1},
    "characters": {"max_characters_per_token": HUGE},
    "long value": {"cnn_activation": "x" * 1_000_000},
    "unknown fields": {f"field_{index}": index for index in range(100_000)},
}


def write_models(folder: Path) -> None:
    """Write one model folder per entry of CONFIGS, `nesting`, and `tokenizer`, whose tokenizer has huge rows."""
    config = tiny_config(word_vocab_size=5, word_bos_id=0, word_eos_id=1)
    for name in [*CONFIGS, "nesting", "tokenizer"]:
        model = ElmoForPreTraining(config) if name == "words" else tiny_model()
        model.save_pretrained(folder / name)
        ElmoTokenizer().save_pretrained(folder / name)
        file = folder / name / ("tokenizer_config.json" if name == "tokenizer" else "config.json")
        fields = json.loads(file.read_text())
        fields.pop("hidden_size", None)
        fields |= {"max_characters_per_token": HUGE} if name == "tokenizer" else CONFIGS.get(name, {})
        file.write_text(_NESTED if name == "nesting" else json.dumps(fields))
