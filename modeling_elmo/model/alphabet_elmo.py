# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion between words and id rows: by UTF-8 bytes, by code points and a lexicon, or by a word vocabulary."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .configuration_elmo import (
    BOS_ID,
    BOW_ID,
    BYTE_OFFSET,
    CHARACTER_PAD_ID,
    EOS_ID,
    EOW_ID,
    PAD_ID,
    check_characters_per_token,
)

IdRows = NDArray[np.int64]  # [words, width]

UNKNOWN_WORD = "<UNK>"

# Special entries in the lexicons of ELMoForManyLangs.
UNKNOWN_ENTRY, PAD_ENTRY = "<oov>", "<pad>"
# Its code looks up the begin of a word as "<eow>" and the end as "<bow>", in training as well.
BOW_ENTRY, EOW_ENTRY = "<eow>", "<bow>"


class CharacterAlphabet:
    """Alphabet of UTF-8 bytes between word boundaries, `width` ids per word, as in bilm-tf and AllenNLP."""

    def __init__(self, width: int, pad: str, bos: str, eos: str) -> None:
        self.width = check_characters_per_token(width)
        self.vocab = {pad: PAD_ID, **{f"<0x{byte:02X}>": byte + BYTE_OFFSET for byte in range(256)}}
        self.vocab |= {bos: BOS_ID, eos: EOS_ID, "<bow>": BOW_ID, "<eow>": EOW_ID, "<char-pad>": CHARACTER_PAD_ID}

    def encode(self, words: Sequence[str], special: Mapping[str, int]) -> IdRows:
        """Return the id rows of words, [words, width].

        Lone surrogates, which UTF-8 cannot encode, and bytes that do not fit between the boundaries are dropped.

        Args:
            words: Words.
            special: Ids of special words, which become a single character of that id, or a row of zeros for id 0.
        """
        max_bytes = self.width - 2
        contents = [word.encode("utf-8", "ignore") for word in words]
        lengths = np.fromiter(map(len, contents), np.intp, len(contents))
        longest = int(lengths.max(initial=0))
        if longest > max_bytes:
            contents = [content[:max_bytes] for content in contents]
            lengths, longest = np.minimum(lengths, max_bytes), max_bytes
        rows = np.full((len(contents), self.width), CHARACTER_PAD_ID, np.int64)
        rows[:, 0] = BOW_ID
        characters = np.frombuffer(b"".join(contents), np.uint8).astype(np.int64) + BYTE_OFFSET
        rows[:, 1 : 1 + longest][np.arange(longest) < lengths[:, None]] = characters
        rows[np.arange(len(rows)), lengths + 1] = EOW_ID
        if special:
            for index in [index for index, word in enumerate(words) if word in special]:
                rows[index] = self.special_row(special[words[index]])
        return rows

    def special_row(self, character: int) -> IdRows:
        """Return the id row of a special word, [width]."""
        row = np.full(self.width, PAD_ID if character == PAD_ID else CHARACTER_PAD_ID, np.int64)
        if character != PAD_ID:
            row[:3] = BOW_ID, character, EOW_ID
        return row

    def decode(self, row: Sequence[int], names: Mapping[int, str]) -> str:
        """Return the word of an id row. Bytes that are not UTF-8 become U+FFFD.

        Args:
            row: Ids of one word.
            names: Special words by id.

        Raises:
            ValueError: If the row contains neither bytes nor one special word.
        """
        content = [character for character in row if character not in (BOW_ID, EOW_ID, CHARACTER_PAD_ID, PAD_ID)]
        if len(content) == 1 and content[0] in names:
            return names[content[0]]
        if not any(row):
            return names[PAD_ID]
        if any(not BYTE_OFFSET <= character < 256 + BYTE_OFFSET for character in content):
            raise ValueError(f"Expected a row of bytes or one special word, got the character ids {list(row)}.")
        return bytes(character - BYTE_OFFSET for character in content).decode("utf-8", "replace")


