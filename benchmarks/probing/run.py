# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Probe the layers of an ELMo for information on words in context, with linear classifiers and cosines.

    python benchmarks/probing/run.py --model FOLDER --data DATA --output docs/probing.json

DATA contains the folders that `readers.py` describes. Probes are trained on the training sets and evaluated on the dev
sets. CoarseWSD-20 has a training set only, which is split for each seed. The model is not trained. Requirements for a
small model: scikit-learn, 2 GB of disk space in the temporary folder, and 2 GB of memory. `report.py` writes a table
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
from layer_vectors import LAYERS, all_word_indices, load_vectors, write_vectors
from metrics import entity_f1, flatten, is_ambiguous, most_frequent_tag, percent
from probes import (
    LINEAR_PROBE,
    TRAINING_SHARE,
    best_threshold,
    cosines,
    linear_probe,
    nearest_sense,
    seed_mask,
    standardize,
)
from readers import TaggedSentence, WordInContext, read_ambiguous, read_coarse_wsd, read_tagged, read_wic

from modeling_elmo import ElmoEncoder

sys.path.append(str(Path(__file__).resolve().parent.parent))
from machine import environment_info

NO_CONTEXT = "no context"
Result = dict[str, Any]  # task, measure, layer, and one value per seed
Measures = dict[str, float]


def make_results(task: str, layer: str, by_seed: Sequence[Measures]) -> Iterator[Result]:
    """Yield the results of one layer, one per measure."""
    for measure in by_seed[0]:
        values = [round(measures[measure], 2) for measures in by_seed]
        yield {"task": task, "measure": measure, "layer": layer, "values": values}


def probe_tagging(
    task: str,
    train: list[TaggedSentence],
    test: list[TaggedSentence],
    measure: Callable[[list[list[str]]], Measures],
    unseen: Callable[[str], str],
    encoder: ElmoEncoder,
    seeds: range,
    folder: Path,
) -> Iterator[Result]:
    """Yield the results of a tagging task: the linear probe on each layer, and the most frequent tag of each word.

    Args:
        task: Name of the task.
        train: Training sentences.
        test: Test sentences.
        measure: Function from the predicted tags of the test sentences to the measures.
        unseen: Function from a word outside the training sentences to its baseline tag.
        encoder: Encoder of the model.
        seeds: Seeds.
        folder: Folder for temporary files.
    """
    yield from make_results(task, NO_CONTEXT, [measure(most_frequent_tag(train, test, unseen))])
    files = {}
    for name, sentences in (("train", train), ("test", test)):
        words = [sentence.words for sentence in sentences]
        files[name] = write_vectors(encoder, words, all_word_indices(words), folder / task / name)
    tags = np.array(flatten([sentence.tags for sentence in train]))
    sentence_of = np.repeat(np.arange(len(train)), [len(sentence.words) for sentence in train])
    ends = np.cumsum([len(sentence.words) for sentence in test])[:-1]
    for layer in LAYERS:
        train_vectors, test_vectors = load_vectors(files["train"][layer]), load_vectors(files["test"][layer])
        standardize(train_vectors, test_vectors)
        by_seed = []
        for seed in seeds:
            mask = seed_mask(len(train), seed)[sentence_of]
            predicted = linear_probe(train_vectors[mask], tags[mask], test_vectors)
            by_seed.append(measure([tags_of_sentence.tolist() for tags_of_sentence in np.split(predicted, ends)]))
        yield from make_results(task, layer, by_seed)


def parts_of_speech(data: Path, encoder: ElmoEncoder, seeds: range, folder: Path) -> Iterator[Result]:
    """Probe universal parts of speech in UD English EWT: accuracy over all words and over the ambiguous ones."""
    train, test = (read_tagged(data / "pos_ud_ewt" / f"{part}.tsv") for part in ("train", "dev"))
    ambiguous = np.array(is_ambiguous(test, read_ambiguous(data / "pos_ud_ewt" / "ambiguous_words.tsv")))
    gold = np.array(flatten([sentence.tags for sentence in test]))

    def measure(predicted: list[list[str]]) -> Measures:
        hits = gold == np.array(flatten(predicted))
        return {"accuracy": percent(hits), "accuracy, ambiguous words": percent(hits[ambiguous])}

    def unseen(word: str) -> str:
        return "PROPN" if word[0].isupper() else "NOUN"

    yield from probe_tagging("UD-EWT POS", train, test, measure, unseen, encoder, seeds, folder)


def named_entities(data: Path, encoder: ElmoEncoder, seeds: range, folder: Path) -> Iterator[Result]:
    """Probe the entities of WNUT-17: F1."""
    train, test = (read_tagged(data / "ner_wnut17" / f"{part}.tsv") for part in ("train", "dev"))
    gold = [sentence.tags for sentence in test]

    def measure(predicted: list[list[str]]) -> Measures:
        return {"entity F1": entity_f1(gold, predicted)}

    yield from probe_tagging("WNUT-17 NER", train, test, measure, lambda word: "O", encoder, seeds, folder)


