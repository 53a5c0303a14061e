# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion and export are lossless for every variant of the HDF5 format."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.oracle import NumpyElmo
from helpers.small_models import inputs, tiny_model
from helpers.tolerances import ORACLE
from helpers.write_checkpoint import (
    OPTIONS,
    VARIANTS,
    checkpoint_shapes,
    options_with,
    read_datasets,
    read_folder,
    to_default_names,
    write_checkpoint,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from modeling_elmo import ElmoModel, ElmoTokenizer
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.export import export
from modeling_elmo.conversion.formats.hdf5 import read_arrays
from modeling_elmo.conversion.mapping.layouts import LAYOUTS, detect_layout
from modeling_elmo.conversion.mapping.name_map import from_model, resolve_rules, target_shapes, to_model
from modeling_elmo.conversion.mapping.options import config_from_options, options_from_config

WORDS = ["<S>", "</S>", "<UNK>", "the", "bank", "of"]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "usual": (OPTIONS, {}),
    "262 rows": (OPTIONS, {"character_rows": 262}),
    "no skip, no clip": (options_with(lstm={"use_skip_connections": False, "cell_clip": None, "proj_clip": 0}), {}),
    "tanh, no highway": (options_with(char_cnn={"activation": "tanh", "n_highway": 0}), {}),
    "three layers": (options_with(lstm={"n_layers": 3}), {}),
    "softmax": (OPTIONS, {"softmax": 7}),
    "no projection": (options_with(lstm={"dim": 6}), {}),
    "projection of equal size": (options_with(lstm={"dim": 6}), {"cell_projection": True}),
    "fewer cells than projection_dim": (options_with(lstm={"dim": 5}), {}),
    "no character projection": (options_with(lstm={"projection_dim": 12, "dim": 20}), {"character_projection": False}),
    "one direction": (options_with(bidirectional=False), {"directions": 1}),
    "single layer": (options_with(lstm={"n_layers": 1}), {"variant": "single layer"}),
    "single layer, raw": (options_with(lstm={"n_layers": 1}), {"variant": "single layer, raw"}),
    "raw": (OPTIONS, {"variant": "raw"}),
    "unidirectional": (options_with(bidirectional=False), {"variant": "unidirectional", "directions": 1}),
    "words": (options_with(char_cnn=None), {"words": WORDS}),
    "words, unidirectional, single layer": (
        options_with(char_cnn=None, bidirectional=False, lstm={"n_layers": 1}),
        {"words": WORDS, "variant": "unidirectional, single layer", "directions": 1},
    ),
}


def without_softmax(datasets: dict[str, Any]) -> dict[str, Any]:
    return {name: dataset for name, dataset in datasets.items() if not name.startswith("softmax/")}


@pytest.mark.parametrize("case", CASES)
def test_convert_then_export_gives_the_same_bytes(case: str, tmp_path: Path) -> None:
    options, variant = CASES[case]
    write_checkpoint(tmp_path / "old", options, **variant)
    record = convert(tmp_path / "old", tmp_path / "model")
    assert record.unused_arrays == (("softmax/W", "softmax/b") if "softmax" in variant else ())
    export(tmp_path / "model", tmp_path / "back")
    original, back = (read_datasets(tmp_path / side / "lm_weights.hdf5") for side in ("old", "back"))
    assert back == without_softmax(original)
    for name in ["options.json", *(["vocab.txt"] if "words" in variant else [])]:
        assert (tmp_path / "back" / name).read_bytes() == (tmp_path / "old" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "model", "old"]


@pytest.mark.parametrize("case", CASES)
def test_converted_model_agrees_with_the_oracle_on_the_old_files(case: str, tmp_path: Path) -> None:
    options, variant = CASES[case]
    vocabulary = variant.get("words")
    write_checkpoint(tmp_path / "old", options, **variant)
    convert(tmp_path / "old", tmp_path / "model")
    model = ElmoModel.from_pretrained(tmp_path / "model", dtype=torch.float64).eval()
    tokenizer = ElmoTokenizer.from_pretrained(tmp_path / "model")
    sentences = [["the", "bank", "of", "the", "Themse"], ["<UNK>"]]
    with torch.inference_mode():
        output = model(**inputs(sentences, tokenizer), output_hidden_states=True)
    arrays = read_arrays(tmp_path / "old" / "lm_weights.hdf5")
    oracle = NumpyElmo(options, to_default_names(arrays, variant.get("variant", "usual")), vocabulary)
    for row, words in enumerate(sentences):
        layers, _ = oracle.run(words)
        for got, expected in zip(output.hidden_states, layers, strict=True):
            np.testing.assert_allclose(got[row, : len(words)].numpy(), expected[1:-1], rtol=0, atol=ORACLE)


