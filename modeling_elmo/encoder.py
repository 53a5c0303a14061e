# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ElmoEncoder: sentences in, vectors out, as in sentence-transformers; and a function for `datasets.map`."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import torch
from tqdm import tqdm

from .bundled import bundled_model_path, locate
from .encode.batches import Sentence, Window
from .encode.fingerprint import StoredWeight, config_json, fingerprint, nameless, rebuilt_model, stored_weights
from .encode.output import OUTPUTS, Output, collected
from .encode.stream import Budget, EncodedWindow, counting_on, encode_windows
from .encode.vectors import VectorSpec, parse_dtype, vector_spec
from .model.modeling_elmo import ElmoModel
from .model.tokenization_elmo import ElmoTokenizer

# Words a batch, padding included, beyond which larger batches bring little.
DEFAULT_BUDGET = 32768
# Sentences a batch on a CPU, whose caches a step of more would not fit.
DEFAULT_SENTENCES = {"cpu": 128}
# Sentences that are read and sorted together: enough for batches of even lengths.
WINDOW = 2048
_IMPORTED_IN = os.getpid()
# Where `datasets.map` looks for the sentences if it is not told.
TEXT_COLUMNS = ("text", "sentence", "words", "tokens")
INT8 = "int8"  # the recurrence of that name, which users look for among the types
# What may go to the Hub's client, for model and tokenizer alike.
_HUB_OPTIONS = frozenset({"revision", "token", "cache_dir", "force_download", "local_files_only", "subfolder"})


