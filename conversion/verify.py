# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""A converted model against golden vectors: what the original programs computed with the same weights.

The golden files are those of AllenNLP's and bilm-tf's own tests. `lm_embeddings_{k}.hdf5` holds, for sentence i of
list k in `sentences.json`, dataset i (2, words, P): the top LSTM layer, forward and backward. The reference ran
statefully: batch i is sentence i of every list, and the states are carried from batch to batch.
`elmo_token_embeddings.hdf5` holds `embedding` (words, P), the context-independent vectors of `vocab_test.txt`.

Of other checkpoints there are only vectors that somebody printed, a few numbers of each, in `checkpoints.toml`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizer

from modeling_elmo.model.modeling_elmo import ElmoModel
from modeling_elmo.model.tokenization_elmo import ElmoTokenizer

from .formats.hdf5 import read_arrays
from .mapping.tensor_ops import Array
from .source.checkpoints import Published, published

TOLERANCE = 2e-6
PUBLISHED_TOLERANCE = 1e-5  # the original size, computed on whatever machine
TOKEN_VECTORS, TOKEN_WORDS = "elmo_token_embeddings.hdf5", "vocab_test.txt"
_WORDS_A_BATCH = 64


@dataclass(frozen=True)
class Row:
    """One comparison: its name, how many vectors, their largest absolute difference and the bound on it."""

    name: str
    vectors: int
    difference: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.difference <= self.tolerance


def format_table(rows: Sequence[Row]) -> str:
    """The rows as a table of text, one line each."""
    width = max([len(row.name) for row in rows] + [len("vectors of")])
    lines = [f"{'vectors of':{width}}  {'number':>7}  {'largest difference':>18}  {'allowed':>8}"]
    for row in rows:
        verdict = "ok" if row.ok else "FAIL"
        lines.append(f"{row.name:{width}}  {row.vectors:7}  {row.difference:18.2e}  {row.tolerance:8.0e}  {verdict}")
    return "\n".join(lines)


def _difference(name: str, got: Array, expected: Array) -> float:
    if got.shape != expected.shape:
        raise ValueError(f"the vectors of {name} must have the golden file's shape {expected.shape}; got {got.shape}.")
    return float(np.abs(got.astype(np.float64) - expected).max(initial=0.0))


def _sentences(folder: Path) -> list[list[str]]:
    found = sorted(folder.glob("*sentences.json"))
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} must have one *sentences.json; got {len(found)}.")
    lists = json.loads(found[0].read_text(encoding="utf-8"))
    if not isinstance(lists, list) or not lists or len({len(sentences) for sentences in lists}) != 1:
        raise ValueError(f"{found[0]} must hold lists of equally many sentences, one list a golden file.")
    return lists


