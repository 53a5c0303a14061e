# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Words per second of ElmoTokenizer on one core, compared with the algorithm of AllenNLP's `batch_to_ids`.

    python benchmarks/tokenizer.py [--text FILE] [--batch-size 1000] [--repeat 15]

FILE has one sentence per line, words separated by whitespace. The methods run alternately; the result is the median. If
the methods return different ids, nothing is printed.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import environment_info, run_interleaved

from modeling_elmo import ElmoTokenizer

SENTENCES = [
    "The central bank said on Monday that it would leave interest rates unchanged for the rest of the year .",
    "Heavy rain washed out two bridges near the border , and about 300 people had to leave their homes .",
    "We didn 't expect to win by so much , said the captain , who scored twice in the second half .",
    "Shares of the company , which makes parts for aircraft , fell 4.5 percent to $ 17.20 in early trading .",
]


def loop_over_characters(batch: list[list[str]]) -> torch.Tensor:
    """Tokenize as `batch_to_ids`: one Python list per word, padding per sentence, and one tensor at the end."""
    rows = []
    for words in batch:
        row = []
        for word in words:
            ids = [259]
            for byte in word.encode("utf-8", "ignore")[:48]:
                ids.append(byte + 1)
            ids.append(260)
            row.append(ids + [261] * (50 - len(ids)))
        rows.append(row)
    max_length = max(map(len, rows))
    return torch.tensor([row + [[0] * 50] * (max_length - len(row)) for row in rows])


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="file with one sentence per line (default: four sentences, repeated)")
    parser.add_argument("--batch-size", type=int, default=1000, help="number of sentences (default: 1000)")
    parser.add_argument("--repeat", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    lines = arguments.text.read_text(encoding="utf-8").splitlines() if arguments.text else SENTENCES
    lines = (lines * (arguments.batch_size // len(lines) + 1))[: arguments.batch_size]
    batch = [line.split() for line in lines]
    tokenizer = ElmoTokenizer()

    def ids(texts: list[Any], **kwargs: bool) -> torch.Tensor:
        return tokenizer(texts, padding=True, return_tensors="pt", **kwargs)["input_ids"]

    methods: dict[str, Callable[[], torch.Tensor]] = {
        "lists of words": lambda: ids(batch, is_split_into_words=True),
        "raw text, moses": lambda: ids(lines),
        "loop over characters (batch_to_ids)": lambda: loop_over_characters(batch),
    }
    expected = loop_over_characters(batch)
    if not torch.equal(methods["lists of words"](), expected):
        raise SystemExit("The methods disagree.")
    words = {name: int((method()[:, :, 0] != 0).sum()) for name, method in methods.items()}
    seconds = run_interleaved(methods, arguments.repeat)
    figures = {name: round(words[name] / statistics.median(times)) for name, times in seconds.items()}
    print(json.dumps({**environment_info(), "sentences": len(batch), "words_per_second": figures}, indent=2))


if __name__ == "__main__":
    main()
