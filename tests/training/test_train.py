# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`elmo train` with transformers' Trainer: interruption and resumption, existing models, and perplexity."""

import csv
import dataclasses
import itertools
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.tolerances import SAME_BATCH
from safetensors.torch import load_file, save_file

import elmo_cli
from modeling_elmo import ElmoConfig, ElmoForPreTraining, ElmoModel, ElmoScorer, ElmoTokenizer
from modeling_elmo.training.callbacks import DivergenceCallback, last_complete_checkpoint
from modeling_elmo.training.optimizers import create_optimizer
from modeling_elmo.training.progress import ProgressCallback, create_scheduler, learning_rate_factor
from modeling_elmo.training.train import TrainOptions, create_model, train
from modeling_elmo.vocabulary import LMVocabulary, count_words, most_frequent

CONFIG = {
    "character_embedding_size": 4,
    "filters": [[1, 8], [2, 8], [3, 16]],
    "num_highway_layers": 1,
    "projection_size": 16,
    "cell_size": 32,
}
CONFIG_TEXT = str(CONFIG).replace("'", '"')


def write_text(folder: Path, sentences: int = 60, seed: int = 0) -> Path:
    """Write sentences of a small language: a subject, one of its verbs, and a time."""
    rng = random.Random(seed)
    subjects = {"cats": ["eat", "hunt"], "dogs": ["bark", "run"], "banks": ["lend", "close"]}
    lines = []
    for number in range(sentences):
        subject = rng.choice(list(subjects))
        lines.append(f"The {subject} {rng.choice(subjects[subject])} {rng.choice(['today', 'at night'])} .")
        if number % 5 == 4:
            lines.append("")
    path = folder / "text.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = most_frequent(count_words(line.split() for line in lines))
    LMVocabulary(words).write(folder / "words.txt")
    return path


def command(folder: Path, output: str, batching: str, steps: int = 16, optimizer: str = "adamw") -> list[str]:
    options = (
        f"--batching {batching} --max-tokens 60 --batch-size 4 --unroll-steps 6 --max-steps {steps} --save-steps 4"
    )
    options += (
        f" --eval-steps 4 --logging-steps 1 --warmup-steps 2 --valid {folder / 'text.txt'} --optimizer {optimizer}"
    )
    start = [sys.executable, "-m", "modeling_elmo", "train", str(folder / "text.txt"), "--output", output]
    dropout = CONFIG_TEXT[:-1] + ', "lstm_dropout": 0.1}'
    return [*start, "--vocabulary", str(folder / "words.txt"), "--config", dropout, *options.split()]