def _words(tokenizer: PreTrainedTokenizer, sentences: list[list[str]]) -> dict[str, torch.Tensor]:
    return dict(tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt"))


@torch.inference_mode()
def top_layer(model: ElmoModel, tokenizer: PreTrainedTokenizer, lists: list[list[str]]) -> Iterator[list[Array]]:
    """For each batch i, the top layer (words, directions * H) of every list's sentence i, states carried over."""
    states = None
    for batch in zip(*lists, strict=True):
        sentences = [sentence.split() for sentence in batch]
        inputs = _words(tokenizer, sentences)
        output = model(**inputs, output_hidden_states=True, initial_states=states, return_states=True)
        states = output.states
        top = output.hidden_states[-1].numpy()
        yield [vectors[: len(words)] for vectors, words in zip(top, sentences, strict=True)]


@torch.inference_mode()
def word_vectors(model: ElmoModel, tokenizer: PreTrainedTokenizer, words: list[str]) -> Array:
    """Context-independent vectors (words, P)."""
    batches = [words[start : start + _WORDS_A_BATCH] for start in range(0, len(words), _WORDS_A_BATCH)]
    outputs = [model(**_words(tokenizer, [batch]), pooling_layer="word_emb").last_hidden_state[0] for batch in batches]
    return torch.cat(outputs).numpy()


def _load(folder: Path) -> tuple[PreTrainedTokenizer, ElmoModel]:
    model = ElmoModel.from_pretrained(folder, dtype=torch.float32)
    return ElmoTokenizer.from_pretrained(folder), model.eval()


@torch.inference_mode()
def _shown(model: ElmoModel, inputs: dict[str, torch.Tensor], row: Published) -> Array:
    """The numbers of each word's vector that were printed, (words, numbers)."""
    vectors = model(**inputs, pooling_layer=row.layer).last_hidden_state[0].numpy()
    first, last = len(row.first[0]), len(row.last[0]) if row.last else 0
    return np.concatenate([vectors[:, :first], vectors[:, vectors.shape[1] - last :]], axis=1)


def compare_published(
    model: ElmoModel, tokenizer: PreTrainedTokenizer, row: Published, tolerance: float = PUBLISHED_TOLERANCE
) -> Row:
    """Compare with vectors that were printed.

    Whether `<S>` and `</S>` stood around the sentence is not always known: where a model disagrees and would not with
    the other `sentence_boundaries`, the row's name says so.
    """
    name = f"{' '.join(row.words)!r}, {row.layer}"
    expected = np.concatenate([np.asarray(row.first), np.asarray(row.last).reshape(len(row.words), -1)], axis=1)
    inputs = _words(tokenizer, [list(row.words)])
    difference = _difference(name, _shown(model, inputs, row), expected)
    if difference > tolerance:
        setting = model.config.sentence_boundaries
        model.config.sentence_boundaries = not setting
        try:
            other = _difference(name, _shown(model, inputs, row), expected)
        finally:
            model.config.sentence_boundaries = setting
        if other <= tolerance:
            name = f"{name} (it agrees with sentence_boundaries={str(not setting).lower()})"
    return Row(name, len(row.words), difference, tolerance)


def verify(folder: str | Path, golden: str | Path, tolerance: float = TOLERANCE) -> list[Row]:
    """Compare a converted model with golden vectors.

    Args:
        folder: what `convert` wrote.
        golden: a folder with golden files (see the module), one of these files, or the name of a checkpoint of which
            vectors were printed: `"tfhub"`, `"spark-nlp"`.
        tolerance: largest absolute difference allowed; PUBLISHED_TOLERANCE at least with printed vectors.

    Raises:
        FileNotFoundError: a file is missing, or there is no golden file.
        ValueError: a golden file has other shapes than the model's vectors.
    """
    folder, golden = Path(folder), Path(golden)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"a model folder must have config.json; {folder} has none.")
    printed = [] if golden.exists() else published(str(golden))
    if printed:
        tokenizer, model = _load(folder)
        return [compare_published(model, tokenizer, row, max(tolerance, PUBLISHED_TOLERANCE)) for row in printed]
    if not golden.exists():
        names = ", ".join(sorted({name for row in published() for name in row.checkpoints}))
        raise FileNotFoundError(f"the golden vectors must exist, or be those of {names}; {golden} does not.")
    files = [golden] if golden.is_file() else sorted(golden.glob("*.hdf5"))
    place = golden.parent if golden.is_file() else golden
    lists = {int(match[1]): path for path in files if (match := re.fullmatch(r"lm_embeddings_(\d+)\.hdf5", path.name))}
    tokens = [path for path in files if path.name == TOKEN_VECTORS]
    if not lists and not tokens:
        raise FileNotFoundError(f"{golden} must be or have lm_embeddings_0.hdf5 or {TOKEN_VECTORS}; it has neither.")

    tokenizer, model = _load(folder)
    rows: list[Row] = []
    if lists:
        batches = list(top_layer(model, tokenizer, _sentences(place)))
        for k, path in lists.items():
            arrays = read_arrays(path)
            if k >= len(batches[0]) or set(arrays) != {str(i) for i in range(len(batches))}:
                raise ValueError(f"{path} must have one dataset for each of the {len(batches)} sentences of list {k}.")
            expected = [np.concatenate(list(arrays[str(i)]), axis=-1) for i in range(len(batches))]
            worst = max(_difference(f"{path.name}, {i}", batch[k], expected[i]) for i, batch in enumerate(batches))
            rows.append(Row(f"{path.name} (top layer)", sum(map(len, expected)), worst, tolerance))
    for path in tokens:
        words = (place / TOKEN_WORDS).read_text(encoding="utf-8").split("\n")
        words = words[:-1] if words[-1] == "" else words
        expected_vectors = read_arrays(path, ["embedding"])["embedding"]
        worst = _difference(path.name, word_vectors(model, tokenizer, words), expected_vectors)
        rows.append(Row(f"{path.name} (word vectors)", len(words), worst, tolerance))
    return rows
