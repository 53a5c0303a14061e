# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Fuzzed readers: how an input is made from random numbers, how it is read, and the exceptions that may end it."""

import contextlib
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import h5py
import numpy as np
import torch
from fuzz.mutations import HOSTILE_VALUES, mutate_bytes, mutate_json
from helpers.small_models import tiny_model
from helpers.write_allennlp import write_archive
from helpers.write_checkpoint import OPTIONS, options_with, write_checkpoint

import elmo_cli
from modeling_elmo import ElmoTokenizer
from modeling_elmo.conversion.convert import load
from modeling_elmo.conversion.formats import tensorflow_bundle
from modeling_elmo.conversion.formats.tensorflow_index import MAGIC, read_index
from modeling_elmo.conversion.source.archives import extract_archive
from modeling_elmo.conversion.source.fetch import resolve_source
from modeling_elmo.embed.inputs import Input
from modeling_elmo.embed.rows import RowPolicy, ShardPlan, shard_windows

DOCUMENTED = (ValueError, TypeError, OSError)


@dataclass(frozen=True)
class Target:
    """One fuzzed reader.

    Attributes:
        prepare: Function that writes valid files to a folder, once.
        mutate: Function that changes these files in a copy of the folder.
        read: Function that reads the changed files.
        documented: Exceptions that `read` may raise. Their messages must be one printable line.
    """

    prepare: Callable[[Path], None]
    mutate: Callable[[Random, Path], None]
    read: Callable[[Path], None]
    documented: tuple[type[Exception], ...] = DOCUMENTED


def _change_json(random: Random, file: Path) -> None:
    text = mutate_json(random, json.loads(file.read_text()))
    file.write_text(text, encoding="utf-8", errors="surrogateescape")


def _change_bytes(random: Random, file: Path) -> None:
    file.write_bytes(mutate_bytes(random, file.read_bytes()))


def _load(folder: Path) -> None:
    load(resolve_source(folder))


# ---------------------------------------------------------------- checkpoints


def _prepare_words(folder: Path) -> None:
    words = ["<S>", "</S>", "the", "bank"]
    write_checkpoint(folder, options_with(char_cnn=None), words=words)


def _mutate_words(random: Random, folder: Path) -> None:
    _change_bytes(random, folder / "vocab.txt")
    if random.random() < 0.5:
        _change_json(random, folder / "options.json")


def _mutate_hdf5(random: Random, folder: Path) -> None:
    file = folder / "lm_weights.hdf5"
    if random.random() < 0.6:
        _change_bytes(random, file)
        return
    with h5py.File(file, "r+") as opened:  # valid HDF5 with other content
        names: list[str] = []
        opened.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in random.sample(names, random.randint(1, 3)):
            shape = opened[name].shape
            del opened[name]
            action = random.randrange(8)
            if action == 0:
                opened[name] = random.choice((h5py.Empty("f4"), np.float32(1), "text", np.zeros(3, "f8")))
            elif action == 1:
                opened[name] = random.choice((h5py.SoftLink("/"), h5py.SoftLink(name), h5py.ExternalLink("pipe", "a")))
            elif action == 2:
                opened.create_group(f"{name}/{random.choice(names)}")
            elif action == 3:
                opened.create_dataset(name, (random.choice((0, 1, 1 << 33)), *shape[1:]), "f4", chunks=True)
            elif action == 4:
                opened.create_dataset(name, (random.choice((0, 2, 1 << 33)),), "f4")
            elif action == 5:
                opened.create_dataset(name, data=np.zeros(shape, "f4"), compression=random.choice(("gzip", "lzf")))
            elif action == 6:
                opened.create_dataset(name, data=np.full(shape, random.choice((np.nan, 1, 1e38)), "f4"), maxshape=None)


def _mutate_options(random: Random, folder: Path) -> None:
    _change_json(random, folder / "options.json")


def _prepare_allennlp(folder: Path) -> None:
    write_archive(folder)


def _mutate_allennlp(random: Random, folder: Path) -> None:
    state = torch.load(folder / "weights.th", weights_only=True)
    action = random.randrange(5)
    if action == 0:
        _change_json(random, folder / "config.json")
    if action == 1:
        state.pop(random.choice(list(state)))
    if action == 2:
        name = random.choice(list(state))
        values = (
            torch.zeros(0),
            torch.ones(3),
            torch.ones(()).expand(1 << 20, 1 << 20),
            torch.ones(2).to_sparse(),
            "text",
        )
        state[name] = random.choice(values)
    is_zip = random.random() < 0.5
    torch.save(state, folder / "weights.th", _use_new_zipfile_serialization=is_zip)
    if action >= 3:
        _change_bytes(random, folder / "weights.th")


