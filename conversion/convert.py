# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""An old checkpoint to a folder that `AutoModel.from_pretrained` loads: config, weights, tokenizer, code and card."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modeling_elmo._version import __version__
from modeling_elmo.configuration_elmo import WORD_INPUT, ElmoConfig
from modeling_elmo.tokenization_elmo import ElmoTokenizer

from . import card
from .fetch import Source, SourceFile, resolve
from .layouts import Contents, recognise
from .model_files import DTYPES, state_dict, write_code, write_weights
from .name_map import Entry, check, entries, left_out, source_shapes, to_model
from .options import config_from_options, parse
from .output_folder import check_output, new_folder
from .readers import read_arrays, read_shapes

FORMAT = "bilm-tf HDF5"
MARKER = "config.json"  # a folder with it may be overwritten


@dataclass(frozen=True)
class ConversionRecord:
    """What was converted.

    Attributes:
        output: the new folder.
        config: its configuration; `config.conversion` holds sources, digests and what the way back needs.
        splitter: how its tokenizer splits text.
        num_parameters: number of weights of the source.
        left_out: datasets of the source that have no place in the model.
    """

    output: Path
    config: ElmoConfig
    splitter: str
    num_parameters: int
    left_out: tuple[str, ...]

    def summary(self) -> str:
        """A few lines for a terminal."""
        lines = [f"wrote {self.output}: {card.architecture(self.config)}, {self.num_parameters:,} weights"]
        if self.left_out:
            lines.append(f"left out: {', '.join(self.left_out)} (the softmax is no part of the representations)")
        return "\n".join(lines)


def read_vocabulary(path: Path) -> list[str]:
    """The words of a vocabulary file, one a line."""
    with path.open(encoding="utf-8") as lines:  # unlike str.splitlines, it breaks at line ends only
        return [line.strip() for line in lines]


def _word_ids(source: Source, contents: Contents) -> dict[str, int]:
    """The boundaries' ids of a word-input model; ids count lines from 1, for 0 is no word."""
    if source.vocab is None:
        raise FileNotFoundError(
            f"weights with {contents.word_rows} word vectors must come with a vocabulary, one word a line; got none."
        )
    words = read_vocabulary(source.vocab.path)
    if len(words) != contents.word_rows:
        raise ValueError(f"{source.vocab.origin} must have one word a line, {contents.word_rows}; got {len(words)}.")
    missing = [word for word in ("<S>", "</S>") if word not in words]
    if missing:
        raise ValueError(f"{source.vocab.origin} must have the words <S> and </S>; {' and '.join(missing)} is missing.")
    return {"bos_token_id": words.index("<S>") + 1, "eos_token_id": words.index("</S>") + 1}


def _file_record(file: SourceFile) -> dict[str, Any]:
    return {"name": file.origin, "bytes": file.path.stat().st_size, "sha256": file.sha256()}


def _provenance(source: Source, contents: Contents, options_text: str) -> dict[str, Any]:
    files = {"options": source.options, "weights": source.weights}
    if source.vocab is not None and contents.word_rows is not None:
        files["vocab"] = source.vocab
    return {
        "format": FORMAT,
        "tool": f"modeling_elmo {__version__}",
        "checkpoint": source.checkpoint.name if source.checkpoint else None,
        "files": {what: _file_record(file) for what, file in files.items()},
        "layout": contents.layout.name,
        "character_rows": contents.character_rows,
        "options": options_text,
    }


@dataclass(frozen=True)
class Loaded:
    """An old checkpoint in memory: what `ElmoModel` is made of, the table it came by, and what has no place in it."""

    config: ElmoConfig
    state: dict[str, torch.Tensor]
    table: list[Entry]
    left_out: list[str]


