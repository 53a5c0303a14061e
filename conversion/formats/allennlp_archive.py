# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo inside a model that AllenNLP trained: a `.th` file, or an extracted `model.tar.gz`.

An archive contains `config.json` and `weights.th`. Archives of AllenNLP before 1.0 also contain `fta/`, a folder with
the files that the configuration names. Other modules of the AllenNLP model are not converted.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from modeling_elmo.messages import format_names
from modeling_elmo.model.configuration_elmo import PRESETS, ElmoConfig

from ..mapping.layouts import Shape
from ..mapping.options import Options, fill_defaults, options_from_config, read_options
from ..mapping.tensor_ops import Array
from ..source.checkpoints import find_checkpoint
from ..source.fetch import SourceFile, single_path
from .allennlp_names import CHARACTERS, MIX_FILE, SCALAR_MIX_KEY, WeightPart, scalar_mixes, weight_parts
from .base import OpenCheckpoint, check_no_softmax
from .torch_state import contains_name, read_state, to_array

NAME = "AllenNLP model"
SUFFIX = ".th"
_DEFAULT_FILES = ("weights.th", "best.th")
_BILM, _ELMO = "_elmo_lstm.", "_elmo."
# Cached word vectors and the character ids of the sentence boundaries.
_NOT_WEIGHTS = re.compile(
    r"_word_embedding\.weight|_(bos|eos)_embedding|_token_embedder\._(beginning|end)_of_sentence_characters"
)
_MAX_TEXT_BYTES = 1 << 24


def _is_weight_file(path: Path) -> bool:
    has_suffix = path.suffix == SUFFIX and path.name != MIX_FILE  # the only mark of a corrupt file
    return path.is_file() and (has_suffix or contains_name(path, CHARACTERS.encode()))


def _weight_files(folder: Path) -> list[Path]:
    defaults = [folder / name for name in _DEFAULT_FILES if (folder / name).is_file()]
    if defaults:  # other files are those of single epochs
        return defaults[:1]
    return sorted(path for path in folder.iterdir() if _is_weight_file(path))


def matches(path: Path) -> bool:
    """Return whether a path is a `.th` file or contains AllenNLP's ELMo, or is a folder with such a file."""
    try:
        return bool(_weight_files(path)) if path.is_dir() else _is_weight_file(path)
    except OSError:
        return False