# ---------------------------------------------------------------- archives


def _prepare_archives(folder: Path) -> None:
    members = {"options.json": json.dumps(OPTIONS).encode(), "deep/weights.bin": bytes(range(256)) * 9, "empty": b""}
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    for name, mode, format in (("a.tar", "w", tarfile.PAX_FORMAT), ("a.tar.gz", "w:gz", tarfile.GNU_FORMAT)):
        with tarfile.open(folder / name, mode, format=format) as tar:
            for member, data in members.items():
                info = tarfile.TarInfo(member + "/long" * 30 if format == tarfile.PAX_FORMAT else member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def _mutate_archive(random: Random, folder: Path) -> None:
    chosen = random.choice(sorted(folder.iterdir()))
    for file in folder.iterdir():
        if file != chosen:
            file.unlink()
    data = chosen.read_bytes()
    if chosen.suffix == ".tar" and random.random() < 0.5:  # headers with valid checksums
        header = bytearray(data)
        start = 512 * random.randrange(len(data) // 512)
        field, size = random.choice(((0, 100), (124, 12), (156, 1), (157, 100), (345, 155), (386, 97)))
        header[start + field : start + field + size] = mutate_bytes(
            random, bytes(header[start + field :][:size])
        ).ljust(size, b"\0")[:size]
        block = header[start : start + 512]
        block[148:156] = b" " * 8
        header[start + 148 : start + 156] = b"%06o\0 " % sum(block)
        chosen.write_bytes(header)
    else:
        chosen.write_bytes(mutate_bytes(random, data))


def _read_archive(folder: Path) -> None:
    (file,) = folder.iterdir()
    with extract_archive(file, 1 << 24) as inside:
        for path in inside.rglob("*"):
            assert path.resolve().is_relative_to(inside.resolve())
            assert path.is_dir() or (path.is_file() and not path.is_symlink())


# ---------------------------------------------------------------- TensorFlow's index


def _varint(value: int) -> bytes:
    data = b""
    while value >= 128:
        data, value = data + bytes([value & 127 | 128]), value >> 7
    return data + bytes([value])


def _block(entries: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(b"\0" + _varint(len(key)) + _varint(len(value)) + key + value for key, value in entries)
    return body + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")


def _prepare_index(folder: Path) -> None:
    """Write an index of two variables without checksums, which `read_index` does not read."""
    entry = b"\x08\x01\x12\x08\x12\x02\x08\x02\x12\x02\x08\x03"  # float32, (2, 3)
    entries = [
        (b"", b"\x08\x01\x1a\x02\x08\x01"),
        (b"bilm/CNN_proj/W_proj", entry + b"\x20\x00\x28\x18"),
        (b"lm/b", entry + b"\x20\x18\x28\x18"),
    ]
    data, handles = b"", []
    for block in (_block(entries), _block([])):
        handles.append(_varint(len(data)) + _varint(len(block)))
        data += block + bytes(5)
    index = _block([(b"z", handles[0])])
    footer = handles[1] + _varint(len(data)) + _varint(len(index))
    (folder / "model.index").write_bytes(data + index + bytes(5) + footer.ljust(40, b"\0") + MAGIC)
    (folder / "model.data-00000-of-00001").write_bytes(bytes(48))


def _mutate_index(random: Random, folder: Path) -> None:
    data = bytearray((folder / "model.index").read_bytes())
    for _ in range(random.randint(1, 6)):
        data[random.randrange(len(data))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
    if random.random() < 0.2:
        data = bytearray(mutate_bytes(random, bytes(data)))
    (folder / "model.index").write_bytes(data)


def _read_index(folder: Path) -> None:
    for prefix in tensorflow_bundle.find_bundles(folder):
        tensorflow_bundle.contains_name(prefix, "bilm/")
    tensorflow_bundle._check_data(folder / "model", read_index(folder / "model.index"))


# ---------------------------------------------------------------- model folders


def _prepare_model(folder: Path) -> None:
    tiny_model().save_pretrained(folder)
    ElmoTokenizer().save_pretrained(folder)
    for code in folder.glob("*.py"):
        code.unlink()


def _mutate_model(random: Random, folder: Path) -> None:
    name = random.choice(("config.json", "config.json", "tokenizer_config.json", "model.safetensors"))
    if name == "model.safetensors":
        _change_bytes(random, folder / name)
    else:
        _change_json(random, folder / name)


def _read_model(folder: Path) -> None:
    """Run `elmo embed` and check that a failure ends with exit code 1 and one line."""
    (folder / "in.txt").write_text("We sat .\n\n")
    output = io.StringIO()
    line = ["embed", str(folder / "in.txt"), str(folder / "out.npz"), "--model", str(folder), "--quiet"]
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
        code = elmo_cli.main(line)
    if code == 0:
        with np.load(folder / "out.npz") as arrays:
            assert arrays["embedding"].shape[0] == 3
        return
    last = output.getvalue().splitlines()[-1]
    assert code == 1
    assert last.startswith("elmo: error: ")
    assert last.isprintable()
    assert not last.startswith(
        ("elmo: error: AssertionError", "elmo: error: NameError", "elmo: error: UnboundLocal")
    ), last
    assert not (folder / "out.npz").exists()


# ---------------------------------------------------------------- inputs of `elmo embed`

_INPUTS = {
    "in.txt": "We sat .\n\nMüller 東京\n",
    "in.jsonl": '{"text": "We sat ."}\n{"text": ["a", "b"], "id": 1}\n"x"\n',
    "in.csv": 'id,text\n1,"We ""sat"" ."\n2,b\n',
    "in.tsv": "id\ttext\n1\ta b\n",
}


def _prepare_inputs(folder: Path) -> None:
    for name, text in _INPUTS.items():
        (folder / name).write_text(text)


def _mutate_inputs(random: Random, folder: Path) -> None:
    for file in folder.iterdir():
        if file.suffix == ".jsonl" and random.random() < 0.5:
            values = [{"text": random.choice(HOSTILE_VALUES)}, {"text": [random.choice(HOSTILE_VALUES)]}]
            lines = [mutate_json(random, {"text": ["a"]}), *map(json.dumps, values)]
            file.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
        else:
            _change_bytes(random, file)


def _read_inputs(folder: Path) -> None:
    errors: list[Exception] = []
    for file in sorted(folder.iterdir()):
        for policy in ("stop", "skip", "empty"):
            source = Input(str(file), max_characters=1000)
            rows = RowPolicy(file.name, policy, policy == "skip", policy == "empty")
            with contextlib.redirect_stderr(io.StringIO()):
                try:
                    windows = list(shard_windows(source.read_rows(), rows, 2, ShardPlan({})))
                except DOCUMENTED as error:
                    errors.append(error)
                    continue
            for window in windows:
                assert all(isinstance(s, str) or all(isinstance(w, str) for w in s) for s in window.sentences)
    if errors:
        raise errors[0]


TARGETS: dict[str, Target] = {
    "options": Target(write_checkpoint, _mutate_options, _load),
    "words": Target(_prepare_words, _mutate_words, _load),
    "hdf5": Target(write_checkpoint, _mutate_hdf5, _load),
    "allennlp": Target(_prepare_allennlp, _mutate_allennlp, _load),
    "archives": Target(_prepare_archives, _mutate_archive, _read_archive, (ValueError,)),
    "index": Target(_prepare_index, _mutate_index, _read_index, (ValueError, FileNotFoundError)),
    "model": Target(_prepare_model, _mutate_model, _read_model),
    "inputs": Target(_prepare_inputs, _mutate_inputs, _read_inputs),
}


def _check_message(error: Exception) -> str:
    """Return the message of an exception, which must be one line of limited length."""
    message = str(error)
    assert len(message) < 3000, f"long message: {message[:200]!r}"
    is_clear = not isinstance(error, UnicodeError) and "\n" not in message
    assert is_clear, f"unclear message: {type(error).__name__} {message[:200]!r}"
    return message


def run_case(name: str, seed: int, base: Path, folder: Path) -> str | None:
    """Run one case in a new folder and return the message of a documented exception, or None on success.

    Args:
        name: Key of TARGETS.
        seed: Seed of the changes.
        base: Folder that `prepare` has written.
        folder: Folder to create.
    """
    target = TARGETS[name]
    shutil.copytree(base, folder)
    target.mutate(Random(f"{name} {seed}"), folder)
    try:
        target.read(folder)
    except target.documented as error:
        return _check_message(error)
    return None
