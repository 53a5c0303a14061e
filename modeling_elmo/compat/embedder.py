# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""AllenNLP 0.9's `ElmoEmbedder`. See `compat`."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..embed.files import SENTENCE_TO_INDEX, SentenceKeys, normalize_hdf5_key
from ..encode.batches import Words
from ..files import atomic_file
from ..model.modeling_elmo import ElmoStates
from ..optional import import_h5py
from .inputs import DEFAULT_OPTIONS_FILE, DEFAULT_WEIGHT_FILE, batch_to_ids, load_model

_REDUCERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "all": lambda layers: layers,
    "top": lambda layers: layers[-1],
    "average": lambda layers: layers.mean(0),
}


class ElmoEmbedder:
    """AllenNLP 0.9's `ElmoEmbedder`: it embeds lists of words and returns NumPy arrays of all layers.

    Args:
        options_file: See `load_model`. Defaults to the original model.
        weight_file: See `load_model`. Defaults to the original model.
        cuda_device: Index of the GPU. Defaults to the CPU, -1.
        stateful: See `Elmo`.
    """

    def __init__(
        self,
        options_file: str | os.PathLike[str] | None = DEFAULT_OPTIONS_FILE,
        weight_file: str | os.PathLike[str] | None = DEFAULT_WEIGHT_FILE,
        cuda_device: int = -1,
        *,
        stateful: bool = False,
    ) -> None:
        self.cuda_device = cuda_device
        device = torch.device("cpu" if cuda_device < 0 else f"cuda:{cuda_device}")
        # A single name as `options_file` leaves `weight_file` at its default.
        if options_file != DEFAULT_OPTIONS_FILE and weight_file == DEFAULT_WEIGHT_FILE:
            weight_file = None
        self.elmo_bilm: Any = load_model(options_file, weight_file).eval().to(device)
        self.elmo_bilm.scalar_mixes = nn.ModuleList()  # unused: this class returns all layers
        self._stateful = stateful
        self._states: ElmoStates | None = None

    def reset_states(self) -> None:
        """Discard the states that `stateful` carries."""
        self._states = None

    @torch.no_grad()
    def batch_to_embeddings(self, batch: Sequence[Words]) -> tuple[Tensor, Tensor]:
        """Return all layers of the sentences, [B, layers, words, D], and their mask, [B, words]."""
        ids = batch_to_ids(batch).to(self.elmo_bilm.device)
        output = self.elmo_bilm(
            ids, initial_states=self._states, output_hidden_states=True, return_states=self._stateful
        )
        if self._stateful:
            self._states = output.states
        return torch.stack(output.hidden_states, dim=1), (ids != 0).any(-1)

    def embed_batch(self, batch: Sequence[Words]) -> list[np.ndarray]:
        """Return an array [layers, words, D] per sentence."""
        if not any(batch):  # as in AllenNLP, the states do not change
            config = self.elmo_bilm.config
            return [np.zeros((config.num_hidden_layers + 1, 0, config.hidden_size), np.float32) for _ in batch]
        embeddings, mask = self.batch_to_embeddings(batch)
        arrays = embeddings.cpu().numpy()
        return [array[:, :length] for array, length in zip(arrays, mask.sum(1).tolist(), strict=True)]

    def embed_sentence(self, sentence: Words) -> np.ndarray:
        """Return the array [layers, words, D] of one sentence."""
        return self.embed_batch([sentence])[0]

    def embed_sentences(self, sentences: Iterable[Words], batch_size: int = 64) -> Iterator[np.ndarray]:
        """Yield an array [layers, words, D] per sentence, computed in batches of `batch_size` sentences."""
        remaining = iter(sentences)
        while batch := list(islice(remaining, batch_size)):
            yield from self.embed_batch(batch)

    def embed_file(
        self,
        input_file: IO[str],
        output_file_path: str | os.PathLike[str],
        output_format: str = "all",
        batch_size: int = 64,
        forget_sentences: bool = False,
        use_sentence_keys: bool = False,
    ) -> None:
        """Embed a file with one sentence per line, split at whitespace. `elmo embed` is faster and can resume.

        Args:
            input_file: File to read.
            output_file_path: HDF5 file to write. It has one float32 dataset per sentence, named by the line index.
            output_format: `"all"` for all layers [layers, words, D], `"top"` for the last layer [words, D], or
                `"average"` for the mean of the layers [words, D].
            batch_size: Number of sentences per batch.
            forget_sentences: Whether to omit the dataset `sentence_to_index`, a JSON object that maps each sentence to
                its dataset.
            use_sentence_keys: Whether to name the datasets by the sentences.

        Raises:
            ValueError: If a line is empty, the format is unknown, or a sentence cannot name a dataset.
        """
        if output_format not in _REDUCERS:
            raise ValueError(f"Expected `output_format` to be one of {', '.join(_REDUCERS)}, got {output_format!r}.")
        sentences = [line.strip() for line in input_file]
        keys = SentenceKeys()
        for index, sentence in enumerate(sentences):
            if not sentence:
                raise ValueError(f"Expected at least one word per line, got none in line {index + 1}.")
            error = keys.try_add(sentence) if use_sentence_keys and not keys.contains(sentence) else None
            if error:
                raise ValueError(f"Cannot embed {sentence[:80]!r} in line {index + 1}: {error}.")
        key_of: dict[str, str] = {}
        # h5py writes to a path many times faster than to a Python file object.
        with atomic_file(Path(output_file_path)) as temporary, import_h5py().File(temporary.name, "w") as file:
            arrays = self.embed_sentences((sentence.split() for sentence in sentences), batch_size)
            for index, (sentence, layers) in enumerate(zip(sentences, arrays, strict=True)):
                key_of[sentence] = normalize_hdf5_key(sentence) if use_sentence_keys else str(index)
                if key_of[sentence] not in file:
                    data = _REDUCERS[output_format](layers)
                    file.create_dataset(key_of[sentence], dtype="float32", data=data)
            if not forget_sentences:
                dataset = file.create_dataset(SENTENCE_TO_INDEX, (1,), dtype=import_h5py().string_dtype())
                dataset[0] = json.dumps(key_of)
