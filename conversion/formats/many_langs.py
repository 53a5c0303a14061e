# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Models of ELMoForManyLangs (Che et al. 2018): a folder of PyTorch pickles, lexicons, and a JSON architecture.

Words consist of code points and, in addition, of an entry of a word lexicon. The LSTM is ELMo's, but the stored bias
includes the forget bias. The configuration therefore has `forget_bias=0.0`, and the stored values do not change.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from modeling_elmo.model.alphabet_elmo import BOW_ENTRY, EOW_ENTRY, PAD_ENTRY, UNKNOWN_ENTRY

from ..mapping.layouts import CODE_POINT_TABLE, LEXICON_TABLE
from ..mapping.options import Options, get_integer, get_section, read_options
from ..mapping.tensor_ops import Array
from ..source.fetch import SourceFile
from .base import Lexicon, OpenCheckpoint, check_no_softmax
from .many_langs_weights import EMBEDDER, ENCODER, Table, Weights, cell_table, token_table

NAME = "ELMoForManyLangs model"
BOS_ENTRY, EOS_ENTRY = "<bos>", "<eos>"
_CLASSIFIER = "classifier.pkl"
_WHITESPACE = "\u3000"  # ELMoForManyLangs replaces every entry that is only whitespace by this character
_MAX_DESCRIPTION = 200

# The only published architecture. Some model folders do not contain it.
DEFAULT_ARCHITECTURE: Options = {
    "encoder": {"name": "elmo", "projection_dim": 512, "cell_clip": 3, "proj_clip": 3, "dim": 4096, "n_layers": 2},
    "token_embedder": {
        "name": "cnn",
        "activation": "relu",
        "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
        "n_highway": 2,
        "word_dim": 100,
        "char_dim": 50,
        "max_characters_per_token": 50,
    },
}


def _find_model_folder(path: Path) -> Path | None:
    """Return the folder with the two pickles: `path`, or the only folder in it that contains them."""
    candidates = [path, *sorted(path.iterdir())] if path.is_dir() else []
    folders = [folder for folder in candidates if (folder / EMBEDDER).is_file() and (folder / ENCODER).is_file()]
    return folders[0] if folders and (folders[0] == path or len(folders) == 1) else None


def matches(path: Path) -> bool:
    """Return whether a folder is a model of ELMoForManyLangs, or contains exactly one."""
    try:
        return _find_model_folder(path) is not None
    except OSError:
        return False


# ---------------------------------------------------------------- architecture


def _read_json(path: Path) -> Options:
    return read_options(SourceFile(path, str(path)))[0]


def _find_architecture_file(folder: Path) -> Path | None:
    """Return the architecture file. `config.json` mostly names it by a path on its author's machine."""
    config = folder / "config.json"
    config_path = _read_json(config).get("config_path") if config.is_file() else None
    name = PureWindowsPath(config_path).name if isinstance(config_path, str) else ""  # splits at both kinds of slash
    if name not in ("", "..", "config.json") and (folder / name).is_file():
        return folder / name
    others = [path for path in sorted(folder.glob("*.json")) if path.name not in ("config.json", "meta.json")]
    paths = [path for path in others if {"encoder", "token_embedder"} <= _read_json(path).keys()]
    if len(paths) > 1:
        raise ValueError(
            f"Expected one architecture in {folder}, got {', '.join(path.name for path in paths)}. "
            "Pass one of them as the options file."
        )
    return paths[0] if paths else None


def _get_module(architecture: Options, key: str, expected_name: str, origin: str) -> Mapping[str, Any]:
    """Return the options of the encoder or the token embedder, which must be those of an ELMo."""
    section = get_section(architecture, key)
    if str(section.get("name")).lower() != expected_name:
        raise ValueError(f"Expected {key}.name {expected_name!r} in {origin}, got {section.get('name')!r}.")
    return section


