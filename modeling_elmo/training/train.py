# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Training of a new or existing biLM on text files with `transformers.Trainer`."""

import difflib
import filecmp
import importlib.util
import inspect
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_NAME

from ..files import MODEL_FOLDER, TRAINING_FILES, check_output, find_unknown
from ..loading import find_nonfinite, load_config, load_pretrained
from ..model.configuration_elmo import OLD_FIELDS, WORD_INPUT, ElmoConfig
from ..model.modeling_elmo import ElmoForPreTraining, ElmoModel
from ..model.tokenization_elmo import ElmoTokenizer
from ..remote_code import write_code
from ..vocabulary import LMVocabulary
from .callbacks import (
    CarryStatesCallback,
    DivergenceCallback,
    LanguageModelCollator,
    LossCurveCallback,
    RngStateCallback,
    divergence_error,
    last_complete_checkpoint,
)
from .optimizers import DEFAULT_MUON_LEARNING_RATE, OPTIMIZERS, create_optimizer
from .progress import LR_SCHEDULER_TYPES, UNLIMITED_STEPS, ProgressCallback, create_scheduler
from .text import ContiguousTextDataset, DocumentStream, SentenceBatchDataset, text_files

SENTENCES, CONTIGUOUS = "sentences", "contiguous"
BATCHINGS = (SENTENCES, CONTIGUOUS)
DEFAULT_MAX_STEPS = 10_000
# Fields that may change when training of an existing model continues. The weights of the biLM do not depend on them.
TRAINING_FIELDS = (
    "softmax_type",
    "num_sampled_words",
    "adaptive_softmax_cutoffs",
    "adaptive_softmax_div_value",
    "lstm_dropout",
)
# Fields of `TRAINING_FIELDS` that determine the weights of the softmax.
_SOFTMAX_FIELDS = ("softmax_type", "adaptive_softmax_cutoffs", "adaptive_softmax_div_value")


@dataclass(frozen=True)
class TrainOptions:
    """Options of `train`. The defaults suit a small model on one machine.

    Attributes:
        text, valid: Files or folders to train and to evaluate on, see `text_files`.
        output: Folder of the model, its curve, and its checkpoints.
        vocabulary: File with one word per line, sorted by decreasing frequency. Defaults to the vocabulary of `model`.
        model: Model folder or Hub repository to continue training. Defaults to a new model.
        config: Fields of `ElmoConfig` for a new model, or `preset` and the fields that differ from it. For an existing
            model, only `TRAINING_FIELDS` are allowed.
        splitter: Splitter of a new model's tokenizer.
        batching: `"sentences"` for independent sentences, or `"contiguous"` for contiguous text with carried states.
        max_tokens: Maximum number of tokens per step and process, boundaries included, with `"sentences"`.
        group_by_length: Whether to batch sentences of similar length. This needs fewer LSTM steps per batch, but the
            model learns less from each batch.
        batch_size, unroll_steps: Rows per window, and tokens per row, with `"contiguous"`.
        max_steps: Number of weight updates. Defaults to 10,000, or to no limit with `max_minutes`.
        max_minutes: Training time over all restarts, evaluations included, in minutes. The run ends at the first limit.
        optimizer: `"adamw"`; `"adagrad"`, with accumulator and clipping equivalent to the scaled loss of bilm-tf; or
            `"muon"`, Muon for the LSTM matrices and AdamW for the rest.
        learning_rate, warmup_steps, weight_decay, max_grad_norm: See `TrainingArguments`.
        muon_learning_rate: Learning rate of the LSTM matrices with `optimizer="muon"`.
        lr_scheduler_type: One of `LR_SCHEDULER_TYPES`. It follows the steps, or the time with `max_minutes`.
        bf16: Whether to compute matrix products in bfloat16.
        save_steps, eval_steps, logging_steps: Interval in steps.
        seed: Seed of weights, text order, and dropout.
        resume: Whether to resume from the last checkpoint in `output`.
        overwrite: Whether to replace an existing model in `output`, with its checkpoints. They are deleted before the
            first step.
        dataloader_num_workers: Number of processes that prepare batches, 0 or 1.
        disable_tqdm: Whether to hide the progress bar.

    Raises:
        ValueError: If a value is not allowed.
    """

    text: Sequence[str | Path]
    output: Path
    valid: Sequence[str | Path] = ()
    vocabulary: Path | None = None
    model: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    splitter: str = "moses"
    batching: str = SENTENCES
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
    overwrite: bool = False
    dataloader_num_workers: int = 0
    disable_tqdm: bool = False

    def __post_init__(self) -> None:
        choices = {"batching": BATCHINGS, "optimizer": OPTIMIZERS, "lr_scheduler_type": LR_SCHEDULER_TYPES}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                names = ", ".join(map(repr, allowed))
                raise ValueError(f"Expected `{name}` to be one of {names}, got {getattr(self, name)!r}.")
        if self.resume and self.overwrite:
            raise ValueError("Expected at most one of `resume` and `overwrite`, got both.")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ValueError(f"Expected `max_minutes` above 0, got {self.max_minutes}.")
        if self.dataloader_num_workers not in (0, 1):
            # Several workers would change the order of the batches.
            raise ValueError(f"Expected `dataloader_num_workers` 0 or 1, got {self.dataloader_num_workers}.")
        _check_config_fields(self.config)

    @property
    def step_limit(self) -> int:
        """Maximum number of weight updates."""
        if self.max_steps is not None:
            return self.max_steps
        return DEFAULT_MAX_STEPS if self.max_minutes is None else UNLIMITED_STEPS


