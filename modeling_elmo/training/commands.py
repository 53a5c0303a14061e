# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Handlers of the language model commands: `elmo vocabulary`, `train`, `perplexity`, and `substitutes`."""

import argparse
import dataclasses
import json
import sys
from typing import Any

from ..files import VOCABULARY_FILE, check_output
from ..vocabulary import LMVocabulary, count_words, most_frequent, vocabulary_file
from .text import open_text, read_documents, text_files


def run_vocabulary(arguments: argparse.Namespace) -> int:
    """Run `elmo vocabulary` and return the exit code."""
    output, paths = vocabulary_file(arguments.output), text_files(arguments.text)
    inputs = [*arguments.text, *paths]
    check_output(output, VOCABULARY_FILE, overwrite=arguments.overwrite, inputs=inputs)
    sentences = (sentence for path in paths for document in read_documents(path) for sentence in document)
    counts = count_words(sentences)
    if not counts:
        raise ValueError("Expected a text with at least one word, got none.")
    vocabulary = LMVocabulary(most_frequent(counts, arguments.min_count, arguments.max_words))
    check_output(output, VOCABULARY_FILE, overwrite=arguments.overwrite, inputs=inputs)
    vocabulary.write(output)
    total = counts.total()
    covered = sum(counts[word] for word in vocabulary.words)
    print(f"wrote {output}: {len(vocabulary):,} words, {covered / total:.2%} of {total:,}")
    return 0


def run_train(arguments: argparse.Namespace) -> int:
    """Run `elmo train` and return the exit code."""
    from .train import TrainOptions, train

    options = {name: value for name, value in vars(arguments).items() if name != "command"}
    train(TrainOptions(**options, disable_tqdm=not sys.stderr.isatty()))
    return 0


def run_perplexity(arguments: argparse.Namespace) -> int:
    """Run `elmo perplexity` and return the exit code."""
    from ..scorer import ElmoScorer, perplexity_from_scores

    scorer = ElmoScorer.from_pretrained(arguments.model, arguments.device)
    scores = scorer.score(_read_sentences(arguments.text, arguments.is_split_into_words), arguments.carry_states)
    result = perplexity_from_scores(scores)
    if arguments.per_sentence or arguments.per_word:
        for score in scores:
            print(f"{score.log_prob:.4f}\t{' '.join(score.words)}")
            if arguments.per_word:
                backward = score.backward[1:] if score.backward else [float("nan")] * len(score.words)
                for word, left, right in zip(score.words, score.forward, backward, strict=False):
                    print(f"\t{word}\t{left:.4f}\t{right:.4f}")
    if arguments.json:
        print(json.dumps(dataclasses.asdict(result)))
        return 0
    directions = f"forward {result.forward:.2f}"
    if result.backward is not None:
        directions += f", backward {result.backward:.2f}"
    print(
        f"perplexity {result.combined:.2f} ({directions}) over {result.predictions:,} predictions in "
        f"{result.sentences:,} sentences; {result.num_unknown:,} unknown words"
    )
    return 0


def run_substitutes(arguments: argparse.Namespace) -> int:
    """Run `elmo substitutes` and return the exit code."""
    from ..scorer import ElmoScorer

    words = arguments.sentence.split()
    if words.count(arguments.mask) != 1:
        raise ValueError(f"Expected the word {arguments.mask!r} once in the sentence, got {arguments.sentence!r}.")
    scorer = ElmoScorer.from_pretrained(arguments.model, arguments.device)
    for word, log_prob in scorer.substitutes(words, words.index(arguments.mask), arguments.k, arguments.context):
        print(f"{log_prob:.3f}\t{word}")
    return 0


def _read_sentences(paths: list[str], is_split_into_words: bool) -> list[Any]:
    """Return the non-empty lines of the files, as strings or split at whitespace."""
    lines: list[Any] = []
    for path in text_files(paths):
        if is_split_into_words:
            lines += [sentence for document in read_documents(path) for sentence in document]
        else:
            with open_text(path) as text:
                lines += [line for line in text.read().split("\n") if line.strip()]
    return lines
