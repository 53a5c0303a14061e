"""Splitting raw text into the words ELMo reads.

ELMo was trained on the 1 Billion Word benchmark, whose text went through the English tokenizer of Moses:
words cut any other way are words the model rarely saw. The ``moses`` splitter restates that tokenizer's
rules, in the form sacremoses gives them (``MosesTokenizer("en").tokenize(text, escape=False)``), as
predicates on neighbouring code points. A whole batch is one numpy array of code points, and to split it is to
fill one boolean array:

    cut[i] is True where a word may not run on from code point i - 1 to code point i.

The segments between cuts that are not blank are the words, so their offsets come for free.

Known differences from sacremoses, all of them rare:

- An ASCII control character separates words; sacremoses deletes it and joins what stood around it.
- The literal text ``DOTMULTI``, a placeholder inside sacremoses, is an ordinary word here.
- Some 600 rare code points, most of them newer than sacremoses' character tables, are letters here alone.

As in sacremoses, every Han character, Hangul syllable and letter outside the Basic Multilingual Plane is a
word of its own.
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
_Kinds = npt.NDArray[np.uint8]

# What a code point is to the rules, one bit each. A letter may also be a number (Ⅷ) or lower-case.
_BLANK, _CONTROL, _LETTER, _NUMBER, _LOWER, _JOINER, _SYMBOL, _EDGE = (1 << bit for bit in range(8))

# sacremoses' letters: Unicode's, with the viramas and nuktas of Indic scripts (combining classes 9 and 7).
_IS_LETTER = regex.compile(r"(?V1)[[\p{Alphabetic}\p{ccc=7}\p{ccc=9}]&&[\0-\uffff]--[\p{Han}\uac00-\ud7a3]]")
_IS_DIGIT = regex.compile(r"(?V1)[\p{Nd}&&[\0-\uffff]]")
_IS_NUMBER = regex.compile(r"\p{N}")
_IS_LOWER = regex.compile(r"\p{Lowercase}")

# The kind of every code point met so far, 0 for the others: a process meets few of the million there are.
_kind_table: _Kinds = np.zeros(0x110000, np.uint8)

_APOSTROPHE, _COMMA, _DOT, _ZERO, _NINE, _SMALL_S = map(ord, "',.09s")

# Abbreviations whose period does not end a sentence, and those that need a number after them: Moses'
# nonbreaking_prefix.en, less its e.g and i.e, for a word with a period inside keeps its last one anyway.
_ABBREVIATIONS = (
    "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z Adj Adm Adv Asst Bart Bldg Brig Bros Capt Cmdr Col "
    "Comdr Con Corp Cpl DR Dr Drs Ens Gen Gov Hon Hr Hosp Insp Lt MM MR MRS MS Maj Messrs Mlle Mme Mr Mrs Ms "
    "Msgr Op Ord Pfc Ph Prof Pvt Rep Reps Res Rev Rt Sen Sens Sfc Sgt Sr St Supt Surg v vs rev Rs Nos Nr "
    "Jan Feb Mar Apr Jun Jul Aug Sep Oct Nov Dec"
)
_PREFIXES = frozenset(_ABBREVIATIONS.split())
_NUMERIC_PREFIXES = frozenset(["No", "Art", "pp"])

# What may stand on one side of an apostrophe, one bit each; 0 is the end of the text. An s is a letter too.
_SIDE_LETTER, _SIDE_NUMBER, _SIDE_OTHER, _SIDE_S = 1, 2, 4, 8
# One rule: what must stand to the left, what to the right, and whether the apostrophe is cut from the latter
# as it is from the former. The order matters.
_APOSTROPHE_RULES = (
    (_SIDE_NUMBER | _SIDE_OTHER, _SIDE_NUMBER | _SIDE_OTHER, True),  # 6'2 -> 6 ' 2
    (_SIDE_OTHER, _SIDE_LETTER, True),  # -'tis -> - ' tis
    (_SIDE_LETTER, _SIDE_NUMBER | _SIDE_OTHER, True),  # dogs' tails -> dogs ' tails
    (_SIDE_LETTER, _SIDE_LETTER, False),  # it's -> it 's
    (_SIDE_NUMBER, _SIDE_S, False),  # 1990's -> 1990 's
)


def split_texts(texts: Sequence[str], splitter: str) -> list[list[tuple[int, int]]]:
    """Find the words of each text.

    Args:
        texts: a batch of raw texts.
        splitter: ``moses`` (English as in the 1 Billion Word benchmark), ``whitespace`` (runs of Unicode
            whitespace separate words) or ``characters`` (each non-blank code point is a word).

    Returns:
        For each text the spans of its words, in order: word ``(start, end)`` is ``text[start:end]``.
    """
    _, starts, ends, firsts, begins = _find_words(texts, splitter)
    offsets = np.repeat(begins, np.diff(firsts))
    spans = list(zip((starts - offsets).tolist(), (ends - offsets).tolist(), strict=True))
    return [spans[first:last] for first, last in pairwise(firsts.tolist())]


def split_words(texts: Sequence[str], splitter: str) -> list[list[str]]:
    """Return the words of each text: the strings that the spans of `split_texts` stand for."""
    joined, starts, ends, firsts, _ = _find_words(texts, splitter)
    words = [joined[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    return [words[first:last] for first, last in pairwise(firsts.tolist())]


def _find_words(texts: Sequence[str], splitter: str) -> tuple[str, _Ints, _Ints, _Ints, _Ints]:
    """Find the words of all texts at once.

    Returns:
        joined: all texts in one string, each between line breaks.
        starts, ends (words,): where the words lie in `joined`.
        firsts (texts + 1,): the first word of each text, then the number of words.
        begins (texts,): where each text begins in `joined`.
    """
    if splitter not in SPLITTERS:
        raise ValueError(f"splitter must be one of {', '.join(SPLITTERS)}, not {splitter!r}.")
    # With a line break at either end, every code point of a text has neighbours to look at.
    joined = "\n".join(["", *texts, ""])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    lengths = np.fromiter(map(len, texts), np.intp, len(texts))
    begins = np.cumsum(np.concatenate(([1], lengths + 1)))
    kinds = _kinds_of(codes)
    if splitter == "moses":
        space = (kinds & (_BLANK | _CONTROL)) != 0
        cut = _moses_cuts(joined, codes, kinds, space, begins)
    else:
        space = (kinds & _BLANK) != 0
        cut = _around(space) if splitter == "whitespace" else np.ones_like(space)
    starts, ends = _segments(cut, space)
    return joined, starts, ends, np.searchsorted(starts, begins), begins[:-1]


def _kinds_of(codes: _Codes) -> _Kinds:
    kinds = _kind_table[codes]
    if not kinds.all():
        unseen = np.unique(codes[kinds == 0])
        _kind_table[unseen] = [_classify(chr(code)) for code in unseen.tolist()]
        kinds = _kind_table[codes]
    return kinds


def _classify(char: str) -> int:
    if char.isspace():
        return _BLANK
    if char < " ":
        return _CONTROL
    if char in ".'`,-":
        return _JOINER
    kind = _LETTER if _IS_LETTER.match(char) else 0
    if _IS_DIGIT.match(char) or (kind and _IS_NUMBER.match(char)):
        kind |= _NUMBER
    return (kind or _SYMBOL) | (_LOWER if _IS_LOWER.match(char) else 0)


def _around(alone: _Bools) -> _Bools:
    """Cuts before and after each code point of a mask."""
    cut = alone.copy()
    cut[1:] |= alone[:-1]
    return cut


def _segments(cut: _Bools, space: _Bools) -> tuple[_Ints, _Ints]:
    """Starts and ends of the words: the segments between cuts, less the blanks, each a segment by itself."""
    bounds = np.flatnonzero(cut)
    is_word = ~space[bounds[:-1]]
    return bounds[:-1][is_word], bounds[1:][is_word]


def _moses_cuts(joined: str, codes: _Codes, kinds: _Kinds, space: _Bools, begins: _Ints) -> _Bools:
    solid = np.flatnonzero(~space)
    first, after_last = np.searchsorted(solid, begins[:-1]), np.searchsorted(solid, begins[1:])
    filled = first < after_last
    last = solid[after_last[filled] - 1]
    # Several rules need a neighbour within the text, and blanks at its ends do not count.
    kinds[solid[first[filled]] - 1] = kinds[last + 1] = _EDGE

    cut = _around(space | ((kinds & _SYMBOL) != 0))
    _cut_dots(codes, cut)
    _cut_commas(codes, kinds, cut)
    _cut_apostrophes(codes, kinds, cut, solid)
    quoted = last[(codes[last] == _APOSTROPHE) & (codes[last - 1] == _DOT) & ~cut[last]]
    cut[quoted] = cut[quoted - 1] = True  # a text that ends in .'
    _cut_periods(joined, codes, kinds, cut, *_segments(cut, space))
    return cut


def _cut_dots(codes: _Codes, cut: _Bools) -> None:
    """A run of two or more dots is a word."""
    at = np.flatnonzero(codes == _DOT)
    after_dot, before_dot = codes[at - 1] == _DOT, codes[at + 1] == _DOT
    cut[at[before_dot & ~after_dot]] = True
    cut[at[after_dot & ~before_dot] + 1] = True


def _cut_commas(codes: _Codes, kinds: _Kinds, cut: _Bools) -> None:
    """A comma is a word, unless it stands between two digits or before the digit that begins a text.

    Whether it follows a digit is asked of pairs that don't overlap: in "5,,,5" the last one stays with the 5.
    """
    at = np.flatnonzero(codes == _COMMA)
    apart = (kinds[at - 1] & (_NUMBER | _EDGE)) == 0
    _keep_disjoint(apart, at - 1, at)
    apart |= (kinds[at + 1] & _NUMBER) == 0
    cut[at[apart]] = cut[at[apart] + 1] = True


def _cut_apostrophes(codes: _Codes, kinds: _Kinds, cut: _Bools, solid: _Ints) -> None:
    """Apply the apostrophe rules. An apostrophe at either end of a text lacks a neighbour and stays as it is.

    A rule uses up the neighbours it looks at, from left to right: in "rock'n'roll" the first apostrophe takes
    the n, so the second finds nothing to its left and stays, which gives rock 'n'roll. To tell what is used
    up, places are counted such that code points that are not blank (at `solid`) have even ones and the gap
    between two, be it a blank of the text or a cut, has the odd one.
    """
    at = np.flatnonzero(codes == _APOSTROPHE)
    if not at.size:
        return
    place = 2 * np.searchsorted(solid, at)
    for left, right, both in _APOSTROPHE_RULES:
        gap_before, gap_after = cut[at], cut[at + 1]
        hit = (_side(codes, kinds, at - 1, gap_before) & left) != 0
        hit &= (_side(codes, kinds, at + 1, gap_after) & right) != 0
        _keep_disjoint(hit, place - 2 + gap_before, place + 2 - gap_after)
        cut[at[hit]] = True
        if both:
            cut[at[hit] + 1] = True


def _side(codes: _Codes, kinds: _Kinds, at: _Ints, gap: _Bools) -> _Ints:
    """What an apostrophe sees where `at` is the position beside it; `gap` hides the code point there."""
    seen = kinds[at]
    return np.select(
        [seen == _EDGE, gap, codes[at] == _SMALL_S, (seen & _LETTER) != 0, (seen & _NUMBER) != 0],
        [0, _SIDE_OTHER, _SIDE_LETTER | _SIDE_S, _SIDE_LETTER, _SIDE_NUMBER],
        _SIDE_OTHER,
    )


def _keep_disjoint(hit: _Bools, first: _Ints, last: _Ints) -> None:
    """Drop each hit whose range, first to last, meets that of a kept hit before it, as `re.sub` does."""
    taken = -1
    for i in np.flatnonzero(hit).tolist():
        if first[i] <= taken:
            hit[i] = False
        else:
            taken = last[i]


def _cut_periods(joined: str, codes: _Codes, kinds: _Kinds, cut: _Bools, starts: _Ints, ends: _Ints) -> None:
    """Cut the period from the end of a word, unless it marks an abbreviation or a lower-case word follows."""
    dotted = np.flatnonzero((codes[ends - 1] == _DOT) & (codes[ends - 2] != _DOT) & (ends - starts > 1))
    # Where the next word begins; position 0, a line break, if the text ends.
    ahead = np.where(kinds[ends[dotted]] == _EDGE, 0, np.append(starts, 0)[dotted + 1])
    sentence_ends = (kinds[ahead] & _LOWER) == 0
    dotted, ahead = dotted[sentence_ends], ahead[sentence_ends]
    digit_ahead = (codes[ahead] >= _ZERO) & (codes[ahead] <= _NINE)
    columns = (starts[dotted], ends[dotted], digit_ahead)
    for start, end, digit in zip(*(column.tolist() for column in columns), strict=True):
        stem = joined[start : end - 1]
        if "." in stem:
            kept = bool((kinds[start:end] & _LETTER).any())
        else:
            kept = stem in _PREFIXES or (digit and stem in _NUMERIC_PREFIXES)
        if not kept:
            cut[end - 1] = True
