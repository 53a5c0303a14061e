# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Collator and callbacks of `transformers.Trainer` for ELMo: carried states, RNG state, and the loss curve."""

import csv
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save, save_file
from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..files import atomic_file
from ..model.modeling_elmo import ElmoForPreTraining, ElmoStates
from ..model.softmax_elmo import IGNORE_INDEX
from ..model.tokenization_elmo import ElmoTokenizer
from ..vocabulary import LMVocabulary
from .progress import ProgressCallback
from .text import Sentence

_COMPLETION_FILE = "random_state"  # the last file that a process writes to its checkpoint


class LanguageModelCollator:
    """Collator that converts one batch of words to the inputs of `ElmoForPreTraining.forward`.

    Args:
        tokenizer: Tokenizer of the model.
        vocabulary: Words that the model predicts.
    """

    def __init__(self, tokenizer: ElmoTokenizer, vocabulary: LMVocabulary) -> None:
        self.tokenizer, self.vocabulary = tokenizer, vocabulary

    def __call__(self, items: list[dict[str, list[Sentence]]]) -> dict[str, Tensor]:
        if len(items) != 1:
            raise ValueError(f"Expected one item, because each item is a batch, got {len(items)}. Use batch size 1.")
        item = items[0]
        if "words" in item:
            return {**self._encode(item["words"]), "labels": self._labels(item["words"])}
        forward, backward = item["forward"], item["backward"]
        return {
            **self._encode([row[:-1] for row in forward]),
            "labels": self._labels([row[1:] for row in forward]),
            "reverse_input_ids": self._encode([row[:-1] for row in backward])["input_ids"],
            "reverse_labels": self._labels([row[1:] for row in backward]),
        }

    def _encode(self, sentences: list[Sentence]) -> dict[str, Tensor]:
        encoded = self.tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    def _labels(self, sentences: list[Sentence]) -> Tensor:
        labels = torch.full((len(sentences), max(map(len, sentences))), IGNORE_INDEX)
        for row, sentence in zip(labels, sentences, strict=True):
            row[: len(sentence)] = torch.from_numpy(self.vocabulary.encode(sentence))
        return labels


def last_complete_checkpoint(args: Any) -> str | None:
    """Return the newest complete checkpoint, ignoring those that a killed process left incomplete.

    Args:
        args: Training arguments of this process.

    Raises:
        ValueError: If all complete checkpoints were saved by another number of processes.
    """
    steps = _checkpoint_steps(args)
    for step in steps:
        if _is_complete(args, step):
            return str(_checkpoint_file(args, step, _COMPLETION_FILE).parent)
    for step in steps:
        folder = _checkpoint_file(args, step, _COMPLETION_FILE).parent
        if any(folder.glob(f"{_COMPLETION_FILE}*.safetensors")):
            raise ValueError(
                f"Cannot resume {folder} with {args.world_size} processes: it was saved by another number. "
                "Use the original number, or delete it to restart."
            )
    return None


