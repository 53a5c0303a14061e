# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Word splitters for raw text.

ELMo was trained on the 1 Billion Word benchmark, which was tokenized with the English tokenizer of Moses. The model
rarely saw words that are split in another way. The `moses` splitter implements the rules of
`sacremoses.MosesTokenizer("en").tokenize(text, escape=False)` as predicates on adjacent code points. It processes a
batch as one NumPy array of code points and computes one boolean array:

    is_boundary[i] is True if code points i - 1 and i cannot belong to the same word.

The non-is_space segments between boundaries are the words, which also gives their offsets.

Known differences from sacremoses, all of them rare:

- An ASCII control character separates words. sacremoses deletes it and joins its neighbors.
- The literal text `DOTMULTI`, a placeholder inside sacremoses, is an ordinary word.
- About 600 rare code points, most of them newer than the character tables of sacremoses, are letters.

As in sacremoses, every Han character, Hangul syllable, and letter outside the Basic Multilingual Plane is a separate
word.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import regex

SPLITTERS = ("moses", "whitespace", "characters")

_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.intp]
_Codes = npt.NDArray[np.uint32]
_Classes = npt.NDArray[np.uint8]

# Character classes, one bit each. A letter can also be a number (Ⅷ) or lowercase.
_SPACE, _CONTROL, _LETTER, _NUMBER, _LOWER, _JOINER, _SYMBOL, _EDGE = (1 << bit for bit in range(8))

# Letters of sacremoses: those of Unicode, and the viramas and nuktas of Indic scripts (combining classes 9 and 7).
_IS_LETTER = regex.compile(r"(?V1)[[\p{Alphabetic}\p{ccc=7}\p{ccc=9}]&&[\0-\uffff]--[\p{Han}\uac00-\ud7a3]]")
_IS_DIGIT = regex.compile(r"(?V1)[\p{Nd}&&[\0-\uffff]]")
_IS_NUMBER = regex.compile(r"\p{N}")
_IS_LOWER = regex.compile(r"\p{Lowercase}")

# Class of every code point, computed on first use (0: not yet), because a process sees few of the million code points.
_class_table: _Classes = np.zeros(0x110000, np.uint8)

_APOSTROPHE, _COMMA, _DOT, _ZERO, _NINE, _SMALL_S = map(ord, "',.09s")

# Abbreviations whose period does not end a sentence, and those that require a following number. Source: Moses'
# nonbreaking_prefix.en without e.g and i.e, because a word with an inner period keeps its last period anyway.
_ABBREVIATIONS = (
    "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z Adj Adm Adv Asst Bart Bldg Brig Bros Capt Cmdr Col "
    "Comdr Con Corp Cpl DR Dr Drs Ens Gen Gov Hon Hr Hosp Insp Lt MM MR MRS MS Maj Messrs Mlle Mme Mr Mrs Ms "
    "Msgr Op Ord Pfc Ph Prof Pvt Rep Reps Res Rev Rt Sen Sens Sfc Sgt Sr St Supt Surg v vs rev Rs Nos Nr "
    "Jan Feb Mar Apr Jun Jul Aug Sep Oct Nov Dec"
)
_PREFIXES = frozenset(_ABBREVIATIONS.split())
_NUMERIC_PREFIXES = frozenset(["No", "Art", "pp"])

# Classes of the neighbors of an apostrophe, one bit each. 0 is the end of the text. An s is also a letter.
_SIDE_LETTER, _SIDE_NUMBER, _SIDE_OTHER, _SIDE_S = 1, 2, 4, 8
# Rules: classes of the left and the right neighbor, and whether there is a boundary after the apostrophe in addition to
# the one before it. The order matters.
_APOSTROPHE_RULES = (
    (_SIDE_NUMBER | _SIDE_OTHER, _SIDE_NUMBER | _SIDE_OTHER, True),  # 6'2 -> 6 ' 2
    (_SIDE_OTHER, _SIDE_LETTER, True),  # -'tis -> - ' tis
    (_SIDE_LETTER, _SIDE_NUMBER | _SIDE_OTHER, True),  # dogs' tails -> dogs ' tails
    (_SIDE_LETTER, _SIDE_LETTER, False),  # it's -> it 's
    (_SIDE_NUMBER, _SIDE_S, False),  # 1990's -> 1990 's
)


def split_texts(texts: Sequence[str], splitter: str) -> list[list[tuple[int, int]]]:
    """Return the spans of the words of each text.

    Args:
        texts: Raw texts.
        splitter: `"moses"` (English, as in the 1 Billion Word benchmark), `"whitespace"` (runs of Unicode whitespace
            separate words), or `"characters"` (each code point except whitespace is a word).

    Returns:
        Spans of the words of each text, in order: word `(start, end)` is `text[start:end]`.

    Raises:
        ValueError: If `splitter` is unknown.
    """
    _, starts, ends, word_offsets, text_starts = _find_words(texts, splitter)
    offsets = np.repeat(text_starts, np.diff(word_offsets))
    spans = list(zip((starts - offsets).tolist(), (ends - offsets).tolist(), strict=True))
    return [spans[first:last] for first, last in pairwise(word_offsets.tolist())]


