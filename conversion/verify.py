# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Comparison of a converted model with reference vectors of the original implementation.

The reference files are those of the tests of AllenNLP and bilm-tf. In `lm_embeddings_{k}.hdf5`, dataset i belongs to
sentence i of list k in `sentences.json`. It has shape [2, words, P]: the top LSTM layer, forward and backward. The
reference is stateful: batch i consists of sentence i of every list, and the states are carried from batch to batch.
`elmo_token_embeddings.hdf5` contains `embedding`, [words, P]: the context-independent vectors of `vocab_test.txt`.

For other checkpoints, `checkpoints.toml` contains a few values of published vectors.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizer

from modeling_elmo.loading import load_pretrained
from modeling_elmo.model.modeling_elmo import ElmoModel
from modeling_elmo.model.tokenization_elmo import ElmoTokenizer

from .formats.hdf5 import read_arrays
from .mapping.tensor_ops import Array
from .model_files import check_model_folder
from .source.checkpoints import ReferenceVectors, reference_vectors
from .source.fetch import single_path
from .source.urls import redact

TOLERANCE = 2e-6
PUBLISHED_TOLERANCE = 1e-5  # models of the original size, computed on an unknown machine
TOKEN_VECTORS, TOKEN_WORDS = "elmo_token_embeddings.hdf5", "vocab_test.txt"
_WORDS_PER_BATCH = 64


@dataclass(frozen=True)
class Comparison:
    """Comparison of a set of vectors with its reference.

    Attributes:
        name: Name of the reference.
        num_vectors: Number of vectors that were compared.
        max_difference: Maximum absolute difference.
        tolerance: Bound on `max_difference`.
    """

    name: str
    num_vectors: int
    max_difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.max_difference <= self.tolerance


