# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Tokens a second beside AllenNLP and simple_elmo, and the share of what the machine can do.

    python benchmarks/speed.py WEIGHTS SENTENCES [--allennlp PYTHON] [--simple-elmo PYTHON] [--out FILE.json]
                               [--device cuda]

WEIGHTS is a folder with options.json and lm_weights.hdf5; `python benchmarks/speed.py --make FOLDER` writes a random
one of the original size. SENTENCES is a file of tokenised sentences, one a line. PYTHON is the interpreter of an
environment with the peer in it. Every contender is loaded in a process of its own, and they take turns, run by run,
so that a slow spell of the machine hits all alike. First all are compared with the reference implementation: a wrong
result gets no figure. The clock covers everything from words to float32 arrays. Printed are medians.
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
from machine import stamp
from speed_worker import TRAINED, batches

HERE = Path(__file__).resolve().parent
REFERENCE = "elmo-float32-reference"
CHECKED = 8  # sentences: one batch, so that the peers' states do not matter yet
SETTINGS = [
    {"do": "run", "batch": 1, "sorted": False, "every": 16},
    {"do": "run", "batch": 8, "sorted": False, "every": 4},
    {"do": "run", "batch": 32, "sorted": False, "every": 2},
    {"do": "run", "batch": 32, "sorted": True, "every": 2},
    {"do": "run", "batch": 128, "sorted": True, "every": 1},
    {"do": "run", "tokens": 2048, "sorted": True, "every": 1},
    {"do": "train", "batch": 32, "sorted": False, "every": 1},
]
# What fills a GPU.
LARGE = [{"do": "run", "tokens": 16384, "sorted": True, "every": 1}]


