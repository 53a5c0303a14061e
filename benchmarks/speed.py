# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Tokens per second compared with AllenNLP and simple_elmo, and the share of the machine's limits.

    python benchmarks/speed.py WEIGHTS SENTENCES [--allennlp PYTHON] [--simple-elmo PYTHON] [--output FILE.json]
                               [--device cuda]

WEIGHTS is a folder with options.json and lm_weights.hdf5; `python benchmarks/speed.py --write-checkpoint FOLDER` writes
a random one of the original size. SENTENCES is a file of tokenized sentences, one per line. PYTHON is the interpreter
of an environment with the peer. Every system is loaded in its own process, and the systems run alternately, so that
noise of the machine affects all of them. A system whose result differs from the reference implementation is excluded.
The time includes everything from words to float32 arrays. The results are medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import environment_info
from speed_worker import TRAINING_BATCH, make_batches

HERE = Path(__file__).resolve().parent
REFERENCE = "elmo-float32-reference"
NUM_CHECKED = 8  # sentences; one batch, because the peers carry states to the next one
SETTINGS = [
    {"do": "run", "batch": 1, "sorted": False, "every": 16},
    {"do": "run", "batch": 8, "sorted": False, "every": 4},
    {"do": "run", "batch": 32, "sorted": False, "every": 2},
    {"do": "run", "batch": 32, "sorted": True, "every": 2},
    {"do": "run", "batch": 128, "sorted": True, "every": 1},
    {"do": "run", "tokens": 2048, "sorted": True, "every": 1},
    {"do": "train", "batch": 32, "sorted": False, "every": 1},
]
# A batch that uses a whole GPU.
GPU_SETTINGS = [{"do": "run", "tokens": 16384, "sorted": True, "every": 1}]


class System:
    """A system to measure, in a worker process."""

    def __init__(self, python: str, name: str, arguments: argparse.Namespace) -> None:
        worker_arguments = [arguments.weights, arguments.sentences, str(arguments.threads), arguments.device]
        command = [python, "-B", str(HERE / "speed_worker.py"), name, *worker_arguments]
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.read()

    def read(self) -> dict[str, Any]:
        """Return the next response."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise SystemExit(f"{self.name} exited with code {self.process.wait()}")
        return json.loads(line)

    def request(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the response."""
        if self.process.stdin:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        return self.read()


def is_applicable(name: str, setting: dict[str, Any]) -> bool:
    """Return whether a system supports a setting. simple_elmo cannot train and has a fixed maximum batch size."""
    if setting["do"] == "train":
        return name in ("elmo-float32", REFERENCE, "allennlp")
    return name != "simple_elmo" or "tokens" not in setting


def exclude_wrong_systems(systems: list[System]) -> dict[str, dict[str, float]]:
    """Remove systems with wrong results from the list, and return the differences of all of them.

    These are the maximum absolute difference from the reference and the minimum cosine of a word's layer.
    """
    differences: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        saved = {}
        for system in systems:
            file = Path(folder, f"{system.name}.npz")
            system.request(do="save", count=NUM_CHECKED, file=str(file))
            with np.load(file) as arrays:
                saved[system.name] = [arrays[name] for name in arrays.files]
    for system in list(systems):
        max_difference, min_cosine = 0.0, 1.0
        for got, expected in zip(saved[system.name], saved[REFERENCE], strict=True):
            max_difference = max(max_difference, float(np.abs(got - expected).max()))
            norms = np.linalg.norm(got, axis=-1) * np.linalg.norm(expected, axis=-1)
            min_cosine = min(min_cosine, float(((got * expected).sum(-1) / norms).min()))
        differences[system.name] = {"largest difference": max_difference, "smallest cosine": min_cosine}
        is_rounded = any(dtype in system.name for dtype in ("bfloat16", "int8"))
        is_correct = min_cosine >= 0.999 if is_rounded else max_difference <= 1e-4
        if not is_correct:
            print(f"Excluded {system.name}, whose vectors are wrong: {differences[system.name]}", file=sys.stderr)
            systems.remove(system)
    return differences


def count_weights(options: dict[str, Any]) -> tuple[int, int, int]:
    """Return the number of weights of all LSTMs for inputs, of all LSTMs per step, and of highways and projection."""
    lstm, cnn = options["lstm"], options["char_cnn"]
    cells, size = lstm["dim"], lstm["projection_dim"]
    features = sum(count for _, count in cnn["filters"])
    directions = 2 * lstm["n_layers"]
    fixed = 2 * cnn["n_highway"] * features**2 + features * size
    return directions * 4 * cells * size, directions * 5 * cells * size, fixed


def required_flops(options: dict[str, Any], sentences: list[list[str]]) -> float:
    """Return the FLOPs of the exact result: each distinct word once, each token through every LSTM."""
    cnn = options["char_cnn"]
    inputs, step, fixed = count_weights(options)
    total = 0
    for word in {word for sentence in sentences for word in sentence}:
        columns = min(len(word.encode()), 48) + 2
        convolutions = sum(w * n * cnn["embedding"]["dim"] * (columns + 1) for w, n in cnn["filters"])
        total += convolutions + fixed
    return 2.0 * (total + (inputs + step) * sum(len(sentence) + 2 for sentence in sentences))


