# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Train a biLM on text files with `transformers.Trainer`, from nothing or from a model that exists."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from ..model.configuration_elmo import WORD_INPUT, ElmoConfig
from ..model.modeling_elmo import ElmoForPreTraining
from ..model.tokenization_elmo import ElmoTokenizer
from ..remote_code import write_code
from ..vocabulary import LmVocabulary
from .callbacks import CarriedStates, LanguageModelCollator, LossCurve, RandomState, last_whole_checkpoint
from .optimizers import DEFAULT_MUON_LEARNING_RATE, OPTIMIZERS, create_optimizer
from .progress import LR_SCHEDULER_TYPES, UNLIMITED_STEPS, ProgressCallback, create_scheduler
from .text import RunningText, SentenceBatches, TextStream, text_files

ROWS = ("sentences", "running")
DEFAULT_MAX_STEPS = 10_000
# What an existing model may be trained with otherwise than before; the biLM's own weights do not depend on it.
TRAINING_FIELDS = (
    "softmax",
    "num_sampled_words",
    "adaptive_softmax_cutoffs",
    "adaptive_softmax_div_value",
    "lstm_dropout",
)


@dataclass(frozen=True)
class TrainOptions:
    """How to train; the defaults suit a small model on one machine.

    Attributes:
        text, valid: files or folders, see `lm_text`.
        output: folder of the model, its curve and its checkpoints.
        vocabulary: file with one word a line, sorted by frequency; not needed if the model brings its own.
        model: a model folder or repository to go on from.
        config: fields of `ElmoConfig` for a new model (or `preset` and what differs from it); of a model that exists,
            those in `TRAINING_FIELDS`.
        splitter: the new model's tokenizer's.
        rows: `"sentences"`, each from a fresh state, or `"running"` text with carried states.
        max_tokens: words a step and process of whole sentences, boundaries counted.
        group_by_length: batch sentences of similar length, which saves steps of the LSTM and costs some of what a step
            teaches. By default lengths are mixed.
        batch_size, unroll_steps: rows and words of a window of running text.
        max_steps: updates of the weights. None: 10,000, or no limit with `max_minutes`.
        max_minutes: training time over all restarts, evaluations included. The run ends at whichever limit comes first.
        optimizer: `"adamw"`; `"adagrad"` with the accumulator and the clip that bilm-tf's scaled loss amounts to; or
            `"muon"`, Muon for the LSTM matrices and AdamW for the rest.
        learning_rate, warmup_steps, weight_decay, max_grad_norm: as in `TrainingArguments`.
        muon_learning_rate: of the LSTM matrices, with `optimizer="muon"`.
        lr_scheduler_type: one of `LR_SCHEDULER_TYPES`; it follows the steps, or the time with `max_minutes`.
        bf16: products in bfloat16.
        save_steps, eval_steps, logging_steps: how often.
        seed: of weights, order and dropout.
        resume: go on from the last checkpoint in `output`.
        workers: processes that prepare batches.
    """

    text: Sequence[str | Path]
    output: Path
    valid: Sequence[str | Path] = ()
    vocabulary: Path | None = None
    model: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    splitter: str = "moses"
    rows: str = "sentences"
    max_tokens: int = 6000
    group_by_length: bool = False
    batch_size: int = 128
    unroll_steps: int = 20
    max_steps: int | None = None
    max_minutes: float | None = None
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    muon_learning_rate: float = DEFAULT_MUON_LEARNING_RATE
    warmup_steps: int = 200
    lr_scheduler_type: str = "cosine"
    weight_decay: float = 0.01
    max_grad_norm: float | None = None
    bf16: bool = False
    save_steps: int = 500
    eval_steps: int = 500
    logging_steps: int = 50
    seed: int = 0
    resume: bool = False
    workers: int = 0
    disable_tqdm: bool = False

    def __post_init__(self) -> None:
        choices = {"rows": ROWS, "optimizer": OPTIMIZERS, "lr_scheduler_type": LR_SCHEDULER_TYPES}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {getattr(self, name)!r}.")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ValueError(f"Expected `max_minutes` above 0, got {self.max_minutes}.")
        if self.workers not in (0, 1):
            raise ValueError(f"workers must be 0 or 1, so that batches keep their order; got {self.workers}.")

    @property
    def step_limit(self) -> int:
        """Maximum number of updates of the weights."""
        if self.max_steps is not None:
            return self.max_steps
        return DEFAULT_MAX_STEPS if self.max_minutes is None else UNLIMITED_STEPS


def new_model(options: TrainOptions, vocabulary: LmVocabulary) -> tuple[ElmoForPreTraining, ElmoTokenizer]:
    """A model with random weights and its tokenizer."""
    fields = dict(options.config)
    preset = fields.pop("preset", None)
    fields |= {
        "word_vocab_size": len(vocabulary),
        "word_bos_id": vocabulary.bos,
        "word_eos_id": vocabulary.eos,
    }
    if fields.get("input_type") == WORD_INPUT:
        fields |= {"vocab_size": len(vocabulary) + 1}
        fields |= {"bos_token_id": vocabulary.bos + 1, "eos_token_id": vocabulary.eos + 1}
    config = ElmoConfig.from_preset(preset, **fields) if preset else ElmoConfig(**fields)
    word_file = str(options.vocabulary) if config.input_type == WORD_INPUT else None
    tokenizer = ElmoTokenizer(
        vocab_file=word_file, splitter=options.splitter, max_characters_per_token=config.max_characters_per_token
    )
    return ElmoForPreTraining(config), tokenizer