@st.composite
def architectures(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    variant = draw(st.sampled_from(sorted(VARIANTS)))
    _, most_layers, most_directions = VARIANTS[variant]
    size = st.integers(1, 7)
    cells, projection = draw(size), draw(size)
    directions = draw(st.integers(1, most_directions))
    options: dict[str, Any] = {
        "lstm": {"dim": cells, "projection_dim": projection, "n_layers": draw(st.integers(1, min(3, most_layers)))},
    }
    flags: dict[str, Any] = {"variant": variant, "directions": directions}
    flags["cell_projection"] = True if cells > projection else draw(st.booleans())
    if directions == 1 or draw(st.booleans()):
        options["bidirectional"] = directions == 2
    if draw(st.booleans()):
        filters = draw(st.lists(st.tuples(st.integers(1, 5), size).map(list), min_size=1, max_size=3))
        options["char_cnn"] = {
            "filters": filters,
            "activation": draw(st.sampled_from(["relu", "tanh"])),
            "n_highway": draw(st.integers(0, 2)),
            "embedding": {"dim": draw(size)},
            "max_characters_per_token": draw(st.integers(5, 50)),
        }
        flags["character_rows"] = draw(st.sampled_from([261, 262]))
        flags["character_projection"] = sum(count for _, count in filters) != projection or draw(st.booleans())
    else:
        flags["words"] = draw(st.integers(1, 9))
    return options, flags


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(architectures())
def test_name_map_is_reversible_for_any_architecture(architecture: tuple[dict[str, Any], dict[str, Any]]) -> None:
    options, flags = architecture
    random = np.random.default_rng(0)
    shapes = checkpoint_shapes(options, **flags)
    arrays = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    contents = detect_layout(shapes)
    ids = {"bos_token_id": 0, "eos_token_id": 0} if contents.word_rows else {}  # otherwise from a vocabulary
    config = config_from_options(options, contents, **ids)
    table = resolve_rules(config, contents)
    state = to_model(table, arrays)
    assert {name: array.shape for name, array in state.items()} == target_shapes(table)
    model = dict(ElmoModel(config).named_parameters())
    assert {name: tuple(model[name].shape) for name in model if "scalar_mix" not in name} == target_shapes(table)
    back = from_model(table, state)
    assert {name: array.tobytes() for name, array in back.items()} == {name: a.tobytes() for name, a in arrays.items()}
    again = config_from_options(options_from_config(config), contents, **ids)
    assert again.to_dict() == config.to_dict()


def test_every_layout_has_a_variant_in_these_tests() -> None:
    shapes = [checkpoint_shapes(OPTIONS, variant=name) for name in VARIANTS]
    assert {detect_layout(each).layout for each in shapes} == set(LAYOUTS)


def test_half_precision_goes_back_without_a_further_loss(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old")
    for dtype in ("float16", "bfloat16"):
        convert(tmp_path / "old", tmp_path / dtype, dtype=dtype)
        with safe_open(tmp_path / dtype / "model.safetensors", "pt") as file:
            assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {f"torch.{dtype}"}  # noqa: SIM118
        export(tmp_path / dtype, tmp_path / f"{dtype} back")
        original = read_arrays(tmp_path / "old" / "lm_weights.hdf5")
        for name, array in read_arrays(tmp_path / f"{dtype} back" / "lm_weights.hdf5").items():
            rounded = torch.from_numpy(original[name]).to(getattr(torch, dtype)).float().numpy()
            assert array.tobytes() == rounded.tobytes()
        assert ElmoModel.from_pretrained(tmp_path / dtype).dtype == getattr(torch, dtype)


@pytest.mark.parametrize("case", ["usual", "words"])
def test_conversion_is_reproducible_and_contains_no_local_path(case: str, tmp_path: Path) -> None:
    options, variant = CASES[case]
    write_checkpoint(tmp_path / "old", options, **variant)
    for name in ("one", "two"):
        convert(tmp_path / "old", tmp_path / name, name="elmo")
    one, two = (read_folder(tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert str(tmp_path).encode() not in b"".join(one.values())


def test_exporting_a_changed_model_writes_its_own_options(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old")
    convert(tmp_path / "old", tmp_path / "model")
    model = ElmoModel.from_pretrained(tmp_path / "model", cell_clip=2.5)
    with torch.no_grad():
        model.scalar_mixes[0].weights[0] = 1.0
    model.save_pretrained(tmp_path / "changed")
    record = export(tmp_path / "changed", tmp_path / "back")
    options = json.loads((tmp_path / "back" / "options.json").read_text())
    assert options == options_with(lstm={"cell_clip": 2.5})
    assert "trained scalar mix" in record.summary()
    original, back = (read_datasets(tmp_path / side / "lm_weights.hdf5") for side in ("old", "back"))
    assert back == original


def test_a_trained_model_is_exported_with_bilm_tf_names(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    export(tmp_path / "model", tmp_path / "old")
    convert(tmp_path / "old", tmp_path / "again")
    export(tmp_path / "again", tmp_path / "back")
    old, back = (read_datasets(tmp_path / side / "lm_weights.hdf5") for side in ("old", "back"))
    assert old == back
    assert "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0" in old


def test_a_model_with_a_head_is_exported_without_it(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old")
    convert(tmp_path / "old", tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    state = {f"elmo.{name}": tensor for name, tensor in load_file(path).items()}
    save_file({**state, "classifier.weight": torch.ones(2, 12)}, path, {"format": "pt"})
    record = export(tmp_path / "model", tmp_path / "back")
    assert "classifier.weight" in record.summary()
    assert read_datasets(tmp_path / "back" / "lm_weights.hdf5") == read_datasets(tmp_path / "old" / "lm_weights.hdf5")