def load(found: Source, dtype: str = "float32", **fields: Any) -> Loaded:
    """Read a checkpoint's options and weights.

    Args:
        found: its local files, see `fetch.resolve`.
        dtype: of the weights, a key of `model_files.DTYPES`.
        fields: further fields of the configuration.

    Raises:
        FileNotFoundError, TypeError, ValueError, ImportError: see `convert`.
    """
    try:
        options_text = found.options.path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{found.options.origin} must be JSON in UTF-8; {error}.") from error
    shapes = read_shapes(found.weights.path)
    outside = left_out(shapes)
    shapes = {dataset: shape for dataset, shape in shapes.items() if dataset not in outside}
    contents = recognise(shapes)
    parsed = parse(options_text, found.options.origin)
    fields |= {"conversion": _provenance(found, contents, options_text), "dtype": dtype}
    if contents.word_rows is not None:
        fields |= _word_ids(found, contents)
    config = config_from_options(parsed, contents, architectures=["ElmoModel"], **fields)
    table = entries(config, contents)
    check(source_shapes(table), shapes, "the weight file")  # before its numbers are read
    arrays = to_model(table, read_arrays(found.weights.path, shapes))
    return Loaded(config, state_dict(arrays, config, DTYPES[dtype]), table, outside)


def convert(
    source: str | Path,
    output: str | Path,
    *,
    weights: str | Path | None = None,
    options: str | Path | None = None,
    vocab: str | Path | None = None,
    dtype: str = "float32",
    splitter: str | None = None,
    base_model: str | None = None,
    name: str | None = None,
    language: str | None = None,
    license: str | None = None,
    overwrite: bool = False,
) -> ConversionRecord:
    """Convert a checkpoint of bilm-tf or AllenNLP (`options.json` and HDF5 weights).

    Args:
        source: a folder, a weight file, an address, or a known checkpoint's name (see `fetch.resolve`).
        output: the folder to write; it appears complete or not at all.
        weights, options, vocab: paths or addresses in place of those that `source` leads to. `vocab` (one word a
            line) is needed by models with a word vocabulary only.
        dtype: `"float32"`, `"float16"` or `"bfloat16"`; only float32 goes back bit-identically.
        splitter: the tokenizer's; default `"moses"` for English, `"whitespace"` otherwise.
        name: the model's name on its card; default: the checkpoint's or the output folder's.
        language, license, base_model: for the card; default: what is known of the checkpoint.
        overwrite: replace a model folder that is there already.

    Raises:
        FileNotFoundError, FileExistsError, ConnectionError: a source is missing, or the output in the way.
        TypeError, ValueError: the options or the weights are wrong, or contradict each other.
        ImportError: h5py is not installed.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}.")
    output = Path(output)
    check_output(output, overwrite, MARKER)
    found = resolve(source, weights, options, vocab)
    known = found.checkpoint
    language = language or (known.language if known else None)
    license = license or (known.licence if known else None)
    base_model = base_model or (known.base_model if known else None)

    loaded = load(found, dtype)
    config = loaded.config
    vocab_file = str(found.vocab.path) if config.input_type == WORD_INPUT and found.vocab else None
    tokenizer = ElmoTokenizer(
        vocab_file=vocab_file,
        splitter=splitter or ("moses" if language == "en" else "whitespace"),
        max_characters_per_token=config.max_characters_per_token,
    )
    record = ConversionRecord(
        output=output,
        config=config,
        splitter=tokenizer.splitter,
        num_parameters=sum(math.prod(entry.shape) for entry in loaded.table),
        left_out=tuple(loaded.left_out),
    )
    readme = card.render(
        card.template_text(),
        card.fields(
            name=name or (f"elmo-{known.name}" if known else output.resolve().name),
            config=config,
            splitter=tokenizer.splitter,
            num_parameters=record.num_parameters,
            language=language,
            license=license,
            base_model=base_model,
            note=known.note if known else None,
        ),
    )
    files = config.conversion["files"]
    provenance = {f"{what}_sha256": file["sha256"] for what, file in files.items()}
    with new_folder(output, overwrite, MARKER) as folder:
        config.save_pretrained(folder)
        write_weights(folder / "model.safetensors", loaded.state, {"tool": config.conversion["tool"], **provenance})
        tokenizer.save_pretrained(folder)
        write_code(folder)
        (folder / "README.md").write_text(readme, encoding="utf-8")
    return record
