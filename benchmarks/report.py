# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Print the result of `speed.py` as a Markdown table, and draw a bar chart.

    python benchmarks/report.py RESULT.json [--plot FILE.png]

The chart requires matplotlib.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

LABELS = {
    "elmo-float32": "modeling_elmo, float32",
    "elmo-bfloat16": "modeling_elmo, bfloat16",
    "elmo-float32-int8": "modeling_elmo, LSTMs in int8",
    "elmo-float32-reference": "modeling_elmo, float32, reference",
    "allennlp": "AllenNLP 2.10.1",
    "simple_elmo": "simple_elmo 0.9.2",
}
PEERS = ("allennlp", "simple_elmo")


def describe_setting(row: dict[str, Any]) -> str:
    """Return a description of the setting of a result."""
    if row["do"] == "train":
        return "training step, 32 x 20 words"
    size = f"{row['tokens']} tokens" if "tokens" in row else f"batch {row['batch']}"
    return f"{size}, {'sorted' if row['sorted'] else 'file order'}"


def table(results: list[dict[str, Any]]) -> str:
    """Return a table with one line per setting and system.

    The value in parentheses is an upper bound on the speedup: the peer's time divided by the larger of two lower bounds
    on ours, for the arithmetic and for reading the weights from memory.
    """
    lines = [
        "| setting | | tokens/s | x AllenNLP (bound) | x simple_elmo (bound) | of GEMM peak | of bandwidth | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        seconds = statistics.median(row["seconds"])
        rate = row.get("tokens/s") or f"{seconds:.2f} s per step"
        times = [str(row.get(f"times {peer}", "")) for peer in PEERS]
        if row["system"] not in PEERS:
            times = [
                f"{each} ({row[f'times {peer} at the bound']})" if each else ""
                for peer, each in zip(PEERS, times, strict=True)
            ]
        shares = [f"{100 * row[share]:.0f} %" for share in ("share of roofline", "share of memory bandwidth")]
        cells = [describe_setting(row), LABELS[row["system"]], rate, *times, *shares, row["peak MB"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def plot(report: dict[str, Any], file: Path) -> None:
    """Draw tokens per second, grouped by setting."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in report["results"] if row["do"] == "run"]
    settings = list(dict.fromkeys(map(describe_setting, rows)))
    names = [name for name in LABELS if any(row["system"] == name for row in rows)]
    figure, axes = plt.subplots(figsize=(10, 4.5))
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        rates = {describe_setting(row): row["tokens/s"] for row in rows if row["system"] == name}
        positions = [number + (index - (len(names) - 1) / 2) * width for number in range(len(settings))]
        bars = axes.bar(positions, [rates.get(each, 0) for each in settings], width, label=LABELS[name])
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_xticks(range(len(settings)), settings)
    axes.set_ylabel("tokens per second")
    axes.set_title(f"Original size, {report['threads']} threads, {report['cpu'].split(' (')[0]}", fontsize=10)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    content = json.loads(arguments.result.read_text())
    print(table(content["results"]))
    if arguments.plot:
        plot(content, arguments.plot)
