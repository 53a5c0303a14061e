# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The commands of the language model: `elmo vocabulary`, `elmo train`, `elmo perplexity`, `elmo substitutes`."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..vocabulary import LmVocabulary, count_words, most_frequent
from .text import read_documents, text_files


def _vocabulary(arguments: argparse.Namespace) -> int:
    sentences = (
        sentence for path in text_files(arguments.text) for document in read_documents(path) for sentence in document
    )
    counts = count_words(sentences)
    if not counts:
        raise ValueError("the text must have at least one word; got none.")
    vocabulary = LmVocabulary(most_frequent(counts, arguments.min_count, arguments.max_words))
    vocabulary.write(arguments.output)
    total = counts.total()
    covered = sum(counts[word] for word in vocabulary.words)
    print(f"wrote {arguments.output}: {len(vocabulary):,} words, {covered / total:.2%} of {total:,}")
    return 0


def _config(text: str) -> dict[str, Any]:
    """The fields of a new model: JSON, or a file with it."""
    try:
        source = Path(text).read_text(encoding="utf-8") if not text.lstrip().startswith("{") else text
        fields = json.loads(source)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"must be a JSON object or a file with one; {error}") from error
    if not isinstance(fields, dict):
        raise argparse.ArgumentTypeError(f"must be a JSON object; got {type(fields).__name__}")
    return fields


def _train(arguments: argparse.Namespace) -> int:
    from .train import TrainOptions, train

    names = {field.name for field in dataclasses.fields(TrainOptions)}
    train(TrainOptions(**{name: value for name, value in vars(arguments).items() if name in names}))
    return 0


def _sentences(arguments: argparse.Namespace) -> list[Any]:
    """Lines of the files, raw or split at blanks; empty ones are no sentences."""
    lines: list[Any] = []
    for path in text_files(arguments.text):
        if arguments.is_split_into_words:
            lines += [sentence for document in read_documents(path) for sentence in document]
        else:
            text = path.read_text(encoding="utf-8")
            lines += [line for line in text.split("\n") if line.strip()]
    return lines


def _perplexity(arguments: argparse.Namespace) -> int:
    from ..scorer import ElmoScorer, perplexity_from_scores

    scorer = ElmoScorer.from_pretrained(arguments.model, arguments.device)
    scores = scorer.score(_sentences(arguments), arguments.carry_states)
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
        f"perplexity {result.both:.2f} ({directions}) over {result.predictions:,} predictions in "
        f"{result.sentences:,} sentences; {result.unknown:,} words unknown"
    )
    return 0


def _substitutes(arguments: argparse.Namespace) -> int:
    from ..scorer import ElmoScorer

    words = arguments.sentence.split()
    if words.count(arguments.mask) != 1:
        raise ValueError(f"the sentence must have {arguments.mask!r} once, as a word; got {arguments.sentence!r}.")
    scorer = ElmoScorer.from_pretrained(arguments.model, arguments.device)
    for word, log_prob in scorer.substitutes(words, words.index(arguments.mask), arguments.k, arguments.context):
        print(f"{log_prob:.3f}\t{word}")
    return 0


def _number(kind: type, least: float) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        value = kind(text)
        if not value >= least:
            raise ValueError(text)
        return value

    parse.__name__ = f"{kind.__name__} of at least {least}"
    return parse


