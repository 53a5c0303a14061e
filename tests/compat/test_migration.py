# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""docs/migration.md: each new call in the tables runs and returns the values of the old call (NumPy oracle)."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from helpers.small_models import ROOT, build_oracle
from helpers.tolerances import PACKED

from elmo_cli import main
from modeling_elmo import ElmoModel
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.demo import write_demo

TEXT = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(<!-- needs (.*?) -->\n)?```python\n(.*?)```", re.DOTALL)
SENTENCES = [["The", "bank", "lends", "money", "."], ["Good", "."]]
PROTEIN = list("MKTAYIAK")

# Contents of the files of `elmo embed --layers`, from the layers [3, words, 2P].
STORED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "all.hdf5": lambda layers: layers,
    "top.hdf5": lambda layers: layers[2],
    "average.hdf5": lambda layers: layers.mean(0),
    "dumped.hdf5": lambda layers: layers,
}


def rows() -> list[tuple[str, str, list[str]]]:
    """Return the old call, the new cell, and the code in it, for each row of each table."""
    table_rows = []
    for line in TEXT.splitlines():
        if line.startswith("| ") and line != "| old | new |":
            old, new = line[2:-2].split(" | ")
            table_rows.append((old, new, re.findall(r"`([^`]+)`", new)))
    return table_rows


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("migration")
    write_demo(folder / "old")
    convert(folder / "old", folder / "my-elmo", language="en")
    (folder / "in.txt").write_text("\n".join(" ".join(words) for words in SENTENCES) + "\n")
    return folder