def _to_bilm_options(encoder: Mapping[str, Any], embedder: Mapping[str, Any]) -> Options:
    """Return the architecture with bilm-tf's keys. `config_from_options` checks missing keys and values."""
    keys: tuple[str, ...] = ("dim", "projection_dim", "n_layers", "cell_clip", "proj_clip")
    lstm = {key: encoder[key] for key in keys if key in encoder}
    options: Options = {"lstm": {**lstm, "use_skip_connections": True}}
    if embedder["char_dim"]:
        keys = ("activation", "filters", "n_highway", "max_characters_per_token")
        cnn = {key: embedder[key] for key in keys if key in embedder}
        options["char_cnn"] = {**cnn, "embedding": {"dim": embedder["char_dim"]}}
    return options


# ---------------------------------------------------------------- lexicons


def read_lexicon(path: Path, rows: int) -> list[str | None]:
    """Return the name of each row of a table; None for rows without a name.

    The rules are those of ELMoForManyLangs: whitespace around a line is removed, a line with one field is an entry that
    was only whitespace, and the last of several equal names counts.

    Args:
        path: File with one line `name TAB row` per entry.
        rows: Number of rows of the table.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not UTF-8, or a line has another form.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected {path} with the names of {rows} vectors, but it does not exist.")
    names: dict[str, int] = {}
    used_rows: set[int] = set()
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                name, _, row = line.strip().rpartition("\t")
                is_valid = row.isdecimal() and len(row) < 12 and int(row) < rows and int(row) not in used_rows
                if not is_valid:
                    raise ValueError(
                        f"Expected a name, a tab, and an unused row in 0..{rows - 1} at {path}:{number}, "
                        f"got {line.rstrip()[:80]!r}."
                    )
                names[name or _WHITESPACE] = int(row)
                used_rows.add(int(row))
    except UnicodeDecodeError as error:
        raise ValueError(f"Cannot decode {path} as UTF-8: {error}.") from error
    result: list[str | None] = [None] * rows
    for name, index in names.items():
        result[index] = name
    return result


def _entry_ids(names: Sequence[str | None], entries: Sequence[str], path: Path) -> list[int]:
    """Return the ids of required entries. Ids start at 1, because 0 is the padding id."""
    missing = [entry for entry in entries if entry not in names]
    if missing:
        raise ValueError(
            f"Expected the entries {', '.join(entries)} in {path}, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing."
        )
    return [names.index(entry) + 1 for entry in entries]


def _lexicon(folder: Path, table: Table, word_size: int) -> tuple[Lexicon, dict[str, Any]]:
    """Return the names of words and characters, and the configuration fields with their special ids."""
    words = characters = None
    fields: dict[str, Any] = {}
    if word_size:
        path = folder / "word.dic"
        words = read_lexicon(path, table[LEXICON_TABLE if LEXICON_TABLE in table else "embedding"][0][0])
        (unknown_id,) = _entry_ids(words, [UNKNOWN_ENTRY], path)
        if LEXICON_TABLE in table:
            bos_id, eos_id = (
                words.index(entry) + 1 if entry in words else unknown_id for entry in (BOS_ENTRY, EOS_ENTRY)
            )
            fields = {"lexicon_embedding_size": word_size, "lexicon_bos_id": bos_id, "lexicon_eos_id": eos_id}
        else:
            bos_id, eos_id = _entry_ids(words, [BOS_ENTRY, EOS_ENTRY], path)
            fields = {"bos_token_id": bos_id, "eos_token_id": eos_id}
    if CODE_POINT_TABLE in table:
        path = folder / "char.dic"
        characters = read_lexicon(path, table[CODE_POINT_TABLE][0][0])
        entries = [BOS_ENTRY, EOS_ENTRY, BOW_ENTRY, EOW_ENTRY, PAD_ENTRY, UNKNOWN_ENTRY]
        ids = _entry_ids(characters, entries, path)
        names = ("bos_token_id", "eos_token_id", "character_bow_id", "character_eow_id", "character_pad_id")
        fields |= dict(zip(names, ids, strict=False))
    return {"words": words, "characters": characters}, fields


# ---------------------------------------------------------------- model folders


def _note(folder: Path, architecture: Path | None) -> str:
    """Return the note for the model card, with the NLPL repository's description of the training data."""
    meta = _read_json(folder / "meta.json") if (folder / "meta.json").is_file() else {}
    corpora = meta.get("corpus")
    corpora = corpora if isinstance(corpora, list) else [corpora]
    texts = [corpus["description"] for corpus in corpora if isinstance(corpus, dict) and corpus.get("description")]
    text = " ".join(", ".join(map(str, texts)).split())[:_MAX_DESCRIPTION]
    sentences = [f"It was trained with ELMoForManyLangs{f' on {text}' if text else ''}."]
    if architecture is None:
        sentences.append("Its folder contained no architecture; the published one was assumed.")
    return " ".join(sentences)


