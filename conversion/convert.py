# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion of a checkpoint to a model folder with config, weights, tokenizer, remote code, and model card."""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modeling_elmo._version import __version__
from modeling_elmo.files import MODEL_FOLDER, atomic_folder, check_output
from modeling_elmo.messages import format_names
from modeling_elmo.model.configuration_elmo import WORD_INPUT, ElmoConfig
from modeling_elmo.model.tokenization_elmo import ElmoTokenizer
from modeling_elmo.remote_code import write_code
from modeling_elmo.vocabulary import LMVocabulary

from . import card
from .formats import open_source, vocabulary
from .formats.base import Lexicon, OpenCheckpoint
from .formats.many_langs import BOS_ENTRY, EOS_ENTRY
from .mapping.layouts import SOFTMAX_NAMES, WeightFileInfo, detect_layout
from .mapping.name_map import check_shapes, resolve_rules, source_shapes, to_model
from .mapping.options import config_from_options
from .mapping.tensor_ops import allow_nonfinite_values
from .model_files import BASE_MODEL_PREFIX, DTYPES, WEIGHTS_FILE, cast_weights, state_dict, write_weights
from .sentence_transformers_files import write_sentence_transformers_files
from .source.archives import is_archive
from .source.fetch import Source, SourceFile, resolve_source
from .source.urls import redact


