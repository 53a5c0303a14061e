# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Progress of a training run in steps, words, and time, and the learning rate schedule that follows it."""

import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..files import atomic_file

UNLIMITED_STEPS = 10**9  # Trainer requires a number of steps if the dataset has no length
LR_SCHEDULER_TYPES = ("cosine", "linear", "constant", "constant_with_warmup", "warmup_stable_decay")
_DECAY_SHARE = 0.2  # share of the run, at its end, with a decreasing learning rate
_PROGRESS_FILE = "progress.json"


class ProgressCallback(TrainerCallback):
    """Callback that counts the time and the words of a run over all restarts and ends it at the time limit.

    Args:
        max_minutes: Training time over all restarts, evaluations included, in minutes. None sets no limit.

    Attributes:
        seconds: Time since the start, without the time between restarts.
        words: Words that this process has trained on.
    """

    def __init__(self, max_minutes: float | None = None) -> None:
        self.max_seconds = None if max_minutes is None else 60 * max_minutes
        self.seconds = 0.0
        self.words = 0
        self._resumed_at = time.monotonic()
        self._seconds_before = 0.0

    def count_words(self, model: torch.nn.Module) -> None:
        """Count the words of each training batch of `model`, with a forward hook."""
        model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, model: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if model.training:
            self.words += int(kwargs["attention_mask"].sum())

    def share(self, step: int, max_steps: int) -> float:
        """Return the completed share of the run, from 0 to 1: of its steps or of its time, whichever is larger."""
        of_time = 0.0 if self.max_seconds is None else self.seconds / self.max_seconds
        return min(1.0, max(step / max_steps, of_time))

    def is_complete(self, args: Any, step: int, max_steps: int) -> bool:
        """Return whether the run had reached its number of steps or its time limit at the checkpoint of a step."""
        return step >= max_steps or (
            self.max_seconds is not None and self._read(args, step)["seconds"] >= self.max_seconds
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock, and read the counts of the checkpoint to resume."""
        if state.global_step:
            saved = self._read(args, state.global_step)
            self.words, self._seconds_before = saved["words"], saved["seconds"]
        self._resumed_at = time.monotonic()
        self._update_clock(args)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End training at the time limit, after a last log, evaluation, and checkpoint."""
        self._update_clock(args)
        if self.max_seconds is not None and self.seconds >= self.max_seconds:
            control.should_training_stop = control.should_save = control.should_log = True
            control.should_evaluate = args.eval_strategy != "no"

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save the counts of this process."""
        with atomic_file(self._file(args, state.global_step)) as file:
            file.write(json.dumps({"words": self.words, "seconds": self.seconds}).encode())

    def _update_clock(self, args: Any) -> None:
        self.seconds = self._seconds_before + time.monotonic() - self._resumed_at
        if args.world_size > 1 and self.max_seconds is not None:
            # Use the clock of the first process, because all processes must stop after the same step.
            seconds = torch.tensor(self.seconds, device=args.device)
            torch.distributed.broadcast(seconds, 0)
            self.seconds = float(seconds)

    def _read(self, args: Any, step: int) -> dict[str, Any]:
        return json.loads(self._file(args, step).read_text(encoding="utf-8"))

    def _file(self, args: Any, step: int) -> Path:
        name = _PROGRESS_FILE if args.world_size == 1 else f"{args.process_index}.{_PROGRESS_FILE}"
        return Path(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{step}", name)


def learning_rate_factor(lr_scheduler_type: str, share: float) -> float:
    """Return the learning rate at the completed share of a run, as a factor of the peak learning rate.

    Args:
        lr_scheduler_type: One of `LR_SCHEDULER_TYPES`, which are names of `TrainingArguments`. `warmup_stable_decay` is
            constant and decreases linearly to zero over the last fifth.
        share: Completed share of the run, from 0 to 1.
    """
    if lr_scheduler_type == "linear":
        return 1.0 - share
    if lr_scheduler_type == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * share))
    if lr_scheduler_type == "warmup_stable_decay":
        return min(1.0, (1.0 - share) / _DECAY_SHARE)
    return 1.0


def create_scheduler(
    optimizer: Optimizer, lr_scheduler_type: str, warmup_steps: int, max_steps: int, progress: ProgressCallback
) -> LambdaLR:
    """Return a schedule that follows the completed share of a run, see `ProgressCallback.share`.

    The learning rate increases linearly over `warmup_steps` (not with `constant`).
    """
    if lr_scheduler_type == "constant":
        warmup_steps = 0

    def factor(step: int) -> float:
        warm_up = min(1.0, step / warmup_steps) if warmup_steps else 1.0
        return warm_up * learning_rate_factor(lr_scheduler_type, progress.share(step, max_steps))

    return LambdaLR(optimizer, factor)
