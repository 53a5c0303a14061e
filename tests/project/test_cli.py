# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Command line: fast help and usage errors, complete help, and the same choices and defaults as the package."""

import argparse
import csv
import dataclasses
import errno
import gc
import inspect
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import zipfile
from collections.abc import Callable, Collection
from email.message import Message
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import torch
from helpers.run_python import run
from helpers.small_models import tiny_model
from safetensors import SafetensorError

import elmo_cli
from modeling_elmo import ElmoEncoder, ElmoScorer, ElmoTokenizer, __version__, cli, encoder
from modeling_elmo.bundled import BUNDLED
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.export import export
from modeling_elmo.conversion.model_files import DTYPES
from modeling_elmo.conversion.publish import publish
from modeling_elmo.conversion.source.archives import extract_archive
from modeling_elmo.conversion.verify import TOLERANCE
from modeling_elmo.device import check_device
from modeling_elmo.embed import inputs, job, rows, shards
from modeling_elmo.encode import vectors
from modeling_elmo.model.splitting_elmo import SPLITTERS
from modeling_elmo.training.optimizers import OPTIMIZERS
from modeling_elmo.training.progress import LR_SCHEDULER_TYPES
from modeling_elmo.training.train import BATCHINGS, DEFAULT_MAX_STEPS, TrainOptions
from modeling_elmo.vocabulary import most_frequent

COMMANDS = ["embed", "vocabulary", "train", "perplexity", "substitutes", "convert", "export", "verify", "publish"]

WRONG_USAGE = [
    ["embd"],
    ["--model", "m"],
    ["embed", "in.txt"],
    ["embed", "in.txt", "out.npz", "--shard-row", "3"],
    ["embed", "in.txt", "out.npz", "--batch-size", "0"],
    ["embed", "in.txt", "out.npz", "--layers", "top"],
    ["embed", "in.txt", "out.hdf5", "--pooling", "mean"],
    ["embed", "in.txt", "out.npz", "--resume", "--overwrite"],
    ["embed", "in.txt", "out.npz", "--verify"],
    ["train", "text", "--output", "m", "--resume", "--overwrite"],
    ["vocabulary", "text", "--output", "v", "--min-count", "x"],
    ["train", "text", "--output", "m", "--batching", "words"],
    ["train", "text", "--output", "m", "--config", "[]"],
    ["train", "text", "--output", "m", "--config", "missing.json"],
    ["convert", "old", "new", "--dtype", "int8"],
    ["verify", "model", "vectors", "--tolerance", "-1"],
]


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    actions = elmo_cli.build_parser()._actions
    (commands,) = (action for action in actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def find_action(command: str, dest: str) -> argparse.Action:
    (action,) = (action for action in command_parsers()[command]._actions if action.dest == dest)
    return action


def parse_options(*line: str) -> dict[str, Any]:
    options = vars(elmo_cli.parse_arguments(line))
    assert options.pop("command") == line[0]
    assert options.pop("debug") is False
    return options


def function_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {item.name: item.default for item in parameters if item.default is not inspect.Parameter.empty}


# -------------------------------------------------------------------- speed


def test_parsing_imports_the_standard_library_only() -> None:
    help_lines = [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)]
    script = f"""
import contextlib, io, sys
before = set(sys.modules)
import elmo_cli
codes = []
for line in {[*help_lines, [], *WRONG_USAGE]!r}:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            elmo_cli.main(line)
        except SystemExit as stop:
            codes.append(stop.code or 0)
packages = {{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names)
result = [codes, sorted(packages)]
"""
    codes = [0] * len(help_lines) + [2] * (1 + len(WRONG_USAGE))
    assert run(script) == [codes, ["elmo_cli"]]


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["embed", "in.txt"]], ids=str)
def test_help_and_usage_errors_are_fast(arguments: list[str]) -> None:
    """The target is 0.3 s of CPU time; importing torch takes several seconds."""
    seconds = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "elmo_cli", *arguments], capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 1


# -------------------------------------------------------------------- entry points and version


def test_the_console_script_starts_outside_the_package() -> None:
    (script,) = entry_points(group="console_scripts", name="elmo")
    assert script.value == "elmo_cli:main"


