# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""From words to rows of ids and back: by UTF-8 bytes, by code points and a lexicon, or by a list of known words."""

import json
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
)

Rows = NDArray[np.int64]  # [words, width]

UNKNOWN_WORD = "<UNK>"

# What ELMoForManyLangs calls the entries of its lexicons that are no words and characters of a text.
UNKNOWN_ENTRY, PAD_ENTRY = "<oov>", "<pad>"
# Its programs look the begin of a word up as "<eow>" and its end as "<bow>", in training too.
BOW_ENTRY, EOW_ENTRY = "<eow>", "<bow>"


class CharacterAlphabet:
    """Words as their UTF-8 bytes between word boundaries, `width` ids each (bilm-tf's and AllenNLP's scheme)."""

    def __init__(self, width: int, pad: str, bos: str, eos: str) -> None:
        if width < 3:
            raise ValueError(f"max_characters_per_token must be at least 3; got {width}.")
        self.width = width
        self.vocab = {pad: PAD_ID, **{f"<0x{byte:02X}>": byte + BYTE_OFFSET for byte in range(256)}}
        self.vocab |= {bos: BOS_ID, eos: EOS_ID, "<bow>": BOW_ID, "<eow>": EOW_ID, "<char-pad>": CHARACTER_PAD_ID}

    def encode(self, words: Sequence[str], special: Mapping[str, int]) -> Rows:
        """Rows [words, width]; words in `special` are a single character of that id, or a row of zeros for id 0.

        Bytes that do not fit between the boundaries are dropped, and so are lone surrogates, which UTF-8 cannot write.
        """
        room = self.width - 2
        contents = [word.encode("utf-8", "ignore") for word in words]
        lengths = np.fromiter(map(len, contents), np.intp, len(contents))
        longest = int(lengths.max(initial=0))
        if longest > room:
            contents = [content[:room] for content in contents]
            lengths, longest = np.minimum(lengths, room), room
        rows = np.full((len(contents), self.width), CHARACTER_PAD_ID, np.int64)
        rows[:, 0] = BOW_ID
        characters = np.frombuffer(b"".join(contents), np.uint8).astype(np.int64) + BYTE_OFFSET
        rows[:, 1 : 1 + longest][np.arange(longest) < lengths[:, None]] = characters
        rows[np.arange(len(rows)), lengths + 1] = EOW_ID
        if special:
            for index in [index for index, word in enumerate(words) if word in special]:
                rows[index] = self.spell(special[words[index]])
        return rows

    def spell(self, character: int) -> Rows:
        """The row of a special word."""
        row = np.full(self.width, PAD_ID if character == PAD_ID else CHARACTER_PAD_ID, np.int64)
        if character != PAD_ID:
            row[:3] = BOW_ID, character, EOW_ID
        return row

    def word(self, row: Sequence[int], names: Mapping[int, str]) -> str:
        """The word of a row; `names` gives the special words by their id. Bytes that are no UTF-8 become U+FFFD."""
        content = [character for character in row if character not in (BOW_ID, EOW_ID, CHARACTER_PAD_ID, PAD_ID)]
        if len(content) == 1 and content[0] in names:
            return names[content[0]]
        if not any(row):
            return names[PAD_ID]
        if any(not BYTE_OFFSET <= character < 256 + BYTE_OFFSET for character in content):
            raise ValueError(f"a row of character ids must hold bytes or one special word; got {list(row)}.")
        return bytes(character - BYTE_OFFSET for character in content).decode("utf-8", "replace")


class WordVocabulary:
    """Words as their line number in a file, counted from 1 (bilm-tf's word-input models); rows are one id wide."""

    width = 1

    def __init__(self, path: str | Path, pad: str) -> None:
        with Path(path).open(encoding="utf-8") as lines:  # unlike str.splitlines, it breaks at line ends only
            words = [line.rstrip("\n") for line in lines]
        self.vocab = {pad: PAD_ID}
        for line, word in enumerate(words, start=1):
            if not word or word in self.vocab:
                raise ValueError(
                    "a vocabulary file must hold one new word a line; "
                    f"got {word!r}, empty or seen before, in line {line} of {path}."
                )
            self.vocab[word] = line

    def encode(self, words: Sequence[str], special: Mapping[str, int]) -> Rows:
        unknown = self.vocab.get(UNKNOWN_WORD)
        ids = [special.get(word, self.vocab.get(word, unknown)) for word in words]
        if None in ids:
            raise ValueError(f"the vocabulary has neither {words[ids.index(None)]!r} nor {UNKNOWN_WORD!r}.")
        return np.array(ids, np.int64).reshape(-1, 1)

    def spell(self, word: int) -> Rows:
        return np.array([word], np.int64)

    def word(self, row: Sequence[int], names: Mapping[int, str]) -> str:
        if row[0] not in names:
            raise ValueError(f"a word id must be in 0..{len(self.vocab) - 1}; got {row[0]}.")
        return names[row[0]]


