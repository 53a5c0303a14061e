# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Reading of model folders, and the helpers for messages and files that the converters share."""

from pathlib import Path

import pytest
import torch
from helpers.small_models import tiny_model

from modeling_elmo.conversion.model_files import read_config, read_weights
from modeling_elmo.conversion.source.fetch import single_path
from modeling_elmo.messages import format_name, format_names


@pytest.mark.parametrize("max_shard_size", ["4KB", "1GB"])
def test_weights_are_read_from_one_file_or_from_shards(max_shard_size: str, tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    state, metadata = read_weights(tmp_path)
    assert "format" not in metadata
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path, max_shard_size="4KB")
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=f"Expected the weights in .*{shard.name}, which does not exist"):
        read_weights(tmp_path)


def test_config_fields_can_be_overridden(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    assert read_config(tmp_path, cell_clip=2.5).cell_clip == 2.5
    assert read_config(tmp_path).cell_clip == 0.9
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=r"Expected model_type 'elmo' in .*, got 'bert'"):
        read_config(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"Expected a model folder with config\.json"):
        read_config(tmp_path)


def test_names_in_messages() -> None:
    assert format_name("a") == "'a'"
    assert format_name("x" * 90) == repr("x" * 80 + "...")
    assert format_names([]) == "none"
    assert format_names(["a", "b\n"]) == "a, 'b\\n'"
    assert format_names(map(str, range(10))) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_a_single_path_is_required() -> None:
    folder = Path("folder")
    assert single_path([folder / "a"], folder, "weight file") == folder / "a"
    for paths, names in (([], "none"), ([folder / "a", folder / "b"], "a, b")):
        with pytest.raises(FileNotFoundError, match=f"Expected one weight file in folder, got {names}"):
            single_path(paths, folder, "weight file")