@pytest.mark.parametrize("module", ["elmo_cli", "modeling_elmo"])
def test_version(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"modeling_elmo {__version__}\n"


def test_version_is_that_of_the_package_in_the_same_folder(tmp_path: Path) -> None:
    shutil.copy(elmo_cli.__file__, tmp_path)
    (tmp_path / "modeling_elmo").mkdir()
    (tmp_path / "modeling_elmo" / "_version.py").write_text('__version__ = "9.8.7.dev1"\n')
    (tmp_path / "modeling_elmo" / "__init__.py").write_text("raise ImportError")
    command = [sys.executable, str(tmp_path / "elmo_cli.py"), "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "modeling_elmo 9.8.7.dev1\n"


def test_every_command_has_a_handler() -> None:
    assert list(command_parsers()) == list(cli.HANDLERS) == COMMANDS


# -------------------------------------------------------------------- usage


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        elmo_cli.main([])
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == elmo_cli.build_parser().format_help()
    assert all(f"\n    {command} " in printed.err for command in COMMANDS)


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=str)
def test_wrong_usage_prints_the_usage_of_the_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        elmo_cli.main(arguments)
    assert caught.value.code == 2
    program = f"elmo {arguments[0]}" if arguments[0] in COMMANDS else "elmo"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"usage: {program} ")
    assert lines[-1].startswith(f"{program}: error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed", "a", "b.npz", "--shard-row", "3"], "unrecognized arguments: --shard-row 3"),
        (["embed", "a", "b.npz", "--layers", "top"], "argument --layers: not allowed with output b.npz"),
        (["embed", "a", "b.h5", "--layer", "elmo"], "argument --layer: not allowed with output b.h5"),
        (["embed", "a", "b.npz", "--batch-size", "0"], "Expected an integer of at least 1, got '0'."),
        (["train", "a", "--output", "b", "--seed-x"], "unrecognized arguments: --seed-x"),
        (["train", "a", "--output", "b", "--learning-rate", "nan"], "Expected a number of at least 0, got 'nan'."),
        (["train", "a", "--output", "b", "--config", "[1]"], "Expected a JSON object"),
        (["vocabulary", "a", "--output", "b", "--max-words", "3"], "Expected an integer of at least 4, got '3'."),
    ],
)
def test_usage_errors_name_the_reason(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        elmo_cli.main(arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_config_is_an_object_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"preset": "small"}')
    for text in (str(file), '{"preset": "small"}'):
        assert parse_options("train", "text", "--output", "m", "--config", text)["config"] == {"preset": "small"}


@pytest.mark.parametrize("suffix", job.HDF5)
def test_hdf5_options_go_with_hdf5_output(suffix: str) -> None:
    assert suffix in elmo_cli.HDF5_SUFFIXES
    assert len(elmo_cli.HDF5_SUFFIXES) == len(job.HDF5)
    assert parse_options("embed", "in.txt", f"out{suffix.upper()}", "--layers", "top")["layers"] == "top"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n lines"), "elmo: error: two lines\n"),
        (FileNotFoundError("no file"), "elmo: error: no file\n"),
        (ImportError("no h5py"), "elmo: error: no h5py\n"),
        (RuntimeError("size mismatch\n\tfor a"), "elmo: error: RuntimeError: size mismatch for a\n"),
        (RuntimeError(), "elmo: error: RuntimeError.\n"),
        (SafetensorError("no header"), "elmo: error: SafetensorError: no header\n"),
        (pa.ArrowInvalid("no\nParquet"), "elmo: error: no Parquet\n"),
        (pa.ArrowKeyError("x"), "elmo: error: ArrowKeyError: x\n"),
        (csv.Error("NUL"), "elmo: error: Error: NUL\n"),
        (
            urllib.error.HTTPError("http://a", 404, "Not Found", Message(), None),
            "elmo: error: HTTP Error 404: Not Found\n",
        ),
        (AssertionError(), "elmo: error: AssertionError.\n"),
        (KeyError("name"), "elmo: error: KeyError: 'name'\n"),
        (MemoryError(), "elmo: error: Out of memory.\n"),
        (RecursionError("maximum"), "elmo: error: Cannot read the input: it is nested too deeply.\n"),
        (
            OSError(28, "No space left on device", "a/b"),
            "elmo: error: Cannot read or write 'a/b': No space left on device.\n",
        ),
        (OSError(28, "No space left on device"), "elmo: error: Cannot read or write 'old': No space left on device.\n"),
        (ValueError("\x1b[31mred\x07\u202e"), "elmo: error: \\x1b[31mred\\x07\\u202e\n"),
        (ValueError("x" * 5000), f"elmo: error: {'x' * 1000}...\n"),
    ],
    ids=repr,
)
def test_failures_are_one_line_and_exit_with_1(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise error

    monkeypatch.setitem(cli.HANDLERS, "export", fail)
    assert elmo_cli.main(["export", "model", "old"]) == 1
    assert capsys.readouterr().err == line
    for debug_line in (["--debug", "export", "model", "old"], ["export", "model", "old", "--debug"]):
        assert elmo_cli.main(debug_line) == 1
        printed = capsys.readouterr().err
        assert printed.startswith("Traceback (most recent call last):\n")
        assert "in fail\n" in printed
        assert printed.endswith(line)


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [(signal.SIGINT, 130, "elmo: error: Interrupted.\n"), (signal.SIGTERM, 143, "elmo: error: Terminated.\n")],
)
def test_signals_run_context_managers(
    number: int, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = [signal.getsignal(item) for item in (signal.SIGINT, signal.SIGTERM)]
    left: list[str] = []

    def wait(arguments: argparse.Namespace) -> int:
        with extract_archive(Path("archive.zip")) as folder:
            left.append(str(folder))
            assert folder.is_dir()
            os.kill(os.getpid(), number)
            time.sleep(30)
        return 0

    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setitem(cli.HANDLERS, "export", wait)
    with tempfile.TemporaryDirectory() as here:
        monkeypatch.chdir(here)
        with zipfile.ZipFile("archive.zip", "w") as archive:
            archive.writestr("a/b", "c")
        assert elmo_cli.main(["export", "model", "old"]) == code
        monkeypatch.undo()
    assert capsys.readouterr().err == line
    assert not Path(left[0]).exists()
    assert [signal.getsignal(item) for item in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")]
)
def test_embed_ends_while_it_waits_for_input(number: int, code: int, word: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "elmo_cli", "embed", "-", str(tmp_path / "out.parquet"), "--quiet"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (tmp_path / "out.parquet").exists():
                assert process.poll() is None
                time.sleep(0.1)
            time.sleep(1)  # the reader waits for input
            started = time.monotonic()
            process.send_signal(number)
            assert process.stderr is not None
            lines = [process.stderr.readline()]
            seconds = time.monotonic() - started
            assert process.wait(60) == code
            lines += process.stderr.readlines()
        finally:
            process.kill()
    assert lines == [f"elmo: error: {word}.\n"]
    assert seconds < 2


def embed_error(model: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the error line of `elmo embed` with this model, and check that it wrote nothing."""
    (model.parent / "in.txt").write_text("We sat .\n")
    before = sorted(model.parent.rglob("*"))
    line = ["embed", str(model.parent / "in.txt"), str(model.parent / "out.npz"), "--model", str(model), "--quiet"]
    assert elmo_cli.main(line) == 1
    assert sorted(model.parent.rglob("*")) == before
    return capsys.readouterr().err.splitlines()[-1]


def test_corrupt_model_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    tiny_model().save_pretrained(model)
    ElmoTokenizer().save_pretrained(model)
    weights, config = model / "model.safetensors", model / "config.json"
    whole, fields = weights.read_bytes(), json.loads(config.read_text())
    for content in (whole[:-10], whole[:100], b"", b"\xff" * 100, whole[:8] + b"x" + whole[9:]):
        weights.write_bytes(content)
        line = embed_error(model, capsys)
        assert line.startswith(f"elmo: error: Cannot read {weights}")
        assert "corrupt or truncated" in line
    weights.write_bytes(whole)
    config.write_text(json.dumps({**fields, "cell_size": 13}))
    layer = "layers.0.directions.0"
    assert embed_error(model, capsys) == (
        f"elmo: error: Cannot load {model}: its weights do not match its configuration (of another shape: "
        f"{layer}.input_linearity.weight, {layer}.state_linearity.bias, {layer}.state_linearity.weight, and 13 more). "
        "Copy or convert the model again."
    )
    for text, message in (
        ("[1]", f"got {model} of model_type None"),
        ("{", str(config)),
        ('{"a":' * 9999, f"Cannot read the configuration of {model}: it is nested too deeply."),
    ):
        config.write_text(text)
        assert message in embed_error(model, capsys)
    config.write_text(json.dumps({**fields, "cnn_activation": "\x1b[31m" + "x" * 5000}))
    line = embed_error(model, capsys)
    assert line.isprintable()
    assert len(line) < 300


@pytest.mark.parametrize("text", ["[]", "1", "{", '{"options": [1]}', '{"schema": 2, "input": "a"}', '{"complete": 3}'])
def test_manifests_that_are_not_objects(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text("We sat .\n")
    output = tmp_path / "out.npz"
    output.write_bytes(b"1")
    (tmp_path / "out.npz.manifest.json").write_text(text)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert elmo_cli.main(["embed", str(tmp_path / "in.txt"), str(output), "--resume", "--quiet"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        f"elmo: error: Cannot resume {output}: {output}.manifest.json is not a manifest of `elmo embed`. "
        "Choose another output."
    )
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_a_full_disk_while_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first file of the optimizer does not fit."""
    (tmp_path / "text").write_text("the bank of the river\n" * 50)
    assert elmo_cli.main(["vocabulary", str(tmp_path / "text"), "--output", str(tmp_path / "v")]) == 0
    save = torch.save

    def full(value: Any, file: Any, *args: Any, **kwargs: Any) -> None:
        if str(file).endswith("optimizer.pt"):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(value, file, *args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    config = {"character_embedding_size": 4, "filters": [[1, 4]], "num_highway_layers": 1, "projection_size": 8}
    line = ["train", str(tmp_path / "text"), "--output", str(tmp_path / "m"), "--vocabulary", str(tmp_path / "v")]
    line += ["--config", json.dumps({**config, "cell_size": 16}), "--max-steps", "2", "--save-steps", "1"]
    assert elmo_cli.main([*line, "--warmup-steps", "1"]) == 1
    printed = capsys.readouterr().err.splitlines()[-1]
    checkpoint = tmp_path / "m" / "checkpoints" / "checkpoint-1"
    assert printed.startswith(f"elmo: error: Cannot read or write '{checkpoint}")
    assert printed.endswith("': No space left on device.")
    assert not (tmp_path / "m" / "model.safetensors").exists()


@pytest.mark.parametrize("device", ["evil", "gpu", "0", "cuda:99", "meta", ""])
@pytest.mark.parametrize(
    "line", [["embed", "in.txt", "out.npz"], ["perplexity", "m", "t"], ["substitutes", "m", "a ___"]]
)
def test_unknown_devices_are_named_before_anything_is_read(
    line: list[str], device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert elmo_cli.main([*line, "--device", device]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("elmo: error: Expected `device` to be one of 'cpu', ")
    assert printed.endswith(f"got {device!r}.\n")


@pytest.mark.parametrize("device", [None, "cpu"])
def test_known_devices_are_accepted(device: str | None) -> None:
    assert check_device(device or torch.device("cpu")) == torch.device("cpu")
    assert ElmoEncoder(device=device).device.type in ("cpu", "cuda")
    with pytest.raises(ValueError, match=r"Expected `device` to be one of 'cpu'.*, got 'evil'"):
        ElmoEncoder(device="evil")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
    ],
    ids=repr,
)
def test_a_full_disk_is_named(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model" / "checkpoints" / "optimizer.pt"

    def fill(arguments: argparse.Namespace) -> int:
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "older").write_bytes(b"")
        os.utime(file.parent / "older", (1, 1))
        file.write_bytes(b"1")
        os.utime(file, (2**31, 2**31))
        raise error

    monkeypatch.setitem(cli.HANDLERS, "train", fill)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    assert elmo_cli.main(["train", "text", "--output", str(tmp_path / "model")]) == 1
    assert capsys.readouterr().err == f"elmo: error: Cannot read or write {str(file)!r}: No space left on device.\n"


# -------------------------------------------------------------------- help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_default(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10000")  # no line breaks within a text
    parser = command_parsers()[command]
    shown = parser.format_help()
    for action in parser._actions:
        text = parser._get_formatter()._expand_help(action)
        assert text in shown
        if action.option_strings and action.nargs != 0 and not action.required:
            assert "(default: " in text, action.option_strings
            if action.default not in (None, (), {}):
                assert f"(default: {action.default})" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_the_form_of_the_style_guide(command: str) -> None:
    parser = command_parsers()[command]
    assert parser.description[0].isupper()
    assert parser.description.endswith(".")
    (commands,) = (a for a in elmo_cli.build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    for action in [*parser._actions, *commands._choices_actions]:
        assert action.help
        assert not action.help.endswith(".")
        assert not action.help[0].isupper()


# -------------------------------------------------------------------- choices and defaults


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [
        ("embed", "input_format", inputs.FORMATS),
        ("embed", "splitter", SPLITTERS),
        ("embed", "errors", rows.ERRORS),
        ("embed", "pooling", [pooling for pooling in vectors.POOLINGS if pooling]),
        ("embed", "layers", job.HDF5_LAYERS),
        ("embed", "model_dtype", [*vectors.DTYPES.keys() - {"float64"}, encoder.INT8]),
        ("train", "splitter", SPLITTERS),
        ("train", "batching", BATCHINGS),
        ("train", "optimizer", OPTIMIZERS),
        ("train", "lr_scheduler_type", LR_SCHEDULER_TYPES),
        ("convert", "splitter", SPLITTERS),
        ("convert", "dtype", DTYPES),
    ],
)
def test_choices_are_the_packages(command: str, option: str, values: Collection[str]) -> None:
    assert sorted(find_action(command, option).choices) == sorted(values)


def test_train_has_the_defaults_of_the_package() -> None:
    options = parse_options("train", "text", "--output", "m")
    assert TrainOptions(**options) == TrainOptions(text=["text"], output=Path("m"))
    fields = {field.name for field in dataclasses.fields(TrainOptions)}
    assert fields - options.keys() == {"weight_decay", "dataloader_num_workers", "disable_tqdm"}
    assert f"(default: {DEFAULT_MAX_STEPS}, " in find_action("train", "max_steps").help


def test_embed_has_the_defaults_of_the_package() -> None:
    options = parse_options("embed", "in.txt", "out.npz")
    assert options["model"] == BUNDLED
    assert options["errors"] == job.EmbedOptions.errors
    assert options["max_characters"] == inspect.signature(inputs.Input).parameters["max_characters"].default
    for name, default in (
        ("layer", job.EmbedOptions.layer),
        ("dtype", job.EmbedOptions.dtype),
        ("layers", job.EmbedOptions.hdf5_layers),
        ("shard_rows", f"{shards.DEFAULT_SHARD_ROWS}, pooled: {shards.DEFAULT_POOLED_SHARD_ROWS}"),
        ("max_tokens_per_batch", encoder.DEFAULT_MAX_TOKENS_PER_BATCH),
        ("batch_size", f"no limit; {encoder.DEFAULT_BATCH_SIZE['cpu']} on a CPU without --max-tokens-per-batch"),
    ):
        assert options[name] is None
        assert find_action("embed", name).help.endswith(f"(default: {default})")
    assert find_action("embed", "column").help.endswith(f"{', '.join(encoder.TEXT_COLUMNS)})")


@pytest.mark.parametrize(
    ("line", "function", "missing"),
    [
        (["convert", "old", "new"], convert, set()),
        (["export", "model", "old"], export, set()),
        (["publish", "model", "me/elmo"], publish, {"token", "verification"}),
        (["vocabulary", "text", "--output", "v"], most_frequent, set()),
        (["substitutes", "model", "a ___"], ElmoScorer.substitutes, set()),
    ],
)
def test_defaults_are_those_of_the_function(line: list[str], function: Callable[..., Any], missing: set[str]) -> None:
    options, defaults = parse_options(*line), function_defaults(function)
    assert defaults.keys() - options.keys() == missing
    assert {name: options[name] for name in defaults.keys() - missing} == {
        name: defaults[name] for name in defaults.keys() - missing
    }


def test_verify_has_the_tolerance_of_the_package() -> None:
    assert parse_options("verify", "model", "vectors")["tolerance"] == TOLERANCE


# -------------------------------------------------------------------- completion


def test_completion_needs_shtab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as caught:
        elmo_cli.main(["--print-completion", "bash"])
    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        "elmo: error: Cannot print a completion script without shtab. Run `pip install modeling_elmo[completion]`.\n"
    )


def test_completion_offers_files_for_free_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[argparse.ArgumentParser] = []
    stub = SimpleNamespace(FILE="files", complete=lambda parser, shell: seen.append(parser) or f"script for {shell}")
    monkeypatch.setitem(sys.modules, "shtab", stub)
    with pytest.raises(SystemExit) as caught:
        elmo_cli.main(["--print-completion", "zsh"])
    assert not caught.value.code
    assert capsys.readouterr().out == "script for zsh\n"
    actions = list(elmo_cli._actions(seen[0]))
    with_files = {action.dest for action in actions if hasattr(action, "complete")}
    assert {"input", "output", "text", "model", "folder", "config"} <= with_files
    assert not with_files & {"errors", "optimizer", "json", "help"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    with pytest.raises(SystemExit) as caught:
        elmo_cli.main(["--print-completion", shell])
    assert not caught.value.code
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)
    assert "warmup_stable_decay" in script