def load_model(options: TrainOptions) -> tuple[ElmoForPreTraining, ElmoTokenizer, LmVocabulary]:
    """The model to train, its tokenizer and the words it predicts."""
    if options.model is None:
        if options.vocabulary is None:
            raise ValueError("a new model must have a vocabulary; make one with `elmo vocabulary`.")
        vocabulary = LmVocabulary.read(options.vocabulary)
        return *new_model(options, vocabulary), vocabulary
    fixed = sorted(options.config.keys() - set(TRAINING_FIELDS))
    if fixed:
        raise ValueError(
            f"config of a model that exists must have no fields but {', '.join(TRAINING_FIELDS)}; "
            f"got {', '.join(fixed)}."
        )
    vocabulary = LmVocabulary.read(options.vocabulary or options.model)
    fields = {
        **options.config,
        "word_vocab_size": len(vocabulary),
        "word_bos_id": vocabulary.bos,
        "word_eos_id": vocabulary.eos,
    }
    model = ElmoForPreTraining.from_pretrained(
        options.model,
        **fields,
        # A new vocabulary starts with a new softmax.
        ignore_mismatched_sizes=options.vocabulary is not None,
    )
    return model, ElmoTokenizer.from_pretrained(options.model), vocabulary


def _create_optimizer(model: ElmoForPreTraining, options: TrainOptions) -> torch.optim.Optimizer | None:
    return create_optimizer(
        model,
        options.optimizer,
        learning_rate=options.learning_rate,
        muon_learning_rate=options.muon_learning_rate,
        weight_decay=options.weight_decay,
        unroll_steps=options.unroll_steps,
    )


def training_arguments(options: TrainOptions) -> TrainingArguments:
    default_norm = 10.0 / options.unroll_steps if options.optimizer == "adagrad" else 1.0
    return TrainingArguments(
        output_dir=str(options.output / "checkpoints"),
        max_steps=options.step_limit,
        per_device_train_batch_size=1,  # each item is a batch
        per_device_eval_batch_size=1,
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup_steps,
        weight_decay=options.weight_decay,
        max_grad_norm=default_norm if options.max_grad_norm is None else options.max_grad_norm,
        bf16=options.bf16,
        use_cpu=not torch.cuda.is_available(),
        save_steps=options.save_steps,
        save_total_limit=2,
        eval_strategy="steps" if options.valid else "no",
        eval_steps=options.eval_steps,
        prediction_loss_only=True,
        label_names=["labels"],
        logging_steps=options.logging_steps,
        seed=options.seed,
        dataloader_num_workers=options.workers,
        remove_unused_columns=False,
        ignore_data_skip=True,  # the text stream skips by itself, without encoding
        accelerator_config={"dispatch_batches": False},  # each process reads the text and encodes its own share
        report_to="tensorboard" if _has_tensorboard() else "none",
        disable_tqdm=options.disable_tqdm,
    )


def _has_tensorboard() -> bool:
    return importlib.util.find_spec("tensorboard") is not None


def train(options: TrainOptions) -> ElmoForPreTraining:
    """Train, and leave in `options.output` a model folder with `vocab.txt`, `curve.csv` and `checkpoints`.

    Raises:
        FileNotFoundError, ValueError: text, vocabulary or model are missing or wrong.
        FileExistsError: `output` has checkpoints, and `resume` was not asked for.
    """
    arguments = training_arguments(options)
    options.output.mkdir(parents=True, exist_ok=True)
    last = last_whole_checkpoint(arguments)
    if last is not None and not options.resume:
        raise FileExistsError(
            f"{options.output} has checkpoints of an earlier run; go on with resume, or choose another."
        )
    text = TextStream(tuple(text_files(options.text)), seed=options.seed)
    set_seed(options.seed)
    model, tokenizer, vocabulary = load_model(options)
    batches: SentenceBatches | RunningText
    progress = ProgressCallback(options.max_minutes)
    progress.count_words(model)
    callbacks: list[TrainerCallback] = [progress, LossCurve(options.output, progress)]
    if options.rows == "running":
        batches = RunningText(text, options.batch_size, options.unroll_steps, arguments.world_size)
        callbacks.append(CarriedStates(model))
    else:
        batches = SentenceBatches(text, options.max_tokens, group_by_length=options.group_by_length)
    if last is not None:
        batches.skip = int(last.rpartition("-")[2]) * arguments.world_size
    valid = None
    if options.valid:
        evaluated = TextStream(tuple(text_files(options.valid)))
        valid = SentenceBatches(evaluated, options.max_tokens, endless=False, group_by_length=True)
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=LanguageModelCollator(tokenizer, vocabulary),
        train_dataset=batches,
        eval_dataset=valid,
        optimizers=(_create_optimizer(model, options), None),
        callbacks=[*callbacks, RandomState()],
    )
    trainer.lr_scheduler = create_scheduler(
        trainer.create_optimizer(), options.lr_scheduler_type, options.warmup_steps, options.step_limit, progress
    )
    trainer.train(resume_from_checkpoint=last)
    if trainer.is_world_process_zero():
        save(model, tokenizer, vocabulary, options.output)
    return model


def save(model: ElmoForPreTraining, tokenizer: ElmoTokenizer, vocabulary: LmVocabulary, folder: Path) -> None:
    """A model folder that loads anywhere."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    vocabulary.write(folder)
    write_code(folder)


__all__ = ["TrainOptions", "train"]