def add_language_model(commands: argparse._SubParsersAction) -> None:
    """Add the subcommands."""
    count, positive = _number(int, 1), _number(float, 0.0)

    command = commands.add_parser("vocabulary", help="count the words of a text: the vocabulary of a language model")
    command.add_argument("text", nargs="+", help="files or folders: a sentence a line, words between blanks")
    command.add_argument("--output", required=True, type=Path, metavar="FILE", help="file to write, a word a line")
    command.add_argument("--min-count", type=count, default=1, help="leave out words that are rarer")
    command.add_argument("--max-words", type=_number(int, 4), help="the most frequent words alone")
    command.set_defaults(run=_vocabulary)

    command = commands.add_parser("train", help="train a language model, new or one that exists")
    command.add_argument("text", nargs="+", help="files or folders: a sentence a line, words between blanks")
    command.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="model, curve and checkpoints")
    command.add_argument("--valid", nargs="+", default=(), metavar="TEXT", help="text to evaluate on")
    command.add_argument("--vocabulary", type=Path, metavar="FILE", help="words to predict, by falling frequency")
    command.add_argument("--model", help="folder or repository of the model to go on from (default: a new one)")
    command.add_argument("--config", type=_config, default={}, metavar="JSON", help="fields of ElmoConfig, or preset")
    command.add_argument("--splitter", default="moses", help="the new model's tokenizer's (default: moses)")
    command.add_argument(
        "--rows",
        choices=("sentences", "running"),
        default="sentences",
        help="whole (default), or text in a row with carried states",
    )
    command.add_argument("--max-tokens", type=count, default=6000, help="words a step, with --rows sentences")
    command.add_argument("--batch-size", type=count, default=128, help="rows, with --rows running")
    command.add_argument("--unroll-steps", type=count, default=20, help="words a row and step, with --rows running")
    command.add_argument(
        "--group-by-length", action="store_true", help="batch sentences of similar length, with --rows sentences"
    )
    command.add_argument(
        "--max-steps", type=count, help="updates of the weights (default: 10000, or no limit with --max-minutes)"
    )
    command.add_argument(
        "--max-minutes", type=positive, help="training time over all restarts; the learning rate follows it"
    )
    command.add_argument(
        "--optimizer",
        choices=("adamw", "adagrad", "muon"),
        default="adamw",
        help="adagrad as in bilm-tf; muon for the LSTM matrices, with adamw for the rest (default: adamw)",
    )
    command.add_argument("--learning-rate", type=positive, default=2e-3)
    command.add_argument(
        "--muon-learning-rate", type=positive, default=0.02, help="of the LSTM matrices, with --optimizer muon"
    )
    command.add_argument("--warmup-steps", type=_number(int, 0), default=200)
    command.add_argument(
        "--lr-scheduler-type",
        choices=("cosine", "linear", "constant", "constant_with_warmup", "warmup_stable_decay"),
        default="cosine",
        help="course of the learning rate (default: cosine)",
    )
    command.add_argument("--max-grad-norm", type=positive, help="default: 1, or bilm-tf's with adagrad")
    command.add_argument("--bf16", action="store_true", help="products in bfloat16")
    command.add_argument("--save-steps", type=count, default=500)
    command.add_argument("--eval-steps", type=count, default=500)
    command.add_argument("--logging-steps", type=count, default=50)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")
    command.set_defaults(run=_train, disable_tqdm=not sys.stderr.isatty())

    command = commands.add_parser("perplexity", help="how well a language model predicts a text")
    command.add_argument("model", help="folder or repository of a model with its softmax and vocab.txt")
    command.add_argument("text", nargs="+", help="files or folders, a sentence a line")
    command.add_argument("--is-split-into-words", action="store_true", help="the words stand between blanks already")
    command.add_argument("--carry-states", action="store_true", help="read running text, warm, sentence after sentence")
    command.add_argument("--per-sentence", action="store_true", help="log-probability of each sentence too")
    command.add_argument("--per-word", action="store_true", help="and of each word, forward and backward")
    command.add_argument("--device", help="cpu, cuda, cuda:1, ...")
    command.add_argument("--json", action="store_true", help="the result as JSON")
    command.set_defaults(run=_perplexity)

    command = commands.add_parser("substitutes", help="the words that fit best in a place of a sentence")
    command.add_argument("model", help="folder or repository of a model with its softmax and vocab.txt")
    command.add_argument("sentence", help="words between blanks, one of them the mask")
    command.add_argument("--mask", default="___", help="the word to find (default: ___)")
    command.add_argument("-k", type=count, default=10, help="how many (default: 10)")
    command.add_argument("--context", choices=("both", "left", "right"), default="both")
    command.add_argument("--device", help="cpu, cuda, cuda:1, ...")
    command.set_defaults(run=_substitutes)