def _checkpoint_steps(args: Any) -> list[int]:
    """Return the steps of all checkpoints, also of incomplete ones, in decreasing order."""
    folders = Path(args.output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*")
    suffixes = (path.name.rpartition("-")[2] for path in folders)
    return sorted(map(int, filter(str.isdecimal, suffixes)), reverse=True)


def _is_complete(args: Any, step: int) -> bool:
    return all(_checkpoint_file(args, step, _COMPLETION_FILE, rank).is_file() for rank in range(args.world_size))


def _checkpoint_file(args: Any, step: int, name: str, process_index: int | None = None) -> Path:
    """Return the path of a process's file in the checkpoint of a step; the default is the current process."""
    index = args.process_index if process_index is None else process_index
    process = f".{index}" if args.world_size > 1 else ""
    return Path(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{step}", f"{name}{process}.safetensors")


class RngStateCallback(TrainerCallback):
    """Callback that saves the RNG state in each checkpoint.

    Trainer does not read its own copy when the dataset skips batches itself. This must be the last callback, because
    its file marks a checkpoint as complete.
    """

    def __init__(self) -> None:
        self.restored: dict[str, Tensor] | None = None

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save the RNG state of this process."""
        states = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state()
        with atomic_file(_checkpoint_file(args, state.global_step, _COMPLETION_FILE)) as file:
            file.write(save(states))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the RNG state of the checkpoint to resume."""
        file = _checkpoint_file(args, state.global_step, _COMPLETION_FILE)
        self.restored = load_file(file) if state.global_step else None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the RNG state at the first step, because the data loader draws from the RNG when it starts."""
        if self.restored is not None:
            torch.set_rng_state(self.restored["cpu"])
            if "cuda" in self.restored and torch.cuda.is_available():
                torch.cuda.set_rng_state(self.restored["cuda"])
            self.restored = None


class CarryStatesCallback(TrainerCallback):
    """Callback that starts each training batch from the final states of the previous one and saves them.

    Args:
        model: Model to train. Hooks on it read and set the states.
    """

    def __init__(self, model: ElmoForPreTraining) -> None:
        self.states: ElmoStates | None = None
        model.register_forward_pre_hook(self._set_states, with_kwargs=True)
        model.register_forward_hook(self._store_states)

    def _set_states(self, model: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "initial_states": self.states, "return_states": True} if model.training else kwargs

    def _store_states(self, model: torch.nn.Module, args: Any, output: Any) -> None:
        if model.training:
            self.states = ElmoStates(*(state.detach() for state in output.states))
            output.states = None

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save the states of this process."""
        if self.states is not None:
            tensors = {name: tensor.contiguous() for name, tensor in self.states._asdict().items()}
            save_file(tensors, _checkpoint_file(args, state.global_step, "carried_states"))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the states of the checkpoint to resume."""
        if state.global_step:
            self.states = ElmoStates(**load_file(_checkpoint_file(args, state.global_step, "carried_states")))


class DivergenceCallback(TrainerCallback):
    """Callback that stops training at the first loss, gradient, or validation loss that is NaN or infinite.

    Every process raises an error after the backward pass, in which the processes exchange their gradients. A process
    that stops earlier would leave the others waiting.

    Args:
        model: Model to train. A hook on it reads the loss.
    """

    def __init__(self, model: ElmoForPreTraining) -> None:
        self._loss = torch.zeros(())
        model.register_forward_hook(self._store_loss)

    def _store_loss(self, model: torch.nn.Module, args: Any, output: Any) -> None:
        if model.training:
            self._loss = output.loss.detach()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the loss and the gradient before the weights change."""
        step = state.global_step + 1
        if not torch.isfinite(self._loss):
            # The weights before this step have caused it, so a checkpoint of them is not good either.
            raise divergence_error(args, f"the loss of step {step} is {float(self._loss)}", step - 2)
        gradients = [weight.grad for weight in kwargs["model"].parameters() if weight.grad is not None]
        # Trainer has clipped the gradients. This turns infinite values into NaN, so the norm still shows them.
        norm = float(torch.nn.utils.get_total_norm(gradients))
        if not math.isfinite(norm):
            raise divergence_error(args, f"the gradient norm of step {step} is {norm}", step - 1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Check the values that the curve shows."""
        for name, value in (logs or {}).items():
            if name in ("loss", "grad_norm", "eval_loss") and not math.isfinite(value):
                raise divergence_error(args, f"`{name}` at step {state.global_step} is {value}", state.global_step - 1)


def divergence_error(args: Any, reason: str, max_step: int) -> ValueError:
    """Return an error that names the last good checkpoint.

    Args:
        args: Training arguments of this process.
        reason: Clause that says what is not finite.
        max_step: Last step whose weights are good.
    """
    good = [step for step in _checkpoint_steps(args) if step <= max_step and _is_complete(args, step)]
    if not good:
        advice = "No checkpoint is good, so restart"
    else:
        folder = _checkpoint_file(args, good[0], _COMPLETION_FILE).parent
        advice = f"The last good checkpoint is {folder}; delete newer ones and pass --resume"
    return ValueError(f"Training diverged and saved no model: {reason}. {advice} with a lower learning rate.")


class LossCurveCallback(TrainerCallback):
    """Callback that writes `curve.csv` during training and plots it to `curve.png` if matplotlib is installed.

    Args:
        folder: Folder of the files.
        progress: Source of the columns `words` and `seconds`.
    """

    columns = (
        *("step", "words", "seconds", "loss", "perplexity", "eval_loss", "eval_perplexity"),
        *("learning_rate", "grad_norm"),
    )

    def __init__(self, folder: Path, progress: ProgressCallback) -> None:
        self.file = folder / "curve.csv"
        self.progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the rows of a resumed run up to its checkpoint."""
        if not state.is_world_process_zero:
            return
        rows = []
        if state.global_step and self.file.is_file():
            with self.file.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= state.global_step]
        with self.file.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Append a row."""
        if not state.is_world_process_zero or not logs or not {"loss", "eval_loss"} & logs.keys():
            return
        row: dict[str, Any] = {
            "step": state.global_step,
            "words": self.progress.words,
            "seconds": f"{self.progress.seconds:.1f}",
        }
        for name in ("loss", "eval_loss", "learning_rate", "grad_norm"):
            if name in logs:
                row[name] = f"{logs[name]:.6g}"
        for loss, perplexity in (("loss", "perplexity"), ("eval_loss", "eval_perplexity")):
            if loss in logs:
                row[perplexity] = f"{math.exp(min(logs[loss], 700)):.6g}"
        with self.file.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Plot the curve."""
        if state.is_world_process_zero:
            plot_loss_curve(self.file)


def plot_loss_curve(file: Path) -> Path | None:
    """Plot a `curve.csv` to a PNG file beside it. Returns its path, or None if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in (("perplexity", "training"), ("eval_perplexity", "validation")):
        points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if name == "eval_perplexity" else "")
    axes.set(xlabel="step", ylabel="perplexity, mean of both directions", yscale="log")
    if axes.lines:
        axes.legend()
    picture = file.with_suffix(".png")
    figure.savefig(picture, dpi=120)
    return picture