class Contender:
    """A worker process."""

    def __init__(self, python: str, name: str, arguments: argparse.Namespace) -> None:
        where = [arguments.weights, arguments.sentences, str(arguments.threads), arguments.device]
        command = [python, "-B", str(HERE / "speed_worker.py"), name, *where]
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.read()

    def read(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise SystemExit(f"{self.name} ended with exit code {self.process.wait()}")
        return json.loads(line)

    def ask(self, **request: Any) -> dict[str, Any]:
        if self.process.stdin:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        return self.read()


def takes_part(name: str, setting: dict[str, Any]) -> bool:
    """Whether a contender can do it; simple_elmo does not train, and has a fixed limit for its batches."""
    if setting["do"] == "train":
        return name in ("elmo-float32", REFERENCE, "allennlp")
    return name != "simple_elmo" or "tokens" not in setting


def check(contenders: list[Contender]) -> dict[str, dict[str, float]]:
    """Largest difference to the reference, smallest cosine of a word's layer; who is wrong leaves the list."""
    differences: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        saved = {}
        for contender in contenders:
            file = Path(folder, f"{contender.name}.npz")
            contender.ask(do="save", count=CHECKED, file=str(file))
            with np.load(file) as arrays:
                saved[contender.name] = [arrays[name] for name in arrays.files]
    for contender in list(contenders):
        largest, smallest = 0.0, 1.0
        for got, expected in zip(saved[contender.name], saved[REFERENCE], strict=True):
            largest = max(largest, float(np.abs(got - expected).max()))
            norms = np.linalg.norm(got, axis=-1) * np.linalg.norm(expected, axis=-1)
            smallest = min(smallest, float(((got * expected).sum(-1) / norms).min()))
        differences[contender.name] = {"largest difference": largest, "smallest cosine": smallest}
        is_rounded = any(kind in contender.name for kind in ("bfloat16", "int8"))
        right = smallest >= 0.999 if is_rounded else largest <= 1e-4
        if not right:
            print(f"{contender.name} is wrong, so no figure: {differences[contender.name]}", file=sys.stderr)
            contenders.remove(contender)
    return differences


def sizes(options: dict[str, Any]) -> tuple[int, int, int]:
    """Numbers in the matrices of all LSTMs that multiply inputs, that a step needs, and of highways and projection."""
    lstm, cnn = options["lstm"], options["char_cnn"]
    cells, size = lstm["dim"], lstm["projection_dim"]
    features = sum(count for _, count in cnn["filters"])
    directions = 2 * lstm["n_layers"]
    fixed = 2 * cnn["n_highway"] * features**2 + features * size
    return directions * 4 * cells * size, directions * 5 * cells * size, fixed


def needed_flops(options: dict[str, Any], sentences: list[list[str]]) -> float:
    """The arithmetic that the exact result needs: each distinct word once, each token through every LSTM."""
    cnn = options["char_cnn"]
    inputs, step, fixed = sizes(options)
    total = 0
    for word in {word for sentence in sentences for word in sentence}:
        columns = min(len(word.encode()), 48) + 2
        convolutions = sum(w * n * cnn["embedding"]["dim"] * (columns + 1) for w, n in cnn["filters"])
        total += convolutions + fixed
    return 2.0 * (total + (inputs + step) * sum(len(sentence) + 2 for sentence in sentences))


def needed_numbers(options: dict[str, Any], work: list[list[list[str]]]) -> float:
    """The weights that must come from memory: an LSTM's at each step of a batch, the others once a batch."""
    inputs, step, fixed = sizes(options)
    return sum(inputs + fixed + step * (max(map(len, batch)) + 2) for batch in work)


def bound(options: dict[str, Any], name: str, work: list[list[list[str]]], ceiling: dict[str, Any]) -> dict[str, float]:
    """Seconds below which this machine cannot go: for the arithmetic at its best rate, and for reading the weights."""
    dtype = "bfloat16" if "bfloat16" in name else "float32"
    best = max(max(ceiling[each].values()) for each in {dtype, "float32"}) * 1e9
    width = 1 if "int8" in name else 2 if dtype == "bfloat16" else 4
    sentences = [sentence for batch in work for sentence in batch]
    return {
        "arithmetic": needed_flops(options, sentences) / best,
        "memory": width * needed_numbers(options, work) / (max(ceiling["memory GB/s"].values()) * 1e9),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("sentences", nargs="?")
    parser.add_argument("--allennlp", metavar="PYTHON")
    parser.add_argument("--simple-elmo", metavar="PYTHON")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda; simple_elmo computes where it wants")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--make", action="store_true", help="write a random checkpoint of the original size")
    return parser.parse_args()


def main() -> None:
    """Measure, print a table, write the JSON."""
    arguments = parse()
    if arguments.make:
        from modeling_elmo.conversion.demo import write_demo

        write_demo(arguments.weights, config={"cell_size": 4096, "projection_size": 512})
        return
    is_cpu = arguments.device == "cpu"
    ours = ["elmo-float32", "elmo-bfloat16", *(["elmo-float32-int8"] if is_cpu else []), REFERENCE]
    wanted = [(sys.executable, name) for name in ours]
    wanted += [(arguments.allennlp, "allennlp")] if arguments.allennlp else []
    wanted += [(arguments.simple_elmo, "simple_elmo")] if arguments.simple_elmo else []
    contenders = [Contender(python, name, arguments) for python, name in wanted]
    differences = check(contenders)
    settings = SETTINGS if is_cpu else SETTINGS + LARGE

    results: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for repeat in range(arguments.repeat + 1):  # the first round warms up
        for number, setting in enumerate(settings):
            for contender in contenders:
                if not takes_part(contender.name, setting):
                    continue
                result = contender.ask(**setting)
                if repeat:
                    results.setdefault((number, contender.name), []).append(result)
    ceiling = json.loads(
        subprocess.run(
            [sys.executable, str(HERE / "ceiling.py"), str(arguments.threads), arguments.device],
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
        row: dict[str, Any] = {"contender": name, **setting, "seconds": [round(run["seconds"], 3) for run in runs]}
        row["peak MB"] = max(run["peak_mb"] for run in runs)
        is_training = setting["do"] == "train"
        work = [TRAINED] if is_training else batches(sentences, setting)
        # A step of training has three products where inference has one.
        limits = {what: (3 if is_training else 1) * s for what, s in bound(options, name, work, ceiling).items()}
        row["bound"] = {what: round(s, 3) for what, s in limits.items()}
        row["share of ceiling"] = round(limits["arithmetic"] / seconds, 3)
        row["share of memory bandwidth"] = round(limits["memory"] / seconds, 3)
        if not is_training:
            row["tokens/s"] = round(runs[0]["tokens"] / seconds, 1)
        for peer in ("allennlp", "simple_elmo"):
            if (number, peer) in results:
                theirs = statistics.median(run["seconds"] for run in results[number, peer])
                row[f"times {peer}"] = round(theirs / seconds, 2)
                row[f"times {peer} at the bound"] = round(theirs / max(limits.values()), 1)
        table.append(row)
    report = {**stamp(), "differences": differences, "ceiling": ceiling, "results": table}
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    for row in table:
        print({key: value for key, value in row.items() if key not in ("do", "every")})
    print(json.dumps({key: report[key] for key in ("cpu", "threads", "torch", "differences", "ceiling")}, indent=1))


if __name__ == "__main__":
    main()
