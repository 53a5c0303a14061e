# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""HDF5 checkpoints: `options.json` and weights, as bilm-tf's `dump_weights` writes and AllenNLP reads them.

The weight file of a folder is recognized by its datasets, not by its name. The zip files of the NLPL repository contain
`model.hdf5`, `options.json`, `vocab.txt` or `vocab.txt.gz`, and `meta.json`. The weight file or a separate file next to
it contains the softmax. `export` writes trained scalar mixes to `scalar_mix.th`.
"""

from functools import partial
from pathlib import Path

from ..mapping.layouts import LAYOUTS, SOFTMAX_NAMES, Shape
from ..mapping.name_map import unused_arrays
from ..mapping.options import get_integer, get_section, read_options
from ..mapping.tensor_ops import Array
from ..source.download import cache_folder
from ..source.fetch import SourceFile, find_options, single_path
from .allennlp_names import MIX_FILE, scalar_mixes
from .base import OpenCheckpoint
from .hdf5 import SIGNATURE, contains, open_hdf5, read_arrays, read_shapes, read_softmax
from .torch_state import read_state
from .vocabulary import find_vocabulary, format_count, read_words

NAME = "bilm-tf HDF5"
SUFFIXES = (".hdf5", ".h5")
_KERNELS = tuple(layout.path(layout.kernel, 0, 0) for layout in LAYOUTS)
_WEIGHTS, _SOFTMAX, _WORD_VECTORS, _OTHER, _CORRUPT = "weights", "softmax", "word vectors", "other", "corrupt"


def _is_hdf5(path: Path) -> bool:
    """Return whether a file has HDF5's first bytes or, because they may be corrupt, its suffix."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return path.suffix in SUFFIXES or file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def _hdf5_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if _is_hdf5(path))
    except OSError:
        return []


def matches(path: Path) -> bool:
    """Return whether a path is an HDF5 file, or a folder with one."""
    return bool(_hdf5_files(path)) if path.is_dir() else _is_hdf5(path)


def _file_kind(path: Path) -> str:
    """Return the kind of content. A file of precomputed vectors has many datasets, so do not list them all."""
    try:
        with open_hdf5(path) as file:
            if any(contains(file, name) for name in _KERNELS):
                return _WEIGHTS
            if all(contains(file, name) for name in SOFTMAX_NAMES):
                return _SOFTMAX
            return _WORD_VECTORS if contains(file, "embedding") else _OTHER
    except (ValueError, OSError, RuntimeError, KeyError):
        return _CORRUPT


def _find_weight_file(folder: Path) -> Path:
    """Return the weight file of a folder, or else the file that an error message should be about."""
    files = _hdf5_files(folder)
    kinds = {path: _file_kind(path) for path in files}
    paths = [path for path in files if kinds[path] == _WEIGHTS]
    if not paths:
        paths = [path for path in files if kinds[path] == _CORRUPT and "softmax" not in path.name]
        paths = [path for path in paths if "weights" in path.name] or paths
    if not paths:
        paths = [path for path in files if kinds[path] != _SOFTMAX] or files
    return single_path(paths, folder, "weight file (*.hdf5)")


def _find_softmax_file(weights: Path, is_only_weight_file: bool) -> Path | None:
    """Return the separate softmax file of a weight file, or None.

    It has a fitting name, or is the only softmax file in the folder of the only weight file. A corrupt file is
    returned if its name contains "softmax", because skipping it would silently lose the softmax.
    """
    named = weights.parent / weights.name.replace("weights", "softmax_weights")
    if named != weights and named.is_file():
        return named
    others = [path for path in _hdf5_files(weights.parent) if path != weights] if is_only_weight_file else []
    paths = [path for path in others if _file_kind(path) == _SOFTMAX]
    paths = paths or [path for path in others if "softmax" in path.name and _file_kind(path) == _CORRUPT]
    return paths[0] if len(paths) == 1 else None


