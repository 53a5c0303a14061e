# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""What `transformers.Trainer` needs to train an ELMo: the batches' tensors, carried states, the curve of the loss."""

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
from ..model.softmax_elmo import IGNORED
from ..model.tokenization_elmo import ElmoTokenizer
from ..vocabulary import LmVocabulary
from .progress import ProgressCallback
from .text import Sentence


class LanguageModelCollator:
    """Words of one batch (`lm_text`) to what `ElmoForPreTraining.forward` takes."""

    def __init__(self, tokenizer: ElmoTokenizer, vocabulary: LmVocabulary) -> None:
        self.tokenizer, self.vocabulary = tokenizer, vocabulary

    def __call__(self, items: list[dict[str, list[Sentence]]]) -> dict[str, Tensor]:
        if len(items) != 1:
            raise ValueError(f"each item is a batch already, so the loader's batch size must be 1; got {len(items)}.")
        item = items[0]
        if "words" in item:
            return {**self._encode(item["words"]), "labels": self._labels(item["words"])}
        forward, backward = item["running"], item["reversed"]
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
        labels = torch.full((len(sentences), max(map(len, sentences))), IGNORED)
        for row, sentence in zip(labels, sentences, strict=True):
            row[: len(sentence)] = torch.from_numpy(self.vocabulary.encode(sentence))
        return labels


_LAST = "random_state"  # the file that a process adds to its checkpoint last


def _checkpoint_file(args: Any, step: int, name: str, process_index: int | None = None) -> Path:
    index = args.process_index if process_index is None else process_index
    process = f".{index}" if args.world_size > 1 else ""
    return Path(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{step}", f"{name}{process}.safetensors")


def last_whole_checkpoint(args: Any) -> str | None:
    """The newest checkpoint to which nothing was to be added any more, whenever the process was killed.

    Raises:
        ValueError: there are checkpoints, but for another number of processes.
    """
    folders = Path(args.output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*")
    numbers = (path.name.rpartition("-")[2] for path in folders)
    steps = sorted(map(int, filter(str.isdecimal, numbers)), reverse=True)
    for step in steps:
        if all(_checkpoint_file(args, step, _LAST, rank).is_file() for rank in range(args.world_size)):
            return str(_checkpoint_file(args, step, _LAST).parent)
    for step in steps:
        if found := list(_checkpoint_file(args, step, _LAST).parent.glob(f"{_LAST}*.safetensors")):
            raise ValueError(
                f"training must go on with as many processes as it began with; got {args.world_size}, for which "
                f"{found[0].parent} is not whole (delete it to begin anew)."
            )
    return None


class RandomState(TrainerCallback):
    """Keeps the random numbers' state in the checkpoints; Trainer's own is not read when the text skips by itself.

    The last of the callbacks: what it writes says that a checkpoint is whole.
    """

    def __init__(self) -> None:
        self.restored: dict[str, Tensor] | None = None

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        states = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state()
        with atomic_file(_checkpoint_file(args, state.global_step, _LAST)) as file:
            file.write(save(states))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        file = _checkpoint_file(args, state.global_step, _LAST)
        self.restored = load_file(file) if state.global_step else None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Not before the first step, for the loader draws a number when it starts."""
        if self.restored is not None:
            torch.set_rng_state(self.restored["cpu"])
            if "cuda" in self.restored and torch.cuda.is_available():
                torch.cuda.set_rng_state(self.restored["cuda"])
            self.restored = None


class CarriedStates(TrainerCallback):
    """Starts each training batch from the states that the one before ended in, and keeps them in the checkpoints."""

    def __init__(self, model: ElmoForPreTraining) -> None:
        self.states: ElmoStates | None = None
        model.register_forward_pre_hook(self._begin, with_kwargs=True)
        model.register_forward_hook(self._end)

    def _begin(self, model: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "initial_states": self.states, "return_states": True} if model.training else kwargs

    def _end(self, model: torch.nn.Module, args: Any, output: Any) -> None:
        if model.training:
            self.states = ElmoStates(*(state.detach() for state in output.states))
            output.states = None

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.states is not None:
            tensors = {name: tensor.contiguous() for name, tensor in self.states._asdict().items()}
            save_file(tensors, _checkpoint_file(args, state.global_step, "carried_states"))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step:
            self.states = ElmoStates(**load_file(_checkpoint_file(args, state.global_step, "carried_states")))


class LossCurve(TrainerCallback):
    """Writes `curve.csv` while the model trains, and draws it as `curve.png` where matplotlib is installed."""

    columns = (
        *("step", "words", "seconds", "loss", "perplexity", "eval_loss", "eval_perplexity"),
        *("learning_rate", "grad_norm"),
    )

    def __init__(self, folder: Path, progress: ProgressCallback) -> None:
        self.file = folder / "curve.csv"
        self.progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep what a run that goes on has written up to its checkpoint."""
        if not state.is_world_process_zero:
            return
        kept = []
        if state.global_step and self.file.is_file():
            with self.file.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if int(row["step"]) <= state.global_step]
        with self.file.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(kept)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
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
        if state.is_world_process_zero:
            draw_curve(self.file)


def draw_curve(file: Path) -> Path | None:
    """The picture of a `curve.csv` beside it; None where matplotlib is missing."""
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
