# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo inside a model that AllenNLP trained: a `.th` file, or an unpacked `model.tar.gz`.

An archive has `config.json`, `weights.th` and, if AllenNLP older than 1.0 wrote it, `fta/`, a folder with the files
that the configuration names. A fine-tuned ELMo exists nowhere else. What the model has beside ELMo is left out.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from modeling_elmo.model.configuration_elmo import PRESETS, ElmoConfig

from ..mapping.layouts import Shape
from ..mapping.options import Options, options_from_config
from ..mapping.tensor_ops import Array
from ..source.checkpoints import find
from ..source.fetch import SourceFile
from .allennlp_names import CHARACTERS, MIX, MIX_FILE, Part, parts, scalar_mixes
from .base import Opened
from .hdf5_checkpoint import read_options
from .torch_state import mentions, read_state, to_array

NAME = "AllenNLP model"
SUFFIX = ".th"
_USUAL = ("weights.th", "best.th")
_BILM, _ELMO = "_elmo_lstm.", "_elmo."
# Copies of word vectors, kept for speed, and constants of the sentence boundaries.
_NO_WEIGHTS = re.compile(
    r"_word_embedding\.weight|_(bos|eos)_embedding|_token_embedder\._(beginning|end)_of_sentence_characters"
)
_LARGEST_TEXT = 1 << 24


def _is_weights(path: Path) -> bool:
    named = path.suffix == SUFFIX and path.name != MIX_FILE  # damaged, it has no other mark
    return path.is_file() and (named or mentions(path, CHARACTERS.encode()))


def _weight_files(folder: Path) -> list[Path]:
    usual = [folder / name for name in _USUAL if (folder / name).is_file()]
    if usual:  # beside them lie those of single epochs
        return usual[:1]
    return sorted(path for path in folder.iterdir() if _is_weights(path))


def matches(path: Path) -> bool:
    """Whether a path is a `.th` file or holds AllenNLP's ELMo, or is a folder with such a file."""
    try:
        return bool(_weight_files(path)) if path.is_dir() else _is_weights(path)
    except OSError:
        return False


def _choose(folder: Path) -> Path:
    found = _weight_files(folder)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise FileNotFoundError(f"{folder} must have one weight file (weights.th), or it must be named; got {names}.")
    return found[0]


def _listed(names: Iterable[str]) -> str:
    shown = [name if name.isprintable() else repr(name) for name in names]
    return ", ".join(shown[:8]) + (", ..." if len(shown) > 8 else "") or "none"


def _prefix(state: Mapping[str, torch.Tensor], origin: str) -> str:
    """What the names of the biLM's tensors begin with."""
    prefixes = [key.removesuffix(CHARACTERS) for key in state if key == CHARACTERS or key.endswith(f".{CHARACTERS}")]
    if not prefixes:
        raise ValueError(f"{origin} must have the weights of an ELMo (*{CHARACTERS}); got {_listed(state)}.")
    first, *others = prefixes
    own = {key.removeprefix(first): value for key, value in state.items() if key.startswith(first)}
    for prefix in others:  # a module that two parts of a model share is stored twice
        other = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if own.keys() != other.keys() or not all(torch.equal(own[key], other[key]) for key in own):
            raise ValueError(f"{origin} must have one ELMo; it has different ones, {_listed(prefixes)}.")
    return first


def _with_key(config: Any, key: str) -> list[Mapping[str, Any]]:
    """Every object in a configuration that has the key."""
    found: list[Mapping[str, Any]] = []
    rest = [config]
    while rest:
        value = rest.pop(0)
        if isinstance(value, dict):
            found += [value] if key in value else []
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    return found


def _read_config(folder: Path) -> Options | None:
    path = folder / "config.json"
    if not path.is_file():
        return None
    if path.stat().st_size > _LARGEST_TEXT:
        raise ValueError(f"config.json must have at most {_LARGEST_TEXT} bytes; it has more.")
    return read_options(SourceFile(path, "config.json"))[0]


def _named_options(config: Options | None) -> list[str]:
    """Paths and addresses of option files in a configuration."""
    return list(dict.fromkeys(str(found["options_file"]) for found in _with_key(config, "options_file")))


