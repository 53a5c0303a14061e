# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints in HDF5: `options.json` and weights as bilm-tf's `dump_weights` writes them, and AllenNLP reads them.

In a folder the weight file is known by its datasets, whatever it is called; the NLPL repository's zips have
`model.hdf5`, `options.json`, `vocab.txt` or `vocab.txt.gz` and `meta.json`. The softmax is in the weight file, or in a
file of its own beside it; `scalar_mix.th` is what `export` writes of a trained mix.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ..mapping.layouts import LAYOUTS, SOFTMAX_NAMES, Shape
from ..mapping.name_map import left_out
from ..mapping.options import Options, parse
from ..mapping.tensor_ops import Array
from ..source.download import cache_folder
from ..source.fetch import SourceFile, find_options
from . import vocabulary
from .allennlp_names import MIX_FILE, scalar_mixes
from .base import Opened
from .hdf5 import SIGNATURE, open_hdf5, read_arrays, read_shapes, read_softmax
from .torch_state import read_state

NAME = "bilm-tf HDF5"
SUFFIXES = (".hdf5", ".h5")
_KERNELS = tuple(layout.path(layout.kernel, 0, 0) for layout in LAYOUTS)
_WEIGHTS, _SOFTMAX, _WORD_VECTORS, _OTHER, _DAMAGED = "weights", "softmax", "word vectors", "other", "damaged"


def _is_hdf5(path: Path) -> bool:
    """By its first bytes; a damaged file is known by its name alone."""
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
    """Whether a path is an HDF5 file, or a folder with one."""
    return bool(_hdf5_files(path)) if path.is_dir() else _is_hdf5(path)


def _kind(path: Path) -> str:
    """What a file holds, without a look at all of its datasets: a file of stored vectors has one a sentence."""
    try:
        with open_hdf5(path) as file:
            if any(name in file for name in _KERNELS):
                return _WEIGHTS
            if all(name in file for name in SOFTMAX_NAMES):
                return _SOFTMAX
            return _WORD_VECTORS if "embedding" in file else _OTHER
    except (ValueError, OSError, RuntimeError, KeyError):
        return _DAMAGED


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths) or "none"


def _choose(folder: Path) -> Path:
    """The weight file of a folder; FileNotFoundError unless there is one."""
    files = _hdf5_files(folder)
    kinds = {path: _kind(path) for path in files}
    found = [path for path in files if kinds[path] == _WEIGHTS]
    if not found:  # then the message is about the file that should be it
        found = [path for path in files if kinds[path] == _DAMAGED and "softmax" not in path.name]
        found = [path for path in found if "weights" in path.name] or found
    if not found:
        found = [path for path in files if kinds[path] != _SOFTMAX] or files
    if len(found) != 1:
        raise FileNotFoundError(
            f"{folder} must have one weight file (*.hdf5), or it must be named; got {_names(found)}."
        )
    return found[0]


def read_options(file: SourceFile) -> tuple[Options, str]:
    """The options and their text; ValueError if the file is not a JSON object."""
    try:
        text = file.path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.origin} must be JSON in UTF-8; {error}.") from error
    try:
        return parse(text, file.origin), text
    except RecursionError as error:
        raise ValueError(f"{file.origin} must be JSON; it is nested too deeply.") from error


def _separate_softmax(weights: Path, alone: bool) -> Path | None:
    """The file with the softmax of a weight file: the one whose name fits, or the only one if the weights are `alone`.

    A damaged file counts if its name says that it is one: to pass over it would lose the softmax without a word.
    """
    fitting = weights.parent / weights.name.replace("weights", "softmax_weights")
    if fitting != weights and fitting.is_file():
        return fitting
    others = [path for path in _hdf5_files(weights.parent) if path != weights] if alone else []
    found = [path for path in others if _kind(path) == _SOFTMAX]
    found = found or [path for path in others if "softmax" in path.name and _kind(path) == _DAMAGED]
    return found[0] if len(found) == 1 else None