class LexiconAlphabet:
    """Words as entries of a lexicon and as their Unicode code points (ELMoForManyLangs' scheme).

    A row is the word's id in the lexicon, begin-of-word, the characters, end-of-word, and padding up to `length`
    characters; the lexicon or the characters can be missing. A word is cut before it is looked up.

    Args:
        path: a JSON object with the lists "words" and "characters": names in the order of their ids, which count from
            1, with null for an id that has no name.
        length: characters a word, both word boundaries included.
        pad, bos, eos: names of no word, and of what begins and ends a sentence.
    """

    def __init__(self, path: str | Path, length: int, pad: str, bos: str, eos: str) -> None:
        if length < 3:
            raise ValueError(f"max_characters_per_token must be at least 3; got {length}.")
        self.lists = _read_lists(Path(path))
        self.room = length - 2
        self.words = _ids(self.lists["words"])
        self.characters = _ids(self.lists["characters"])
        needed = [bos, eos, UNKNOWN_ENTRY]
        _check_entries("words", self.words, [UNKNOWN_ENTRY] if self.characters else needed, path)
        _check_entries("characters", self.characters, [*needed, PAD_ENTRY, BOW_ENTRY, EOW_ENTRY], path)
        self.width = bool(self.words) + length * bool(self.characters)

        ids = self.characters or self.words
        names = {index: name for name, index in ids.items() if name != pad}  # `pad` names what is no word
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

    def encode(self, words: Sequence[str], special: Mapping[str, int]) -> Rows:
        """Rows [words, width]; words in `special` have one character, of that id, or a row of zeros for id 0."""
        cut = [word[: self.room] for word in words]
        rows = np.empty((len(words), self.width), np.int64)
        if self.words:
            unknown = self._unknown_word
            rows[:, 0] = [self.words.get(word, unknown) for word in cut]
        if self.characters:
            characters = rows[:, bool(self.words) :]
            lengths = np.fromiter(map(len, cut), np.intp, len(cut))
            longest = int(lengths.max(initial=0))
            characters[:] = self.characters[PAD_ENTRY]
            characters[:, 0] = self.characters[BOW_ENTRY]
            characters[:, 1 : 1 + longest][np.arange(longest) < lengths[:, None]] = self._look_up("".join(cut))
            characters[np.arange(len(rows)), lengths + 1] = self.characters[EOW_ENTRY]
        if special:
            for index in [index for index, word in enumerate(words) if word in special]:
                rows[index] = self.spell(special[words[index]])
        return rows

    def _look_up(self, text: str) -> NDArray[np.int64]:
        """The ids of a text's code points."""
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        if not len(self._points):
            return np.full(len(points), self.characters[UNKNOWN_ENTRY])
        places = np.searchsorted(self._points, points).clip(max=len(self._points) - 1)
        return np.where(self._points[places] == points, self._letters[places], self.characters[UNKNOWN_ENTRY])

    def spell(self, character: int) -> Rows:
        """The row of a special word."""
        if not self.characters or character == PAD_ID:
            return np.full(self.width, character, np.int64)
        row = np.full(self.width, self.characters[PAD_ENTRY], np.int64)
        if self.words:
            row[0] = self._special.get(character, self._unknown_word)
        row[bool(self.words) :][:3] = self.characters[BOW_ENTRY], character, self.characters[EOW_ENTRY]
        return row

    def word(self, row: Sequence[int], names: Mapping[int, str]) -> str:
        """The word of a row; `names` gives the special words by their id. Unknown characters become U+FFFD."""
        if not any(row):
            return names[PAD_ID]
        if self.words and row[0] != self._unknown_word and row[0] in self._known:
            return self._known[row[0]]
        if not self.characters:
            if row[0] not in names:
                raise ValueError(f"a word id must be in 0..{len(self.vocab) - 1}; got {row[0]}.")
            return names[row[0]]
        frame = [self.characters[entry] for entry in (BOW_ENTRY, EOW_ENTRY, PAD_ENTRY)]
        content = [character for character in row[bool(self.words) :] if character not in frame]
        if len(content) == 1 and content[0] in names:
            return names[content[0]]
        return "".join(self._names.get(character, "\ufffd") for character in content)

    def save(self, path: Path) -> None:
        """Write the file that it was read from, a name a line."""
        path.write_text(json.dumps(self.lists, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def _read_lists(path: Path) -> dict[str, list[str | None] | None]:
    """The lists of a lexicon file; None for one that it has not."""
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be JSON in UTF-8; {error}.") from error
    if not isinstance(lists, dict) or not (lists.get("words") or lists.get("characters")):
        raise ValueError(f"{path} must be a JSON object with the lists 'words', 'characters' or both; it has neither.")
    for what in ("words", "characters"):
        names = lists.setdefault(what, None)
        if not isinstance(names, list | None) or not all(isinstance(name, str | None) for name in names or ()):
            raise ValueError(f"{what!r} of {path} must be a list of strings and nulls; got {str(names)[:40]}.")
        named = [name for name in names or () if name is not None]
        if len(set(named)) < len(named):
            raise ValueError(f"{what!r} of {path} must have every name once; got one twice.")
    return {what: lists[what] for what in ("words", "characters")}


def _ids(names: Sequence[str | None] | None) -> dict[str, int]:
    return {name: index for index, name in enumerate(names or (), start=1) if name is not None}


def _check_entries(what: str, ids: Mapping[str, int], needed: Sequence[str], path: Any) -> None:
    missing = [name for name in needed if name not in ids]
    if ids and missing:
        raise ValueError(f"{what!r} of {path} must have the entries {', '.join(needed)}; {missing[0]} is missing.")