def curve(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the curve without the times, which differ between runs."""
    with (folder / "curve.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batching", "unfinished", "optimizer"),
    [("sentences", False, "adamw"), ("contiguous", True, "adamw"), ("sentences", False, "muon")],
)
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, batching: str, unfinished: bool, optimizer: str
) -> None:
    write_text(tmp_path)
    arguments = command(tmp_path, str(tmp_path / "uninterrupted"), batching, optimizer=optimizer)[3:]
    assert elmo_cli.main(arguments) == 0

    killed = tmp_path / "killed"
    process = subprocess.Popen(
        command(tmp_path, str(killed), batching, optimizer=optimizer),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    deadline = time.time() + 120
    last = killed / "checkpoints" / "checkpoint-8"
    while not (last / "random_state.safetensors").is_file():
        assert process.poll() is None, process.stderr.read()[-2000:]
        assert time.time() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    if unfinished:  # as if killed before the last files were written
        for name in ("carried_states", "random_state"):
            (last / f"{name}.safetensors").unlink()
    resumed = command(tmp_path, str(killed), batching, optimizer=optimizer)[3:]
    assert elmo_cli.main(resumed) == 1  # without --resume nothing is overwritten
    assert elmo_cli.main([*resumed, "--resume"]) == 0

    assert curve(tmp_path / "uninterrupted") == curve(killed)
    models = [
        ElmoForPreTraining.from_pretrained(folder).state_dict() for folder in (tmp_path / "uninterrupted", killed)
    ]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert [row["step"] for row in curve(killed) if row["eval_perplexity"]] == ["4", "8", "12", "16"]


def test_checkpoints_of_another_number_of_processes_are_rejected(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-4"
    folder.mkdir()
    arguments = SimpleNamespace(output_dir=str(tmp_path), world_size=2, process_index=1)
    assert last_complete_checkpoint(arguments) is None
    (folder / "random_state.0.safetensors").touch()
    with pytest.raises(ValueError, match=r"Cannot resume .*checkpoint-4 with 2 processes"):
        last_complete_checkpoint(arguments)
    (folder / "random_state.1.safetensors").touch()
    assert last_complete_checkpoint(arguments) == str(folder)
    arguments.world_size = 1
    with pytest.raises(ValueError, match="with 1 processes"):
        last_complete_checkpoint(arguments)


@pytest.mark.slow
def test_the_recipe_of_bilm_tf_learns_a_small_text(tmp_path: Path) -> None:
    """20 unroll steps, carried states, Adagrad, sampled softmax: a training perplexity below 20 in 50 epochs."""
    text = write_text(tmp_path, sentences=100)
    words = sum(len(line.split()) + 2 for line in text.read_text().splitlines() if line)
    steps = 50 * words // (4 * 20)
    options = TrainOptions(
        text=[text],
        output=tmp_path / "model",
        vocabulary=tmp_path / "words.txt",
        config={**CONFIG, "softmax": "sampled", "num_sampled_words": 8},
        batching="contiguous",
        batch_size=4,
        unroll_steps=20,
        max_steps=steps,
        optimizer="adagrad",
        learning_rate=0.2,
        warmup_steps=0,
        lr_scheduler_type="constant",
        save_steps=10_000,
        logging_steps=steps // 10,
        disable_tqdm=True,
    )
    train(options)
    last = curve(tmp_path / "model")[-1]
    assert int(last["step"]) == steps - steps % (steps // 10)
    assert float(last["perplexity"]) < 20
    lines = [line for line in text.read_text().splitlines() if line]
    # Exact, over the full vocabulary. The entropy is that of 12 sentences of 7.5 words: 12 ** (1 / 7.5) = 1.39.
    result = ElmoScorer.from_pretrained(str(tmp_path / "model")).perplexity(lines, True)
    assert result.combined < 2


def test_training_continues_from_a_model_with_its_own_or_another_vocabulary(tmp_path: Path) -> None:
    text = write_text(tmp_path)
    assert elmo_cli.main(command(tmp_path, str(tmp_path / "first"), "sentences", steps=4)[3:]) == 0
    general = ["train", str(text), "--model", str(tmp_path / "first"), "--max-steps", "1", "--learning-rate", "0"]
    assert elmo_cli.main([*general, "--output", str(tmp_path / "same")]) == 0
    LMVocabulary(["<S>", "</S>", "<UNK>", "The", "cats"]).write(tmp_path / "few.txt")
    few = ["--vocabulary", str(tmp_path / "few.txt")]
    assert elmo_cli.main([*general, *few, "--output", str(tmp_path / "other")]) == 0

    first, same, other = (
        ElmoForPreTraining.from_pretrained(tmp_path / name).state_dict() for name in ("first", "same", "other")
    )
    assert all(torch.equal(first[name], same[name]) for name in first)  # a learning rate of 0 changes nothing
    assert all(torch.equal(first[name], other[name]) for name in first if name.startswith("elmo."))
    assert other["softmax.linear.weight"].shape == (5, 16)
    assert LMVocabulary.read(tmp_path / "other").words == ["<S>", "</S>", "<UNK>", "The", "cats"]


def test_the_trained_folder_loads_as_an_elmo_model(tmp_path: Path) -> None:
    write_text(tmp_path)
    folder = tmp_path / "model"
    assert elmo_cli.main(command(tmp_path, str(folder), "sentences", steps=2)[3:]) == 0
    words = [["The", "cats", "eat"]]
    model = ElmoForPreTraining.from_pretrained(folder)
    base = ElmoModel.from_pretrained(folder)
    tokenizer = ElmoTokenizer.from_pretrained(folder)  # vocab.txt is not its alphabet
    encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    assert encoded["input_ids"].shape == (1, 3, 50)
    ours, its = (m.eval()(**encoded).last_hidden_state for m in (base, model.elmo))
    assert float((ours - its).abs().max()) <= SAME_BATCH


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("batching", ["sentences", "contiguous"])
def test_training_stops_when_the_learning_rate_is_too_high(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], batching: str
) -> None:
    write_text(tmp_path)
    arguments = command(tmp_path, str(tmp_path / "model"), batching, steps=6)[3:]
    high = ["--learning-rate", "1e30", "--max-grad-norm", "1e30", "--warmup-steps", "0", "--save-steps", "1"]
    assert elmo_cli.main([*arguments, *high]) == 1
    error = capsys.readouterr().err
    # The checkpoint of step 1 has weights of 1e30, with which the loss of step 2 is not finite.
    assert re.search(
        r"error: Training diverged and saved no model: the (loss|gradient norm) of step 2 is (nan|inf)", error
    )
    assert "No checkpoint is good, so restart with a lower learning rate." in error
    assert not (tmp_path / "model" / "model.safetensors").exists()
    assert [row["step"] for row in curve(tmp_path / "model") if row["loss"]] == ["1"]
    assert all(float(row["loss"]) > 1 for row in curve(tmp_path / "model") if row["loss"])


def break_step(model: ElmoForPreTraining, what: str) -> None:
    """Make the loss, or one gradient, of the fourth training step NaN or infinite."""
    steps = itertools.count(1)

    def break_loss(module: torch.nn.Module, args: Any, output: Any) -> None:
        if module.training and next(steps) == 4:
            output.loss = output.loss * math.nan

    def break_gradient(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * math.inf if next(steps) == 4 else gradient

    if what == "loss":
        model.register_forward_hook(break_loss)
    else:
        model.softmax.linear.bias.register_hook(break_gradient)


@pytest.mark.parametrize(
    ("what", "norm", "good"), [("loss", "1", 2), ("gradient norm", "1", 3), ("gradient norm", "0", 3)]
)
def test_a_diverged_run_names_the_step_and_the_last_good_checkpoint(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    norm: str,
    good: int,
) -> None:
    write_text(tmp_path)

    def create_broken_model(
        options: TrainOptions, vocabulary: LMVocabulary
    ) -> tuple[ElmoForPreTraining, ElmoTokenizer]:
        model, tokenizer = create_model(options, vocabulary)
        break_step(model, what)
        return model, tokenizer

    monkeypatch.setattr("modeling_elmo.training.train.create_model", create_broken_model)
    folder = tmp_path / "model"
    arguments = command(tmp_path, str(folder), "sentences", steps=6)[3:]
    assert elmo_cli.main([*arguments, "--save-steps", "1", "--max-grad-norm", norm]) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert f"Training diverged and saved no model: the {what} of step 4 is " in error
    checkpoint = folder / "checkpoints" / f"checkpoint-{good}"
    assert f"The last good checkpoint is {checkpoint}; delete newer ones and pass --resume" in error
    assert checkpoint.is_dir()
    assert not (folder / "model.safetensors").exists()
    assert [row["step"] for row in curve(folder) if row["loss"]] == ["1", "2", "3"]
    if what != "loss":
        return
    # From the named checkpoint, the run continues.
    monkeypatch.undo()
    for path in (folder / "checkpoints").iterdir():
        if path != checkpoint and path.name.startswith("checkpoint-"):
            shutil.rmtree(path)
    assert elmo_cli.main([*arguments, "--resume"]) == 0
    assert [row["step"] for row in curve(folder) if row["loss"]] == ["1", "2", "3", "4", "5", "6"]


def test_a_last_step_that_breaks_the_weights_saves_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path)
    step = torch.optim.AdamW.step

    def break_weights(optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        result = step(optimizer, *args, **kwargs)
        with torch.no_grad():
            optimizer.param_groups[0]["params"][0].fill_(math.nan)
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", break_weights)
    arguments = command(tmp_path, str(tmp_path / "model"), "sentences", steps=1)[3:]
    valid = arguments.index("--valid")
    assert elmo_cli.main(arguments[:valid] + arguments[valid + 2 :]) == 1
    assert "step 1 has made the weight elmo." in capsys.readouterr().err
    assert not (tmp_path / "model" / "model.safetensors").exists()


def test_a_validation_loss_that_is_not_finite_stops_training(tmp_path: Path) -> None:
    model = ElmoForPreTraining(ElmoConfig(**CONFIG, word_vocab_size=20))
    args = SimpleNamespace(output_dir=str(tmp_path), world_size=1, process_index=0)
    callback = DivergenceCallback(model)
    callback.on_log(args, SimpleNamespace(global_step=3), None, {"loss": 1.0, "grad_norm": 2.0, "eval_loss": 3.0})
    for name in ("loss", "grad_norm", "eval_loss"):
        with pytest.raises(ValueError, match=f"saved no model: `{name}` at step 3 is nan"):
            callback.on_log(args, SimpleNamespace(global_step=3), None, {name: math.nan})


def test_resuming_a_complete_run_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(tmp_path)
    folder = tmp_path / "model"
    arguments = [*command(tmp_path, str(folder), "sentences", steps=4)[3:], "--lr-scheduler-type", "constant"]
    assert elmo_cli.main(arguments) == 0
    before = files_of(folder)
    assert before["model.safetensors"] == before["checkpoints/checkpoint-4/model.safetensors"]
    capsys.readouterr()
    for steps in ("4", "3"):
        assert elmo_cli.main([*arguments, "--resume", "--max-steps", steps]) == 0
        assert f"Training is already complete at step 4; nothing in {folder} has changed" in capsys.readouterr().out
        assert files_of(folder) == before

    # A run that was killed while it wrote the model is completed.
    (folder / "model.safetensors").write_bytes(before["model.safetensors"][:100])
    (folder / "vocab.txt").unlink()
    assert elmo_cli.main([*arguments, "--resume"]) == 0
    assert f"wrote the model to {folder}" in capsys.readouterr().out
    assert files_of(folder) == before

    assert elmo_cli.main([*arguments, "--resume", "--max-steps", "5"]) == 0
    assert [row["step"] for row in curve(folder) if row["loss"]] == ["1", "2", "3", "4", "5"]
    assert (folder / "model.safetensors").read_bytes() != before["model.safetensors"]


@pytest.mark.parametrize("fault", ["missing", "another configuration", "NaN"])
def test_a_checkpoint_with_other_weights_is_not_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    write_text(tmp_path)
    folder = tmp_path / "model"
    arguments = command(tmp_path, str(folder), "sentences", steps=4)[3:]
    assert elmo_cli.main(arguments) == 0
    path = folder / "checkpoints" / "checkpoint-4" / "model.safetensors"
    weights = load_file(path)
    if fault == "missing":
        weights.pop("softmax.linear.bias")
    if fault == "NaN":
        weights["softmax.linear.bias"][0] = math.nan
    save_file(weights, path, {"format": "pt"})
    other = ["--config", CONFIG_TEXT[:-1] + ', "num_hidden_layers": 3}'] if fault == "another configuration" else []
    before = files_of(folder)
    assert elmo_cli.main([*arguments, *other, "--resume", "--max-steps", "8"]) == 1
    messages = {
        "missing": "(missing: softmax.linear.bias)",
        "another configuration": "(missing: elmo.layers.2.",
        "NaN": "its weight softmax.linear.bias contains NaN",
    }
    assert messages[fault] in capsys.readouterr().err
    assert files_of(folder) == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cell_sizes": 3}, "Unknown field `cell_sizes` in `config`. Did you mean `cell_size`?"),
        (
            {"preset": "small", "projection": 3},
            "Unknown field `projection` in `config`. Did you mean `projection_size`?",
        ),
        ({"presets": "small"}, "Unknown field `presets` in `config`. Did you mean `preset`?"),
        ({"kwargs": 1}, "Unknown field `kwargs` in `config`. Did you mean `"),
        ({"conversion": {}}, "Unknown field `conversion` in `config`."),
        ({"preset": "smal"}, "Expected `preset` to be one of 'small', 'medium', 'original', got 'smal'"),
        ({"model_type": "bert"}, "Expected `model_type` 'elmo' in `config`, got 'bert'"),
    ],
)
@pytest.mark.parametrize("model", [None, "some-model"])
def test_unknown_fields_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, Any], message: str, model: str | None
) -> None:
    if model is not None and list(fields) == ["preset"]:
        pytest.skip("a model to continue has no preset")
    text = write_text(tmp_path)
    arguments = ["train", str(text), "--output", str(tmp_path / "new"), "--vocabulary", str(tmp_path / "words.txt")]
    arguments += ["--config", json.dumps(fields), *(["--model", model] if model else [])]
    assert elmo_cli.main(arguments) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_saved_configuration_and_old_names_are_accepted(tmp_path: Path) -> None:
    ElmoConfig(**CONFIG).save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    TrainOptions(text=[], output=tmp_path, config={"preset": "small", **fields, "softmax": "sampled"})


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("batching", ["sentences", "contiguous"])
@pytest.mark.parametrize("role", ["text", "--valid"])
def test_an_empty_text_is_rejected_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, batching: str, role: str
) -> None:
    text = write_text(tmp_path)
    empty = tmp_path / "empty.txt"
    empty.write_bytes(content)
    before = files_of(tmp_path)
    arguments = command(tmp_path, str(tmp_path / "new"), batching)[3:]
    arguments = [str(empty) if word == str(text) and role == "text" else word for word in arguments]
    assert elmo_cli.main([*arguments, *(["--valid", str(empty)] if role == "--valid" else [])]) == 1
    assert f"Expected a text with at least one word, got none in {empty}." in capsys.readouterr().err
    assert files_of(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_wrong_options_are_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = write_text(tmp_path)
    assert elmo_cli.main(["train", str(text), "--output", str(tmp_path / "m")]) == 1
    assert "Expected a vocabulary for a new model" in capsys.readouterr().err
    assert elmo_cli.main(["train", str(tmp_path / "no"), "--output", str(tmp_path / "m")]) == 1
    assert "Expected a text file or a folder with" in capsys.readouterr().err
    with pytest.raises(ValueError, match="Expected `batching` to be one of 'sentences', 'contiguous', got 'both'"):
        TrainOptions(text=[text], output=tmp_path, batching="both")


def test_muon_trains_the_lstm_matrices_and_adamw_the_rest() -> None:
    model = ElmoForPreTraining(ElmoConfig(**CONFIG, word_vocab_size=20, num_hidden_layers=2))
    optimizer = create_optimizer(model, "muon", 1e-3, 0.02, 0.01, 20)
    names = {id(weight): name for name, weight in model.named_parameters()}
    groups = {group["lr"]: {names[id(weight)] for weight in group["params"]} for group in optimizer.param_groups}
    linear = ("input_linearity", "state_linearity", "state_projection")
    expected = {
        f"elmo.layers.{layer}.directions.{direction}.{name}.weight"
        for layer in range(2)
        for direction in range(2)
        for name in linear
    }
    assert groups[0.02] == expected
    assert groups[1e-3] == {name for name, weight in model.named_parameters() if weight.requires_grad} - expected
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    # AdamW's first step changes each element by the learning rate. Muon's has singular values near its own rate, which
    # grows with the root of rows / columns.
    bias = "softmax.linear.bias"
    torch.testing.assert_close((model.get_parameter(bias) - before[bias]).abs(), torch.full((20,), 1e-3))
    name = sorted(expected)[0]
    rows, columns = before[name].shape
    scale = 0.02 * max(1, rows / columns) ** 0.5
    singular = torch.linalg.svdvals(model.get_parameter(name).detach() - before[name])
    assert float(singular.min()) > 0.5 * scale
    assert float(singular.max()) < 1.5 * scale


def test_muon_requires_a_torch_version_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    model = ElmoForPreTraining(ElmoConfig(**CONFIG, word_vocab_size=20))
    with pytest.raises(ImportError, match=r"Expected torch 2\.9 or later for optimizer 'muon', got "):
        create_optimizer(model, "muon", 1e-3, 0.02, 0.01, 20)


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("constant_with_warmup", [0, 0.5, 1, 1, 1]),
        ("linear", [0, 0.475, 0.5, 0.1, 0]),
        ("cosine", [0, 0.5 * 0.5 * (1 + math.cos(0.05 * math.pi)), 0.5, 0.5 * (1 + math.cos(0.9 * math.pi)), 0]),
        ("warmup_stable_decay", [0, 0.5, 1, 0.5, 0]),
    ],
)
def test_learning_rate_follows_steps_or_time(name: str, factors: list[float]) -> None:
    for by_time in (False, True):
        progress = ProgressCallback(1.0 if by_time else None)
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=2.0)
        scheduler = create_scheduler(optimizer, name, 10, 10**9 if by_time else 100, progress)
        rates = []
        for step in range(101):
            if step in (0, 5, 50, 90, 100):
                rates.append(optimizer.param_groups[0]["lr"] / 2.0)
            optimizer.step()
            progress.seconds = 0.6 * (step + 1)
            scheduler.step()
        assert rates == pytest.approx(factors, abs=1e-6)


def test_training_ends_on_time_and_continues_with_the_remaining_time(tmp_path: Path) -> None:
    text = write_text(tmp_path)
    options = TrainOptions(
        text=[text],
        output=tmp_path / "model",
        valid=[text],
        vocabulary=tmp_path / "words.txt",
        config=CONFIG,
        max_tokens=60,
        max_minutes=2 / 60,
        lr_scheduler_type="warmup_stable_decay",
        warmup_steps=2,
        save_steps=10**6,
        eval_steps=10**6,
        logging_steps=1,
        disable_tqdm=True,
    )
    train(options)
    with (tmp_path / "model" / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    trained = [row for row in rows if row["loss"]]
    seconds = [float(row["seconds"]) for row in trained]
    assert 1.5 < seconds[-1] < 10  # the last step may begin just before the end
    # The rate of a row was set after the step before it, when the clock showed the time of the row before that one.
    # Times are rounded to 0.1 s, which is 0.125 of the rate.
    rates = [float(row["learning_rate"]) / options.learning_rate for row in trained]
    expected = [learning_rate_factor(options.lr_scheduler_type, seconds[row - 2] / 2) for row in range(2, len(trained))]
    assert rates[2:] == pytest.approx(expected, abs=0.15)
    assert rows[-1]["eval_perplexity"]
    words = [int(row["words"]) for row in trained]
    assert words == sorted(set(words))
    # A resumed run starts with the time that the checkpoint has used.
    checkpoint = last_complete_checkpoint(
        SimpleNamespace(output_dir=str(tmp_path / "model" / "checkpoints"), world_size=1, process_index=0)
    )
    saved = json.loads(Path(checkpoint, "progress.json").read_text())
    assert saved["words"] == words[-1]
    assert saved["seconds"] >= 2
    # Complete by its time: nothing changes. With more time, the run continues.
    before = files_of(tmp_path / "model")
    train(dataclasses.replace(options, resume=True))
    assert files_of(tmp_path / "model") == before
    train(dataclasses.replace(options, resume=True, max_minutes=3 / 60))
    assert int(curve(tmp_path / "model")[-1]["step"]) > int(rows[-1]["step"])
    with pytest.raises(ValueError, match=r"Expected `max_minutes` above 0, got 0"):
        dataclasses.replace(options, max_minutes=0)
