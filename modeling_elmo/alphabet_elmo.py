# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""From words to rows of ids and back: by characters (UTF-8 bytes), or by a list of known words."""

from collections.abc import Mapping, Sequence
from pathlib import Path

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