def required_values(options: dict[str, Any], batches: list[list[list[str]]]) -> float:
    """Return the number of weights read from memory: LSTM weights once per step, the others once per batch."""
    inputs, step, fixed = count_weights(options)
    return sum(inputs + fixed + step * (max(map(len, batch)) + 2) for batch in batches)


def time_bounds(
    options: dict[str, Any], name: str, batches: list[list[list[str]]], roofline: dict[str, Any]
) -> dict[str, float]:
    """Return lower bounds in seconds: for the arithmetic at peak throughput, and for reading the weights."""
    dtype = "bfloat16" if "bfloat16" in name else "float32"
    peak_flops = max(max(roofline[name].values()) for name in {dtype, "float32"}) * 1e9
    bytes_per_weight = 1 if "int8" in name else 2 if dtype == "bfloat16" else 4
    sentences = [sentence for batch in batches for sentence in batch]
    return {
        "arithmetic": required_flops(options, sentences) / peak_flops,
        "memory": bytes_per_weight * required_values(options, batches) / (max(roofline["memory GB/s"].values()) * 1e9),
    }


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("sentences", nargs="?")
    parser.add_argument("--allennlp", metavar="PYTHON")
    parser.add_argument("--simple-elmo", metavar="PYTHON")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda; simple_elmo chooses its own device")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--output", type=Path, help="file for the JSON report")
    parser.add_argument(
        "--write-checkpoint",
        action="store_true",
        help="write a random checkpoint of the original size to WEIGHTS, and exit",
    )
    return parser.parse_args()


def main() -> None:
    """Measure, print a table, and write the JSON report."""
    arguments = parse_arguments()
    if arguments.write_checkpoint:
        from modeling_elmo.conversion.demo import write_demo

        write_demo(arguments.weights, config={"cell_size": 4096, "projection_size": 512})
        return
    is_cpu = arguments.device == "cpu"
    ours = ["elmo-float32", "elmo-bfloat16", *(["elmo-float32-int8"] if is_cpu else []), REFERENCE]
    requested = [(sys.executable, name) for name in ours]
    requested += [(arguments.allennlp, "allennlp")] if arguments.allennlp else []
    requested += [(arguments.simple_elmo, "simple_elmo")] if arguments.simple_elmo else []
    systems = [System(python, name, arguments) for python, name in requested]
    differences = exclude_wrong_systems(systems)
    settings = SETTINGS if is_cpu else SETTINGS + GPU_SETTINGS

    results: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for repeat in range(arguments.repeat + 1):  # the first round is a warm-up
        for number, setting in enumerate(settings):
            for system in systems:
                if not is_applicable(system.name, setting):
                    continue
                result = system.request(**setting)
                if repeat:
                    results.setdefault((number, system.name), []).append(result)
    roofline = json.loads(
        subprocess.run(
            [sys.executable, str(HERE / "roofline.py"), str(arguments.threads), arguments.device],
            capture_output=True,
            check=True,
        ).stdout
    )

    options = json.loads(Path(arguments.weights, "options.json").read_text())
    lines = Path(arguments.sentences).read_text(encoding="utf-8").split("\n")
    sentences = [line.split(" ") for line in lines if line.strip()]
    table = []
    for (number, name), runs in results.items():
        setting = settings[number]
        seconds = statistics.median(run["seconds"] for run in runs)
        row: dict[str, Any] = {"system": name, **setting, "seconds": [round(run["seconds"], 3) for run in runs]}
        row["peak MB"] = max(run["peak_mb"] for run in runs)
        is_training = setting["do"] == "train"
        batches = [TRAINING_BATCH] if is_training else make_batches(sentences, setting)
        # A training step computes three matrix products for each one of inference.
        limits = {
            limit: (3 if is_training else 1) * value
            for limit, value in time_bounds(options, name, batches, roofline).items()
        }
        row["bound"] = {limit: round(value, 3) for limit, value in limits.items()}
        row["share of roofline"] = round(limits["arithmetic"] / seconds, 3)
        row["share of memory bandwidth"] = round(limits["memory"] / seconds, 3)
        if not is_training:
            row["tokens/s"] = round(runs[0]["tokens"] / seconds, 1)
        for peer in ("allennlp", "simple_elmo"):
            if (number, peer) in results:
                theirs = statistics.median(run["seconds"] for run in results[number, peer])
                row[f"times {peer}"] = round(theirs / seconds, 2)
                row[f"times {peer} at the bound"] = round(theirs / max(limits.values()), 1)
        table.append(row)
    report = {**environment_info(), "differences": differences, "roofline": roofline, "results": table}
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    for row in table:
        print({key: value for key, value in row.items() if key not in ("do", "every")})
    print(json.dumps({key: report[key] for key in ("cpu", "threads", "torch", "differences", "roofline")}, indent=1))


if __name__ == "__main__":
    main()