def split_words(texts: Sequence[str], splitter: str) -> list[list[str]]:
    """Return the words of each text. See `split_texts`."""
    joined, starts, ends, word_offsets, _ = _find_words(texts, splitter)
    words = [joined[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    return [words[first:last] for first, last in pairwise(word_offsets.tolist())]


def _find_words(texts: Sequence[str], splitter: str) -> tuple[str, _Ints, _Ints, _Ints, _Ints]:
    """Find the words of all texts at once.

    Returns:
        joined: All texts in one string, each between line breaks.
        starts: Start of each word in `joined`, [words].
        ends: End of each word in `joined`, [words].
        word_offsets: Index of the first word of each text, and the number of words, [texts + 1].
        text_starts: Start of each text in `joined`, [texts].
    """
    if splitter not in SPLITTERS:
        raise ValueError(f"Expected `splitter` to be one of {', '.join(map(repr, SPLITTERS))}, got {splitter!r}.")
    # With a line break at both ends, every code point of a text has two neighbors.
    joined = "\n".join(["", *texts, ""])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    lengths = np.fromiter(map(len, texts), np.intp, len(texts))
    text_starts = np.cumsum(np.concatenate(([1], lengths + 1)))
    char_classes = _classify_codes(codes)
    if splitter == "moses":
        is_space = (char_classes & (_SPACE | _CONTROL)) != 0
        is_boundary = _moses_boundaries(joined, codes, char_classes, is_space, text_starts)
    else:
        is_space = (char_classes & _SPACE) != 0
        is_boundary = _boundaries_around(is_space) if splitter == "whitespace" else np.ones_like(is_space)
    starts, ends = _segments(is_boundary, is_space)
    return joined, starts, ends, np.searchsorted(starts, text_starts), text_starts[:-1]


def _classify_codes(codes: _Codes) -> _Classes:
    char_classes = _class_table[codes]
    if not char_classes.all():
        unseen = np.unique(codes[char_classes == 0])
        _class_table[unseen] = [_classify(chr(code)) for code in unseen.tolist()]
        char_classes = _class_table[codes]
    return char_classes


def _classify(char: str) -> int:
    if char.isspace():
        return _SPACE
    if char < " ":
        return _CONTROL
    if char in ".'`,-":
        return _JOINER
    char_class = _LETTER if _IS_LETTER.match(char) else 0
    if _IS_DIGIT.match(char) or (char_class and _IS_NUMBER.match(char)):
        char_class |= _NUMBER
    return (char_class or _SYMBOL) | (_LOWER if _IS_LOWER.match(char) else 0)


def _boundaries_around(mask: _Bools) -> _Bools:
    """Return boundaries before and after each code point of a mask."""
    is_boundary = mask.copy()
    is_boundary[1:] |= mask[:-1]
    return is_boundary


def _segments(is_boundary: _Bools, is_space: _Bools) -> tuple[_Ints, _Ints]:
    """Return starts and ends of the words, which are the segments between boundaries without whitespace."""
    bounds = np.flatnonzero(is_boundary)
    is_word = ~is_space[bounds[:-1]]
    return bounds[:-1][is_word], bounds[1:][is_word]


def _moses_boundaries(
    joined: str, codes: _Codes, char_classes: _Classes, is_space: _Bools, text_starts: _Ints
) -> _Bools:
    non_space = np.flatnonzero(~is_space)
    first, after_last = np.searchsorted(non_space, text_starts[:-1]), np.searchsorted(non_space, text_starts[1:])
    is_filled = first < after_last
    last = non_space[after_last[is_filled] - 1]
    # Several rules require a neighbor within the text, and whitespace at its ends does not count.
    char_classes[non_space[first[is_filled]] - 1] = char_classes[last + 1] = _EDGE

    is_boundary = _boundaries_around(is_space | ((char_classes & _SYMBOL) != 0))
    _mark_dots(codes, is_boundary)
    _mark_commas(codes, char_classes, is_boundary)
    _mark_apostrophes(codes, char_classes, is_boundary, non_space)
    final_quote = last[(codes[last] == _APOSTROPHE) & (codes[last - 1] == _DOT) & ~is_boundary[last]]
    is_boundary[final_quote] = is_boundary[final_quote - 1] = True  # a text that ends with .'
    _mark_periods(joined, codes, char_classes, is_boundary, *_segments(is_boundary, is_space))
    return is_boundary


def _mark_dots(codes: _Codes, is_boundary: _Bools) -> None:
    """Mark the boundaries of runs of two or more dots, which are words."""
    at = np.flatnonzero(codes == _DOT)
    after_dot, before_dot = codes[at - 1] == _DOT, codes[at + 1] == _DOT
    is_boundary[at[before_dot & ~after_dot]] = True
    is_boundary[at[after_dot & ~before_dot] + 1] = True


def _mark_commas(codes: _Codes, char_classes: _Classes, is_boundary: _Bools) -> None:
    """Mark the boundaries of commas, which are words except between two digits or before a digit at the text start.

    The pairs of a digit and a comma must not overlap: in "5,,,5" the last comma stays with the 5.
    """
    at = np.flatnonzero(codes == _COMMA)
    is_separate = (char_classes[at - 1] & (_NUMBER | _EDGE)) == 0
    _drop_overlapping(is_separate, at - 1, at)
    is_separate |= (char_classes[at + 1] & _NUMBER) == 0
    is_boundary[at[is_separate]] = is_boundary[at[is_separate] + 1] = True


def _mark_apostrophes(codes: _Codes, char_classes: _Classes, is_boundary: _Bools, non_space: _Ints) -> None:
    """Apply the apostrophe rules. An apostrophe at either end of a text lacks a neighbor and is unchanged.

    A rule consumes the neighbors that it matches, from left to right. In "rock'n'roll" the first apostrophe consumes
    the n, so the second has no left neighbor and is unchanged, which gives rock 'n'roll. Consumption is tracked by
    slots: the code points at `non_space` have even slots, and the gap between two of them, whitespace or a boundary,
    has the odd slot.
    """
    at = np.flatnonzero(codes == _APOSTROPHE)
    if not at.size:
        return
    slots = 2 * np.searchsorted(non_space, at)
    for left, right, boundary_after in _APOSTROPHE_RULES:
        gap_before, gap_after = is_boundary[at], is_boundary[at + 1]
        is_match = (_apostrophe_side(codes, char_classes, at - 1, gap_before) & left) != 0
        is_match &= (_apostrophe_side(codes, char_classes, at + 1, gap_after) & right) != 0
        _drop_overlapping(is_match, slots - 2 + gap_before, slots + 2 - gap_after)
        is_boundary[at[is_match]] = True
        if boundary_after:
            is_boundary[at[is_match] + 1] = True


def _apostrophe_side(codes: _Codes, char_classes: _Classes, at: _Ints, gap: _Bools) -> _Ints:
    """Return the class of the neighbor at position `at`. A `gap` hides the code point there."""
    neighbor = char_classes[at]
    return np.select(
        [neighbor == _EDGE, gap, codes[at] == _SMALL_S, (neighbor & _LETTER) != 0, (neighbor & _NUMBER) != 0],
        [0, _SIDE_OTHER, _SIDE_LETTER | _SIDE_S, _SIDE_LETTER, _SIDE_NUMBER],
        _SIDE_OTHER,
    )


def _drop_overlapping(is_match: _Bools, first: _Ints, last: _Ints) -> None:
    """Drop each match whose range, first to last, overlaps that of an earlier kept match, as `re.sub` does."""
    consumed = -1
    for i in np.flatnonzero(is_match).tolist():
        if first[i] <= consumed:
            is_match[i] = False
        else:
            consumed = last[i]


def _mark_periods(
    joined: str, codes: _Codes, char_classes: _Classes, is_boundary: _Bools, starts: _Ints, ends: _Ints
) -> None:
    """Mark the boundary before a word's final period, except in abbreviations and before lowercase words."""
    dotted = np.flatnonzero((codes[ends - 1] == _DOT) & (codes[ends - 2] != _DOT) & (ends - starts > 1))
    # Start of the next word, or position 0, a line break, at the end of the text.
    next_start = np.where(char_classes[ends[dotted]] == _EDGE, 0, np.append(starts, 0)[dotted + 1])
    sentence_ends = (char_classes[next_start] & _LOWER) == 0
    dotted, next_start = dotted[sentence_ends], next_start[sentence_ends]
    digit_follows = (codes[next_start] >= _ZERO) & (codes[next_start] <= _NINE)
    columns = (starts[dotted], ends[dotted], digit_follows)
    for start, end, digit in zip(*(column.tolist() for column in columns), strict=True):
        stem = joined[start : end - 1]
        if "." in stem:
            is_abbreviation = bool((char_classes[start:end] & _LETTER).any())
        else:
            is_abbreviation = stem in _PREFIXES or (digit and stem in _NUMERIC_PREFIXES)
        if not is_abbreviation:
            is_boundary[end - 1] = True
