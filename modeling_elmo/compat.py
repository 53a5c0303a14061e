# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The calls of old programs: AllenNLP's `Elmo`, `batch_to_ids` and `ElmoEmbedder`, and the outputs of TF Hub's module.

Signatures, defaults and outputs are those of AllenNLP 2.10.1 and, for `ElmoEmbedder`, 0.9. One thing differs: a
sentence gets the same vectors every time. `stateful=True` brings back the old drift, for those who must reproduce it.
What replaces which call: docs/migration.md.
"""

import copy
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from .bundled import locate
from .embed_files import SENTENCE_TO_INDEX, SentenceKeys, hdf5_path, import_h5py
from .encoder import ElmoEncoder
from .modeling_elmo import ElmoModel, ElmoStates, normalize_over_batch
from .tokenization_elmo import ElmoTokenizer

_ORIGINAL = "https://allennlp.s3.amazonaws.com/models/elmo/2x4096_512_2048cnn_2xhighway/"
DEFAULT_OPTIONS_FILE = _ORIGINAL + "elmo_2x4096_512_2048cnn_2xhighway_options.json"
DEFAULT_WEIGHT_FILE = _ORIGINAL + "elmo_2x4096_512_2048cnn_2xhighway_weights.hdf5"
Words = Sequence[str]


def load_model(options_file: str | os.PathLike[str] | None, weight_file: str | os.PathLike[str] | None) -> ElmoModel:
    """The model that an old pair of files, or a new name, stands for.

    Args:
        options_file, weight_file: paths or addresses of `options.json` and the HDF5 weights, which are converted in
            memory; or the folder or Hub repository of a converted model, as either of them with the other None or the
            same.

    Raises:
        FileNotFoundError, ConnectionError, ValueError: see `modeling_elmo.conversion.convert`.
    """
    names = {str(name) for name in (options_file, weight_file) if name is not None}
    if not names:
        raise ValueError("options_file and weight_file must be files or the name of a model; got None.")
    if len(names) == 1:
        return ElmoModel.from_pretrained(locate(names.pop()))
    from modeling_elmo.conversion.convert import load
    from modeling_elmo.conversion.fetch import resolve

    loaded = load(resolve(str(weight_file), options=str(options_file)))
    model = ElmoModel(loaded.config)
    model.load_state_dict(loaded.state)
    return model


@lru_cache(maxsize=1)
def _tokenizer(max_characters_per_token: int) -> ElmoTokenizer:
    return ElmoTokenizer(max_characters_per_token=max_characters_per_token)


def batch_to_ids(batch: Sequence[Words]) -> Tensor:
    """Character ids [sentences, words, 50] of lists of words, rows of zeros where there is no word."""
    for index, words in enumerate(batch):
        if isinstance(batch, str) or isinstance(words, str):
            raise TypeError(f"batch must be a list of lists of words; item {index} is the string {words!r}.")
    if not len(batch):
        return torch.zeros(0, 0, 50, dtype=torch.long)
    encoded = _tokenizer(50)([list(words) for words in batch], is_split_into_words=True, padding=True)
    return torch.as_tensor(np.asarray(encoded["input_ids"]), dtype=torch.long).view(len(batch), -1, 50)


class Elmo(nn.Module):
    """AllenNLP's `Elmo`: the biLM and one or more mixes of its layers.

    Args:
        options_file, weight_file: see `load_model`.
        num_output_representations: how many mixes of the same layers, each with weights of its own. Two of them are
            not two layers.
        requires_grad: whether the biLM trains; the mixes always do.
        do_layer_norm: normalise each layer over the whole batch before mixing; ties a sentence to its neighbours.
        dropout: of the mixes, in training mode. The default is AllenNLP's.
        vocab_to_cache: accepted and not needed: repeated words are encoded once in any case.
        keep_sentence_boundaries: return the vectors of `<S>` and `</S>` too.
        scalar_mix_parameters: the mix's weights *before* the softmax, not to be trained: `[-9e10, 1, -9e10]` is the
            second of three layers, `[0, 0, 1]` mixes all.
        module: in place of the biLM; has `num_layers`, returns `activations` and `mask` with boundaries, as AllenNLP's.
        stateful: carry LSTM states from call to call as AllenNLP does, so that results depend on what came before.
    """

    def __init__(
        self,
        options_file: str | os.PathLike[str] | None,
        weight_file: str | os.PathLike[str] | None,
        num_output_representations: int,
        requires_grad: bool = False,
        do_layer_norm: bool = False,
        dropout: float = 0.5,
        vocab_to_cache: list[str] | None = None,
        keep_sentence_boundaries: bool = False,
        scalar_mix_parameters: list[float] | None = None,
        module: nn.Module | None = None,
        *,
        stateful: bool = False,
    ) -> None:
        super().__init__()
        if module is not None and (options_file is not None or weight_file is not None):
            raise ValueError("options_file and weight_file must be None where module is given; got both.")
        bilm: Any = load_model(options_file, weight_file) if module is None else module
        layers = bilm.config.num_hidden_layers + 1 if module is None else bilm.num_layers
        if scalar_mix_parameters is not None and len(scalar_mix_parameters) != layers:
            raise ValueError(
                f"scalar_mix_parameters must have one number a layer, {layers}; got {len(scalar_mix_parameters)}."
            )
        if module is None:
            bilm.requires_grad_(requires_grad)
        self._elmo_lstm = bilm
        self._num_mixes = num_output_representations
        for k in range(num_output_representations):  # AllenNLP's names, so that mixes trained there load here
            mix = ScalarMix(layers, do_layer_norm, scalar_mix_parameters, trainable=scalar_mix_parameters is None)
            self.add_module(f"scalar_mix_{k}", mix)
        self._dropout = nn.Dropout(dropout)
        self._keep_sentence_boundaries = keep_sentence_boundaries
        self._stateful = stateful
        self._states: ElmoStates | None = None

    def get_output_dim(self) -> int:
        """The size of a vector."""
        bilm: Any = self._elmo_lstm
        return bilm.config.hidden_size if isinstance(bilm, ElmoModel) else bilm.get_output_dim()

    def reset_states(self) -> None:
        """With `stateful`: start anew."""
        self._states = None

    def forward(self, inputs: Tensor, word_inputs: Tensor | None = None) -> dict[str, Any]:
        """Mix the layers of each word.

        Args:
            inputs: character ids [B, words, 50], or more dimensions before the words, from `batch_to_ids`.
            word_inputs: accepted and not needed, see `vocab_to_cache`.

        Returns:
            `elmo_representations`, a list of tensors [B, words, D], and `mask` [B, words], true for words.
        """
        if inputs.dim() < 3:
            raise ValueError(
                f"inputs must be character ids [sentences, words, 50] from batch_to_ids; got {list(inputs.shape)}."
            )
        outer = inputs.shape[:-2]
        layers, mask = self._layers(inputs.reshape(-1, *inputs.shape[-2:]))
        shown = mask if self._keep_sentence_boundaries else _inner_mask(mask)
        representations = []
        for k in range(self._num_mixes):
            mixed = self.get_submodule(f"scalar_mix_{k}")(layers, mask)
            if not self._keep_sentence_boundaries:
                mixed = mixed[:, 1:-1] * shown[..., None]
            mixed = self._dropout(mixed)
            representations.append(mixed.reshape(*outer, *mixed.shape[1:]))
        return {"elmo_representations": representations, "mask": shown.reshape(*outer, shown.shape[1])}

    def _layers(self, ids: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """All layers and the mask, with sentence boundaries."""
        bilm: Any = self._elmo_lstm
        if not isinstance(bilm, ElmoModel):
            output = bilm(ids)
            return output["activations"], output["mask"].bool()
        output = bilm(
            ids,
            initial_states=self._states if self._stateful else None,
            output_hidden_states=True,
            return_boundaries=True,
            return_states=self._stateful,
        )
        if self._stateful:
            self._states = ElmoStates(*(state.detach() for state in output.states))
        return output.hidden_states, output.attention_mask.bool()


class ScalarMix(nn.Module):
    """AllenNLP's `ScalarMix`: `gamma * sum_l softmax(w)_l * layer_l` (Peters et al. 2018, equation 1).

    Args:
        mixture_size: the number of layers.
        do_layer_norm: normalise each layer over all words of the batch first.
        initial_scalar_parameters: `w`, before the softmax; zeros by default.
        trainable: whether `w` and `gamma` train.
    """

    def __init__(
        self,
        mixture_size: int,
        do_layer_norm: bool = False,
        initial_scalar_parameters: list[float] | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        initial = [0.0] * mixture_size if initial_scalar_parameters is None else initial_scalar_parameters
        if len(initial) != mixture_size:
            raise ValueError(f"initial_scalar_parameters must have {mixture_size} numbers; got {len(initial)}.")
        self.mixture_size, self.do_layer_norm = mixture_size, do_layer_norm
        self.scalar_parameters = nn.ParameterList(nn.Parameter(torch.tensor([float(w)]), trainable) for w in initial)
        self.gamma = nn.Parameter(torch.ones(1), trainable)

    def forward(self, tensors: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
        """Mix `mixture_size` tensors [B, words, D]; the mask [B, words] is for layer normalisation."""
        if len(tensors) != self.mixture_size:
            raise ValueError(f"there must be {self.mixture_size} tensors to mix; got {len(tensors)}.")
        if self.do_layer_norm:
            if mask is None:
                raise ValueError("a mix with layer normalisation must have a mask; got None.")
            tensors = [normalize_over_batch(layer, layer[mask], mask, 1e-13) for layer in tensors]
        shares = torch.softmax(torch.cat([*self.scalar_parameters]), dim=0)
        mixed: Any = sum(share * tensor for share, tensor in zip(shares, tensors, strict=True))
        return self.gamma * mixed


def _inner_mask(mask: Tensor) -> Tensor:
    """The mask [B, words] of the words alone, from that with their boundaries [B, words + 2]."""
    return torch.arange(mask.shape[1] - 2, device=mask.device) < mask.sum(1, keepdim=True) - 2


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
        self._stateful = stateful
        self._states: ElmoStates | None = None

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
        if not len(batch):
            return []
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


@lru_cache(maxsize=2)
def _encoder(name: str) -> ElmoEncoder:
    return ElmoEncoder.from_pretrained(name)


def tfhub_outputs(
    texts: Sequence[str] | Sequence[Words],
    sequence_len: Sequence[int] | None = None,
    model: str | os.PathLike[str] | ElmoEncoder | None = None,
) -> dict[str, np.ndarray]:
    """The outputs of TF Hub's `google/elmo`, padded with zeros.

    Args:
        texts: strings, split at blanks (signature `default`), or lists of words (signature `tokens`).
        sequence_len: how many of each list's words count; all by default. For lists of words only.
        model: an encoder, or a name or folder, which stays loaded; None for the bundled model.

    Returns:
        float32 arrays: `word_emb` [B, T, P], `lstm_outputs1`, `lstm_outputs2` and `elmo` [B, T, 2P]; `default` [B, 2P],
        the mean of `elmo` over each text's words (as elmo/3; 1 and 2 counted the padding); `sequence_len` [B].
    """
    if isinstance(texts, str):
        raise TypeError("texts must be a list of strings or of lists of words; got one string.")
    if any(isinstance(text, str) for text in texts):
        if sequence_len is not None:
            raise ValueError("sequence_len is for lists of words; got it with strings.")
        words = [text.split(" ") for text in texts if isinstance(text, str)]
        if len(words) != len(texts):
            raise TypeError("texts must be all strings or all lists of words; got both.")
        words = [[word for word in sentence if word] for sentence in words]
    else:
        words = [list(sentence) for sentence in texts]
        if sequence_len is not None:
            if len(sequence_len) != len(words):
                raise ValueError(f"sequence_len must have {len(words)} numbers; got {len(sequence_len)}.")
            words = [sentence[:length] for sentence, length in zip(words, sequence_len, strict=True)]
    encoder = model if isinstance(model, ElmoEncoder) else _encoder(locate(model))
    config = encoder.model.config
    if config.mix_layer_norm is not None:
        raise ValueError(f"TF Hub's model has no layer normalisation; this one has {config.mix_layer_norm!r}.")
    layers = encoder.encode(words, layer="all", dtype="float32")
    mix = copy.deepcopy(encoder.model.scalar_mixes[0]).float().cpu()
    size = config.projection_size
    names = [f"lstm_outputs{index}" for index in range(1, config.num_hidden_layers + 1)]
    outputs = {"word_emb": _padded([array[:, 0, :size] for array in layers])}
    for index, name in enumerate(names, start=1):
        outputs[name] = _padded([array[:, index] for array in layers])
    with torch.no_grad():
        outputs["elmo"] = _padded([mix(torch.from_numpy(array).unbind(1)).numpy() for array in layers])
    lengths = np.array([len(sentence) for sentence in words], dtype=np.int32)
    outputs["default"] = outputs["elmo"].sum(1) / np.maximum(lengths, 1)[:, None].astype(np.float32)
    outputs["sequence_len"] = lengths
    return outputs


def _padded(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """[B, T, D] of arrays [words, D], zeros behind each."""
    longest = max((len(array) for array in arrays), default=0)
    padded = np.zeros((len(arrays), longest, arrays[0].shape[1] if arrays else 0), dtype=np.float32)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded


__all__ = [
    "DEFAULT_OPTIONS_FILE",
    "DEFAULT_WEIGHT_FILE",
    "Elmo",
    "ElmoEmbedder",
    "ScalarMix",
    "batch_to_ids",
    "load_model",
    "tfhub_outputs",
]
