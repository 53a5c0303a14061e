# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The training text of the bundled English model: a corpus in Penn Treebank style to the words that users' text gives.

Reads a folder of `train.NAME.txt.xz` and `valid.NAME.txt.xz` (a tokenised sentence a line) with `documents.tsv.xz`
(which lines are a document), and writes `train/0000.txt`, ... with the documents of all sources mixed, and
`valid/NAME.txt`. An empty line ends a document. Two things change:

- Contractions are joined (`did n't` to `didn't`, `can not` to `cannot`, `gon na` to `gonna`) and every sentence is
  split again by the package's own splitter `moses` (`didn 't`), so that the model is trained on the words that it
  will be given.
- The corpus has straight quotes only. In one of ten training documents they become curly, and three dots become `…`,
  before the splitter sees them, so that the model knows what word processors write.

    python examples/english/prepare.py CORPUS OUTPUT
"""

import argparse
import csv
import lzma
import random
import re
from collections.abc import Iterator
from pathlib import Path

from modeling_elmo.model.splitting_elmo import split_words

CURLY_SHARE = 0.1  # of the training documents
SHARD_SENTENCES = 100_000

_JOINED_BEFORE = re.compile(r" (?=(?:n't|'(?:s|S|m|M|d|D|ll|LL|re|RE|ve|VE)|N'T)(?: |$))")
_PAIRS = ("can not", "gon na", "wan na", "got ta", "gim me", "lem me", "'t is", "'t was", "d' ye", "more 'n", "c'm on")
_JOINED_PAIRS = re.compile("(?<![^ ])(?:" + "|".join(map(re.escape, _PAIRS)) + ")(?![^ ])", re.IGNORECASE)


def join_contractions(sentence: str) -> str:
    """`I ca n't say it 's so .` to `I can't say it's so .`"""
    joined = _JOINED_BEFORE.sub("", sentence)
    return _JOINED_PAIRS.sub(lambda match: match[0].replace(" ", ""), joined)


def curl(sentence: str) -> str:
    """Typographic quotes and dots: every other double quote closes, apostrophes become ’."""
    closing = False
    characters = []
    for character in sentence:
        if character == '"':
            characters.append("”" if closing else "“")
            closing = not closing
        else:
            characters.append("’" if character == "'" else character)
    return "".join(characters).replace("...", "…")


def read_documents(corpus: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Split, source and sentences of each document, file by file."""
    with lzma.open(corpus / "documents.tsv.xz", "rt", encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    for file in dict.fromkeys(row["file"] for row in rows):
        with lzma.open(corpus / file, "rt", encoding="utf-8") as text:
            lines = [line.rstrip("\n") for line in text]
        for row in rows:
            if row["file"] == file:
                start = int(row["first_line"]) - 1
                yield row["split"], file.split(".")[1].split("-")[0], lines[start : start + int(row["lines"])]


def prepare(corpus: Path, output: Path, seed: int = 0) -> dict[str, int]:
    """Write the text; returns how many documents, sentences and words `train` and `valid` have."""
    chance = random.Random(seed)
    counts = dict.fromkeys((f"{split} {what}" for split in ("train", "valid") for what in ("documents", "words")), 0)
    train: list[str] = []
    for split in ("train", "valid"):
        (output / split).mkdir(parents=True, exist_ok=True)
    valid: dict[str, list[str]] = {}
    for split, source, sentences in read_documents(corpus):
        joined = [join_contractions(sentence) for sentence in sentences]
        if split == "train" and chance.random() < CURLY_SHARE:
            joined = [curl(sentence) for sentence in joined]
        words = split_words(joined, "moses")
        counts[f"{split} documents"] += 1
        counts[f"{split} words"] += sum(map(len, words))
        document = "".join(" ".join(sentence) + "\n" for sentence in words) + "\n"
        train.append(document) if split == "train" else valid.setdefault(source, []).append(document)
    chance.shuffle(train)
    shard: list[str] = []
    sentences_in_shard = number = 0
    for document in [*train, None]:
        if document is not None:
            shard.append(document)
            sentences_in_shard += document.count("\n")
        if shard and (document is None or sentences_in_shard >= SHARD_SENTENCES):
            (output / "train" / f"{number:04}.txt").write_text("".join(shard), encoding="utf-8")
            shard, sentences_in_shard, number = [], 0, number + 1
    for source, documents in valid.items():
        (output / "valid" / f"{source}.txt").write_text("".join(documents), encoding="utf-8")
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with train.*.txt.xz, valid.*.txt.xz, documents.tsv.xz")
    parser.add_argument("output", type=Path, help="folder to write")
    arguments = parser.parse_args()
    for name, count in prepare(arguments.corpus, arguments.output).items():
        print(f"{name}: {count:,}")


if __name__ == "__main__":
    main()
