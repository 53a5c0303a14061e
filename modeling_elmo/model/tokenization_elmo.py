# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ElmoTokenizer: text or words to character ids, [batch, words, characters].

Other tokenizers assign one id per token. ELMo uses one row of ids per word: `max_characters_per_token` (50) characters,
or a single word id for models with a word vocabulary. Otherwise words are treated like tokens. The model adds the
sentence boundaries itself, so n words give n rows and n vectors.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BatchEncoding, PreTrainedTokenizer
from transformers.utils import PaddingStrategy

from .alphabet_elmo import CharacterAlphabet, IdRows, LexiconAlphabet, WordVocabulary
from .configuration_elmo import CHARACTER_INPUT, PAD_ID, WORD_INPUT
from .splitting_elmo import SPLITTERS, split_texts

Span = tuple[int, int]
_EMPTY_SPAN: Span = (0, 0)
LEXICON_INPUT = "lexicon"


@dataclass
class WordEncoding:
    """Encoding of one sentence, with the interface that `BatchEncoding` expects of fast tokenizers.

    Padding has no word id, and its span is (0, 0).
    """

    words: Sequence[str]
    spans: Sequence[Span]
    first_word: int  # index of the first word after truncation on the left
    padding: tuple[int, int]  # padding tokens before and after the words
    pad_token: str
    special_tokens: Collection[str]
    n_sequences: int = 1

    def _pad(self, values: Iterable[Any], padding: Any) -> list[Any]:
        before, after = self.padding
        return [padding] * before + list(values) + [padding] * after

    @property
    def tokens(self) -> list[str]:
        return self._pad(self.words, self.pad_token)

    @property
    def offsets(self) -> list[Span]:
        return self._pad(self.spans, _EMPTY_SPAN)

    @property
    def word_ids(self) -> list[int | None]:
        return self._pad(range(self.first_word, self.first_word + len(self.words)), None)

    @property
    def special_tokens_mask(self) -> list[int]:
        return self._pad((int(word in self.special_tokens) for word in self.words), 1)

    @property
    def sequence_ids(self) -> list[int | None]:
        return [None if word is None else 0 for word in self.word_ids]

    def token_to_sequence(self, token: int) -> int | None:
        return self.sequence_ids[token]

    def token_to_word(self, token: int) -> int | None:
        return self.word_ids[token]

    def word_to_tokens(self, word: int, sequence: int = 0) -> Span | None:
        if word not in self.word_ids:
            return None
        token = self.word_ids.index(word)
        return token, token + 1

    def token_to_chars(self, token: int) -> Span | None:
        return None if self.word_ids[token] is None else self.offsets[token]

    def word_to_chars(self, word: int, sequence: int = 0) -> Span | None:
        return self.offsets[self.word_ids.index(word)] if word in self.word_ids else None

    def char_to_token(self, char: int, sequence: int = 0) -> int | None:
        return next((token for token, (start, end) in enumerate(self.offsets) if start <= char < end), None)

    def char_to_word(self, char: int, sequence: int = 0) -> int | None:
        token = self.char_to_token(char)
        return None if token is None else self.word_ids[token]


