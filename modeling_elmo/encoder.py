# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ElmoEncoder: sentences to vectors, as in sentence-transformers, and a function for `datasets.map`."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

from .bundled import bundled_model_path, resolve_model_name
from .device import check_device
from .encode.batches import TEXT_COLUMNS, Sentence, Window, find_text_column
from .encode.fingerprint import (
    StoredWeight,
    config_json,
    fingerprint,
    rebuild_model,
    stored_weights,
    without_source,
)
from .encode.output import OUTPUTS, collect_outputs
from .encode.stream import EncodedWindow, TokenBudget, encode_windows, progress_callback
from .encode.vectors import VectorSpec, parse_dtype, vector_spec
from .loading import HUB_OPTIONS, load_pretrained
from .messages import format_names
from .model.modeling_elmo import ElmoModel
from .model.tokenization_elmo import ElmoTokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Larger batches hardly increase throughput. Padding counts.
DEFAULT_MAX_TOKENS_PER_BATCH = 32768
# Sentences per batch on a CPU. The activations of one LSTM step of a larger batch exceed its caches.
DEFAULT_BATCH_SIZE = {"cpu": 128}
# Sentences that are read and sorted together, enough for batches of similar lengths.
WINDOW_SIZE = 2048
# Short form of `lstm_weight_dtype="int8"`, because users look for it among the dtypes.
INT8 = "int8"


class EncodeOptions(TypedDict, total=False):
    """Options of `ElmoEncoder.encode` that do not affect the type of its result."""

    batch_size: int | None
    max_tokens_per_batch: int | None
    dtype: str | torch.dtype | None
    device: str | torch.device | None
    show_progress_bar: bool


