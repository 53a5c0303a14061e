# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What each layer of an ELMo knows of words in context, by linear probes and cosines.

    python benchmarks/probing/run.py --model FOLDER --data DATA --output docs/probing.json

DATA has the folders that `readers.py` describes. Probes learn from the training portions and are measured on the dev
portions; CoarseWSD-20, which has a training portion only, is split for each seed. The model is not trained. Needs
scikit-learn, some 2 GB of disk in the temporary folder, and 2 GB of memory for a small model. `report.py` makes a table
and a chart of the result.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from layer_vectors import LAYERS, every_word, load, write_vectors
from metrics import entity_f1, flat, is_ambiguous, most_frequent_tag, percent
from probes import LINEAR_PROBE, SHARE, best_threshold, chosen, cosines, linear_probe, nearest_sense, standardise
from readers import Tagged, WordInContext, read_ambiguous, read_coarse_wsd, read_tagged, read_wic

from modeling_elmo import ElmoEncoder

sys.path.append(str(Path(__file__).resolve().parent.parent))
from machine import stamp

NO_CONTEXT = "no context"
Row = dict[str, Any]  # task, measure, layer, values: one for each seed
Measures = dict[str, float]


def rows(task: str, layer: str, by_seed: Sequence[Measures]) -> Iterator[Row]:
    """The results of one layer, measure by measure."""
    for measure in by_seed[0]:
        values = [round(each[measure], 2) for each in by_seed]
        yield {"task": task, "measure": measure, "layer": layer, "values": values}


def tagging(
    task: str,
    train: list[Tagged],
    test: list[Tagged],
    measure: Callable[[list[list[str]]], Measures],
    unseen: Callable[[str], str],
    encoder: ElmoEncoder,
    seeds: range,
    folder: Path,
) -> Iterator[Row]:
    """A tag for every word: the linear probe on each layer, beside each word's most frequent tag.

    `measure` takes the tags found for the test sentences.
    """
    yield from rows(task, NO_CONTEXT, [measure(most_frequent_tag(train, test, unseen))])
    files = {}
    for name, sentences in (("train", train), ("test", test)):
        words = [sentence.words for sentence in sentences]
        files[name] = write_vectors(encoder, words, every_word(words), folder / task / name)
    tags = np.array(flat([sentence.tags for sentence in train]))
    sentence_of = np.repeat(np.arange(len(train)), [len(sentence.words) for sentence in train])
    ends = np.cumsum([len(sentence.words) for sentence in test])[:-1]
    for layer in LAYERS:
        known, vectors = load(files["train"][layer]), load(files["test"][layer])
        standardise(known, vectors)
        found = []
        for seed in seeds:
            mask = chosen(len(train), seed)[sentence_of]
            predicted = linear_probe(known[mask], tags[mask], vectors)
            found.append(measure([each.tolist() for each in np.split(predicted, ends)]))
        yield from rows(task, layer, found)


def parts_of_speech(data: Path, encoder: ElmoEncoder, seeds: range, folder: Path) -> Iterator[Row]:
    """Universal parts of speech in UD English EWT: accuracy over all words and over the ambiguous ones."""
    train, test = (read_tagged(data / "pos_ud_ewt" / f"{part}.tsv") for part in ("train", "dev"))
    ambiguous = np.array(is_ambiguous(test, read_ambiguous(data / "pos_ud_ewt" / "ambiguous_words.tsv")))
    gold = np.array(flat([sentence.tags for sentence in test]))

    def measure(predicted: list[list[str]]) -> Measures:
        hits = gold == np.array(flat(predicted))
        return {"accuracy": percent(hits), "accuracy, ambiguous words": percent(hits[ambiguous])}

    def unseen(word: str) -> str:
        return "PROPN" if word[0].isupper() else "NOUN"

    yield from tagging("UD-EWT POS", train, test, measure, unseen, encoder, seeds, folder)


def named_entities(data: Path, encoder: ElmoEncoder, seeds: range, folder: Path) -> Iterator[Row]:
    """Entities of WNUT-17: F1."""
    train, test = (read_tagged(data / "ner_wnut17" / f"{part}.tsv") for part in ("train", "dev"))
    gold = [sentence.tags for sentence in test]

    def measure(predicted: list[list[str]]) -> Measures:
        return {"entity F1": entity_f1(gold, predicted)}

    yield from tagging("WNUT-17 NER", train, test, measure, lambda word: "O", encoder, seeds, folder)