def open_checkpoint(
    path: Path,
    options: SourceFile | None = None,
    vocab: SourceFile | None = None,
    softmax: SourceFile | None = None,
) -> OpenCheckpoint:
    """Open a model folder.

    Args:
        path: Model folder, or a folder that contains exactly one.
        options: Architecture file (such as `cnn_50_100_512_4096_sample.json`), instead of the one in the folder.
        vocab: Ignored, because the lexicons belong to the weights.
        softmax: Must be None.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is corrupt, the weights contradict the architecture, or it is not an ELMo.
    """
    check_no_softmax(softmax, NAME)
    folder = _find_model_folder(path)
    if folder is None:
        raise FileNotFoundError(f"Expected {EMBEDDER} and {ENCODER} in {path}, but it does not contain both.")
    architecture_file = options.path if options is not None else _find_architecture_file(folder)
    if architecture_file is None:
        architecture, origin = DEFAULT_ARCHITECTURE, NAME
    else:
        architecture, origin = _read_json(architecture_file), architecture_file.name
    encoder = _get_module(architecture, "encoder", "elmo", origin)
    embedder = _get_module(architecture, "token_embedder", "cnn", origin)
    word_size = get_integer(embedder, "token_embedder.word_dim", allow_zero=True)
    character_size = get_integer(embedder, "token_embedder.char_dim", allow_zero=True)
    if not word_size and not character_size:
        raise ValueError(f"Expected a positive token_embedder.word_dim or char_dim in {origin}, got 0 for both.")

    weights = Weights(folder)
    bilm_options = _to_bilm_options(encoder, embedder)
    table = {
        **token_table(weights, bilm_options.get("char_cnn"), word_size),
        **cell_table(weights, get_integer(encoder, "encoder.n_layers")),
    }
    weights.check_all_used()

    files = {"weights": folder / EMBEDDER, "encoder": folder / ENCODER}
    files |= {"characters": folder / "char.dic"} if character_size else {}
    files |= {"words": folder / "word.dic"} if word_size else {}
    config = folder / "config.json"
    others = {"options": architecture_file or config, "config": config, "meta": folder / "meta.json"}
    files |= {role: file for role, file in others.items() if file.is_file()}
    source_files = {role: SourceFile(file, file.name) for role, file in files.items()}
    if options is not None:
        source_files["options"] = options

    lexicon, fields = _lexicon(folder, table, word_size)
    if not character_size and "max_characters_per_token" in embedder:  # ELMoForManyLangs truncates words in any case
        fields["max_characters_per_token"] = embedder["max_characters_per_token"]

    def read(names: Iterable[str]) -> dict[str, Array]:
        return {name: table[name][1]() for name in names}

    return OpenCheckpoint(
        format=NAME,
        options=bilm_options,
        shapes={name: shape for name, (shape, _) in table.items()},
        read=read,
        files=source_files,
        unused_arrays=(_CLASSIFIER,) if (folder / _CLASSIFIER).is_file() else (),
        fields={"forget_bias": 0.0, **fields},
        note=_note(folder, architecture_file),
        lexicon=lexicon,
    )