def _is_text(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _LARGEST_TEXT
    except (OSError, ValueError):  # a name that cannot be one
        return False


def _options_in(folder: Path, named: Iterable[str]) -> SourceFile | None:
    """The options file in an archive: below `fta`, where its name says what it is, or at the configuration's path."""
    root = folder.resolve()
    candidates = [*root.glob("fta/*options_file"), *root.glob("fta/**/*options*.json"), root / "options.json"]
    candidates += [root / name for name in named if "://" not in name]
    found = [path for path in dict.fromkeys(candidates) if _is_text(path)]
    found = [path for path in found if path.resolve().is_relative_to(root)]  # an archive makes us read nothing else
    if len({path.read_bytes() for path in found}) > 1:
        names = ", ".join(path.name for path in found)
        raise FileNotFoundError(f"{folder} must have one options file, or it must be named; got {names}.")
    return SourceFile(found[0], found[0].name) if found else None


def _infer_sizes(table: Iterable[Part]) -> Options:
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


def _filled(options: Options, sizes: Options) -> Options:
    """The options with the sizes that they lack."""
    filled = {**sizes, **options}
    for section, values in sizes.items():
        if isinstance(options.get(section), dict):
            filled[section] = {**values, **options[section]}
    return filled


def _released(sizes: Options) -> tuple[str, Options] | None:
    """The released architecture of these sizes, and its options."""
    for preset in PRESETS:
        options = options_from_config(ElmoConfig.from_preset(preset))
        if _filled(sizes, options) == options:
            return preset, options
    return None


def _find_options(
    folder: Path, given: SourceFile | None, named: list[str], sizes: Options
) -> tuple[SourceFile | None, Options, str | None, str | None]:
    """ELMo's options with their file and text, or those of the released architecture, whose name comes last."""
    file = given or _options_in(folder, named)
    if file is not None:
        options, text = read_options(file)
        return file, options, text, None
    released = _released(sizes)
    if released is None:
        names = f" ({_listed(named)} by config.json)" if named else ""
        raise FileNotFoundError(
            f"an AllenNLP model must come with ELMo's options{names}, or have the sizes of a released ELMo; "
            f"{folder} has neither: name the options file."
        )
    preset, options = released
    known = [find(name) for name in named if "://" in name]
    is_certain = any(checkpoint is not None and checkpoint.preset == preset for checkpoint in known)
    return None, options, None, None if is_certain else preset


def _check(table: Iterable[Part], shapes: Mapping[str, Shape], origin: str) -> None:
    """ValueError unless these are the tensors of an ELMo, all of them and no other."""
    expected = {key: shape for part in table for key, shape in part.sources.items()}
    if missing := [key for key in expected if key not in shapes]:
        raise ValueError(f"the ELMo of {origin} must have {_listed(missing)}; there is no such tensor.")
    if unknown := [key for key in shapes if key not in expected]:
        raise ValueError(f"the ELMo of {origin} must have no other tensors than ELMo's; got {_listed(unknown)}.")
    for key, shape in expected.items():
        if shapes[key] != shape:
            raise ValueError(f"{key} of {origin} must have shape {shape}; got {shapes[key]}.")


def _note(config: Options | None, has_projection: bool, assumed: str | None) -> str:
    model = (config or {}).get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    of = f" of the type `{kind}`" if isinstance(kind, str) and re.fullmatch(r"[\w.-]{1,60}", kind) else ""
    facts = [f"Taken out of an AllenNLP model{of}"]
    if has_projection:
        facts.append("the projection that followed ELMo there is left out")
    if assumed:
        facts.append(
            f"its activation and clips are taken to be those of the released model {assumed}, as its sizes are"
        )
    return f"{'; '.join(facts)}."


def open_checkpoint(path: Path, options: SourceFile | None = None, vocab: SourceFile | None = None) -> Opened:
    """Open an AllenNLP model.

    Args:
        path: the folder of an unpacked archive or of a training run, or its weight file.
        options: ELMo's `options.json`, in place of the one that the archive has or names.
        vocab: has no use here.

    Raises:
        FileNotFoundError: a file is missing, or several could be it.
        ValueError: a file is damaged or has code in it, there is no ELMo or an unknown part of one.
    """
    weights = _choose(path) if path.is_dir() else path
    folder = weights.parent
    state = read_state(weights)
    prefix = _prefix(state, weights.name)
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    extra = {key for key in own if _NO_WEIGHTS.fullmatch(key)}
    shapes: dict[str, Shape] = {key: tuple(value.shape) for key, value in own.items() if key not in extra}
    if prefix.endswith(_BILM):
        elmo = prefix.removesuffix(_BILM)
    else:  # a biLM alone
        elmo = None
        shapes = {key: shape for key, shape in shapes.items() if key.startswith(("_token_embedder.", _BILM))}
    table = parts(shapes, has_row_0=bool(own[CHARACTERS][:1].any()) if own[CHARACTERS].dim() == 2 else False)
    _check(table, shapes, weights.name)

    sizes = _infer_sizes(table)
    config = _read_config(folder)
    file, parsed, options_text, assumed = _find_options(folder, options, _named_options(config), sizes)
    files = {"weights": SourceFile(weights, weights.name)}
    files |= {"config": SourceFile(folder / "config.json", "config.json")} if config is not None else {}
    files |= {"options": file} if file is not None else {}

    mixes = {}
    if elmo is not None:
        mixes = {key: value for key, value in state.items() if key.startswith(elmo)}
        mixes = {key: value for key, value in mixes.items() if MIX.fullmatch(key.removeprefix(elmo))}
    projection = f"{elmo.removesuffix(_ELMO)}_projection." if elmo is not None and elmo.endswith(_ELMO) else None
    placed = {*mixes, *(prefix + key for key in shapes)}
    by_name = {part.name: part for part in table}

    def read(names: Iterable[str]) -> dict[str, Array]:
        return {
            name: by_name[name].make(*(to_array(prefix + key, own[key]) for key in by_name[name].sources))
            for name in names
        }

    normalized = any(found["do_layer_norm"] is True for found in _with_key(config, "do_layer_norm"))
    return Opened(
        format=NAME,
        options=_filled(parsed, sizes),
        options_text=options_text,
        shapes={part.name: part.shape for part in table},
        read=read,
        files=files,
        scalar_mixes=scalar_mixes(mixes, weights.name, sizes["lstm"]["n_layers"]),
        left_out=tuple(key for key in state if key not in placed),
        fields={"mix_layer_norm": "with_boundaries"} if normalized else {},
        note=_note(config, projection is not None and any(key.startswith(projection) for key in state), assumed),
    )
