# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Models of ELMoForManyLangs (Che et al. 2018): a folder of PyTorch pickles, lexicons and a JSON architecture.

Its words are code points, and entries of a word lexicon beside them. Its recurrence is ELMo's, with the whole forget
bias stored: the configuration says so, and the numbers stay what they are.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from modeling_elmo.model.alphabet_elmo import BOW_ENTRY, EOW_ENTRY, PAD_ENTRY, UNKNOWN_ENTRY
from modeling_elmo.model.tokenization_elmo import ElmoTokenizer

from ..mapping.layouts import CODE_POINT_TABLE, LEXICON_TABLE
from ..mapping.tensor_ops import Array
from ..source.fetch import SourceFile
from .base import Opened
from .many_langs_weights import EMBEDDER, ENCODER, Table, Weights, cell_table, token_table

NAME = "ELMoForManyLangs model"
BOS_ENTRY, EOS_ENTRY = "<bos>", "<eos>"
_CLASSIFIER = "classifier.pkl"
_WHITESPACE = "\u3000"  # what the old reader makes of every entry that is nothing but whitespace

# The one architecture that was published, in both of the package's files; some model folders have none of their own.
DEFAULT_ARCHITECTURE: dict[str, Any] = {
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


def _root(path: Path) -> Path | None:
    """The folder with the two pickles: `path`, or the only one in it that has them."""
    candidates = [path, *sorted(path.iterdir())] if path.is_dir() else []
    found = [folder for folder in candidates if (folder / EMBEDDER).is_file() and (folder / ENCODER).is_file()]
    return found[0] if found and (found[0] == path or len(found) == 1) else None


def matches(path: Path) -> bool:
    """Whether a folder is a model of ELMoForManyLangs, or has one as its only one."""
    try:
        return _root(path) is not None
    except OSError:
        return False


# ---------------------------------------------------------------- the architecture


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON in UTF-8; {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must be a JSON object; got {type(content).__name__}.")
    return content


def _architecture_file(folder: Path) -> Path | None:
    """The architecture in the folder. Where `config.json` says it is mostly a path of its author's machine."""
    config = folder / "config.json"
    named = _json_object(config).get("config_path") if config.is_file() else None
    name = PureWindowsPath(named).name if isinstance(named, str) else ""  # both slashes part names here
    if name not in ("", "..", "config.json") and (folder / name).is_file():
        return folder / name
    others = [path for path in sorted(folder.glob("*.json")) if path.name not in ("config.json", "meta.json")]
    found = [path for path in others if {"encoder", "token_embedder"} <= _json_object(path).keys()]
    if len(found) > 1:
        raise ValueError(f"{folder} must have one architecture; got {', '.join(path.name for path in found)}.")
    return found[0] if found else None


def _section(architecture: Mapping[str, Any], key: str, kind: str, origin: str) -> Mapping[str, Any]:
    """The encoder or the token embedder, which must be of this kind; another one is no ELMo."""
    section = architecture.get(key)
    if not isinstance(section, dict):
        raise ValueError(f"{origin} must have the object {key!r}; got {section!r}.")
    if str(section.get("name")).lower() != kind:
        raise ValueError(
            f"an ELMo of ELMoForManyLangs must have the {key}.name {kind!r}; got {section.get('name')!r} in {origin}."
        )
    return section


def _size(section: Mapping[str, Any], key: str, origin: str) -> int:
    value = section.get(key)
    if type(value) is not int or value < 0:
        raise ValueError(f"{origin} must have an integer token_embedder.{key}, 0 for none; got {value!r}.")
    return value


def _options(encoder: Mapping[str, Any], embedder: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture in bilm-tf's keys; what is missing or wrong is found where they are read."""
    keys: tuple[str, ...] = ("dim", "projection_dim", "n_layers", "cell_clip", "proj_clip")
    lstm = {key: encoder[key] for key in keys if key in encoder}
    options: dict[str, Any] = {"lstm": {**lstm, "use_skip_connections": True}}
    if embedder["char_dim"]:
        keys = ("activation", "filters", "n_highway", "max_characters_per_token")
        cnn = {key: embedder[key] for key in keys if key in embedder}
        options["char_cnn"] = {**cnn, "embedding": {"dim": embedder["char_dim"]}}
    return options


# ---------------------------------------------------------------- lexicons


def read_lexicon(path: Path, rows: int) -> list[str | None]:
    """The name of each row of a table from a file with `name TAB row` a line; None for rows without a name.

    Read as the old program does it: white space around a line goes, a line with one field is an entry that was nothing
    else, and of equal names the last counts.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} must exist, with the names of {rows} vectors; it does not.")
    names: dict[str, int] = {}
    used: set[int] = set()
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                name, _, index = line.strip().rpartition("\t")
                fits = index.isdecimal() and len(index) < 12 and int(index) < rows and int(index) not in used
                if not fits:
                    raise ValueError(
                        f"line {number} of {path} must be a name, a tab and an unused number in 0..{rows - 1}; "
                        f"got {line.rstrip()[:40]!r}."
                    )
                names[name or _WHITESPACE] = int(index)
                used.add(int(index))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8; {error}.") from error
    result: list[str | None] = [None] * rows
    for name, row in names.items():
        result[row] = name
    return result


def _ids(names: Sequence[str | None], needed: Sequence[str], path: Path) -> list[int]:
    """The ids of entries, which count from 1: 0 is no word and no character."""
    missing = [name for name in needed if name not in names]
    if missing:
        raise ValueError(f"{path} must have the entries {', '.join(needed)}; {', '.join(missing)} is missing.")
    return [names.index(name) + 1 for name in needed]


def lexicon_tokenizer(lexicon: Mapping[str, list[str | None] | None], **fields: Any) -> ElmoTokenizer:
    """The tokenizer of `Opened.lexicon`; its `save_pretrained` writes `lexicon.json`.

    Args:
        lexicon: the names of words and characters.
        fields: further arguments of `ElmoTokenizer`.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, ElmoTokenizer.vocab_files_names["lexicon_file"])
        file.write_text(json.dumps(dict(lexicon)), encoding="utf-8")
        return ElmoTokenizer(lexicon_file=str(file), bos_token=BOS_ENTRY, eos_token=EOS_ENTRY, **fields)


# ---------------------------------------------------------------- the folder


def _note(folder: Path, architecture: Path | None) -> str:
    """What the NLPL repository says of the training data, and what was missing."""
    sentences = ["It was trained with ELMoForManyLangs"]
    meta = _json_object(folder / "meta.json") if (folder / "meta.json").is_file() else {}
    corpora = meta.get("corpus")
    corpora = corpora if isinstance(corpora, list) else [corpora]
    described = [corpus["description"] for corpus in corpora if isinstance(corpus, dict) and corpus.get("description")]
    text = " ".join(", ".join(map(str, described)).split())[:200]
    if text:
        sentences[0] += f" on {text}"
    if architecture is None:
        sentences.append("Its folder had no architecture; it was read as the published one")
    return ". ".join(sentences) + "."


def open_checkpoint(path: Path, options: SourceFile | None = None, vocab: SourceFile | None = None) -> Opened:
    """Open a model folder.

    Args:
        path: the folder, or one that has it as its only model.
        options: the architecture (`cnn_50_100_512_4096_sample.json` or the like) in place of the folder's own.
        vocab: has no use here: the lexicons belong to the weights.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, the weights contradict the architecture, or it is none of ELMo.
    """
    folder = _root(path)
    if folder is None:
        raise FileNotFoundError(f"an {NAME} must have {EMBEDDER} and {ENCODER}; {path} does not have both.")
    own = options.path if options is not None else _architecture_file(folder)
    architecture, origin = (DEFAULT_ARCHITECTURE, NAME) if own is None else (_json_object(own), own.name)
    encoder = _section(architecture, "encoder", "elmo", origin)
    embedder = _section(architecture, "token_embedder", "cnn", origin)
    word_size, character_size = (_size(embedder, key, origin) for key in ("word_dim", "char_dim"))
    if not word_size and not character_size:
        raise ValueError(f"{origin} must have a token_embedder.word_dim or char_dim above 0; both are 0.")
    layers = encoder.get("n_layers")
    if type(layers) is not int or layers < 1:
        raise ValueError(f"{origin} must have an integer encoder.n_layers, at least 1; got {layers!r}.")

    weights = Weights(folder)
    bilm_options = _options(encoder, embedder)
    table = {**token_table(weights, bilm_options.get("char_cnn"), word_size), **cell_table(weights, layers)}
    weights.refuse_others()

    files = {"weights": folder / EMBEDDER, "encoder": folder / ENCODER}
    files |= {"characters": folder / "char.dic"} if character_size else {}
    files |= {"words": folder / "word.dic"} if word_size else {}
    found = {"options": own or folder / "config.json", "config": folder / "config.json", "meta": folder / "meta.json"}
    files |= {what: file for what, file in found.items() if file.is_file()}
    records = {what: SourceFile(file, file.name) for what, file in files.items()}
    if options is not None:
        records["options"] = options

    lexicon, fields = _lexicon(folder, table, word_size)
    if not character_size and "max_characters_per_token" in embedder:  # words are cut all the same
        fields["max_characters_per_token"] = embedder["max_characters_per_token"]

    def read(wanted: Iterable[str]) -> dict[str, Array]:
        return {name: table[name][1]() for name in wanted}

    return Opened(
        format=NAME,
        options=bilm_options,
        shapes={name: shape for name, (shape, _) in table.items()},
        read=read,
        files=records,
        left_out=(_CLASSIFIER,) if (folder / _CLASSIFIER).is_file() else (),
        fields={"forget_bias": 0.0, **fields},
        note=_note(folder, own),
        lexicon=lexicon,
    )


def _lexicon(
    folder: Path, table: Table, word_size: int
) -> tuple[dict[str, list[str | None] | None], dict[str, int | None]]:
    """The names of words and characters, and what the configuration has to know of them."""
    words = characters = None
    fields: dict[str, int | None] = {}
    if word_size:
        path = folder / "word.dic"
        words = read_lexicon(path, table[LEXICON_TABLE if LEXICON_TABLE in table else "embedding"][0][0])
        (unknown,) = _ids(words, [UNKNOWN_ENTRY], path)
        marks = [words.index(mark) + 1 if mark in words else unknown for mark in (BOS_ENTRY, EOS_ENTRY)]
        if LEXICON_TABLE in table:
            fields = {"lexicon_embedding_size": word_size, "lexicon_bos_id": marks[0], "lexicon_eos_id": marks[1]}
        else:
            marks = _ids(words, [BOS_ENTRY, EOS_ENTRY], path)
            fields = {"bos_token_id": marks[0], "eos_token_id": marks[1]}
    if CODE_POINT_TABLE in table:
        path = folder / "char.dic"
        characters = read_lexicon(path, table[CODE_POINT_TABLE][0][0])
        entries = [BOS_ENTRY, EOS_ENTRY, BOW_ENTRY, EOW_ENTRY, PAD_ENTRY, UNKNOWN_ENTRY]
        ids = _ids(characters, entries, path)
        names = ("bos_token_id", "eos_token_id", "character_bow_id", "character_eow_id", "character_pad_id")
        fields |= dict(zip(names, ids, strict=False))
    return {"words": words, "characters": characters}, fields