class ElmoTokenizer(PreTrainedTokenizer):
    """Tokenizer that converts each word to a row of character ids, or to one word id with `vocab_file`.

    An empty string in a list of words is a word without characters. An empty text has no words. The words `<S>` and
    `</S>` denote the sentence boundaries, and the padding token denotes the absence of a word. With
    `split_special_tokens=True` they are ordinary text.

    Args:
        vocab_file: File with one word per line, for models with a word vocabulary.
        input_type: `"words"`, `"characters"` (as in `ElmoConfig`), or `"lexicon"`. Defaults to `"lexicon"` with
            `lexicon_file`, to `"words"` with `vocab_file`, otherwise to `"characters"`. Language models with character
            input have a `vocab_file` too, which this tokenizer ignores if `input_type` is `"characters"`.
        splitter: Word splitter for raw text: `"moses"` (English, as in the 1 Billion Word benchmark), `"whitespace"`,
            or `"characters"` (each character is a word, as for proteins). Lists of words
            (`is_split_into_words=True`) are not split.
        max_characters_per_token: Ids per word, both word boundaries included. Longer words are truncated.
        pad_token: Token that denotes the absence of a word.
        bos_token: Token of the begin of a sentence.
        eos_token: Token of the end of a sentence.
        lexicon_file: Code points and words of an ELMoForManyLangs model, see `LexiconAlphabet`. Each row of ids then
            begins with the id of the word.

    Raises:
        ValueError: If `splitter` is unknown, a file is malformed, or the lexicon file is missing.
    """

    vocab_files_names = {"vocab_file": "vocab.txt", "lexicon_file": "lexicon.json"}
    model_input_names = ["input_ids", "attention_mask"]
    _auto_class = "AutoTokenizer"

    def __init__(
        self,
        vocab_file: str | None = None,
        input_type: str | None = None,
        splitter: str = "moses",
        max_characters_per_token: int = 50,
        pad_token: str = "<pad>",
        bos_token: str = "<S>",
        eos_token: str = "</S>",
        lexicon_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        if splitter not in SPLITTERS:
            raise ValueError(f"Expected `splitter` to be one of {', '.join(map(repr, SPLITTERS))}, got {splitter!r}.")
        self.splitter = splitter
        self.max_characters_per_token = max_characters_per_token
        self.alphabet: CharacterAlphabet | LexiconAlphabet | WordVocabulary
        if input_type == LEXICON_INPUT and lexicon_file is None:
            name = self.vocab_files_names["lexicon_file"]
            raise ValueError(f"Cannot create a tokenizer with input_type 'lexicon': {name} is missing.")
        if input_type in (CHARACTER_INPUT, LEXICON_INPUT):
            vocab_file = None
        if input_type == CHARACTER_INPUT or vocab_file is not None:
            lexicon_file = None
        self.vocab_file = vocab_file
        special_tokens = (str(pad_token), str(bos_token), str(eos_token))
        if lexicon_file is not None:
            self.alphabet = LexiconAlphabet(lexicon_file, max_characters_per_token, *special_tokens)
            input_type = LEXICON_INPUT
        elif vocab_file is None:
            self.alphabet = CharacterAlphabet(max_characters_per_token, *special_tokens)
            input_type = CHARACTER_INPUT
        else:
            self.alphabet = WordVocabulary(vocab_file, str(pad_token))
            input_type = WORD_INPUT
        super().__init__(
            vocab_file=vocab_file,
            input_type=input_type,
            splitter=splitter,
            max_characters_per_token=max_characters_per_token,
            pad_token=pad_token,
            bos_token=bos_token,
            eos_token=eos_token,
            lexicon_file=lexicon_file,
            **kwargs,
        )

    # ---------------------------------------------------------------- vocabulary: characters, or words

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet.vocab)

    def get_vocab(self) -> dict[str, int]:
        """Return the ids of the character names (words, with `vocab_file`) and of the added tokens."""
        return {**self.alphabet.vocab, **self._added_tokens_encoder}

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write `vocab.txt` for a word vocabulary or `lexicon.json` for a lexicon. Bytes need no file."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        if isinstance(self.alphabet, LexiconAlphabet):
            path = Path(save_directory, prefix + self.vocab_files_names["lexicon_file"])
            self.alphabet.save(path)
            return (str(path),)
        if self.vocab_file is None:
            return ()
        path = Path(save_directory, prefix + self.vocab_files_names["vocab_file"])
        words = [word for word, index in self.alphabet.vocab.items() if index != PAD_ID]
        path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
        return (str(path),)

    @property
    def all_special_ids(self) -> list[int]:
        vocab = self.get_vocab()
        return [vocab[token] for token in self.all_special_tokens]

    @property
    def extra_special_tokens_ids(self) -> list[int]:
        """Ids of the special tokens other than `pad_token`, `bos_token`, and `eos_token`."""
        return [self.convert_tokens_to_ids(token) for token in self.extra_special_tokens]

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """Ids of the additional special tokens. Transformers 4 uses this name."""
        return [self.convert_tokens_to_ids(token) for token in self.additional_special_tokens]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """Return the id of an added token or character name, or else the id row of a word. A list gives rows."""
        if isinstance(tokens, str):
            token_id = self.get_vocab().get(tokens)
            return self._encode_words([tokens])[0].tolist() if token_id is None else token_id
        return self._encode_words(tokens).tolist()

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the word of each id row, [words, characters], or the names of plain ids."""
        ids = _to_nested_list(ids)
        names = {index: name for name, index in self.get_vocab().items()}
        if isinstance(ids, int):
            return names[ids]
        # With character input, only added tokens can fill a row; with a word vocabulary, every name can.
        added = {index: token.content for index, token in self._added_tokens_decoder.items()}
        word_names = names if self.alphabet.width == 1 else added
        special = frozenset(self.all_special_tokens) if skip_special_tokens else ()
        tokens = [names[row] if isinstance(row, int) else self.alphabet.decode(row, word_names) for row in ids]
        return [token for token in tokens if token not in special]

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> Any:
        """Return the words joined by spaces, as one string per sentence. A batch gives a list."""
        token_ids = _to_nested_list(token_ids)
        depth = _depth(token_ids)
        if depth == 0:
            return self.convert_ids_to_tokens(token_ids)
        if depth >= 3:
            return [self.decode(sentence, skip_special_tokens) for sentence in token_ids]
        rows = [token_ids] if depth == 1 and token_ids else token_ids
        return " ".join(self.convert_ids_to_tokens(rows, skip_special_tokens))

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """Decode each sentence."""
        return [self.decode(sequence, skip_special_tokens) for sequence in sequences]

    def get_special_tokens_mask(
        self, token_ids_0: Any, token_ids_1: Any = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """Return 1 for each id row of a special token and 0 for each word. No special tokens are added."""
        special = frozenset(self.all_special_tokens)
        return [int(word in special) for word in self.convert_ids_to_tokens([*token_ids_0, *(token_ids_1 or ())])]

    # ---------------------------------------------------------------- text to words

    def tokenize(self, text: str, split_special_tokens: bool | None = None, **kwargs: Any) -> list[str]:
        """Split a text into words. See `split` for the options."""
        return [text[start:end] for start, end in self.split([text], split_special_tokens)[0]]

    def split(self, texts: Sequence[str], split_special_tokens: bool | None = None) -> list[list[Span]]:
        """Split texts into words with the tokenizer's splitter.

        Args:
            texts: Raw texts.
            split_special_tokens: Whether to treat added tokens such as `<S>` as ordinary text. Defaults to the
                attribute of the same name, which is False unless set.

        Returns:
            Spans of the words of each text: word `(start, end)` is `text[start:end]`.
        """
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens
        spans = split_texts(texts, self.splitter)
        if not split_special_tokens:
            for index, text in enumerate(texts):
                if any(token in text for token in self._added_tokens_encoder):
                    spans[index] = self._split_around_added_tokens(text)
        return spans

    def _split_around_added_tokens(self, text: str) -> list[Span]:
        spans: list[Span] = []
        plain_start = 0  # of the text since the last added token
        start = 0
        for piece in [*self.tokens_trie.split(text), ""]:
            end = start + len(piece)
            if not piece or self._is_added_token(text, start, end):
                plain_spans = split_texts([text[plain_start:start]], self.splitter)[0]
                spans += [(plain_start + s, plain_start + e) for s, e in plain_spans]
                spans += [(start, end)] if piece else []
                plain_start = end
            start = end
        return spans

    def _is_added_token(self, text: str, start: int, end: int) -> bool:
        index = self._added_tokens_encoder.get(text[start:end])
        if index is None:
            return False
        alone = not text[max(start - 1, 0) : start].strip() and not text[end : end + 1].strip()
        return alone or not self._added_tokens_decoder[index].single_word

    def _encode_words(self, words: Sequence[str], split_special_tokens: bool | None = None) -> IdRows:
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens
        if getattr(self, "do_lower_case", False):  # sentence-transformers sets it
            words = [word if word in self._added_tokens_encoder else word.lower() for word in words]
        return self.alphabet.encode(words, {} if split_special_tokens else self._added_tokens_encoder)

    # ---------------------------------------------------------------- words to a BatchEncoding

    def _encode_plus(
        self, text: Any, text_pair: Any = None, is_split_into_words: bool = False, **kwargs: Any
    ) -> BatchEncoding:
        """Encode a text or, with transformers 5, a batch. `__call__` and `encode` call this method."""
        if text_pair is not None:
            raise ValueError("Expected single sentences, got `text_pair`. ELMo does not encode pairs.")
        if isinstance(text, Sequence) and not isinstance(text, (str, bytes)):
            text = list(text)  # for example, a column of a data set
        is_list = isinstance(text, list)
        is_batch = is_list and (not is_split_into_words or (len(text) > 0 and isinstance(text[0], (list, tuple))))
        return self._encode_batch(text if is_batch else [text], is_split_into_words, single=not is_batch, **kwargs)

    def _batch_encode_plus(
        self, batch_text_or_text_pairs: Any, is_split_into_words: bool = False, **kwargs: Any
    ) -> BatchEncoding:
        """Encode a batch. Transformers 4 calls this method."""
        return self._encode_batch(batch_text_or_text_pairs, is_split_into_words, single=False, **kwargs)

    def _encode_batch(
        self,
        batch: Sequence[Any],
        is_split_into_words: bool,
        single: bool,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        truncation_strategy: Any = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: Any = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        split_special_tokens: bool | None = None,
        verbose: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        if is_split_into_words:
            _check_words(batch)
            spans = [[(0, len(word)) for word in words] for words in batch]
        else:
            _check_texts(batch)
            spans = self.split(batch, split_special_tokens)
            batch = [[text[s:e] for s, e in sentence] for text, sentence in zip(batch, spans, strict=True)]

        rows = self._encode_words([word for words in batch for word in words], split_special_tokens)
        ends = np.cumsum([len(words) for words in batch], dtype=np.intp).tolist()
        sentences = [rows[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        limit = max_length if getattr(truncation_strategy, "value", "do_not_truncate") != "do_not_truncate" else None
        slices = [self._truncation_slice(len(words), limit) for words in batch]
        ids = [rows[part] for rows, part in zip(sentences, slices, strict=True)]
        self._eventual_warn_about_too_long_sequence(max(ids, key=len, default=()), max_length, verbose)
        width, side = self._padding(ids, padding_strategy, max_length, pad_to_multiple_of, padding_side)

        special = frozenset(self.all_special_tokens)
        encodings = []
        for words, word_spans, part in zip(batch, spans, slices, strict=True):
            num_padding = 0 if width is None else width - (part.stop - part.start)
            padding = (num_padding, 0) if side == "left" else (0, num_padding)
            encodings.append(WordEncoding(words[part], word_spans[part], part.start, padding, self.pad_token, special))

        data: dict[str, list] = {"input_ids": ids}
        if return_token_type_ids:
            data["token_type_ids"] = [np.zeros(len(rows), np.int64) for rows in ids]
        if return_attention_mask is not False:
            data["attention_mask"] = [_attention_mask(rows) for rows in ids]
        if return_special_tokens_mask:
            data["special_tokens_mask"] = [[int(w in special) for w in encoding.words] for encoding in encodings]
        if return_offsets_mapping:
            data["offset_mapping"] = [encoding.spans for encoding in encodings]
        if return_length:
            data["length"] = [len(rows) for rows in ids]
        if return_overflowing_tokens and return_tensors is None:  # of different lengths, no tensor
            overflow = [
                self._overflow_slice(len(words), part, stride) for words, part in zip(batch, slices, strict=True)
            ]
            data["overflowing_tokens"] = [rows[part].tolist() for rows, part in zip(sentences, overflow, strict=True)]
            data["num_truncated_tokens"] = [len(words) - len(rows) for words, rows in zip(batch, ids, strict=True)]
        return self._collect(data, width, side, return_tensors, single, encodings)

    def _truncation_slice(self, length: int, max_length: int | None) -> slice:
        """Return the slice of the words that truncation keeps."""
        surplus = 0 if max_length is None else max(length - max_length, 0)
        return slice(surplus, length) if self.truncation_side == "left" else slice(0, length - surplus)

    def _overflow_slice(self, length: int, kept: slice, stride: int) -> slice:
        """Return the slice of the words that truncation removes, with `stride` of the kept words."""
        if kept.stop - kept.start == length:
            return slice(0, 0)
        if self.truncation_side == "left":
            return slice(0, min(kept.start + stride, length))
        return slice(max(kept.stop - stride, 0), length)

    # ---------------------------------------------------------------- padding

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: Any = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad a sentence or a batch with all-zero rows and mask 0.

        See `PreTrainedTokenizerBase.pad`: it accepts an encoding, or a list of encodings from a `DataLoader`.

        Raises:
            ValueError: If `input_ids` are missing.
        """
        if isinstance(encoded_inputs, (list, tuple)):
            encoded_inputs = {key: [example[key] for example in encoded_inputs] for key in encoded_inputs[0]}
        if "input_ids" not in encoded_inputs:
            raise ValueError(f"Expected `input_ids` to pad, got {', '.join(map(str, encoded_inputs)) or 'nothing'}.")
        ids = encoded_inputs["input_ids"]
        if len(ids) == 0:
            return BatchEncoding({**encoded_inputs, "attention_mask": []})
        single = _depth(ids) == 2
        data = {key: [value] if single else list(value) for key, value in encoded_inputs.items()}
        return_tensors = return_tensors or _tensor_type(data["input_ids"][0])
        data["input_ids"] = [np.asarray(rows, np.int64).reshape(len(rows), -1) for rows in data["input_ids"]]
        if return_attention_mask is not False and "attention_mask" not in data:
            data["attention_mask"] = [_attention_mask(rows) for rows in data["input_ids"]]
        strategy, _, max_length, _ = self._get_padding_truncation_strategies(
            padding=padding, max_length=max_length, verbose=verbose
        )
        width, side = self._padding(data["input_ids"], strategy, max_length, pad_to_multiple_of, padding_side)
        return self._collect(data, width, side, return_tensors, single)

    def _padding(
        self,
        sentences: Sequence[IdRows],
        strategy: PaddingStrategy,
        max_length: int | None,
        multiple: int | None,
        side: str | None,
    ) -> tuple[int | None, str]:
        """Return the number of words to pad to, or None for no padding, and the side."""
        side = self.padding_side if side is None else side
        if side not in ("left", "right"):
            raise ValueError(f"Expected `padding_side` to be 'left' or 'right', got {side!r}.")
        if strategy == PaddingStrategy.DO_NOT_PAD:
            return None, side
        width = max(map(len, sentences), default=0)
        if strategy == PaddingStrategy.MAX_LENGTH and max_length is not None:
            width = max(width, max_length)
        return (-(-width // multiple) * multiple if multiple else width), side

    def _collect(
        self,
        data: dict[str, list],
        width: int | None,
        side: str,
        return_tensors: Any,
        single: bool,
        encodings: list[WordEncoding] | None = None,
    ) -> BatchEncoding:
        """Build a BatchEncoding from fields with one list per sentence. Fields per word are padded to `width`."""
        padding_values: dict[str, tuple[int, tuple[int, ...]]] = {
            "input_ids": (PAD_ID, (self.alphabet.width,)),
            "attention_mask": (0, ()),
            "token_type_ids": (self.pad_token_type_id, ()),
            "special_tokens_mask": (1, ()),
            "offset_mapping": (0, (2,)),
        }
        framework = getattr(return_tensors, "value", return_tensors)
        result: dict[str, Any] = {}
        for key, values in data.items():
            if key in padding_values and (framework or width is not None):
                lengths = set(map(len, values))
                if width is None and len(lengths) > 1:
                    raise ValueError(
                        f"Cannot build a tensor from sentences of {min(lengths)} to {max(lengths)} words. Pass "
                        "`padding=True` or truncate them to one length."
                    )
                num_words = max(lengths, default=0) if width is None else width
                array = _pad_and_stack(values, num_words, side, *padding_values[key])
                result[key] = torch.from_numpy(array) if framework == "pt" else array if framework else array.tolist()
            else:
                result[key] = [value.tolist() if hasattr(value, "tolist") else value for value in values]
            if key == "offset_mapping" and not framework:
                result[key] = [[(start, end) for start, end in sentence] for sentence in result[key]]
            if single and not framework:
                result[key] = result[key][0]
        return BatchEncoding(result, encoding=encodings, tensor_type=return_tensors)


def _pad_and_stack(
    sentences: Sequence[Any], width: int, side: str, fill: int, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Pad the values of each sentence, [words, *shape], with `fill` and stack them, [sentences, width, *shape]."""
    array = np.full((len(sentences), width, *shape), fill, np.int64)
    for index, values in enumerate(sentences):
        if len(values):
            start = width - len(values) if side == "left" else 0
            array[index, start : start + len(values)] = values
    return array


def _attention_mask(rows: IdRows) -> NDArray[np.int64]:
    """Return 1 for words and 0 for padding. The first id of a word is never the padding id."""
    return (rows[:, 0] != PAD_ID).astype(np.int64)


def _to_nested_list(ids: Any) -> Any:
    """Convert tensors and arrays, also within lists, to nested lists of integers."""
    if hasattr(ids, "tolist"):
        return ids.tolist()
    return [_to_nested_list(row) for row in ids] if isinstance(ids, (list, tuple)) else ids


def _depth(ids: Any) -> int:
    """Return the number of dimensions of nested lists or an array."""
    if hasattr(ids, "ndim"):
        return int(ids.ndim)
    return 1 + max(map(_depth, ids[:1]), default=0) if isinstance(ids, (list, tuple)) else 0


def _tensor_type(sentence: Any) -> str | None:
    """Return the tensor type of given ids, so that padding returns the same type."""
    example = sentence[0] if isinstance(sentence, (list, tuple)) and sentence else sentence
    return "pt" if isinstance(example, torch.Tensor) else "np" if isinstance(example, np.ndarray) else None


def _check_texts(texts: Sequence[Any]) -> None:
    for index, text in enumerate(texts):
        if isinstance(text, (list, tuple)):
            raise ValueError(
                f"Expected a string, got a list at position {index}. Pass `is_split_into_words=True` for words."
            )
        if not isinstance(text, str):
            raise TypeError(f"Expected a string, got {type(text).__name__} at position {index}.")


def _check_words(sentences: Sequence[Any]) -> None:
    for index, words in enumerate(sentences):
        if isinstance(words, str):
            raise ValueError(
                f"Expected a list of words with `is_split_into_words=True`, got the string {words[:80]!r} at position "
                f"{index}."
            )
        if not isinstance(words, (list, tuple)):
            raise TypeError(f"Expected a list of words, got {type(words).__name__} at position {index}.")
        if not set(map(type, words)) <= {str}:
            for position, word in enumerate(words):
                if not isinstance(word, str):
                    raise TypeError(
                        f"Expected words as strings, got {type(word).__name__} at word {position} of sentence {index}."
                    )


__all__ = ["ElmoTokenizer"]