@pytest.fixture
def names(here: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the blocks of the page that need only this package, and return their variables."""
    monkeypatch.chdir(here)
    for name in [name for name in sys.modules if name.split(".")[0] == "allennlp"]:
        monkeypatch.delitem(sys.modules, name)
    before = set(sys.modules)
    variables: dict[str, Any] = {}
    for match in BLOCK.finditer(TEXT):
        if match[2] is None:
            exec(compile(match[3], "migration.md", "exec"), variables)
    for name in [name for name in set(sys.modules) - before if name.split(".")[0] == "allennlp"]:
        monkeypatch.delitem(sys.modules, name)
    exec("from datasets import Dataset", variables)
    return variables


def layers_of(here: Path, words: list[str]) -> np.ndarray:
    """Return the layers [3, words + 2, 2P], computed by the oracle."""
    return np.stack(build_oracle(ElmoModel.from_pretrained(here / "my-elmo").double()).run(words)[0])


def pad(arrays: list[np.ndarray]) -> np.ndarray:
    """Pad arrays [words, D] with zeros to [B, W, D]."""
    result = np.zeros((len(arrays), max(map(len, arrays)), arrays[0].shape[-1]))
    for row, array in zip(result, arrays, strict=True):
        row[: len(array)] = array
    return result


def expected_values(here: Path) -> dict[str, Any]:
    """Return the expected array, or list of arrays, by the code of a table."""
    with_boundaries = [layers_of(here, words) for words in SENTENCES]
    sentences = [layers[:, 1:-1] for layers in with_boundaries]
    layers = [pad([sentence[k] for sentence in sentences]) for k in range(3)]
    mean = pad([sentence.mean(0) for sentence in sentences])
    means = np.stack([sentence.mean(0).mean(0) for sentence in sentences])
    stacked = np.stack(layers, axis=1)
    tops = np.exp([0, 0, 1]) / np.exp([0, 0, 1]).sum()
    all_words = np.concatenate(with_boundaries, axis=1), np.concatenate(sentences, axis=1)
    normal = [
        pad(
            [
                ((x - e.mean((1, 2))[:, None, None]) / e.std((1, 2))[:, None, None]).mean(0)
                for x in (sentence[:, 1:-1] for sentence in with_boundaries)
            ]
        )
        for e in all_words
    ]
    alone = [layers_of(here, [word])[0, 1:-1, :32] for word in ("bank", "river")]
    protein = layers_of(here, PROTEIN)[:, 1:-1]
    hub = [layers_of(here, words)[:, 1:-1].mean(0) for words in (["The", "bank"], ["Good"])]
    mask = np.array([[1] * 5, [1, 1, 0, 0, 0]])
    encode = "encoder.encode(sentences"
    swapped = '[rows.swapaxes(0, 1) for rows in encoder.encode(sentences, layer="all")]'
    load = 'AutoModel.from_pretrained("my-elmo", '
    return {
        "output[0]": mean,
        "output.elmo": mean,
        "output.word_emb": layers[0][..., :32],
        "output.lstm_outputs1": layers[1],
        "output.lstm_outputs2": layers[2],
        "output.hidden_states": layers,
        "output.hidden_states[1]": layers[1],
        "output.hidden_states[-1]": layers[2],
        "torch.stack(output.hidden_states, dim=1)": stacked,
        "torch.cat(output.hidden_states, dim=-1)": np.concatenate(layers, axis=-1),
        'batch["attention_mask"]': mask,
        f"{load}num_output_representations=2)(**batch).elmo_representations": np.stack([mean, mean], axis=1),
        'torch.einsum("l,lbwd->bwd", torch.tensor([0.0, 0.0, 1.0]).softmax(0), torch.stack(output.hidden_states))': (
            np.einsum("l,lbwd->bwd", tops, np.stack(layers))
        ),
        f'{load}mix_layer_norm="with_boundaries")(**batch)[0]': normal[0],
        f'{load}mix_layer_norm="without_boundaries")(**batch)[0]': normal[1],
        f"{load}output_dropout=0.5).eval()(**batch)[0]": mean,
        "model(**batch, return_boundaries=True)[0]": pad([sentence.mean(0) for sentence in with_boundaries]),
        f"{encode})": [sentence.mean(0) for sentence in sentences],
        f'{encode}, layer="lstm_outputs1")': [sentence[1] for sentence in sentences],
        f'{encode}, layer="lstm_outputs2")': [sentence[2] for sentence in sentences],
        f'{encode}, layer="all")': [sentence.swapaxes(0, 1) for sentence in sentences],
        f'{encode}, pooling="mean")': means,
        f'{encode}, pooling="mean", normalize=True)': means / np.linalg.norm(means, axis=1, keepdims=True),
        swapped: sentences,
        "encoder.encode([sentences[0]])[0]": sentences[0].mean(0),
        'encoder.encode([sentences[0]], layer="lstm_outputs2")[0]': sentences[0][2],
        'encoder.encode([sentences[0]], layer="all")[0].swapaxes(0, 1)': sentences[0],
        'encoder.encode([["bank"], ["river"]], layer="word_emb")': alone,
        'encoder.encode([list("MKTAYIAK")], layer="all")[0].swapaxes(0, 1)': protein,
        'encoder.encode([list("MKTAYIAK")], layer="all")[0].sum(1).mean(0)': protein.sum(0).mean(0),
        'tfhub_outputs(["The bank lends money .", "Good ."], model="my-elmo")["elmo"]': mean,
        'tfhub_outputs([["The", "bank"], ["Good", ""]], sequence_len=[2, 1], model="my-elmo")["elmo"]': pad(hub),
    }


# Checks of the calls that do not return arrays.
OTHERS: dict[str, Callable[[Any, dict[str, Any]], bool]] = {
    'batch["input_ids"]': lambda value, names: torch.equal(value, names["batch_to_ids"](SENTENCES)),
    "encoder.model.requires_grad_(False)": lambda value, names: not any(p.requires_grad for p in value.parameters()),
    "model.word_cache_info()": lambda value, names: value.misses >= 6,
    "model.config.hidden_size": lambda value, names: value == names["elmo"].get_output_dim() == 64,
    'Elmo("my-elmo", None, 1)': lambda value, names: isinstance(value, torch.nn.Module),
    'ElmoEncoder.from_pretrained("my-elmo")': lambda value, names: value.encode("Good.")[0].shape == (64,),
    'Dataset.from_dict({"words": sentences}).map(encoder, batched=True, fn_kwargs={"pooling": "mean"})': (
        lambda value, names: (
            np.abs(value["embedding"] - names["encoder"].encode(SENTENCES, pooling="mean")).max() < PACKED
        )
    ),
    '[p.requires_grad_(name.startswith("scalar_mixes")) for name, p in encoder.model.named_parameters()]': (
        lambda value, names: (
            {n.split(".")[0] for n, p in names["encoder"].model.named_parameters() if p.requires_grad}
            == {"scalar_mixes"}
        )
    ),
    # Words of the text that are no calls.
    "<S>": lambda value, names: True,
    "</S>": lambda value, names: True,
    "TokenEmbeddings": lambda value, names: True,
}


def as_arrays(value: Any) -> list[np.ndarray]:
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    return [item.detach().numpy() if isinstance(item, torch.Tensor) else np.asarray(item) for item in items]


def test_every_row_has_a_new_call() -> None:
    assert len(rows()) > 45
    for old, new, code in rows():
        assert code or new.startswith("nothing"), old


def test_new_calls_return_the_values_of_the_old_ones(here: Path, names: dict[str, Any]) -> None:
    expected = expected_values(here)
    seen = set()
    for old, _, codes in rows():
        for code in codes:
            seen.add(code)
            if code.startswith("elmo "):
                continue
            if code.startswith("from "):
                exec(code, names)
            elif code in OTHERS:
                value = eval(code, names) if code not in ("<S>", "</S>", "TokenEmbeddings") else None
                assert OTHERS[code](value, names), f"{old}: {code}"
            else:
                pairs = zip(as_arrays(eval(code, names)), as_arrays(expected[code]), strict=True)
                for ours, theirs in pairs:
                    assert ours.shape == theirs.shape, f"{old}: {code}"
                    assert np.abs(ours - theirs).max() <= 20 * PACKED, f"{old}: {code}"
    assert not (expected.keys() | OTHERS.keys()) - seen, "an expected value is unused"


def test_blocks_of_compat(here: Path, names: dict[str, Any]) -> None:
    sentences = [layers_of(here, words)[:, 1:-1] for words in SENTENCES]
    mean = pad([sentence.mean(0) for sentence in sentences])
    assert np.abs(names["vectors"].detach().numpy() - mean).max() <= 20 * PACKED
    assert np.abs(names["layers"] - sentences[0]).max() <= 20 * PACKED
    assert np.abs(names["outputs"]["default"][1] - sentences[1].mean(0).mean(0)).max() <= 20 * PACKED
    assert torch.equal(names["first"], names["vectors"])
    assert (names["second"] - names["first"]).abs().max() > 0.01


def test_new_commands(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(here)
    commands = [code for _, _, codes in rows() for code in codes if code.startswith("elmo ")]
    commands += re.findall(r"`(elmo convert old .+?)`", TEXT)
    assert len(commands) == 5
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    capsys.readouterr()
    for name, stored in STORED.items():
        with h5py.File(here / name) as file:
            for number, words in enumerate(SENTENCES):
                vectors = file[" ".join(words) if name == "average.hdf5" else str(number)][()]
                assert np.abs(vectors - stored(layers_of(here, words)[:, 1:-1])).max() <= 20 * PACKED
            assert ("sentence_to_index" in file) == (name != "average.hdf5")


@pytest.mark.slow
def test_an_old_library_finds_the_names(here: Path) -> None:
    """Runs in a separate process, because it changes `sys.modules`."""
    (block,) = [match[3] for match in BLOCK.finditer(TEXT) if "sys.modules" in match[3]]
    code = (
        f"{block}\nfrom allennlp.commands.elmo import ElmoEmbedder\nfrom allennlp.modules.elmo import Elmo\nprint(Elmo)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "modeling_elmo.compat.module.Elmo" in run.stdout, run.stderr


def optional_block(needs: str) -> str:
    (code,) = [match[3] for match in BLOCK.finditer(TEXT) if match[2] == needs]
    return code


def test_spark_block(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="the extra spark is not installed")
    monkeypatch.chdir(here)
    variables: dict[str, Any] = {}
    exec(optional_block("the extra spark"), variables)
    assert variables["annotator"].getPoolingLayer() == "elmo"


def test_sentence_transformers_block(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    monkeypatch.chdir(here)
    variables: dict[str, Any] = {}
    exec(optional_block("sentence-transformers"), variables)
    expected = np.stack([layers_of(here, words)[:, 1:-1].mean(0).mean(0) for words in SENTENCES])
    assert np.abs(variables["means"] - expected).max() <= 20 * PACKED