def _check_config_fields(fields: dict[str, Any]) -> None:
    """Check that all fields are known. `ElmoConfig` keeps an unknown field and ignores it, so a typo has no effect.

    Raises:
        ValueError: If a field is unknown, or belongs to another model type.
    """
    parameters = inspect.signature(ElmoConfig).parameters.values()
    known = ["preset", *(parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD)]
    saved = ElmoConfig().to_dict()  # with the fields that transformers writes to each `config.json`
    for name in fields:
        if name not in {*known, *OLD_FIELDS, *saved}:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
            raise ValueError(f"Unknown field `{name}` in `config`. Did you mean `{nearest}`?")
    model_type = fields.get("model_type", ElmoConfig.model_type)
    if model_type != ElmoConfig.model_type:
        raise ValueError(f"Expected `model_type` {ElmoConfig.model_type!r} in `config`, got {model_type!r}.")


def create_model(options: TrainOptions, vocabulary: LMVocabulary) -> tuple[ElmoForPreTraining, ElmoTokenizer]:
    """Return a model with random weights and its tokenizer."""
    fields = dict(options.config)
    preset = fields.pop("preset", None)
    fields |= {
        "word_vocab_size": len(vocabulary),
        "word_bos_id": vocabulary.bos_id,
        "word_eos_id": vocabulary.eos_id,
    }
    if fields.get("input_type") == WORD_INPUT:
        fields |= {"vocab_size": len(vocabulary) + 1}
        fields |= {"bos_token_id": vocabulary.bos_id + 1, "eos_token_id": vocabulary.eos_id + 1}
    config = ElmoConfig.from_preset(preset, **fields) if preset else ElmoConfig(**fields)
    word_file = str(options.vocabulary) if config.input_type == WORD_INPUT else None
    tokenizer = ElmoTokenizer(
        vocab_file=word_file, splitter=options.splitter, max_characters_per_token=config.max_characters_per_token
    )
    return ElmoForPreTraining(config), tokenizer