@dataclass(frozen=True)
class ConversionRecord:
    """Result of a conversion.

    Attributes:
        output: Folder that was written.
        config: Configuration of the model. `config.conversion` holds the source files, their digests, and what
            `export` needs.
        splitter: Word splitter of the tokenizer.
        num_parameters: Number of parameters that the source contains for the model.
        unused_arrays: Names of the source's arrays that are not part of the model.
        has_softmax: Whether the model has a softmax over words.
    """

    output: Path
    config: ElmoConfig
    splitter: str
    num_parameters: int
    unused_arrays: tuple[str, ...]
    has_softmax: bool = False

    def summary(self) -> str:
        """Return a few lines for the terminal."""
        softmax = f", including a softmax over {self.config.word_vocab_size:,} words" if self.has_softmax else ""
        lines = [
            f"Format found: {self.config.conversion['format']}.",
            f"Wrote {self.output}: {card.describe_architecture(self.config)}; {self.num_parameters:,} parameters"
            f"{softmax}.",
        ]
        if self.unused_arrays:
            lines.append(f"Unused arrays, which do not affect the vectors: {format_names(self.unused_arrays)}.")
        return "\n".join(lines)


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint in memory.

    Attributes:
        config: Configuration of the model.
        state: Weights with the names of `ElmoModel` or, with `output_vocabulary`, of `ElmoForPreTraining`.
        opened: Result of the reader. Its arrays can no longer be read.
        num_parameters: Number of parameters that the source contains for the model.
        unused_arrays: Names of the source's arrays that are not part of the model.
        output_vocabulary: Words of the softmax, if it was requested.
    """

    config: ElmoConfig
    state: dict[str, torch.Tensor]
    opened: OpenCheckpoint
    num_parameters: int
    unused_arrays: tuple[str, ...]
    output_vocabulary: LMVocabulary | None = None


def _boundary_ids(opened: OpenCheckpoint, contents: WeightFileInfo) -> dict[str, int]:
    """Return the ids of `<S>` and `</S>` in a word-input model. Ids start at 1, because 0 is padding."""
    if opened.words is None:
        raise FileNotFoundError(
            f"Expected a vocabulary for {contents.word_rows} word vectors, got none. Pass its file (`vocab`)."
        )
    missing = [word for word in ("<S>", "</S>") if word not in opened.words]
    if missing:
        raise ValueError(f"Expected <S> and </S> in the vocabulary, {' and '.join(missing)} is missing.")
    return {"bos_token_id": opened.words.index("<S>") + 1, "eos_token_id": opened.words.index("</S>") + 1}


def _file_record(file: SourceFile) -> dict[str, Any]:
    return {"name": file.origin, "bytes": file.path.stat().st_size, "sha256": file.sha256()}


def _conversion_record(source: Source, opened: OpenCheckpoint, contents: WeightFileInfo) -> dict[str, Any]:
    return {
        "format": opened.format,
        "tool": f"modeling_elmo {__version__}",
        "checkpoint": source.checkpoint.name if source.checkpoint else None,
        "files": {role: _file_record(file) for role, file in opened.files.items()},
        "layout": contents.layout.name,
        "character_rows": contents.character_rows,
        "options": None if opened.options_text is None else redact(opened.options_text),
    }


def _scalar_mixes(opened: OpenCheckpoint, config: ElmoConfig) -> dict[str, torch.Tensor]:
    """Return the trained scalar mixes with the names of the model."""
    state = {}
    for k, (weights, gamma) in enumerate(opened.scalar_mixes):
        if len(weights) != config.num_hidden_layers + 1:
            raise ValueError(
                f"Expected one weight per layer, {config.num_hidden_layers + 1}, in scalar mix {k}, got {len(weights)}."
            )
        state[f"scalar_mixes.{k}.weights"] = torch.tensor(weights, dtype=torch.float32)
        state[f"scalar_mixes.{k}.gamma"] = torch.tensor([gamma], dtype=torch.float32)
    return state


def _output_vocabulary(opened: OpenCheckpoint) -> LMVocabulary:
    """Return the words of the softmax.

    Raises:
        FileNotFoundError: If the source has no softmax or no vocabulary.
    """
    if opened.softmax is None:
        raise FileNotFoundError("Cannot convert a language model without a softmax. Pass its file (`softmax`).")
    if "vocab" not in opened.files:
        raise FileNotFoundError(
            "Cannot convert a language model without the vocabulary of its softmax. Pass a file with one word per line "
            "(`vocab`)."
        )
    file = opened.files["vocab"]
    return LMVocabulary(vocabulary.read_words(file), file.origin)


def load(
    source: Source,
    dtype: str = "float32",
    language_model: bool = False,
    allow_nonfinite: bool = False,
    **fields: Any,
) -> LoadedCheckpoint:
    """Read the options and weights of a checkpoint.

    Args:
        source: Local files, see `fetch.resolve_source`.
        dtype: Dtype of the weights, a key of `model_files.DTYPES`.
        language_model: Whether to load the softmax.
        allow_nonfinite: Whether to accept NaN and infinite weights.
        fields: Configuration fields that override those of the checkpoint.

    Raises:
        FileNotFoundError, TypeError, ValueError, ImportError: See `convert`.
    """
    with allow_nonfinite_values(allow_nonfinite), open_source(source) as opened:
        contents = detect_layout(opened.shapes)
        fields = {**opened.fields, **fields, "dtype": dtype, "architectures": ["ElmoModel"]}
        fields["conversion"] = _conversion_record(source, opened, contents)
        if contents.word_rows is not None and "bos_token_id" not in fields:
            fields |= _boundary_ids(opened, contents)
        if len(opened.scalar_mixes) > 1:
            fields["num_output_representations"] = len(opened.scalar_mixes)
        words = _output_vocabulary(opened) if language_model else None
        if words is not None:
            fields |= {"architectures": ["ElmoForPreTraining"], "word_vocab_size": len(words)}
            fields |= {"word_bos_id": words.bos_id, "word_eos_id": words.eos_id}
        config = config_from_options(opened.options, contents, **fields)
        table = resolve_rules(config, contents)
        check_shapes(source_shapes(table), opened.shapes, "the weight file")  # before reading the values
        state = state_dict(to_model(table, opened.read(opened.shapes)), config)
        state |= _scalar_mixes(opened, config)
        num_parameters = sum(math.prod(entry.shape) for entry in table)
        unused_arrays = tuple(name for name in opened.unused_arrays if name not in SOFTMAX_NAMES)
        if words is None and opened.softmax is not None:
            unused_arrays = (*SOFTMAX_NAMES, *unused_arrays)
        if words is not None and opened.softmax is not None:
            state = {f"{BASE_MODEL_PREFIX}{name}": tensor for name, tensor in state.items()}
            softmax = opened.softmax()
            if len(softmax[0]) != len(words):
                raise ValueError(f"Expected one softmax row per word, {len(words)}, got {len(softmax[0])}.")
            for name, array in zip(("weight", "bias"), softmax, strict=True):
                state[f"softmax.linear.{name}"] = torch.from_numpy(array)
                num_parameters += array.size
        state = cast_weights(state, DTYPES[dtype])
    return LoadedCheckpoint(config, state, opened, num_parameters, unused_arrays, words)


def _load_or_discard(source: Source, dtype: str, language_model: bool, allow_nonfinite: bool) -> LoadedCheckpoint:
    """Return the checkpoint. If it cannot be read, remove its downloads from the cache, so that a retry is possible."""
    try:
        return load(source, dtype, language_model, allow_nonfinite)
    except (ImportError, MemoryError):
        raise
    except FileNotFoundError:
        # A file that the user did not pass is missing, unless the archive is another one than expected.
        if is_archive(source.path.path):
            source.discard_downloads()
        raise
    except Exception:
        source.discard_downloads()
        raise


def lexicon_tokenizer(lexicon: Lexicon, **fields: Any) -> ElmoTokenizer:
    """Return the tokenizer of a lexicon. Its `save_pretrained` writes `lexicon.json`.

    Args:
        lexicon: Names of words and characters.
        fields: Further arguments of `ElmoTokenizer`.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, ElmoTokenizer.vocab_files_names["lexicon_file"])
        file.write_text(json.dumps(dict(lexicon)), encoding="utf-8")
        return ElmoTokenizer(lexicon_file=str(file), bos_token=BOS_ENTRY, eos_token=EOS_ENTRY, **fields)