class ElmoEncoder:
    """Vectors for any number of sentences, whatever their order and lengths.

    A sentence is a string, which the tokenizer splits, or a list of words, which passes as it is. Its vectors do not
    depend on the others: sorting, batches and devices change no more than the last digits.

    The model moves to its device when it is first used, so that an encoder can be sent to other processes.

    Args:
        model: the model; it is put into evaluation mode. Without model and tokenizer: the bundled `elmo-small-en`.
        tokenizer: its tokenizer.
        device: where to compute; None for the GPU if there is one.
    """

    def __init__(
        self,
        model: ElmoModel | None = None,
        tokenizer: ElmoTokenizer | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        if model is None and tokenizer is None:
            model = ElmoModel.from_pretrained(bundled_model_path())
            tokenizer = ElmoTokenizer.from_pretrained(bundled_model_path())
        if not isinstance(model, ElmoModel):
            raise TypeError(f"model must be an ElmoModel; got {type(model).__name__}.")
        if not isinstance(tokenizer, ElmoTokenizer):
            raise TypeError(f"tokenizer must be an ElmoTokenizer; got {type(tokenizer).__name__}.")
        self.model: Any = model.eval()
        self.tokenizer = tokenizer
        self._wanted_device = None if device is None else torch.device(device)
        self._budgets: dict[str, Budget] = {}

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        splitter: str | None = None,
        **hub_options: Any,
    ) -> "ElmoEncoder":
        """Load model and tokenizer from a folder or a repository of the Hub.

        Args:
            pretrained_model_name_or_path: what `elmo convert` or `save_pretrained` wrote; None for the bundled
                `elmo-small-en`.
            device: where to compute; None for the GPU if there is one.
            dtype: of the model, `"float32"`, `"bfloat16"`, ...; None for the type of the stored weights. `"int8"` is
                that too, with the LSTMs' weights rounded to eight bits: the fastest for single sentences on a CPU.
            splitter: how strings become words, in place of the tokenizer's own choice.
            hub_options: `revision`, `token`, `cache_dir`, `force_download`, `local_files_only`, `subfolder`.

        Raises:
            TypeError: an option is none of these.
            OSError: there is no model.
        """
        unknown = sorted(hub_options.keys() - _HUB_OPTIONS)
        if unknown:
            raise TypeError(f"hub options must be among {', '.join(sorted(_HUB_OPTIONS))}; got {', '.join(unknown)}.")
        choice = {} if splitter is None else {"splitter": splitter}
        source = locate(pretrained_model_name_or_path)
        tokenizer = ElmoTokenizer.from_pretrained(source, **choice, **hub_options)
        recurrence = {"recurrence": INT8} if dtype == INT8 else {}
        chosen = "auto" if dtype in (None, INT8) else parse_dtype(dtype)
        model = ElmoModel.from_pretrained(source, dtype=chosen, **recurrence, **hub_options)
        return cls(model, tokenizer, device)

    @property
    def device(self) -> torch.device:
        """Where the encoder computes."""
        if self._wanted_device is not None:
            return self._wanted_device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def encode(
        self,
        sentences: Sentence | Iterable[Sentence],
        layer: str = "elmo",
        pooling: str | None = None,
        normalize: bool = False,
        *,
        batch_size: int | None = None,
        max_tokens_per_batch: int | None = None,
        dtype: str | torch.dtype | None = None,
        device: str | torch.device | None = None,
        show_progress_bar: bool = False,
        output: Output = "numpy",
    ) -> Any:
        """The vectors of sentences, in their order.

        Args:
            sentences: strings and lists of words; or a single string.
            layer: `"elmo"` (the scalar mix), `"word_emb"`, `"lstm_outputs1"`, `"lstm_outputs2"`, ..., or `"all"`: the
                L + 1 layers one below the other, the context-independent one first.
            pooling: None for a vector a word; `"mean"` or `"max"` over a sentence's words for a vector a sentence.
            normalize: scale each vector to length 1; one of zeros stays.
            batch_size: most sentences in a batch; None for as many as the budget allows, or 128 on a CPU without one.
            max_tokens_per_batch: most words in a batch, padding included; a longer sentence is a batch of its own.
                None for what suits the device. When memory runs out, it is halved, with one warning.
            dtype: of the vectors; None for the model's, or float32 where NumPy and Arrow do not know that.
            device: moves the encoder there, for good.
            show_progress_bar: show sentences and words a second.
            output: `"numpy"`, `"torch"` (on the CPU) or `"arrow"`.

        Returns:
            A list of arrays [words, D] ([words, L + 1, D] for all layers), or, with `pooling`, one array
            [sentences, D] ([sentences, L + 1, D]). A sentence without words has an array of no rows, pooled a vector
            of zeros. The arrays of a list are views of larger ones: copy what you keep if you drop the rest. For a
            single string its one array. With Arrow a `pyarrow.Array` of one element a sentence.

        Raises:
            ValueError: an option is not among its choices.
            TypeError: a sentence is neither a string nor a list of strings.
        """
        is_single = isinstance(sentences, str)
        items: Any = [sentences] if is_single else sentences
        kind = self.vector_spec(layer, pooling, normalize, dtype, output)
        total = len(items) if hasattr(items, "__len__") else None
        with tqdm(total=total, unit="sentence", disable=not show_progress_bar) as bar:
            windows = _windows(items)
            done = list(self.encode_windows(windows, kind, batch_size, max_tokens_per_batch, device, counting_on(bar)))
            bar.update(sum(window.lengths.count(0) for window in done))
        result = collected(done, kind, output)
        return result[0] if is_single and output != "arrow" else result

    def vector_spec(
        self,
        layer: str = "elmo",
        pooling: str | None = None,
        normalize: bool = False,
        dtype: str | torch.dtype | None = None,
        output: str = "numpy",
    ) -> VectorSpec:
        """Check the options of `encode` that say what the vectors are; ValueError as there."""
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(map(repr, OUTPUTS))}; got {output!r}.")
        chosen: torch.dtype = self.model.dtype if dtype is None else parse_dtype(dtype)
        if chosen == torch.bfloat16 and output != "torch":
            if dtype is not None:
                raise ValueError(f"dtype 'bfloat16' needs output 'torch', as NumPy and Arrow lack it; got {output!r}.")
            chosen = torch.float32
        return vector_spec(self.model.config, layer, pooling, normalize, chosen)

    def encode_windows(
        self,
        windows: Iterable[Window],
        kind: VectorSpec,
        batch_size: int | None = None,
        max_tokens_per_batch: int | None = None,
        device: str | torch.device | None = None,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Iterator[EncodedWindow]:
        """Windows of sentences to windows of vectors, in bounded memory: see `encode_stream.encode_windows`."""
        for name, value in (("batch_size", batch_size), ("max_tokens_per_batch", max_tokens_per_batch)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be a positive integer; got {value!r}.")
        if device is not None:
            self._wanted_device = torch.device(device)
        if self.model.device != self.device:
            self.model.to(self.device)
        self.model.eval()
        # What memory allowed once it will allow again, so the budget of a device stays.
        tokens, batch_size = batch_limits(self.device, max_tokens_per_batch, batch_size)
        budget = self._budgets.setdefault(f"{self.device} {tokens}", Budget(tokens))
        return encode_windows(self.model, self.tokenizer, windows, kind, budget, batch_size, on_batch)

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
        """The function for `Dataset.map(encoder, batched=True, fn_kwargs={...})`.

        Args:
            batch: columns of a data set, as a mapping or (with the format `"arrow"`) a `pyarrow.Table`; or, with
                `input_columns`, the column itself.
            rank: with `with_rank=True` the number of the process, which takes the GPU of that number.
            column: the sentences; None for `text`, `sentence`, `words` or `tokens`, whichever there is.
            output_column: name of the new column.
            layer, pooling, normalize, batch_size, max_tokens_per_batch, dtype: as for `encode`.

        Returns:
            A mapping with the new column of NumPy arrays, or the table with the new column: both become flat Arrow
            lists, and no number becomes a Python float on its way.
        """
        if os.getpid() != _IMPORTED_IN:
            # A forked process has none of its parent's OpenMP threads and would wait for them for ever.
            torch.set_num_threads(1)
        if rank is not None and not isinstance(rank, int):
            raise TypeError(f"rank must be an integer, as with_rank=True passes; got {type(rank).__name__}.")
        if rank is not None and self.device.type == "cuda" and self.device.index is None:
            self._wanted_device = torch.device("cuda", rank % torch.cuda.device_count())
        is_table = isinstance(batch, pa.Table)
        values = batch
        if is_table or isinstance(batch, Mapping):
            values = batch[_text_column(batch.column_names if is_table else list(batch), column)]
            values = values.to_pylist() if is_table else values
        vectors = self.encode(
            values,
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
        # Nothing but what determines the vectors, always in the same bytes: `datasets` recognises its cached results
        # by them. The weights themselves, as a model may have been trained since it was loaded.
        device = None if self._wanted_device is None else str(self._wanted_device)
        return _rebuilt, (config_json(self.model), stored_weights(self.model), nameless(self.tokenizer), device)

    def fingerprint(self) -> str:
        """A sha256 of all that determines the vectors: weights, configuration, tokenizer."""
        return fingerprint(self.model, self.tokenizer)


def _rebuilt(config: str, weights: list[StoredWeight], tokenizer: ElmoTokenizer, device: str | None) -> ElmoEncoder:
    return ElmoEncoder(rebuilt_model(config, weights), tokenizer, device)


def batch_limits(device: torch.device, max_tokens: int | None, max_sentences: int | None) -> tuple[int, int | None]:
    """Most words and most sentences of a batch, where the caller does not say."""
    if max_tokens is not None:
        return max_tokens, max_sentences
    return DEFAULT_BUDGET, max_sentences or DEFAULT_SENTENCES.get(device.type)


def _windows(sentences: Iterable[Sentence]) -> Iterator[Window]:
    iterator = iter(sentences)
    first = 0
    while items := list(islice(iterator, WINDOW)):
        yield Window(items, first=first)
        first += len(items)


def _text_column(names: Sequence[str], wanted: str | None) -> str:
    found = next((name for name in ((wanted,) if wanted is not None else TEXT_COLUMNS) if name in names), None)
    if found is None:
        expected = repr(wanted) if wanted is not None else f"one of {', '.join(TEXT_COLUMNS)} (or name it: column=...)"
        raise ValueError(f"the batch must have the column {expected}; got {', '.join(names) or 'no column'}.")
    return found
