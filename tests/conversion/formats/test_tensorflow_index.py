# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Validation of a TensorFlow checkpoint's index: content equals what was saved, and corrupt files are rejected."""

import random
from pathlib import Path

import numpy as np
import pytest
from helpers.write_tensorflow import tensorflow, write_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modeling_elmo.conversion.formats.tensorflow_bundle import (
    contains_name,
    data_paths,
    find_bundles,
    index_path,
    open_bundle,
)
from modeling_elmo.conversion.formats.tensorflow_index import CorruptIndexError, Variable, read_index

tensorflow()
ARRAYS = {
    "lm/CNN/W_cnn_0": np.zeros((1, 2, 3, 4), np.float32),
    "lm/CNN/W_cnn_0/Adagrad": np.zeros((1, 2, 3, 4), np.float32),
    "lm/Müller": np.zeros((0, 3), np.float16),
    "step": np.int64(3),
    "text": np.array([b"", b"abc"]),
}
ENTRY = b"\x08\x01\x12\x10\x12\x02\x08\x01\x12\x02\x08\x02\x12\x02\x08\x03\x12\x02\x08\x04"  # float32, (1, 2, 3, 4)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("bundle") / "model"
    write_bundle(prefix, ARRAYS)
    return index_path(prefix)


def test_names_shapes_and_positions(index: Path) -> None:
    found = read_index(index)
    assert found.shards == 1
    assert list(found.variables) == sorted(ARRAYS, key=lambda name: name.encode())
    assert {name: variable.shape for name, variable in found.variables.items()} == {
        name: np.shape(array) for name, array in ARRAYS.items()
    }
    assert found.variables["lm/CNN/W_cnn_0/Adagrad"] == Variable((1, 2, 3, 4), 0, 96, 96)
    data = data_paths(index.with_suffix(""))[0].read_bytes()
    step = found.variables["step"]
    assert data[step.offset : step.offset + step.size] == (3).to_bytes(8, "little")


def test_an_index_of_many_blocks_and_data_files(tmp_path: Path) -> None:
    arrays = {f"{'long name ' * 100}/{i}": np.full(i % 5, i, np.float32) for i in range(600)}
    names = list(arrays)
    write_bundle(tmp_path / "one", {name: arrays[name] for name in names[:300]})
    write_bundle(tmp_path / "two", {name: arrays[name] for name in names[300:]})
    tf = tensorflow()
    prefixes = [str(tmp_path / name) for name in ("one", "two")]
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=prefixes, destination_prefix=str(tmp_path / "both"), delete_old_dirs=False
    )
    found = read_index(tmp_path / "both.index")
    assert found.shards == 2
    assert found.variables.keys() == arrays.keys()
    assert {variable.shard for variable in found.variables.values()} == {0, 1}
    bundle = open_bundle(tmp_path / "both")
    assert bundle.files().keys() == {"weights", "weights_1", "index"}
    assert {name: array.tolist() for name, array in bundle.read(names).items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
    data_paths(tmp_path / "both")[1].unlink()
    with pytest.raises(
        FileNotFoundError, match=r"Expected 2 data files next to .*both\.index, got both\.data-00000-of-00002"
    ):
        open_bundle(tmp_path / "both")


# Entries for which TensorFlow 2.20 aborts or allocates too much memory, if their checksums are valid.
CRAFTED = {
    "a negative size": (b"\x12\x02\x08\x03\x12\x02\x08\x04", b"\x12\x02\x08\x03\x12\x02\x08\x84"),
    "a larger size": (b"\x12\x02\x08\x03\x12\x02\x08\x04", b"\x12\x02\x08\x03\x12\x02\x08\x7f"),
    "an unknown type": (ENTRY, b"\x08\x7f" + ENTRY[2:]),
    "another type": (ENTRY, b"\x08\x02" + ENTRY[2:]),
    "a field of another kind": (ENTRY, b"\x0d\x01" + ENTRY[2:]),
    "a group": (ENTRY, b"\x0b\x01" + ENTRY[2:]),
    "an unknown rank": (b"\x12\x02\x08\x03\x12\x02\x08\x04", b"\x18\x01\x18\x00\x12\x02\x08\x04"),
    "an unknown field": (ENTRY, b"\x50\x01" + ENTRY[2:]),
    "a data file that is not there": (b"\x20\x60\x28\x60", b"\x18\x60\x28\x60"),
    "a name that is not UTF-8": ("ü".encode(), b"\xff\xfe"),
    "names out of order": (b"step", b"atep"),
}


@pytest.mark.parametrize("what", CRAFTED)
def test_invalid_entries(what: str, index: Path, tmp_path: Path) -> None:
    old, new = CRAFTED[what]
    data = index.read_bytes()
    assert len(old) == len(new)
    assert old in data
    (tmp_path / "model.index").write_bytes(data.replace(old, new, 1))
    with pytest.raises(CorruptIndexError):
        read_index(tmp_path / "model.index")
    (tmp_path / "model.data-00000-of-00001").write_bytes(data_paths(index.with_suffix(""))[0].read_bytes())
    assert find_bundles(tmp_path) == [tmp_path / "model"]
    assert contains_name(tmp_path / "model", "lm/")
    with pytest.raises(ValueError, match="truncated or corrupt index"):
        open_bundle(tmp_path / "model")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_corrupt_files_raise_one_kind_of_error(index: Path, tmp_path: Path, seed: int, changes: int) -> None:
    dice = random.Random(seed)
    data = bytearray(index.read_bytes())
    for _ in range(changes):
        data[dice.randrange(len(data))] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
    if dice.random() < 0.2:
        del data[dice.randrange(len(data)) :]
    (tmp_path / "model.index").write_bytes(data)
    try:
        found = read_index(tmp_path / "model.index")
    except CorruptIndexError:
        return
    for variable in found.variables.values():
        assert variable.shard < found.shards
        assert min(variable.shape, default=0) >= 0
        assert min(variable.offset, variable.size) >= 0