def _occurrence_vectors(
    encoder: ElmoEncoder, occurrences: Sequence[WordInContext], folder: Path
) -> dict[str, np.ndarray]:
    """Return the vectors of the occurrences by layer, float32 [occurrences, D]."""
    sentences = [occurrence.words for occurrence in occurrences]
    files = write_vectors(encoder, sentences, [[occurrence.index] for occurrence in occurrences], folder)
    return {layer: load_vectors(file) for layer, file in files.items()}


def words_in_context(data: Path, encoder: ElmoEncoder, seeds: range, folder: Path) -> Iterator[Result]:
    """Probe WiC: the cosine of two occurrences with a threshold that is set on training pairs."""
    train, test = (read_wic(data / "wic" / f"{part}.tsv") for part in ("train", "dev"))
    pairs = [*train, *test]
    labels = np.array([pair.is_same for pair in pairs])
    share = percent(labels[len(train) :])
    yield from make_results("WiC", NO_CONTEXT, [{"accuracy": max(share, 100 - share)}])  # the same answer for all pairs
    first = _occurrence_vectors(encoder, [pair.first for pair in pairs], folder / "wic" / "first")
    second = _occurrence_vectors(encoder, [pair.second for pair in pairs], folder / "wic" / "second")
    for layer in LAYERS:
        scores = cosines(first[layer], second[layer])
        by_seed = []
        for seed in seeds:
            selected = np.flatnonzero(seed_mask(len(train), seed))
            is_same = scores[len(train) :] >= best_threshold(scores[selected], labels[selected])
            by_seed.append({"accuracy": percent(is_same == labels[len(train) :])})
        yield from make_results("WiC", layer, by_seed)


def word_senses(data: Path, encoder: ElmoEncoder, seeds: range, folder: Path) -> Iterator[Result]:
    """Probe CoarseWSD-20: the sense of the nearest other occurrence; mean accuracy over the 20 words."""
    words = read_coarse_wsd(data / "coarsewsd20")
    masks = {(word, seed): seed_mask(len(items), seed) for word, items in words.items() for seed in seeds}
    labels = {word: np.array([item.sense for item in items]) for word, items in words.items()}

    def mean_accuracy(predict: Callable[[str, np.ndarray], Any], seed: int) -> Measures:
        shares = [percent(predict(word, masks[word, seed]) == labels[word][~masks[word, seed]]) for word in words]
        return {"accuracy": sum(shares) / len(shares)}

    def most_frequent(word: str, known: np.ndarray) -> str:
        return Counter(labels[word][known].tolist()).most_common(1)[0][0]

    yield from make_results("CoarseWSD-20", NO_CONTEXT, [mean_accuracy(most_frequent, seed) for seed in seeds])
    occurrences = [item.occurrence for items in words.values() for item in items]
    ends = np.cumsum([len(items) for items in words.values()])[:-1]
    for layer, vectors in _occurrence_vectors(encoder, occurrences, folder / "coarsewsd20").items():
        word_arrays = dict(zip(words, np.split(vectors, ends), strict=True))

        def nearest(word: str, known: np.ndarray, word_arrays: dict[str, np.ndarray] = word_arrays) -> np.ndarray:
            word_vectors = word_arrays[word]
            return np.array(nearest_sense(word_vectors[known], labels[word][known].tolist(), word_vectors[~known]))

        yield from make_results("CoarseWSD-20", layer, [mean_accuracy(nearest, seed) for seed in seeds])


TASKS = {"pos": parts_of_speech, "ner": named_entities, "wic": words_in_context, "wsd": word_senses}


def main() -> None:
    """Run the tasks and write one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="model folder or repository (default: the bundled model)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the labeled data sets")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="default: all")
    arguments = parser.parse_args()
    if not arguments.output.parent.is_dir():
        parser.error(f"Expected an existing folder for --output, got {arguments.output}.")
    if arguments.seeds < 1:
        parser.error(f"Expected at least 1 for --seeds, got {arguments.seeds}.")

    start_time = time.perf_counter()
    encoder = ElmoEncoder.from_pretrained(arguments.model)
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        for task in arguments.tasks:
            for result in TASKS[task](arguments.data, encoder, range(arguments.seeds), Path(folder)):
                results.append(result)
                print(f"{time.perf_counter() - start_time:6.0f} s  {result}", file=sys.stderr, flush=True)
    report = {
        **environment_info(),
        "command": "python benchmarks/probing/run.py --model FOLDER --data DATA --output docs/probing.json",
        "scikit-learn": sklearn.__version__,
        "model": Path(arguments.model).name if arguments.model else "elmo-small-en",
        "fingerprint": encoder.fingerprint(),
        "linear probe": LINEAR_PROBE,
        "share of training items per seed": TRAINING_SHARE,
        "seeds": arguments.seeds,
        "seconds": round(time.perf_counter() - start_time),
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "results": results,
    }
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