class WordVocabulary:
    """Vocabulary for models with word input, as in bilm-tf. A row has one id, the line number in a file, from 1."""

    width = 1

    def __init__(self, path: str | Path, pad: str) -> None:
        with Path(path).open(encoding="utf-8-sig") as lines:  # unlike str.splitlines, it breaks at line ends only
            words = [line.rstrip("\n") for line in lines]
        self.vocab = {pad: PAD_ID}
        for line, word in enumerate(words, start=1):
            if not word or word in self.vocab:
                raise ValueError(f"Expected one distinct word per line of {path}, got {word!r} in line {line}.")
            self.vocab[word] = line

    def encode(self, words: Sequence[str], special: Mapping[str, int]) -> IdRows:
        """Return the ids of words, [words, 1].

        Raises:
            ValueError: If a word is unknown and the vocabulary has no `<UNK>`.
        """
        unknown = self.vocab.get(UNKNOWN_WORD)
        ids = [special.get(word, self.vocab.get(word, unknown)) for word in words]
        if None in ids:
            word = words[ids.index(None)]
            raise ValueError(f"Cannot encode {word!r}: the vocabulary contains neither this word nor {UNKNOWN_WORD!r}.")
        return np.array(ids, np.int64).reshape(-1, 1)

    def special_row(self, word: int) -> IdRows:
        return np.array([word], np.int64)

    def decode(self, row: Sequence[int], names: Mapping[int, str]) -> str:
        if row[0] not in names:
            raise ValueError(f"Expected a word id in 0..{len(self.vocab) - 1}, got {row[0]}.")
        return names[row[0]]


