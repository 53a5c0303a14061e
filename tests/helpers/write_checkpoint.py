# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Random checkpoints in bilm-tf's format, of any variant, written independently of the package's table of names."""

import copy
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

OPTIONS: dict[str, Any] = {
    "lstm": {
        "use_skip_connections": True,
        "projection_dim": 6,
        "cell_clip": 3,
        "proj_clip": 3,
        "dim": 10,
        "n_layers": 2,
    },
    "char_cnn": {
        "activation": "relu",
        "filters": [[1, 3], [2, 4], [3, 5]],
        "n_highway": 2,
        "embedding": {"dim": 4},
        "n_characters": 262,
        "max_characters_per_token": 50,
    },
}

DEFAULT_CELL = ("RNN_{d}/RNN/MultiRNNCell/Cell{l}/LSTMCell", "W_0", "B", "W_P_0")
RAW = ("kernel", "bias", "projection/kernel")
# (names of a cell, its kernel, bias, and projection), maximum numbers of layers and directions of these names
VARIANTS: dict[str, tuple[tuple[str, str, str, str], int, int]] = {
    "usual": (DEFAULT_CELL, 9, 2),
    "single layer": (("RNN_{d}/RNN/LSTMCell", "W_0", "B", "W_P_0"), 1, 2),
    "single layer, raw": (("RNN_{d}/rnn/lstm_cell", *RAW), 1, 2),
    "raw": (("RNN_{d}/rnn/multi_rnn_cell/cell_{l}/lstm_cell", *RAW), 9, 2),
    "unidirectional": (("rnn/MultiRNNCell/Cell{l}/LSTMCell", *RAW), 9, 1),
    "unidirectional, single layer": (("rnn/LSTMCell", *RAW), 1, 1),
    "unidirectional, raw": (("rnn/multi_rnn_cell/cell_{l}/lstm_cell", *RAW), 9, 1),
    "unidirectional, single layer, raw": (("rnn/lstm_cell", *RAW), 1, 1),
}


def options_with(**sections: Any) -> dict[str, Any]:
    """Return OPTIONS with replaced keys, such as `options_with(lstm={"dim": 7}, char_cnn=None)`; None removes a key."""
    options = copy.deepcopy(OPTIONS)
    for key, value in sections.items():
        if isinstance(value, dict):
            options[key].update(value)
        elif value is None:
            del options[key]
        else:
            options[key] = value
    return options


def checkpoint_shapes(
    options: dict[str, Any],
    *,
    variant: str = "usual",
    directions: int = 2,
    character_rows: int = 261,
    words: int = 0,
    softmax: int = 0,
    cell_projection: bool | None = None,
    character_projection: bool = True,
) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the datasets. The arguments are those of `write_checkpoint`."""
    lstm = options["lstm"]
    cells, size = lstm["dim"], lstm["projection_dim"]
    projected = cells > size if cell_projection is None else cell_projection
    output = size if projected else cells
    shapes: dict[str, tuple[int, ...]] = {}
    if "char_cnn" in options:
        cnn = options["char_cnn"]
        d, features = cnn["embedding"]["dim"], sum(count for _, count in cnn["filters"])
        shapes["char_embed"] = (character_rows, d)
        for i, (width, count) in enumerate(cnn["filters"]):
            shapes |= {f"CNN/W_cnn_{i}": (1, width, d, count), f"CNN/b_cnn_{i}": (count,)}
        for k in range(cnn.get("n_highway", 0)):
            for part in ("carry", "transform"):
                shapes |= {f"CNN_high_{k}/W_{part}": (features, features), f"CNN_high_{k}/b_{part}": (features,)}
        if character_projection:
            shapes |= {"CNN_proj/W_proj": (features, size), "CNN_proj/b_proj": (size,)}
    else:
        shapes["embedding"] = (words, size)
    (cell, kernel, bias, projection), _, _ = VARIANTS[variant]
    for d in range(directions):
        for layer in range(lstm.get("n_layers", 1)):
            path = cell.format(d=d, l=layer)
            shapes[f"{path}/{kernel}"] = ((output if layer else size) + output, 4 * cells)
            shapes[f"{path}/{bias}"] = (4 * cells,)
            if projected:
                shapes[f"{path}/{projection}"] = (cells, size)
    if softmax:
        shapes |= {"softmax/W": (softmax, size), "softmax/b": (softmax,)}
    return shapes


def random_arrays(options: dict[str, Any], seed: int = 0, **variant: Any) -> dict[str, np.ndarray]:
    """Return random arrays by dataset name, large enough that gates saturate and clips take effect.

    Args:
        options: Content of `options.json`.
        seed: Equal seeds give equal weights.
        variant: Arguments of `checkpoint_shapes`.
    """
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in checkpoint_shapes(options, **variant).items():
        is_table = name in ("char_embed", "embedding") or len(shape) == 1
        scale = 1.0 if is_table else 1.5 * float(np.prod(shape[:-1])) ** -0.5
        arrays[name] = (scale * random.standard_normal(shape)).astype(np.float32)
        if name == "char_embed" and shape[0] == 262:
            arrays[name][0] = 0.0
    return arrays


def write_checkpoint(
    folder: str | Path,
    options: dict[str, Any] = OPTIONS,
    seed: int = 0,
    *,
    words: list[str] | None = None,
    softmax: int = 0,
    **variant: Any,
) -> None:
    """Write `options.json` and `lm_weights.hdf5` (and `vocab.txt` if `words` is given) to `folder`.

    Args:
        folder: Folder, created if it does not exist.
        options: Content of `options.json`. Without `char_cnn`, the model has word inputs and requires `words`.
        seed: Equal seeds give equal weights.
        words: Vocabulary of a model with word inputs.
        softmax: Rows of a softmax in the same file; 0 for none.
        variant: `variant` (a key of VARIANTS), `directions`, `character_rows` (261 or 262), `cell_projection`
            (default: only if it reduces the output size), and `character_projection`.
    """
    arrays = random_arrays(options, seed, words=len(words or ()), softmax=softmax, **variant)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(options), encoding="utf-8")
    if words is not None:
        (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    with h5py.File(folder / "lm_weights.hdf5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)


def to_default_names(arrays: dict[str, Any], variant: str) -> dict[str, Any]:
    """Return the arrays of any variant by the names that the oracle reads."""
    (cell, *names), layers, directions = VARIANTS[variant]
    renamed = dict(arrays)
    for d in range(directions):
        for layer in range(layers):
            for name, default in zip(names, DEFAULT_CELL[1:], strict=True):
                path = f"{cell.format(d=d, l=layer)}/{name}"
                if path in arrays:
                    renamed[f"{DEFAULT_CELL[0].format(d=d, l=layer)}/{default}"] = arrays[path]
    return renamed


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder and its subfolders."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_datasets(path: str | Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return type, shape, and bytes of every dataset, to compare files exactly."""
    datasets: dict[str, tuple[str, tuple[int, ...], bytes]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            datasets[name] = (str(item.dtype), item.shape, item[()].tobytes())

    with h5py.File(path) as file:
        file.visititems(visit)
    return datasets