def _with_prefix(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names have a prefix, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _find_prefix(state: Mapping[str, torch.Tensor], origin: str) -> str:
    """Return the prefix of the names of the biLM's tensors."""
    prefixes = [key.removesuffix(CHARACTERS) for key in state if key == CHARACTERS or key.endswith(f".{CHARACTERS}")]
    if not prefixes:
        raise ValueError(f"Expected the weights of an ELMo (*{CHARACTERS}) in {origin}, got {format_names(state)}.")
    first, *others = prefixes
    bilm_state = _with_prefix(state, first)
    for prefix in others:  # a module that two parts of a model share is stored twice
        other = _with_prefix(state, prefix)
        if bilm_state.keys() != other.keys() or not all(torch.equal(bilm_state[key], other[key]) for key in other):
            raise ValueError(f"Expected one ELMo in {origin}, got different ones: {format_names(prefixes)}.")
    return first


def _objects_with_key(config: Any, key: str) -> list[Mapping[str, Any]]:
    """Return every object in a configuration that has the key."""
    objects: list[Mapping[str, Any]] = []
    pending = [config]
    while pending:
        value = pending.pop(0)
        if isinstance(value, dict):
            objects += [value] if key in value else []
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return objects


def _read_config(folder: Path) -> Options | None:
    path = folder / "config.json"
    if not path.is_file():
        return None
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise ValueError(f"Expected at most {_MAX_TEXT_BYTES} bytes in config.json, got {path.stat().st_size}.")
    return read_options(SourceFile(path, "config.json"))[0]


def _configured_options(config: Options | None) -> list[str]:
    """Return paths and URLs of the options files that a configuration names."""
    return list(dict.fromkeys(str(value["options_file"]) for value in _objects_with_key(config, "options_file")))


def _is_text_file(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _MAX_TEXT_BYTES
    except (OSError, ValueError):  # not a valid file name
        return False


def _find_options_file(folder: Path, configured: Iterable[str]) -> SourceFile | None:
    """Return the options file of an archive: below `fta` by its name, `options.json`, or the configured path."""
    root = folder.resolve()
    candidates = [*root.glob("fta/*options_file"), *root.glob("fta/**/*options*.json"), root / "options.json"]
    candidates += [root / name for name in configured if "://" not in name]
    paths = [path for path in dict.fromkeys(candidates) if _is_text_file(path)]
    paths = [path for path in paths if path.resolve().is_relative_to(root)]  # never read files outside the archive
    if not paths:
        return None
    has_copies_only = len({path.read_bytes() for path in paths}) == 1
    path = paths[0] if has_copies_only else single_path(paths, folder, "options file")
    return SourceFile(path, path.name)


def _infer_sizes(table: Iterable[WeightPart]) -> Options:
    shapes = {part.name: part.shape for part in table}
    cells = [name for name in shapes if name.startswith("RNN_0/") and name.endswith("/W_P_0")]
    kernels = [shape for name, shape in shapes.items() if name.startswith("CNN/W_cnn_")]
    dim, projection_dim = shapes[cells[0]]
    return {
        "lstm": {"use_skip_connections": True, "projection_dim": projection_dim, "dim": dim, "n_layers": len(cells)},
        "char_cnn": {
            "filters": [[w, n] for _, w, _, n in kernels],
            "n_highway": sum(name.endswith("/W_carry") for name in shapes),
            "embedding": {"dim": shapes["char_embed"][1]},
        },
    }


def _match_preset(sizes: Options) -> tuple[str, Options] | None:
    """Return name and options of the released architecture with these sizes."""
    for preset in PRESETS:
        options = options_from_config(ElmoConfig.from_preset(preset))
        if fill_defaults(sizes, options) == options:
            return preset, options
    return None


def _find_options(
    folder: Path, options_file: SourceFile | None, configured: list[str], sizes: Options
) -> tuple[SourceFile | None, Options, str | None, str | None]:
    """Return ELMo's options: file, content, and text; or the options of a released architecture and its name.

    The name is None if the configuration confirms the architecture.
    """
    file = options_file or _find_options_file(folder, configured)
    if file is not None:
        options, text = read_options(file)
        return file, options, text, None
    match = _match_preset(sizes)
    if match is None:
        names = f" (config.json: {format_names(configured)})" if configured else ""
        raise FileNotFoundError(
            f"Expected ELMo's options{names} or the sizes of a released ELMo in {folder}, got neither. "
            "Pass the options file."
        )
    preset, options = match
    checkpoints = [find_checkpoint(name) for name in configured if "://" in name]
    is_certain = any(checkpoint is not None and checkpoint.preset == preset for checkpoint in checkpoints)
    return None, options, None, None if is_certain else preset


def _check_tensors(table: Iterable[WeightPart], shapes: Mapping[str, Shape], origin: str) -> None:
    """Raise ValueError unless the tensors are exactly those of an ELMo."""
    expected = {key: shape for part in table for key, shape in part.sources.items()}
    if missing := [key for key in expected if key not in shapes]:
        raise ValueError(f"Expected {format_names(missing)} in the ELMo of {origin}, got no such tensor.")
    if unknown := [key for key in shapes if key not in expected]:
        raise ValueError(f"Expected only ELMo's tensors in the ELMo of {origin}, got {format_names(unknown)}.")
    for key, shape in expected.items():
        if shapes[key] != shape:
            raise ValueError(f"Expected {key} of {origin} of shape {shape}, got {shapes[key]}.")


def _note(config: Options | None, has_projection: bool, assumed_preset: str | None) -> str:
    model = (config or {}).get("model")
    model_type = model.get("type") if isinstance(model, dict) else None
    is_name = isinstance(model_type, str) and re.fullmatch(r"[\w.-]{1,60}", model_type)
    sentences = [f"Extracted from an AllenNLP model{f' of type `{model_type}`' if is_name else ''}."]
    if has_projection:
        sentences.append("The projection that follows ELMo in that model is not included.")
    if assumed_preset:
        sentences.append(
            f"The activation and clip values are assumed to be those of the released model {assumed_preset}, which has "
            "the same sizes."
        )
    return " ".join(sentences)


def open_checkpoint(
    path: Path,
    options: SourceFile | None = None,
    vocab: SourceFile | None = None,
    softmax: SourceFile | None = None,
) -> OpenCheckpoint:
    """Open an AllenNLP model.

    Args:
        path: Folder of an extracted archive or of a training run, or its weight file.
        options: ELMo's `options.json`, instead of the file that the archive contains or names.
        vocab: Ignored.
        softmax: Must be None.

    Raises:
        FileNotFoundError: If a file is missing or ambiguous.
        ValueError: If a file is corrupt or contains code, or the model has no ELMo or unknown tensors in it.
    """
    check_no_softmax(softmax, NAME)
    weights = single_path(_weight_files(path), path, "weight file (weights.th)") if path.is_dir() else path
    folder = weights.parent
    state = read_state(weights)
    prefix = _find_prefix(state, weights.name)
    bilm_state = _with_prefix(state, prefix)
    shapes: dict[str, Shape] = {
        key: tuple(value.shape) for key, value in bilm_state.items() if not _NOT_WEIGHTS.fullmatch(key)
    }
    if prefix.endswith(_BILM):
        elmo = prefix.removesuffix(_BILM)
    else:  # a biLM without the Elmo module around it
        elmo = None
        shapes = {key: shape for key, shape in shapes.items() if key.startswith(("_token_embedder.", _BILM))}
    characters = bilm_state[CHARACTERS]
    table = weight_parts(shapes, has_row_0=characters.dim() == 2 and bool(characters[:1].any()))
    _check_tensors(table, shapes, weights.name)

    sizes = _infer_sizes(table)
    config = _read_config(folder)
    file, parsed, options_text, assumed_preset = _find_options(folder, options, _configured_options(config), sizes)
    files = {"weights": SourceFile(weights, weights.name)}
    files |= {"config": SourceFile(folder / "config.json", "config.json")} if config is not None else {}
    files |= {"options": file} if file is not None else {}

    mixes = {}
    if elmo is not None:
        mixes = {key: value for key, value in state.items() if key.startswith(elmo)}
        mixes = {key: value for key, value in mixes.items() if SCALAR_MIX_KEY.fullmatch(key.removeprefix(elmo))}
    projection = f"{elmo.removesuffix(_ELMO)}_projection." if elmo is not None and elmo.endswith(_ELMO) else None
    used = {*mixes, *(prefix + key for key in shapes)}
    parts = {part.name: part for part in table}

    def read(names: Iterable[str]) -> dict[str, Array]:
        return {
            name: parts[name].convert(*(to_array(prefix + key, bilm_state[key]) for key in parts[name].sources))
            for name in names
        }

    normalized = any(value["do_layer_norm"] is True for value in _objects_with_key(config, "do_layer_norm"))
    has_projection = projection is not None and any(key.startswith(projection) for key in state)
    return OpenCheckpoint(
        format=NAME,
        options=fill_defaults(parsed, sizes),
        options_text=options_text,
        shapes={part.name: part.shape for part in table},
        read=read,
        files=files,
        scalar_mixes=scalar_mixes(mixes, weights.name, sizes["lstm"]["n_layers"]),
        unused_arrays=tuple(key for key in state if key not in used),
        fields={"mix_layer_norm": "with_boundaries"} if normalized else {},
        note=_note(config, has_projection, assumed_preset),
    )