class LexiconAlphabet:
    """Alphabet of Unicode code points, combined with a word lexicon, as in ELMoForManyLangs.

    A row consists of the word's id in the lexicon, begin-of-word, the characters, end-of-word, and padding up to
    `length` characters. Either the lexicon or the characters can be missing. Words are truncated before the lookup.

    Args:
        path: JSON file with an object of the lists "words" and "characters". They contain names in the order of their
            ids, which start at 1, and null for an id without a name.
        length: Characters per word, both word boundaries included.
        pad: Name of the padding.
        bos: Name of the begin of a sentence.
        eos: Name of the end of a sentence.

    Raises:
        ValueError: If the file is malformed or lacks a required entry, or `length` is below 3.
    """

    def __init__(self, path: str | Path, length: int, pad: str, bos: str, eos: str) -> None:
        length = check_characters_per_token(length)
        self.lists = _read_lexicon(Path(path))
        self.max_characters = length - 2
        self.words = _name_to_id(self.lists["words"])
        self.characters = _name_to_id(self.lists["characters"])
        required = [bos, eos, UNKNOWN_ENTRY]
        _check_entries("words", self.words, [UNKNOWN_ENTRY] if self.characters else required, path)
        _check_entries("characters", self.characters, [*required, PAD_ENTRY, BOW_ENTRY, EOW_ENTRY], path)
        self.width = bool(self.words) + length * bool(self.characters)

        ids = self.characters or self.words
        names = {index: name for name, index in ids.items() if name != pad}
        self.vocab = {pad: PAD_ID}
        for index in range(1, len(self.lists["characters"] or self.lists["words"] or ()) + 1):
            self.vocab[names.get(index, "<char-pad>" if ids.get(pad) == index else f"<unnamed-{index}>")] = index
        self._special = {index: self.words.get(name, self._unknown_word) for index, name in names.items()}
        self._known = {index: name for name, index in self.words.items()}
        letters = sorted((ord(name), index) for name, index in self.characters.items() if len(name) == 1)
        self._points = np.array([point for point, _ in letters], np.uint32)
        self._letters = np.array([index for _, index in letters], np.int64)
        self._names = {index: chr(point) for point, index in letters}

    @property
    def _unknown_word(self) -> int:
        return self.words.get(UNKNOWN_ENTRY, PAD_ID)

    def encode(self, words: Sequence[str], special: Mapping[str, int]) -> IdRows:
        """Return the id rows of words, [words, width]. See `CharacterAlphabet.encode`."""
        truncated = [word[: self.max_characters] for word in words]
        rows = np.empty((len(words), self.width), np.int64)
        if self.words:
            unknown = self._unknown_word
            rows[:, 0] = [self.words.get(word, unknown) for word in truncated]
        if self.characters:
            characters = rows[:, bool(self.words) :]
            lengths = np.fromiter(map(len, truncated), np.intp, len(truncated))
            longest = int(lengths.max(initial=0))
            characters[:] = self.characters[PAD_ENTRY]
            characters[:, 0] = self.characters[BOW_ENTRY]
            characters[:, 1 : 1 + longest][np.arange(longest) < lengths[:, None]] = self._code_point_ids(
                "".join(truncated)
            )
            characters[np.arange(len(rows)), lengths + 1] = self.characters[EOW_ENTRY]
        if special:
            for index in [index for index, word in enumerate(words) if word in special]:
                rows[index] = self.special_row(special[words[index]])
        return rows

    def _code_point_ids(self, text: str) -> NDArray[np.int64]:
        """Return the ids of the code points of a text."""
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        if not len(self._points):
            return np.full(len(points), self.characters[UNKNOWN_ENTRY])
        indices = np.searchsorted(self._points, points).clip(max=len(self._points) - 1)
        return np.where(self._points[indices] == points, self._letters[indices], self.characters[UNKNOWN_ENTRY])

    def special_row(self, character: int) -> IdRows:
        """Return the id row of a special word, [width]."""
        if not self.characters or character == PAD_ID:
            return np.full(self.width, character, np.int64)
        row = np.full(self.width, self.characters[PAD_ENTRY], np.int64)
        if self.words:
            row[0] = self._special.get(character, self._unknown_word)
        row[bool(self.words) :][:3] = self.characters[BOW_ENTRY], character, self.characters[EOW_ENTRY]
        return row

    def decode(self, row: Sequence[int], names: Mapping[int, str]) -> str:
        """Return the word of an id row. Unknown characters become U+FFFD. See `CharacterAlphabet.decode`."""
        if not any(row):
            return names[PAD_ID]
        if self.words and row[0] != self._unknown_word and row[0] in self._known:
            return self._known[row[0]]
        if not self.characters:
            if row[0] not in names:
                raise ValueError(f"Expected a word id in 0..{len(self.vocab) - 1}, got {row[0]}.")
            return names[row[0]]
        boundaries = [self.characters[entry] for entry in (BOW_ENTRY, EOW_ENTRY, PAD_ENTRY)]
        content = [character for character in row[bool(self.words) :] if character not in boundaries]
        if len(content) == 1 and content[0] in names:
            return names[content[0]]
        return "".join(self._names.get(character, "\ufffd") for character in content)

    def save(self, path: Path) -> None:
        """Write the lexicon file, one name per line."""
        path.write_text(json.dumps(self.lists, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def _read_lexicon(path: Path) -> dict[str, list[str | None] | None]:
    """Read the lists of a lexicon file. A missing list becomes None."""
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"Cannot read {path} as JSON in UTF-8: {error}.") from error
    if not isinstance(lists, dict) or not (lists.get("words") or lists.get("characters")):
        raise ValueError(f"Expected a JSON object with the list 'words', 'characters', or both in {path}, got neither.")
    for key in ("words", "characters"):
        names = lists.setdefault(key, None)
        if not isinstance(names, list | None) or not all(isinstance(name, str | None) for name in names or ()):
            raise ValueError(f"Expected {key!r} of {path} to be a list of strings and nulls, got {str(names)[:40]}.")
        named = [name for name in names or () if name is not None]
        if len(set(named)) < len(named):
            duplicate = Counter(named).most_common(1)[0][0]
            raise ValueError(f"Expected distinct names in {key!r} of {path}, got {duplicate!r} twice.")
    return {key: lists[key] for key in ("words", "characters")}


def _name_to_id(names: Sequence[str | None] | None) -> dict[str, int]:
    return {name: index for index, name in enumerate(names or (), start=1) if name is not None}


def _check_entries(key: str, ids: Mapping[str, int], required: Sequence[str], path: Any) -> None:
    missing = [name for name in required if name not in ids]
    if ids and missing:
        raise ValueError(f"Expected {', '.join(required)} in {key!r} of {path}, but {missing[0]} is missing.")