def _check_has_lstm(path: Path, shapes: dict[str, Shape]) -> None:
    """Raise ValueError for a softmax file or a file of word vectors. `detect_layout` rejects other files."""
    if any(name in shapes for name in _KERNELS):
        return
    if all(name in shapes for name in SOFTMAX_NAMES):
        raise ValueError(f"Expected the weights of a biLM in {path}, got only a softmax. Pass the biLM's weight file.")
    if "embedding" in shapes and len(shapes["embedding"]) == 2:
        rows, size = shapes["embedding"]
        raise ValueError(
            f"Expected the weights of a biLM in {path}, got {rows} word vectors of size {size}. "
            "Pass the weight file of the biLM that computed them."
        )


def _softmax_rows(path: Path) -> int | None:
    shape = read_shapes(path).get(SOFTMAX_NAMES[0])
    return shape[0] if shape else None


def open_checkpoint(
    path: Path,
    options: SourceFile | None = None,
    vocab: SourceFile | None = None,
    softmax: SourceFile | None = None,
) -> OpenCheckpoint:
    """Open a checkpoint.

    Args:
        path: Folder of the checkpoint, or its weight file.
        options: Options file, instead of the `options.json` next to the weights.
        vocab: Vocabulary with one word per line, instead of the `vocab.txt` next to the weights.
        softmax: Softmax file, instead of the one next to the weights.

    Raises:
        FileNotFoundError: If a file is missing or ambiguous.
        ValueError: If a file is corrupt or has other content, or the vocabulary has another number of words.
        ImportError: If h5py is not installed.
    """
    weights = _find_weight_file(path) if path.is_dir() else path
    folder = weights.parent
    if options is None and folder == cache_folder():  # other files in this folder belong to other checkpoints
        raise FileNotFoundError("Expected the path or URL of the options with the URL of weights, got none.")
    options = options or find_options(folder)
    shapes = read_shapes(weights)
    _check_has_lstm(weights, shapes)
    unused = unused_arrays(shapes)
    parsed, options_text = read_options(options)
    files = {"options": options, "weights": SourceFile(weights, weights.name)}

    softmax_file = weights if set(unused) == set(SOFTMAX_NAMES) else _find_softmax_file(weights, path.is_dir())
    softmax_file = softmax.path if softmax is not None else softmax_file
    rows = shapes["embedding"][0] if shapes.get("embedding") else None
    if softmax_file is not None and softmax_file != weights:
        files["softmax"] = softmax or SourceFile(softmax_file, softmax_file.name)
    softmax_rows = _softmax_rows(softmax_file) if softmax_file is not None else None
    vocab_file, words = vocab or find_vocabulary(folder), None
    if vocab_file is not None and (expected := rows or softmax_rows) is not None:
        vocab_words = read_words(vocab_file, expected)
        if len(vocab_words) == expected:
            files["vocab"] = vocab_file
            words = vocab_words if rows is not None else None
        elif vocab is not None or rows is not None:  # otherwise it does not belong to the softmax
            count = format_count(vocab_words, expected)
            raise ValueError(f"Expected one word per line, {expected}, in {vocab_file.origin}, got {count}.")
    mixes: tuple[tuple[Array, float], ...] = ()
    if (folder / MIX_FILE).is_file():
        files["scalar_mix"] = SourceFile(folder / MIX_FILE, MIX_FILE)
        layers = parsed["lstm"].get("n_layers", 1) if isinstance(parsed.get("lstm"), dict) else None
        mixes = scalar_mixes(read_state(folder / MIX_FILE), MIX_FILE, layers if isinstance(layers, int) else None)
    if (folder / "meta.json").is_file():
        files["meta"] = SourceFile(folder / "meta.json", "meta.json")

    def load_softmax(file: Path) -> tuple[Array, Array]:
        return read_softmax(file, get_integer(get_section(parsed, "lstm"), "lstm.projection_dim"), rows)

    return OpenCheckpoint(
        format=NAME,
        options=parsed,
        options_text=options_text,
        shapes={name: shape for name, shape in shapes.items() if name not in unused},
        read=partial(read_arrays, weights),
        files=files,
        words=words,
        softmax=partial(load_softmax, softmax_file) if softmax_file is not None else None,
        scalar_mixes=mixes,
        unused_arrays=tuple(unused),
    )