def _refuse_what_has_no_lstm(path: Path, shapes: dict[str, Shape]) -> None:
    if any(name in shapes for name in _KERNELS):
        return
    if all(name in shapes for name in SOFTMAX_NAMES):
        raise ValueError(f"{path} must have the weights of a biLM; it is the softmax that belongs to one.")
    if "embedding" in shapes and len(shapes["embedding"]) == 2:
        rows, size = shapes["embedding"]
        raise ValueError(
            f"{path} must have the weights of a biLM; it is a table of {rows} word vectors of size {size} that one "
            "computed: convert the biLM's own weight file."
        )


def _softmax_rows(path: Path) -> int | None:
    shape = read_shapes(path).get(SOFTMAX_NAMES[0])
    return shape[0] if shape else None


def _projection_size(options: Options) -> int:
    lstm = options.get("lstm")
    size = lstm.get("projection_dim") if isinstance(lstm, dict) else None
    if not isinstance(size, int):
        raise TypeError(f"option lstm.projection_dim must be an integer; got {size!r}.")
    return size


def open_checkpoint(
    path: Path,
    options: SourceFile | None = None,
    vocab: SourceFile | None = None,
    softmax: SourceFile | None = None,
) -> Opened:
    """Open a checkpoint.

    Args:
        path: its folder or its weight file.
        options: in place of the `options.json` beside the weights.
        vocab: the words, one a line, in place of the `vocab.txt` beside the weights.
        softmax: the file with the softmax, in place of the one beside the weights.

    Raises:
        FileNotFoundError: a file is missing, or several could be it.
        ValueError: a file is damaged or of something else, or the vocabulary has another number of words.
        ImportError: h5py is not installed.
    """
    weights = _choose(path) if path.is_dir() else path
    folder = weights.parent
    if options is None and folder == cache_folder():  # what lies beside a download is of other checkpoints
        raise FileNotFoundError("weights at an address must come with the options' path or address; got none.")
    options = options or find_options(folder)
    shapes = read_shapes(weights)
    _refuse_what_has_no_lstm(weights, shapes)
    outside = left_out(shapes)
    parsed, options_text = read_options(options)
    files = {"options": options, "weights": SourceFile(weights, weights.name)}

    softmax_file = weights if set(outside) == set(SOFTMAX_NAMES) else _separate_softmax(weights, path.is_dir())
    softmax_file = softmax.path if softmax is not None else softmax_file
    rows = shapes["embedding"][0] if shapes.get("embedding") else None
    if softmax_file is not None and softmax_file != weights:
        files["softmax"] = softmax or SourceFile(softmax_file, softmax_file.name)
    predicted = _softmax_rows(softmax_file) if softmax_file is not None else None
    given, words = vocab or vocabulary.find(folder), None
    if given is not None and (expected := rows or predicted) is not None:
        found = vocabulary.read_words(given)
        if len(found) == expected:
            files["vocab"] = given
            words = found if rows is not None else None
        elif vocab is not None or rows is not None:  # otherwise it is of something else than the softmax
            raise ValueError(f"{given.origin} must have one word a line, {expected}; got {len(found)}.")
    mixes: tuple[tuple[Array, float], ...] = ()
    if (folder / MIX_FILE).is_file():
        files["scalar_mix"] = SourceFile(folder / MIX_FILE, MIX_FILE)
        layers = parsed["lstm"].get("n_layers", 1) if isinstance(parsed.get("lstm"), dict) else None
        mixes = scalar_mixes(read_state(folder / MIX_FILE), MIX_FILE, layers if isinstance(layers, int) else None)
    if (folder / "meta.json").is_file():
        files["meta"] = SourceFile(folder / "meta.json", "meta.json")

    def read_the_softmax(file: Path) -> tuple[Array, Array]:
        return read_softmax(file, _projection_size(parsed), rows)

    return Opened(
        format=NAME,
        options=parsed,
        options_text=options_text,
        shapes={name: shape for name, shape in shapes.items() if name not in outside},
        read=partial(read_arrays, weights),
        files=files,
        words=words,
        softmax=partial(read_the_softmax, softmax_file) if softmax_file is not None else None,
        scalar_mixes=mixes,
        left_out=tuple(outside),
    )
