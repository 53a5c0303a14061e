# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""AllenNLP 0.9's `ElmoEmbedder`; see `compat`."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..embed.files import SENTENCE_TO_INDEX, SentenceKeys, hdf5_path
from ..model.modeling_elmo import ElmoStates
from ..optional import import_h5py
from .inputs import DEFAULT_OPTIONS_FILE, DEFAULT_WEIGHT_FILE, Words, batch_to_ids, load_model


class ElmoEmbedder:
    """AllenNLP 0.9's `ElmoEmbedder`: lists of words to NumPy arrays of all layers.

    Args:
        options_file, weight_file: see `load_model`; the original model by default.
        cuda_device: -1 for the CPU.
        stateful: see `Elmo`.
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
        # By a name alone, the other of the two keeps its default.
        if options_file != DEFAULT_OPTIONS_FILE and weight_file == DEFAULT_WEIGHT_FILE:
            weight_file = None
        self.elmo_bilm: Any = load_model(options_file, weight_file).eval().to(device)
        self.elmo_bilm.scalar_mixes = nn.ModuleList()  # nothing here asks for them
        self._stateful = stateful
        self._states: ElmoStates | None = None

    def reset_states(self) -> None:
        """With `stateful`: start anew."""
        self._states = None

    @torch.no_grad()
    def batch_to_embeddings(self, batch: Sequence[Words]) -> tuple[Tensor, Tensor]:
        """All layers [B, layers, words, D] of sentences, and their mask [B, words]."""
        ids = batch_to_ids(batch).to(self.elmo_bilm.device)
        output = self.elmo_bilm(
            ids, initial_states=self._states, output_hidden_states=True, return_states=self._stateful
        )
        if self._stateful:
            self._states = output.states
        return torch.stack(output.hidden_states, dim=1), (ids != 0).any(-1)

    def embed_batch(self, batch: Sequence[Words]) -> list[np.ndarray]:
        """An array [layers, words, D] for each sentence."""
        if not any(batch):  # as in AllenNLP, this leaves the states alone
            config = self.elmo_bilm.config
            return [np.zeros((config.num_hidden_layers + 1, 0, config.hidden_size), np.float32) for _ in batch]
        embeddings, mask = self.batch_to_embeddings(batch)
        arrays = embeddings.cpu().numpy()
        return [array[:, :length] for array, length in zip(arrays, mask.sum(1).tolist(), strict=True)]

    def embed_sentence(self, sentence: Words) -> np.ndarray:
        """The array [layers, words, D] of one sentence, a list of words."""
        return self.embed_batch([sentence])[0]

    def embed_sentences(self, sentences: Iterable[Words], batch_size: int = 64) -> Iterator[np.ndarray]:
        """An array [layers, words, D] for each sentence, computed `batch_size` at a time."""
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
        """Embed a file of sentences, one a line, words between blanks; `elmo embed` is faster and can be resumed.

        Args:
            input_file: open for reading.
            output_file_path: HDF5 file to write: a float32 dataset a sentence, named by its line's number from 0.
            output_format: `"all"` layers [layers, words, D], the `"top"` one [words, D], or their `"average"`.
            batch_size: sentences at a time.
            forget_sentences: leave out the dataset `sentence_to_index`, JSON of each sentence's dataset name.
            use_sentence_keys: name datasets by the sentences.

        Raises:
            ValueError: a line is empty, the format unknown, or two sentences cannot both name a dataset.
        """
        formats = {"all": lambda layers: layers, "top": lambda layers: layers[-1], "average": lambda x: x.mean(0)}
        if output_format not in formats:
            raise ValueError(f"output_format must be one of {', '.join(formats)}; got {output_format!r}.")
        sentences = [line.strip() for line in input_file]
        keys = SentenceKeys()
        for number, sentence in enumerate(sentences):
            if not sentence:
                raise ValueError(f"each line must have a word; line {number + 1} has none.")
            problem = keys.problem(sentence) if use_sentence_keys and not keys.is_known(sentence) else None
            if problem:
                raise ValueError(f"a sentence {problem}; got {sentence!r} in line {number + 1}.")
        output = Path(output_file_path)
        part = output.with_name(f".{output.name}.part")
        index: dict[str, str] = {}
        try:
            with import_h5py().File(part, "w") as file:
                arrays = self.embed_sentences((sentence.split() for sentence in sentences), batch_size)
                for number, (sentence, layers) in enumerate(zip(sentences, arrays, strict=True)):
                    index[sentence] = hdf5_path(sentence) if use_sentence_keys else str(number)
                    if index[sentence] not in file:
                        file.create_dataset(index[sentence], dtype="float32", data=formats[output_format](layers))
                if not forget_sentences:
                    dataset = file.create_dataset(SENTENCE_TO_INDEX, (1,), dtype=import_h5py().string_dtype())
                    dataset[0] = json.dumps(index)
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)