def _tokenizer(opened: OpenCheckpoint, config: ElmoConfig, splitter: str) -> ElmoTokenizer:
    fields: dict[str, Any] = {"splitter": splitter, "max_characters_per_token": config.max_characters_per_token}
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
    allow_nonfinite: bool = False,
    overwrite: bool = False,
    force_download: bool = False,
) -> ConversionRecord:
    """Convert a checkpoint in any of the `formats` to a model folder.

    Args:
        source: Folder, file, archive, URL, or name of a known checkpoint (see `fetch.resolve_source`).
        output: Folder to write. It is written atomically.
        weights: Path or URL of the weights, instead of those of `source`.
        options: Path or URL of the options, instead of those of `source`.
        vocab: Path or URL of the vocabulary with one word per line, instead of that of `source`. Models with a word
            vocabulary and language models require it.
        dtype: `"float32"`, `"float16"`, or `"bfloat16"`. Only float32 can be exported bit-identically.
        splitter: Word splitter of the tokenizer. Defaults to `"moses"` for English, otherwise `"whitespace"`.
        base_model: Repository of the original weights, for the model card.
        name: Name on the model card. Defaults to that of the checkpoint or of the output folder.
        language: Language code for the model card. Defaults to that of the known checkpoint.
        license: License of the weights for the model card. Defaults to that of the known checkpoint.
        softmax: Path or URL of the softmax, instead of that of `source`.
        language_model: Whether to keep the softmax. The folder is then one of `ElmoForPreTraining`, with `vocab.txt`.
        allow_nonfinite: Whether to accept NaN and infinite weights.
        overwrite: Whether to replace an existing model folder that contains nothing else.
        force_download: Whether to download files that are in the cache again.

    Returns:
        Record of the conversion, with a summary for the terminal.

    Raises:
        FileNotFoundError: If a file of the source is missing.
        FileExistsError: If `output` exists and may not be replaced.
        ConnectionError: If a download fails.
        TypeError, ValueError: If the options or the weights are invalid, or contradict each other.
        ImportError: If the package that reads the format is not installed.
    """
    if dtype not in DTYPES:
        raise ValueError(f"Expected `dtype` to be one of {', '.join(DTYPES)}, got {dtype!r}.")
    output = Path(output)
    inputs = (source, f"{source}.index", weights, options, vocab, softmax)  # a TensorFlow checkpoint is a prefix
    check_output(output, MODEL_FOLDER, overwrite=overwrite, inputs=inputs)
    resolved = resolve_source(source, weights, options, vocab, softmax, language_model, force_download)
    checkpoint = resolved.checkpoint
    language = language or (checkpoint.language if checkpoint else None)
    license = license or (checkpoint.license if checkpoint else None)
    base_model = base_model or (checkpoint.base_model if checkpoint else None)

    loaded = _load_or_discard(resolved, dtype, language_model, allow_nonfinite)
    config = loaded.config
    tokenizer = _tokenizer(loaded.opened, config, splitter or ("moses" if language == "en" else "whitespace"))
    record = ConversionRecord(
        output=output,
        config=config,
        splitter=tokenizer.splitter,
        num_parameters=loaded.num_parameters,
        unused_arrays=loaded.unused_arrays,
        has_softmax=loaded.output_vocabulary is not None,
    )
    notes = [note for note in (checkpoint.note if checkpoint else None, loaded.opened.note) if note]
    readme = card.render(
        card.template_text(),
        card.template_fields(
            name=name or (f"elmo-{checkpoint.name}" if checkpoint else output.resolve().name),
            config=config,
            splitter=tokenizer.splitter,
            num_parameters=record.num_parameters,
            language=language,
            license=license,
            base_model=base_model,
            note=" ".join(notes) or None,
        ),
    )
    digests = {f"{role}_sha256": file["sha256"] for role, file in config.conversion["files"].items()}
    with atomic_folder(output, MODEL_FOLDER, overwrite=overwrite, inputs=inputs) as folder:
        config.save_pretrained(folder)
        write_weights(folder / WEIGHTS_FILE, loaded.state, {"tool": config.conversion["tool"], **digests})
        tokenizer.save_pretrained(folder)
        if loaded.output_vocabulary is not None:
            loaded.output_vocabulary.write(folder)
        write_code(folder)
        write_sentence_transformers_files(folder, config)
        (folder / "README.md").write_text(readme, encoding="utf-8")
    return record