def load_training_model(options: TrainOptions) -> tuple[ElmoForPreTraining, ElmoTokenizer, LMVocabulary]:
    """Return the model to train, its tokenizer, and the words that it predicts.

    Raises:
        ValueError: If a new model has no vocabulary, or the configuration of an existing one cannot be changed so.
    """
    if options.model is None:
        if options.vocabulary is None:
            raise ValueError("Expected a vocabulary for a new model, got none. Create one with `elmo vocabulary`.")
        vocabulary = LMVocabulary.read(options.vocabulary)
        return *create_model(options, vocabulary), vocabulary
    fixed = sorted(options.config.keys() - set(TRAINING_FIELDS))
    if fixed:
        raise ValueError(
            f"Cannot change {', '.join(fixed)} of an existing model. Use only {', '.join(TRAINING_FIELDS)} in `config`."
        )
    # A new vocabulary or another softmax type requires a new softmax.
    new_softmax = options.vocabulary is not None or any(name in options.config for name in _SOFTMAX_FIELDS)
    load_config(options.model, ElmoModel if new_softmax else ElmoForPreTraining)
    vocabulary = LMVocabulary.read(options.vocabulary or options.model)
    fields = {
        **options.config,
        "word_vocab_size": len(vocabulary),
        "word_bos_id": vocabulary.bos_id,
        "word_eos_id": vocabulary.eos_id,
    }
    model = load_pretrained(ElmoForPreTraining, options.model, new_softmax=new_softmax, **fields)
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
    """Return the arguments of Trainer."""
    default_norm = 10.0 / options.unroll_steps if options.optimizer == "adagrad" else 1.0
    return TrainingArguments(
        output_dir=str(options.output / "checkpoints"),
        max_steps=options.step_limit,
        per_device_train_batch_size=1,  # each item of the dataset is a batch
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
        logging_nan_inf_filter=False,  # it hides NaN; `DivergenceCallback` stops instead
        seed=options.seed,
        dataloader_num_workers=options.dataloader_num_workers,
        remove_unused_columns=False,
        ignore_data_skip=True,  # the dataset skips batches itself, without encoding them
        accelerator_config={"dispatch_batches": False},  # each process reads the text and encodes its own batches
        report_to="tensorboard" if _has_tensorboard() else "none",
        disable_tqdm=options.disable_tqdm,
    )


def _has_tensorboard() -> bool:
    return importlib.util.find_spec("tensorboard") is not None


def train(options: TrainOptions) -> ElmoForPreTraining:
    """Train a model, and write a model folder with `vocab.txt`, `curve.csv`, and `checkpoints` to `options.output`.

    Returns:
        The trained model.

    Raises:
        FileNotFoundError: If a text, the vocabulary, or the model is missing.
        ValueError: If one of them is invalid.
        FileExistsError: If `output` is not empty and neither `resume` nor `overwrite` is True, or if it may not be
            replaced or continued.
    """
    arguments = training_arguments(options)
    last = last_complete_checkpoint(arguments) if options.resume else None
    if arguments.process_index == 0:
        _check_output_folder(options, last)
    text = DocumentStream(tuple(text_files(options.text)), seed=options.seed)
    valid_text = DocumentStream(tuple(text_files(options.valid))) if options.valid else None
    for stream in filter(None, (text, valid_text)):
        stream.check_not_empty()
    set_seed(options.seed)
    model, tokenizer, vocabulary = load_training_model(options)
    if last is not None:
        # Trainer loads the checkpoint, too, but it does not check that the weights are complete and finite.
        model.load_state_dict(load_pretrained(ElmoForPreTraining, last, config=model.config).state_dict())
    batches: SentenceBatchDataset | ContiguousTextDataset
    progress = ProgressCallback(options.max_minutes)
    if last is not None and progress.is_complete(arguments, _step_of(last), options.step_limit):
        _finish_complete_run(Path(last), model, tokenizer, vocabulary, options.output, arguments)
        return model
    progress.count_words(model)
    callbacks: list[TrainerCallback] = [
        DivergenceCallback(model),
        progress,
        LossCurveCallback(options.output, progress),
    ]
    if options.batching == CONTIGUOUS:
        batches = ContiguousTextDataset(text, options.batch_size, options.unroll_steps, arguments.world_size)
        callbacks.append(CarryStatesCallback(model))
    else:
        batches = SentenceBatchDataset(text, options.max_tokens, group_by_length=options.group_by_length)
    if last is not None:
        batches.num_skipped = _step_of(last) * arguments.world_size
    valid = None
    if valid_text is not None:
        valid = SentenceBatchDataset(valid_text, options.max_tokens, infinite=False, group_by_length=True)
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=LanguageModelCollator(tokenizer, vocabulary),
        train_dataset=batches,
        eval_dataset=valid,
        optimizers=(_create_optimizer(model, options), None),
        callbacks=[*callbacks, RngStateCallback()],
    )
    trainer.lr_scheduler = create_scheduler(
        trainer.create_optimizer(), options.lr_scheduler_type, options.warmup_steps, options.step_limit, progress
    )
    if options.overwrite and trainer.is_world_process_zero() and options.output.exists():
        _check_output_folder(options, last)
        shutil.rmtree(options.output)
    options.output.mkdir(parents=True, exist_ok=True)
    trainer.train(resume_from_checkpoint=last)
    name = find_nonfinite(model.state_dict())
    if name is not None:
        step = trainer.state.global_step
        raise divergence_error(arguments, f"step {step} has made the weight {name} NaN or infinite", step - 1)
    if trainer.is_world_process_zero():
        save_model_folder(model, tokenizer, vocabulary, options.output)
    return model


