# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""An old checkpoint to a folder that `AutoModel.from_pretrained` loads: config, weights, tokenizer, code and card."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modeling_elmo._version import __version__
from modeling_elmo.files import atomic_folder, check_output_folder
from modeling_elmo.model.configuration_elmo import WORD_INPUT, ElmoConfig
from modeling_elmo.model.tokenization_elmo import ElmoTokenizer
from modeling_elmo.remote_code import write_code
from modeling_elmo.vocabulary import LmVocabulary

from . import card
from .formats import open_source, vocabulary
from .formats.base import Opened
from .formats.many_langs import lexicon_tokenizer
from .mapping.layouts import SOFTMAX_NAMES, Contents, recognise
from .mapping.name_map import check, entries, source_shapes, to_model
from .mapping.options import config_from_options
from .model_files import DTYPES, state_dict, write_weights
from .sentence_transformers_files import write_sentence_transformers_files
from .source.fetch import Source, SourceFile, resolve

MARKER = "config.json"  # a folder with it may be overwritten


@dataclass(frozen=True)
class ConversionRecord:
    """What was converted.

    Attributes:
        output: the new folder.
        config: its configuration; `config.conversion` holds sources, digests and what the way back needs.
        splitter: how its tokenizer splits text.
        num_parameters: number of weights of the source that the model has.
        left_out: arrays of the source that have no place in the model.
        has_softmax: whether the model predicts words.
    """

    output: Path
    config: ElmoConfig
    splitter: str
    num_parameters: int
    left_out: tuple[str, ...]
    has_softmax: bool = False

    def summary(self) -> str:
        """A few lines for a terminal."""
        lines = [
            f"found: {self.config.conversion['format']}",
            f"wrote {self.output}: {card.architecture(self.config)}, {self.num_parameters:,} weights"
            f"{f', a softmax over {self.config.word_vocab_size:,} words among them' if self.has_softmax else ''}",
        ]
        if self.left_out:
            lines.append(f"left out: {_some(self.left_out)} (no part of the representations)")
        return "\n".join(lines)


