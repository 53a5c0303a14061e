# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The result of `speed.py` as a Markdown table and a bar chart.

python benchmarks/report.py RESULT.json [--plot FILE.png]     (the chart needs matplotlib)
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


def setting(row: dict[str, Any]) -> str:
    """What was run, in words."""
    if row["do"] == "train":
        return "training step, 32 x 20 words"
    size = f"{row['tokens']} tokens" if "tokens" in row else f"batch {row['batch']}"
    return f"{size}, {'sorted' if row['sorted'] else 'file order'}"


def table(results: list[dict[str, Any]]) -> str:
    """One line a setting and contender. A limit is what the machine leaves possible, if weights come from memory."""
    lines = [
        "| setting | | tokens/s | x AllenNLP (limit) | x simple_elmo (limit) | of GEMM peak | of bandwidth | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        seconds = statistics.median(row["seconds"])
        rate = row.get("tokens/s") or f"{seconds:.2f} s a step"
        times = [str(row.get(f"times {peer}", "")) for peer in PEERS]
        if row["contender"] not in PEERS:
            times = [
                f"{each} ({row[f'times {peer} at the bound']})" if each else ""
                for peer, each in zip(PEERS, times, strict=True)
            ]
        shares = [f"{100 * row[share]:.0f} %" for share in ("share of ceiling", "share of memory bandwidth")]
        cells = [setting(row), LABELS[row["contender"]], rate, *times, *shares, row["peak MB"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def plot(report: dict[str, Any], file: Path) -> None:
    """Tokens a second, grouped by setting."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in report["results"] if row["do"] == "run"]
    settings = list(dict.fromkeys(map(setting, rows)))
    names = [name for name in LABELS if any(row["contender"] == name for row in rows)]
    figure, axes = plt.subplots(figsize=(10, 4.5))
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        rates = {setting(row): row["tokens/s"] for row in rows if row["contender"] == name}
        positions = [number + (place - (len(names) - 1) / 2) * width for number in range(len(settings))]
        bars = axes.bar(positions, [rates.get(each, 0) for each in settings], width, label=LABELS[name])
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_xticks(range(len(settings)), settings)
    axes.set_ylabel("tokens a second")
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