def format_table(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons as a text table with one line each."""
    width = max(len(name) for name in ["reference", *(each.name for each in comparisons)])
    lines = [f"{'reference':{width}}  {'vectors':>7}  {'max. difference':>15}  {'tolerance':>9}"]
    for each in comparisons:
        result = "ok" if each.passed else "FAIL"
        lines.append(
            f"{each.name:{width}}  {each.num_vectors:7}  {each.max_difference:15.2e}  {each.tolerance:9.0e}  {result}"
        )
    return "\n".join(lines)


def _max_difference(name: str, vectors: Array, expected: Array) -> float:
    if vectors.shape != expected.shape:
        raise ValueError(f"Expected vectors of shape {expected.shape} for {name}, got {vectors.shape}.")
    return float(np.abs(vectors.astype(np.float64) - expected).max(initial=0.0))


def _read_sentences(folder: Path) -> list[list[str]]:
    path = single_path(sorted(folder.glob("*sentences.json")), folder, "sentence file (*sentences.json)")
    lists = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(lists, list) or not lists or len({len(sentences) for sentences in lists}) != 1:
        raise ValueError(f"Expected one list of sentences per reference file in {path}, all of the same length.")
    return lists


def _encode(tokenizer: PreTrainedTokenizer, sentences: list[list[str]]) -> dict[str, torch.Tensor]:
    return dict(tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt"))


@torch.inference_mode()
def top_layer(model: ElmoModel, tokenizer: PreTrainedTokenizer, lists: list[list[str]]) -> Iterator[list[Array]]:
    """Yield, for each batch i, the top layer of sentence i of every list, with carried states.

    Args:
        model: Model to run.
        tokenizer: Tokenizer of the model.
        lists: Lists of equally many sentences.

    Yields:
        One array [words, directions * P] per list.
    """
    states = None
    for batch in zip(*lists, strict=True):
        sentences = [sentence.split() for sentence in batch]
        inputs = _encode(tokenizer, sentences)
        output = model(**inputs, output_hidden_states=True, initial_states=states, return_states=True)
        states = output.states
        top = output.hidden_states[-1].numpy()
        yield [vectors[: len(words)] for vectors, words in zip(top, sentences, strict=True)]


@torch.inference_mode()
def word_vectors(model: ElmoModel, tokenizer: PreTrainedTokenizer, words: list[str]) -> Array:
    """Return the context-independent vectors of the words, [words, P]."""
    batches = [words[start : start + _WORDS_PER_BATCH] for start in range(0, len(words), _WORDS_PER_BATCH)]
    outputs = [model(**_encode(tokenizer, [batch]), pooling_layer="word_emb").last_hidden_state[0] for batch in batches]
    return torch.cat(outputs).numpy()


def _load(folder: Path) -> tuple[PreTrainedTokenizer, ElmoModel]:
    model = load_pretrained(ElmoModel, folder, dtype=torch.float32)
    return ElmoTokenizer.from_pretrained(folder), model.eval()


@torch.inference_mode()
def _published_values(model: ElmoModel, inputs: dict[str, torch.Tensor], reference: ReferenceVectors) -> Array:
    """Return the values of each word's vector that the reference contains, [words, values]."""
    vectors = model(**inputs, pooling_layer=reference.layer).last_hidden_state[0].numpy()
    first, last = len(reference.first[0]), len(reference.last[0]) if reference.last else 0
    return np.concatenate([vectors[:, :first], vectors[:, vectors.shape[1] - last :]], axis=1)


def compare_reference_vectors(
    model: ElmoModel,
    tokenizer: PreTrainedTokenizer,
    reference: ReferenceVectors,
    tolerance: float = PUBLISHED_TOLERANCE,
) -> Comparison:
    """Compare a model with published vectors.

    It is not always known whether the original sentence had `<S>` and `</S>`. If only the opposite value of
    `sentence_boundaries` matches, the name of the comparison says so.

    Args:
        model: Model to run.
        tokenizer: Tokenizer of the model.
        reference: Published vectors.
        tolerance: Maximum absolute difference.
    """
    name = f"{' '.join(reference.words)!r}, {reference.layer}"
    last = np.asarray(reference.last).reshape(len(reference.words), -1)
    expected = np.concatenate([np.asarray(reference.first), last], axis=1)
    inputs = _encode(tokenizer, [list(reference.words)])
    difference = _max_difference(name, _published_values(model, inputs, reference), expected)
    if difference > tolerance:
        setting = model.config.sentence_boundaries
        model.config.sentence_boundaries = not setting
        try:
            other = _max_difference(name, _published_values(model, inputs, reference), expected)
        finally:
            model.config.sentence_boundaries = setting
        if other <= tolerance:
            name = f"{name} (matches with sentence_boundaries={str(not setting).lower()})"
    return Comparison(name, len(reference.words), difference, tolerance)


def verify(folder: str | Path, reference: str | Path, tolerance: float = TOLERANCE) -> list[Comparison]:
    """Compare a converted model with reference vectors.

    Args:
        folder: Model folder that `convert` wrote.
        reference: Folder with reference files (see the module docstring), one of these files, or the name of a
            checkpoint with published vectors: `"tfhub"` or `"spark-nlp"`.
        tolerance: Maximum absolute difference. For published vectors it is at least `PUBLISHED_TOLERANCE`.

    Returns:
        One comparison per reference file or published sentence.

    Raises:
        FileNotFoundError: If a file is missing, or there are no reference vectors.
        ValueError: If the reference vectors do not have the shape of the model's vectors.
    """
    folder, path = Path(folder), Path(reference)
    check_model_folder(folder)
    published = [] if path.exists() else reference_vectors(str(reference))
    if published:
        tokenizer, model = _load(folder)
        bound = max(tolerance, PUBLISHED_TOLERANCE)
        return [compare_reference_vectors(model, tokenizer, each, bound) for each in published]
    if not path.exists():
        names = ", ".join(sorted({name for each in reference_vectors() for name in each.checkpoints}))
        raise FileNotFoundError(
            f"Expected reference vectors in a file or folder, or one of {names}, got {redact(str(path))}."
        )
    files = [path] if path.is_file() else sorted(path.glob("*.hdf5"))
    reference_folder = path.parent if path.is_file() else path
    layer_files = {
        int(match[1]): file for file in files if (match := re.fullmatch(r"lm_embeddings_(\d+)\.hdf5", file.name))
    }
    token_files = [file for file in files if file.name == TOKEN_VECTORS]
    if not layer_files and not token_files:
        raise FileNotFoundError(f"Expected lm_embeddings_0.hdf5 or {TOKEN_VECTORS}, got {path}.")

    tokenizer, model = _load(folder)
    comparisons: list[Comparison] = []
    if layer_files:
        batches = list(top_layer(model, tokenizer, _read_sentences(reference_folder)))
        for k, file in layer_files.items():
            arrays = read_arrays(file)
            if k >= len(batches[0]) or set(arrays) != {str(i) for i in range(len(batches))}:
                raise ValueError(f"Expected one dataset in {file} per sentence of list {k}, {len(batches)} in total.")
            expected = [np.concatenate(list(arrays[str(i)]), axis=-1) for i in range(len(batches))]
            difference = max(
                _max_difference(f"{file.name}, {i}", batch[k], expected[i]) for i, batch in enumerate(batches)
            )
            name = f"{file.name} (top layer)"
            comparisons.append(Comparison(name, sum(map(len, expected)), difference, tolerance))
    for file in token_files:
        words = (reference_folder / TOKEN_WORDS).read_text(encoding="utf-8").split("\n")
        words = words[:-1] if words[-1] == "" else words
        expected_vectors = read_arrays(file, ["embedding"])["embedding"]
        difference = _max_difference(file.name, word_vectors(model, tokenizer, words), expected_vectors)
        comparisons.append(Comparison(f"{file.name} (word vectors)", len(words), difference, tolerance))
    return comparisons