def _some(names: tuple[str, ...], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _word_ids(opened: Opened, contents: Contents) -> dict[str, int]:
    """The boundaries' ids of a word-input model; ids count lines from 1, for 0 is no word."""
    if opened.words is None:
        raise FileNotFoundError(
            f"weights with {contents.word_rows} word vectors must come with a vocabulary, one word a line; got none."
        )
    missing = [word for word in ("<S>", "</S>") if word not in opened.words]
    if missing:
        raise ValueError(f"the vocabulary must have the words <S> and </S>; {' and '.join(missing)} is missing.")
    return {"bos_token_id": opened.words.index("<S>") + 1, "eos_token_id": opened.words.index("</S>") + 1}


def _file_record(file: SourceFile) -> dict[str, Any]:
    return {"name": file.origin, "bytes": file.path.stat().st_size, "sha256": file.sha256()}


def _provenance(source: Source, opened: Opened, contents: Contents) -> dict[str, Any]:
    return {
        "format": opened.format,
        "tool": f"modeling_elmo {__version__}",
        "checkpoint": source.checkpoint.name if source.checkpoint else None,
        "files": {what: _file_record(file) for what, file in opened.files.items()},
        "layout": contents.layout.name,
        "character_rows": contents.character_rows,
        "options": opened.options_text,
    }


def _scalar_mixes(opened: Opened, config: ElmoConfig, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The trained mixes by the model's names."""
    state = {}
    for k, (weights, gamma) in enumerate(opened.scalar_mixes):
        if len(weights) != config.num_hidden_layers + 1:
            raise ValueError(
                f"scalar mix {k} must have a weight a layer, {config.num_hidden_layers + 1}; got {len(weights)}."
            )
        state[f"scalar_mixes.{k}.weights"] = torch.tensor(weights, dtype=dtype)
        state[f"scalar_mixes.{k}.gamma"] = torch.tensor([gamma], dtype=dtype)
    return state


def _predicted_words(opened: Opened) -> LmVocabulary:
    """The words of the softmax; FileNotFoundError without softmax or vocabulary."""
    if opened.softmax is None:
        raise FileNotFoundError("a language model must have a softmax; the source has none (see softmax).")
    if "vocab" not in opened.files:
        raise FileNotFoundError(
            "a language model's softmax must come with its vocabulary, one word a line; got none that fits (see vocab)."
        )
    file = opened.files["vocab"]
    return LmVocabulary(vocabulary.read_words(file), file.origin)


@dataclass(frozen=True)
class Loaded:
    """An old checkpoint in memory.

    Attributes:
        config: of the model.
        state: its weights, by the names of `ElmoModel` or, with `predicted`, of `ElmoForPreTraining`.
        opened: what the reader found; its arrays can no longer be read.
        num_parameters: weights that the source has for the model.
        left_out: arrays of the source without a place in it.
        predicted: the words of the softmax, if it was asked for.
    """

    config: ElmoConfig
    state: dict[str, torch.Tensor]
    opened: Opened
    num_parameters: int
    left_out: tuple[str, ...]
    predicted: LmVocabulary | None = None


def load(source: Source, dtype: str = "float32", language_model: bool = False, **fields: Any) -> Loaded:
    """Read a checkpoint's options and weights.

    Args:
        source: its local files, see `fetch.resolve`.
        dtype: of the weights, a key of `model_files.DTYPES`.
        language_model: with its softmax.
        fields: further fields of the configuration.

    Raises:
        FileNotFoundError, TypeError, ValueError, ImportError: see `convert`.
    """
    with open_source(source) as opened:
        contents = recognise(opened.shapes)
        fields = {**opened.fields, **fields, "dtype": dtype, "architectures": ["ElmoModel"]}
        fields["conversion"] = _provenance(source, opened, contents)
        if contents.word_rows is not None and "bos_token_id" not in fields:
            fields |= _word_ids(opened, contents)
        if len(opened.scalar_mixes) > 1:
            fields["num_output_representations"] = len(opened.scalar_mixes)
        predicted = _predicted_words(opened) if language_model else None
        if predicted is not None:
            fields |= {"architectures": ["ElmoForPreTraining"], "word_vocab_size": len(predicted)}
            fields |= {"word_bos_id": predicted.bos, "word_eos_id": predicted.eos}
        config = config_from_options(opened.options, contents, **fields)
        table = entries(config, contents)
        check(source_shapes(table), opened.shapes, "the weight file")  # before its numbers are read
        state = state_dict(to_model(table, opened.read(opened.shapes)), config, DTYPES[dtype])
        state |= _scalar_mixes(opened, config, DTYPES[dtype])
        count = sum(math.prod(entry.shape) for entry in table)
        left_out = tuple(name for name in opened.left_out if name not in SOFTMAX_NAMES)
        if predicted is None and opened.softmax is not None:
            left_out = (*SOFTMAX_NAMES, *left_out)
        if predicted is not None and opened.softmax is not None:
            state, softmax = {f"elmo.{name}": tensor for name, tensor in state.items()}, opened.softmax()
            if len(softmax[0]) != len(predicted):
                raise ValueError(f"the softmax must have a row a word, {len(predicted)}; got {len(softmax[0])}.")
            for name, array in zip(("weight", "bias"), softmax, strict=True):
                state[f"softmax.linear.{name}"] = torch.from_numpy(array).to(DTYPES[dtype])
                count += array.size
    return Loaded(config, state, opened, count, left_out, predicted)


def _tokenizer(opened: Opened, config: ElmoConfig, splitter: str) -> ElmoTokenizer:
    fields: Mapping[str, Any] = {
        "splitter": splitter,
        "max_characters_per_token": config.max_characters_per_token,
    }
    if opened.lexicon is not None:
        return lexicon_tokenizer(opened.lexicon, **fields)
    if config.input_type != WORD_INPUT or opened.words is None:
        return ElmoTokenizer(**fields)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vocab.txt")
        file.write_text("".join(f"{word}\n" for word in opened.words), encoding="utf-8")
        return ElmoTokenizer(vocab_file=str(file), **fields)


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
    softmax: str | Path | None = None,
    language_model: bool = False,
    overwrite: bool = False,
) -> ConversionRecord:
    """Convert an old checkpoint of any of the `formats`.

    Args:
        source: a folder, a file, an archive, an address, or a known checkpoint's name (see `fetch.resolve`).
        output: the folder to write; it appears complete or not at all.
        weights, options, vocab, softmax: paths or addresses in place of those that `source` leads to. `vocab` (one
            word a line) is needed by models with a word vocabulary, and by language models.
        language_model: keep the softmax: the folder is one of `ElmoForPreTraining`, with `vocab.txt`.
        dtype: `"float32"`, `"float16"` or `"bfloat16"`; only float32 goes back bit-identically.
        splitter: the tokenizer's; default `"moses"` for English, `"whitespace"` otherwise.
        name: the model's name on its card; default: the checkpoint's or the output folder's.
        language, license, base_model: for the card; default: what is known of the checkpoint.
        overwrite: replace a model folder that is there already.

    Raises:
        FileNotFoundError, FileExistsError, ConnectionError: a source is missing, or the output in the way.
        TypeError, ValueError: the options or the weights are wrong, or contradict each other.
        ImportError: what reads the format is not installed.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}.")
    output = Path(output)
    check_output_folder(output, overwrite, MARKER)
    found = resolve(source, weights, options, vocab, softmax, language_model)
    known = found.checkpoint
    language = language or (known.language if known else None)
    license = license or (known.licence if known else None)
    base_model = base_model or (known.base_model if known else None)

    loaded = load(found, dtype, language_model)
    config = loaded.config
    tokenizer = _tokenizer(loaded.opened, config, splitter or ("moses" if language == "en" else "whitespace"))
    record = ConversionRecord(
        output=output,
        config=config,
        splitter=tokenizer.splitter,
        num_parameters=loaded.num_parameters,
        left_out=loaded.left_out,
        has_softmax=loaded.predicted is not None,
    )
    notes = [note for note in (known.note if known else None, loaded.opened.note) if note]
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
            note=" ".join(notes) or None,
        ),
    )
    files = config.conversion["files"]
    provenance = {f"{what}_sha256": file["sha256"] for what, file in files.items()}
    with atomic_folder(output, overwrite, MARKER) as folder:
        config.save_pretrained(folder)
        write_weights(folder / "model.safetensors", loaded.state, {"tool": config.conversion["tool"], **provenance})
        tokenizer.save_pretrained(folder)
        if loaded.predicted is not None:
            loaded.predicted.write(folder)
        write_code(folder)
        write_sentence_transformers_files(folder, config)
        (folder / "README.md").write_text(readme, encoding="utf-8")
    return record