def _step_of(checkpoint: str) -> int:
    return int(checkpoint.rpartition("-")[2])


def _finish_complete_run(
    checkpoint: Path,
    model: ElmoForPreTraining,
    tokenizer: ElmoTokenizer,
    vocabulary: LMVocabulary,
    output: Path,
    arguments: TrainingArguments,
) -> None:
    """Report that a run is complete. Write its model only if the run was killed after the last checkpoint."""
    if arguments.process_index != 0:
        return
    saved = output / SAFE_WEIGHTS_NAME
    if not saved.is_file() or not filecmp.cmp(checkpoint / SAFE_WEIGHTS_NAME, saved, shallow=False):
        save_model_folder(model, tokenizer, vocabulary, output)
        # Trainer sets fields of the configuration.
        shutil.copyfile(checkpoint / CONFIG_NAME, output / CONFIG_NAME)
        print(f"Training is already complete at step {_step_of(str(checkpoint))}; wrote the model to {output}.")
        return
    print(
        f"Training is already complete at step {_step_of(str(checkpoint))}; nothing in {output} has changed. "
        "Raise --max-steps or --max-minutes to continue."
    )


def _check_output_folder(options: TrainOptions, last_checkpoint: str | None) -> None:
    """Check that the output may be written, replaced, or continued from `last_checkpoint`."""
    output = options.output
    inputs = [*options.text, *text_files(options.text), *options.valid, *text_files(options.valid)]
    check_output(
        output,
        MODEL_FOLDER,
        overwrite=options.overwrite,
        inputs=[*inputs, options.vocabulary, options.model],
        resume=options.resume,
    )
    # A run that was interrupted before its first checkpoint is restarted. A model without checkpoints is not ours.
    if options.resume and last_checkpoint is None and output.is_dir() and find_unknown(output, TRAINING_FILES):
        raise FileExistsError(
            f"Cannot resume {output}: it has no complete checkpoint. Choose another folder or pass --overwrite."
        )


def save_model_folder(
    model: ElmoForPreTraining, tokenizer: ElmoTokenizer, vocabulary: LMVocabulary, folder: Path
) -> None:
    """Write a model folder that also loads as remote code, without the package."""
    tokenizer.save_pretrained(folder)
    vocabulary.write(folder)
    write_code(folder)
    # The weights are the last file, so that a folder with the weights of the last checkpoint is complete.
    model.save_pretrained(folder)


__all__ = ["TrainOptions", "train"]
