# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Prepare the training text of the bundled English model from a corpus in Penn Treebank style.

The input is a folder with `train.NAME.txt.xz` and `valid.NAME.txt.xz` (one tokenized sentence per line) and
`documents.tsv.xz` (the lines of each document). The output is `train/0000.txt`, ... with the documents of all sources
in random order, and `valid/NAME.txt`. An empty line ends a document. The script makes two changes:

- It joins contractions (`did n't` to `didn't`, `can not` to `cannot`, `gon na` to `gonna`) and splits every sentence
  with the `moses` splitter of the package (`didn 't`), so that training and inference use the same words.
- The corpus contains straight quotes only. In one of ten training documents, quotes become curly and three dots become
  `…` before splitting, so that the model learns the characters that word processors insert.

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

CURLY_QUOTES_SHARE = 0.1  # share of the training documents
SENTENCES_PER_SHARD = 100_000

_JOINED_BEFORE = re.compile(r" (?=(?:n't|'(?:s|S|m|M|d|D|ll|LL|re|RE|ve|VE)|N'T)(?: |$))")
_PAIRS = ("can not", "gon na", "wan na", "got ta", "gim me", "lem me", "'t is", "'t was", "d' ye", "more 'n", "c'm on")
_JOINED_PAIRS = re.compile("(?<![^ ])(?:" + "|".join(map(re.escape, _PAIRS)) + ")(?![^ ])", re.IGNORECASE)


def join_contractions(sentence: str) -> str:
    """Join contractions: `I ca n't say it 's so .` becomes `I can't say it's so .`"""
    joined = _JOINED_BEFORE.sub("", sentence)
    return _JOINED_PAIRS.sub(lambda match: match[0].replace(" ", ""), joined)


def to_curly_quotes(sentence: str) -> str:
    """Use curly quotes and ellipses. Every second double quote is a closing one, and apostrophes become ’."""
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
    """Yield split, source, and sentences of each document, file by file."""
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
    """Write the text, and return the number of documents and words of `train` and `valid`."""
    rng = random.Random(seed)
    counts = dict.fromkeys((f"{split} {unit}" for split in ("train", "valid") for unit in ("documents", "words")), 0)
    train: list[str] = []
    for split in ("train", "valid"):
        (output / split).mkdir(parents=True, exist_ok=True)
    valid: dict[str, list[str]] = {}
    for split, source, sentences in read_documents(corpus):
        joined = [join_contractions(sentence) for sentence in sentences]
        if split == "train" and rng.random() < CURLY_QUOTES_SHARE:
            joined = [to_curly_quotes(sentence) for sentence in joined]
        words = split_words(joined, "moses")
        counts[f"{split} documents"] += 1
        counts[f"{split} words"] += sum(map(len, words))
        document = "".join(" ".join(sentence) + "\n" for sentence in words) + "\n"
        train.append(document) if split == "train" else valid.setdefault(source, []).append(document)
    rng.shuffle(train)
    shard: list[str] = []
    sentences_in_shard = shard_index = 0
    for document in [*train, None]:
        if document is not None:
            shard.append(document)
            sentences_in_shard += document.count("\n")
        if shard and (document is None or sentences_in_shard >= SENTENCES_PER_SHARD):
            (output / "train" / f"{shard_index:04}.txt").write_text("".join(shard), encoding="utf-8")
            shard, sentences_in_shard, shard_index = [], 0, shard_index + 1
    for source, documents in valid.items():
        (output / "valid" / f"{source}.txt").write_text("".join(documents), encoding="utf-8")
    return counts


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with train.*.txt.xz, valid.*.txt.xz, documents.tsv.xz")
    parser.add_argument("output", type=Path, help="folder to write")
    arguments = parser.parse_args()
    for name, count in prepare(arguments.corpus, arguments.output).items():
        print(f"{name}: {count:,}")


if __name__ == "__main__":
    main()