def _vectors(encoder: ElmoEncoder, occurrences: Sequence[WordInContext], folder: Path) -> dict[str, np.ndarray]:
    """The occurrences' vectors of each layer, float32 [occurrences, D]."""
    files = write_vectors(encoder, [each.words for each in occurrences], [[each.index] for each in occurrences], folder)
    return {layer: load(file) for layer, file in files.items()}


def words_in_context(data: Path, encoder: ElmoEncoder, seeds: range, folder: Path) -> Iterator[Row]:
    """WiC: is the cosine of two occurrences above a threshold? It is set on the training pairs."""
    train, test = (read_wic(data / "wic" / f"{part}.tsv") for part in ("train", "dev"))
    pairs = [*train, *test]
    labels = np.array([pair.is_same for pair in pairs])
    share = percent(labels[len(train) :])
    yield from rows("WiC", NO_CONTEXT, [{"accuracy": max(share, 100 - share)}])  # one answer for all pairs
    first = _vectors(encoder, [pair.first for pair in pairs], folder / "wic" / "first")
    second = _vectors(encoder, [pair.second for pair in pairs], folder / "wic" / "second")
    for layer in LAYERS:
        scores = cosines(first[layer], second[layer])
        found = []
        for seed in seeds:
            learned = np.flatnonzero(chosen(len(train), seed))
            is_same = scores[len(train) :] >= best_threshold(scores[learned], labels[learned])
            found.append({"accuracy": percent(is_same == labels[len(train) :])})
        yield from rows("WiC", layer, found)


def senses(data: Path, encoder: ElmoEncoder, seeds: range, folder: Path) -> Iterator[Row]:
    """CoarseWSD-20: the sense of the nearest other occurrence; the mean of the 20 words' accuracies."""
    words = read_coarse_wsd(data / "coarsewsd20")
    splits = {(word, seed): chosen(len(items), seed) for word, items in words.items() for seed in seeds}
    labels = {word: np.array([item.sense for item in items]) for word, items in words.items()}

    def mean(find: Callable[[str, np.ndarray], Any], seed: int) -> Measures:
        shares = [percent(find(word, splits[word, seed]) == labels[word][~splits[word, seed]]) for word in words]
        return {"accuracy": sum(shares) / len(shares)}

    def most_frequent(word: str, known: np.ndarray) -> str:
        return Counter(labels[word][known].tolist()).most_common(1)[0][0]

    yield from rows("CoarseWSD-20", NO_CONTEXT, [mean(most_frequent, seed) for seed in seeds])
    occurrences = [item.occurrence for items in words.values() for item in items]
    ends = np.cumsum([len(items) for items in words.values()])[:-1]
    for layer, vectors in _vectors(encoder, occurrences, folder / "coarsewsd20").items():
        of_word = dict(zip(words, np.split(vectors, ends), strict=True))

        def nearest(word: str, known: np.ndarray, of_word: dict[str, np.ndarray] = of_word) -> np.ndarray:
            mine = of_word[word]
            return np.array(nearest_sense(mine[known], labels[word][known].tolist(), mine[~known]))

        yield from rows("CoarseWSD-20", layer, [mean(nearest, seed) for seed in seeds])


TASKS = {"pos": parts_of_speech, "ner": named_entities, "wic": words_in_context, "wsd": senses}


def main() -> None:
    """Run the tasks and write one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="model folder or repository (default: the bundled model)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="default: all")
    arguments = parser.parse_args()
    if not arguments.output.parent.is_dir():
        parser.error(f"the folder of --output must exist; got {arguments.output}.")
    if arguments.seeds < 1:
        parser.error(f"--seeds must be 1 or more; got {arguments.seeds}.")

    begin = time.perf_counter()
    encoder = ElmoEncoder.from_pretrained(arguments.model)
    results: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for task in arguments.tasks:
            for row in TASKS[task](arguments.data, encoder, range(arguments.seeds), Path(folder)):
                results.append(row)
                print(f"{time.perf_counter() - begin:6.0f} s  {row}", file=sys.stderr, flush=True)
    report = {
        **stamp(),
        "command": "python benchmarks/probing/run.py --model FOLDER --data DATA --output docs/probing.json",
        "scikit-learn": sklearn.__version__,
        "model": Path(arguments.model).name if arguments.model else "elmo-small-en",
        "fingerprint": encoder.fingerprint(),
        "linear probe": LINEAR_PROBE,
        "share of the training items a seed": SHARE,
        "seeds": arguments.seeds,
        "seconds": round(time.perf_counter() - begin),
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "results": results,
    }
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