class ElmoEncoder:
    """Encoder that turns any number of sentences into ELMo vectors, in length-sorted batches.

    A sentence is a string, which the tokenizer splits into words, or a list of words. Its vectors do not depend on
    other sentences, batching, or padding, except for rounding in the last digits. The model moves to its device on
    first use, so an encoder can be sent to worker processes.

    Args:
        model: Model to use; it is set to evaluation mode. Defaults to the bundled `elmo-small-en`.
        tokenizer: Tokenizer of `model`. Required if `model` is given.
        device: Device to compute on. Defaults to the GPU if one is available.

    Raises:
        TypeError: If `model` is not an `ElmoModel` or `tokenizer` is not an `ElmoTokenizer`.

    Example:
        >>> ElmoEncoder().encode(["The children play."])[0].shape
        (4, 512)
    """

    def __init__(
        self,
        model: ElmoModel | None = None,
        tokenizer: ElmoTokenizer | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        if model is None and tokenizer is None:
            model = load_pretrained(ElmoModel, bundled_model_path())
            tokenizer = ElmoTokenizer.from_pretrained(bundled_model_path())
        if not isinstance(model, ElmoModel):
            raise TypeError(f"Expected `model` to be an ElmoModel, got {type(model).__name__}.")
        if not isinstance(tokenizer, ElmoTokenizer):
            raise TypeError(f"Expected `tokenizer` to be an ElmoTokenizer, got {type(tokenizer).__name__}.")
        self.model: Any = model.eval()
        self.tokenizer = tokenizer
        self._chosen_device = None if device is None else check_device(device)
        self._budgets: dict[str, TokenBudget] = {}

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        splitter: str | None = None,
        allow_nonfinite: bool = False,
        **hub_options: Any,
    ) -> "ElmoEncoder":
        """Load model and tokenizer from a folder or a repository of the Hub.

        Args:
            pretrained_model_name_or_path: Output of `elmo convert` or `save_pretrained`. Defaults to the bundled
                `elmo-small-en`.
            device: Device to compute on. Defaults to the GPU if one is available.
            dtype: Dtype of the model, such as `"float32"` or `"bfloat16"`. Defaults to that of the saved weights.
                `"int8"` keeps that dtype and rounds the LSTM weights to 8 bits (`lstm_weight_dtype="int8"`), which is
                the fastest choice for single sentences on a CPU.
            splitter: Word splitter for strings. Defaults to that of the saved tokenizer.
            allow_nonfinite: Whether to accept NaN and infinite weights.
            hub_options: `revision`, `token`, `cache_dir`, `force_download`, `local_files_only`, `subfolder`.

        Raises:
            TypeError: If `hub_options` contains another name.
            OSError: If the model does not exist.
            ValueError: If it is no ELMo model, or weights are missing, unexpected, or not finite.
        """
        unknown = sorted(hub_options.keys() - HUB_OPTIONS)
        if unknown:
            raise TypeError(f"Expected options among {', '.join(sorted(HUB_OPTIONS))}, got {', '.join(unknown)}.")
        source = resolve_model_name(pretrained_model_name_or_path)
        model_options: dict[str, Any] = {"dtype": "auto" if dtype in (None, INT8) else parse_dtype(dtype)}
        if dtype == INT8:
            model_options["lstm_weight_dtype"] = INT8
        # The model comes first, because its errors name the folder and the reason.
        model = load_pretrained(ElmoModel, source, allow_nonfinite=allow_nonfinite, **model_options, **hub_options)
        tokenizer_options = {} if splitter is None else {"splitter": splitter}
        tokenizer = ElmoTokenizer.from_pretrained(source, **tokenizer_options, **hub_options)
        return cls(model, tokenizer, device)

    @property
    def device(self) -> torch.device:
        """Device that the encoder computes on."""
        if self._chosen_device is not None:
            return self._chosen_device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    # A string is also an iterable of strings, hence the overlaps. The first overload that matches is the right one.
    @overload
    def encode(  # type: ignore[overload-overlap]
        self,
        sentences: str,
        layer: str = ...,
        pooling: str | None = ...,
        normalize: bool = ...,
        *,
        output: Literal["numpy"] = ...,
        **options: "Unpack[EncodeOptions]",
    ) -> np.ndarray: ...
    @overload
    def encode(  # type: ignore[overload-overlap]
        self,
        sentences: str,
        layer: str = ...,
        pooling: str | None = ...,
        normalize: bool = ...,
        *,
        output: Literal["torch"],
        **options: "Unpack[EncodeOptions]",
    ) -> torch.Tensor: ...
    @overload
    def encode(
        self,
        sentences: Iterable[Sentence],
        layer: str = ...,
        pooling: None = ...,
        normalize: bool = ...,
        *,
        output: Literal["numpy"] = ...,
        **options: "Unpack[EncodeOptions]",
    ) -> list[np.ndarray]: ...
    @overload
    def encode(
        self,
        sentences: Iterable[Sentence],
        layer: str = ...,
        pooling: None = ...,
        normalize: bool = ...,
        *,
        output: Literal["torch"],
        **options: "Unpack[EncodeOptions]",
    ) -> list[torch.Tensor]: ...
    @overload
    def encode(
        self,
        sentences: Iterable[Sentence],
        layer: str = ...,
        pooling: Literal["mean", "max"] = ...,
        normalize: bool = ...,
        *,
        output: Literal["numpy"] = ...,
        **options: "Unpack[EncodeOptions]",
    ) -> np.ndarray: ...
    @overload
    def encode(
        self,
        sentences: Iterable[Sentence],
        layer: str = ...,
        pooling: Literal["mean", "max"] = ...,
        normalize: bool = ...,
        *,
        output: Literal["torch"],
        **options: "Unpack[EncodeOptions]",
    ) -> torch.Tensor: ...
    @overload
    def encode(
        self,
        sentences: Iterable[Sentence],
        layer: str = ...,
        pooling: str | None = ...,
        normalize: bool = ...,
        *,
        output: Literal["arrow"],
        **options: "Unpack[EncodeOptions]",
    ) -> pa.Array: ...
    @overload
    def encode(
        self,
        sentences: Iterable[Sentence],
        layer: str = ...,
        pooling: str | None = ...,
        normalize: bool = ...,
        *,
        output: str = ...,
        **options: "Unpack[EncodeOptions]",
    ) -> Any: ...

    def encode(
        self,
        sentences: Iterable[Sentence],
        layer: str = "elmo",
        pooling: str | None = None,
        normalize: bool = False,
        *,
        batch_size: int | None = None,
        max_tokens_per_batch: int | None = None,
        dtype: str | torch.dtype | None = None,
        device: str | torch.device | None = None,
        show_progress_bar: bool = False,
        output: str = "numpy",
    ) -> Any:
        """Return the vectors of sentences, in their order.

        Args:
            sentences: Strings and lists of words, or a single string.
            layer: `"elmo"` (the scalar mix), `"word_emb"`, `"lstm_outputs1"`, `"lstm_outputs2"`, ..., or `"all"` for
                the stack of all L + 1 layers, the context-independent one first.
            pooling: None for one vector per word, `"mean"` or `"max"` for one vector per sentence.
            normalize: Whether to scale each vector to L2 norm 1. Zero vectors stay zero.
            batch_size: Maximum number of sentences per batch. Defaults to 128 on a CPU without
                `max_tokens_per_batch`, otherwise to no limit.
            max_tokens_per_batch: Maximum number of tokens per batch, padding included. A longer sentence forms its own
                batch. The limit is halved, with one warning, when memory runs out. Defaults to 32,768.
            dtype: Dtype of the vectors. Defaults to that of the model, or float32 if NumPy and Arrow lack it.
            device: Device that the encoder moves to permanently. Defaults to its current device.
            show_progress_bar: Whether to show the progress in sentences, and words per second.
            output: `"numpy"`, `"torch"` (tensors on the CPU), or `"arrow"`.

        Returns:
            List of arrays [words, D] ([words, L + 1, D] for all layers). With `pooling`, one array [sentences, D]
            ([sentences, L + 1, D]). A sentence without words has zero rows, or a zero vector if pooled. A single
            string gives its array only. Arrow output is a `pyarrow.Array` with one element per sentence. The arrays of
            a list are views of larger arrays: copy those that you keep if you drop the others.

        Raises:
            ValueError: If an option is not one of its choices.
            TypeError: If a sentence is neither a string nor a list of strings.
        """
        is_single = isinstance(sentences, str)
        items: Any = [sentences] if is_single else sentences
        spec = self.vector_spec(layer, pooling, normalize, dtype, output)
        total = len(items) if hasattr(items, "__len__") else None
        with tqdm(total=total, unit="sentence", disable=not show_progress_bar) as bar:
            limits = (batch_size, max_tokens_per_batch, device)
            encoded = list(self.encode_windows(_windows(items), spec, *limits, progress_callback(bar)))
            bar.update(sum(window.lengths.count(0) for window in encoded))
        result = collect_outputs(encoded, spec, output)
        return result[0] if is_single and output != "arrow" else result

    def vector_spec(
        self,
        layer: str = "elmo",
        pooling: str | None = None,
        normalize: bool = False,
        dtype: str | torch.dtype | None = None,
        output: str = "numpy",
    ) -> VectorSpec:
        """Validate the options of `encode` that specify the vectors.

        Raises:
            ValueError: If an option is not one of its choices.
        """
        if output not in OUTPUTS:
            raise ValueError(f"Expected `output` to be one of {', '.join(map(repr, OUTPUTS))}, got {output!r}.")
        vector_dtype: torch.dtype = self.model.dtype if dtype is None else parse_dtype(dtype)
        if vector_dtype == torch.bfloat16 and output != "torch":
            if dtype is not None:
                raise ValueError(
                    f"Cannot return bfloat16 as {output!r}: NumPy and Arrow lack this dtype. Pass `output='torch'`."
                )
            vector_dtype = torch.float32
        return vector_spec(self.model.config, layer, pooling, normalize, vector_dtype)

    def encode_windows(
        self,
        windows: Iterable[Window],
        spec: VectorSpec,
        batch_size: int | None = None,
        max_tokens_per_batch: int | None = None,
        device: str | torch.device | None = None,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Iterator[EncodedWindow]:
        """Encode windows of sentences in bounded memory. See `encode.stream.encode_windows`.

        Raises:
            ValueError: If a limit is not a positive integer.
        """
        for name, value in (("batch_size", batch_size), ("max_tokens_per_batch", max_tokens_per_batch)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"Expected `{name}` to be a positive integer, got {value!r}.")
        if device is not None:
            self._chosen_device = check_device(device)
        if self.model.device != self.device:
            self.model.to(self.device)
        self.model.eval()
        max_tokens, batch_size = batch_limits(self.device, max_tokens_per_batch, batch_size)
        # Keep one budget per device, so that a reduced budget stays in effect for later calls.
        budget = self._budgets.setdefault(f"{self.device} {max_tokens}", TokenBudget(max_tokens))
        return encode_windows(self.model, self.tokenizer, windows, spec, budget, batch_size, on_batch)

    def __call__(
        self,
        batch: Any,
        rank: int | None = None,
        *,
        column: str | None = None,
        output_column: str = "embedding",
        layer: str = "elmo",
        pooling: str | None = None,
        normalize: bool = False,
        batch_size: int | None = None,
        max_tokens_per_batch: int | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> Any:
        """Encode a batch of a data set: `Dataset.map(encoder, batched=True, fn_kwargs={...})`.

        Args:
            batch: Columns as a mapping or, with the format `"arrow"`, as a `pyarrow.Table`. With `input_columns`, the
                text column itself.
            rank: Index of the process, which selects the GPU. `with_rank=True` passes it.
            column: Name of the text column. Defaults to the first of `text`, `sentence`, `words`, and `tokens` that
                exists.
            output_column: Name of the new column.
            layer: See `encode`.
            pooling: See `encode`.
            normalize: See `encode`.
            batch_size: See `encode`.
            max_tokens_per_batch: See `encode`.
            dtype: See `encode`.

        Returns:
            Mapping with the new column of NumPy arrays, or the table with the new column. Both become flat Arrow lists
            without conversion to Python floats.

        Raises:
            ValueError: If the text column is missing.
            TypeError: If `rank` is not an integer.
        """
        if rank is not None and not isinstance(rank, int):
            raise TypeError(f"Expected `rank` to be an integer, as `with_rank=True` passes, got {type(rank).__name__}.")
        if rank is not None and self.device.type == "cuda" and self.device.index is None:
            self._chosen_device = torch.device("cuda", rank % torch.cuda.device_count())
        is_table = isinstance(batch, pa.Table)
        sentences = batch
        if is_table or isinstance(batch, Mapping):
            sentences = batch[_text_column(batch.column_names if is_table else list(batch), column)]
            sentences = sentences.to_pylist() if is_table else sentences
        vectors = self.encode(
            sentences,
            layer,
            pooling,
            normalize,
            batch_size=batch_size,
            max_tokens_per_batch=max_tokens_per_batch,
            dtype=dtype,
            output="arrow" if is_table else "numpy",
        )
        return batch.append_column(output_column, vectors) if is_table else {output_column: vectors}

    def __reduce__(self) -> tuple:
        # Serialize only what determines the vectors, deterministically, because `datasets` uses these bytes as the
        # cache fingerprint. Include the weights, because the model may have been trained since it was loaded.
        device = None if self._chosen_device is None else str(self._chosen_device)
        state = (config_json(self.model), stored_weights(self.model), without_source(self.tokenizer), device)
        return _rebuild_encoder, state

    def fingerprint(self) -> str:
        """Return a SHA-256 of everything that determines the vectors: weights, configuration, and tokenizer."""
        return fingerprint(self.model, self.tokenizer)


def _rebuild_encoder(
    config: str, weights: list[StoredWeight], tokenizer: ElmoTokenizer, device: str | None
) -> ElmoEncoder:
    return ElmoEncoder(rebuild_model(config, weights), tokenizer, device)


def batch_limits(device: torch.device, max_tokens: int | None, max_sentences: int | None) -> tuple[int, int | None]:
    """Return the maximum number of tokens and of sentences per batch, with defaults for the missing limits."""
    if max_tokens is not None:
        return max_tokens, max_sentences
    return DEFAULT_MAX_TOKENS_PER_BATCH, max_sentences or DEFAULT_BATCH_SIZE.get(device.type)


def _windows(sentences: Iterable[Sentence]) -> Iterator[Window]:
    iterator = iter(sentences)
    first = 0
    while items := list(islice(iterator, WINDOW_SIZE)):
        yield Window(items, first=first)
        first += len(items)


def _text_column(names: list[str], column: str | None) -> str:
    name = find_text_column(names, column)
    if name is None:
        expected = f"the column {column!r}" if column is not None else f"a column named {', '.join(TEXT_COLUMNS)}"
        raise ValueError(f"Expected {expected}, got {format_names(names)}. Pass `column` to name the text column.")
    return name
