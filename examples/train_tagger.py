# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Train a word tagger (parts of speech, named entities) with `transformers.Trainer`, and use it in a pipeline.

    python examples/train_tagger.py --train train.conllu --dev dev.conllu [--model MODEL] [--output FOLDER]

It reads CoNLL-U (UPOS tags) and older CoNLL formats: one word and its tags per line, columns separated by tabs or
spaces, an empty line after each sentence. The biLM is frozen; the scalar mix and a linear layer are trained. This takes
minutes on a CPU. Trainer requires `pip install accelerate`.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForTokenClassification, AutoTokenizer, Trainer, TrainingArguments, pipeline, set_seed

from modeling_elmo import bundled_model_path

CONLL_U_COLUMNS = 10
IGNORE_INDEX = -100  # label of padding, which the loss ignores

TEXT = "We sat on the bank and watched John Smith row to New York."


class TaggedSentence(NamedTuple):
    """Words and their tags."""

    words: list[str]
    tags: list[str]


def read_conll(path: Path, column: int | None = None) -> list[TaggedSentence]:
    """Return the sentences of a file in CoNLL-U or an older CoNLL format.

    Args:
        path: UTF-8 text file.
        column: Column of the tag, from 1. Defaults to UPOS in CoNLL-U and to the second column in other formats.

    Raises:
        ValueError: If a line lacks this column, or the file contains no sentence.
    """
    sentences: list[TaggedSentence] = []
    words: list[str] = []
    tags: list[str] = []
    lines = path.read_text(encoding="utf-8").split("\n")
    has_tabs = any("\t" in line for line in lines)
    for number, line in enumerate([*lines, ""], start=1):
        if not line.strip():
            if words:
                sentences.append(TaggedSentence(words, tags))
            words, tags = [], []
            continue
        if line.startswith("-DOCSTART-") or (has_tabs and line.startswith("#") and "\t" not in line):  # a comment
            continue
        fields = line.rstrip("\r").split("\t" if has_tabs else None)
        is_conll_u = len(fields) == CONLL_U_COLUMNS and has_tabs
        if is_conll_u and not fields[0].isdigit():  # a range for a contraction, or an elided word
            continue
        tag_column = (4 if is_conll_u else 2) if column is None else column
        if not 1 <= tag_column <= len(fields):
            raise ValueError(f"Expected a tag in column {tag_column} of {path}, line {number}, got {line[:80]!r}.")
        words.append(fields[1] if is_conll_u else fields[0])
        tags.append(fields[tag_column - 1])
    if not sentences:
        raise ValueError(f"Expected sentences in {path}, got none.")
    return sentences


class TaggingCollator:
    """Collator from sentences to a batch with character ids, mask, and one label per word."""

    def __init__(self, tokenizer: Any, label2id: dict[str, int]) -> None:
        self.tokenizer = tokenizer
        self.label2id = label2id

    def __call__(self, sentences: Sequence[TaggedSentence]) -> dict[str, Tensor]:
        """Tokenize a batch. The character ids of a whole corpus would exceed the memory."""
        words = [sentence.words for sentence in sentences]
        batch = dict(self.tokenizer(words, is_split_into_words=True, padding=True, return_tensors="pt"))
        labels = [torch.tensor([self.label2id[tag] for tag in sentence.tags]) for sentence in sentences]
        return {**batch, "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORE_INDEX)}


def compute_accuracy(evaluation: Any) -> dict[str, float]:
    """Return the share of correct tags, from `predictions` and `label_ids`, both [sentences, words]."""
    is_word = evaluation.label_ids != IGNORE_INDEX
    return {"accuracy": float((evaluation.predictions == evaluation.label_ids)[is_word].mean())}


def train(arguments: argparse.Namespace) -> Path:
    """Train and save the tagger, and return its folder."""
    set_seed(arguments.seed)
    training, development = (read_conll(path, arguments.column) for path in (arguments.train, arguments.dev))
    labels = sorted({tag for sentence in [*training, *development] for tag in sentence.tags})
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForTokenClassification.from_pretrained(
        arguments.model,
        dtype=torch.float32,  # weights may be stored in half precision
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    if arguments.unfreeze:
        model.unfreeze(*arguments.unfreeze)
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=str(arguments.output),
            num_train_epochs=arguments.epochs,
            learning_rate=arguments.learning_rate,
            per_device_train_batch_size=arguments.batch_size,
            per_device_eval_batch_size=4 * arguments.batch_size,
            save_strategy="no",
            logging_steps=100,
            remove_unused_columns=False,  # the collator creates the columns
            report_to=[],
            seed=arguments.seed,
        ),
        train_dataset=training,
        eval_dataset=development,
        data_collator=TaggingCollator(tokenizer, model.config.label2id),
        compute_metrics=compute_accuracy,
        preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
    )
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    words = sum(len(sentence.words) for sentence in training)
    print(f"{len(training)} sentences, {words} words, {len(labels)} tags; {trainable} trainable parameters")
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    result = trainer.evaluate()
    layer_weights = torch.softmax(model.elmo.scalar_mixes[0].weights.detach(), 0).tolist()
    print(f"{seconds:.0f} s; accuracy on {arguments.dev}: {result['eval_accuracy']:.4f}")
    print("Layer weights, word layer first: " + ", ".join(f"{weight:.2f}" for weight in layer_weights))
    trainer.save_model(str(arguments.output))
    tokenizer.save_pretrained(arguments.output)
    return arguments.output


def main(argv: Sequence[str] | None = None) -> None:
    """Train a tagger, load it, and tag a sentence of raw text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="CoNLL file for training")
    parser.add_argument("--dev", type=Path, required=True, help="CoNLL file for evaluation")
    parser.add_argument(
        "--model", default=str(bundled_model_path()), help="folder or repository (default: elmo-small-en)"
    )
    parser.add_argument("--output", type=Path, default=Path("tagger"), help="output folder (default: tagger)")
    parser.add_argument("--column", type=int, help="column of the tag, from 1 (default: UPOS in CoNLL-U, otherwise 2)")
    parser.add_argument("--epochs", type=float, default=3, help="number of epochs (default: 3)")
    parser.add_argument("--learning-rate", type=float, default=0.005, help="default: 0.005")
    parser.add_argument("--batch-size", type=int, default=32, help="sentences per batch (default: 32)")
    parser.add_argument("--unfreeze", nargs="*", metavar="MODULE", help="modules of the biLM to train, e.g. layers.1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text", default=TEXT, help="text to tag after training")
    arguments = parser.parse_args(argv)
    folder = train(arguments)
    tagger = pipeline("token-classification", model=str(folder), ignore_labels=[])
    for entity in tagger(arguments.text):
        print(f"{entity['start']:4} {entity['end']:4}  {entity['word']:12} {entity['entity']:8} {entity['score']:.3f}")


if __name__ == "__main__":
    main()
