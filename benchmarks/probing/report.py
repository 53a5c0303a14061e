# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Write the result of `run.py` as a Markdown page and a bar chart.

    python benchmarks/probing/report.py docs/probing.json

This writes docs/probing.md and docs/probing.png. It requires matplotlib.
"""

import argparse
import json
from pathlib import Path
from typing import Any

Report = dict[str, Any]

TEMPLATE = """# Probing the layers

This page shows what linear probes find in each layer of `{model}`. A probe sees the vector of one word in one layer,
and the model is not trained. The difference between an LSTM layer and `word_emb`, which depends on the characters of
the word only, comes from the context.

{table}

![Bar chart of the table](probing.png)

Values are percentages: the mean over {seeds} seeds, ± the standard deviation. *No context* is a baseline without a
model: the most frequent tag of each word, the same answer for all pairs, or the most frequent sense of each word.

- **UD-EWT POS**: universal parts of speech in UD English EWT, over all words of the dev set (25,147) and over its
  ambiguous words (3,487): 248 word forms with at least 20 occurrences whose most frequent tag covers at most 85 %.
- **WNUT-17 NER**: entity F1 (words and type) in the dev set. The text comes from social media, unlike the training text
  of the model, and few names of the training set recur.
- Both tasks use multinomial logistic regression on standardized vectors with an L2 penalty ({probe}), without any
  choice on test data. Each seed trains on a different {share:.0f} % of the training sentences.
- **WiC**: whether a word has the same sense in two sentences. The answer is yes if the cosine of its vectors exceeds a
  threshold. Each seed sets the threshold on a different {share:.0f} % of the training pairs and is tested on the dev
  set.
- **CoarseWSD-20**: the sense of a noun is that of the occurrence with the highest cosine. Each seed compares
  {rest:.0f} % of the occurrences of a word with the others. The value is the mean accuracy over the 20 nouns.

The test sets were not used. The input consists of lists of words, with `do n't` as `don 't`, as in the training text.

Setup: `{command}`, then `python benchmarks/probing/report.py docs/probing.json`; {cpu}, {cores} cores, {threads}
thread(s), GPU: {gpu}; Python {python}, torch {torch}, transformers {transformers}, scikit-learn {sklearn}; {seconds} s,
peak memory {memory} MB.
"""


def values_by_measure(report: Report) -> dict[str, dict[str, list[float]]]:
    """Return the values by "task, measure" and layer, in the order of the report."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in report["results"]:
        values.setdefault(f"{row['task']}, {row['measure']}", {})[row["layer"]] = row["values"]
    return values


def mean(values: list[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)


def standard_deviation(values: list[float]) -> float:
    """Return the sample standard deviation; 0 for one value."""
    if len(values) == 1:
        return 0.0
    return (sum((value - mean(values)) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def table(report: Report) -> str:
    """Return a table with one line per measure and one column per layer. The best layer of each line is bold."""
    measures = values_by_measure(report)
    layers = list(next(iter(measures.values())))
    lines = [f"| | {' | '.join(layers)} |", f"|---|{'---|' * len(layers)}"]
    for measure, values in measures.items():
        best = max(layers, key=lambda layer: mean(values[layer]))
        cells = [measure]
        for layer in layers:
            text = f"{mean(values[layer]):.1f}"
            text = f"**{text}**" if layer == best else text
            cells.append(f"{text} ± {standard_deviation(values[layer]):.1f}" if len(values[layer]) > 1 else text)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page(report: Report) -> str:
    """Return the Markdown page."""
    share = 100 * report["share of training items per seed"]
    values = {
        "table": table(report),
        "probe": ", ".join(f"{name} {value}" for name, value in report["linear probe"].items()),
        "share": share,
        "rest": 100 - share,
        "sklearn": report["scikit-learn"],
        "memory": report["peak MB"],
    }
    return TEMPLATE.format_map({**report, **values})


def plot(report: Report, file: Path) -> None:
    """Draw grouped bars of all measures, with the standard deviation over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    measures = values_by_measure(report)
    layers = list(next(iter(measures.values())))
    colors = ["0.75", *plt.get_cmap("viridis")([index / len(layers) for index in range(1, len(layers))])]
    figure, axes = plt.subplots(figsize=(10, 4.5))
    width = 0.85 / len(layers)
    for index, layer in enumerate(layers):
        positions = [number + (index - (len(layers) - 1) / 2) * width for number in range(len(measures))]
        heights = [mean(values[layer]) for values in measures.values()]
        errors = [standard_deviation(values[layer]) for values in measures.values()]
        bars = axes.bar(positions, heights, width, yerr=errors, label=layer, color=colors[index], ecolor="0.3")
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_xticks(range(len(measures)), [name.replace(", ", "\n", 1) for name in measures], fontsize=8)
    axes.set_ylabel("percent")
    axes.set_ylim(0, 108)
    axes.set_title(f"Probes of {report['model']}, mean and standard deviation of {report['seeds']} seeds", fontsize=10)
    axes.legend(fontsize=8, ncols=len(layers), loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> None:
    """Write the page and the chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path, help="JSON of run.py; page and chart are written to its folder")
    file = parser.parse_args().result
    report = json.loads(file.read_text(encoding="utf-8"))
    plot(report, file.with_suffix(".png"))
    text = page(report).replace("(probing.png)", f"({file.stem}.png)")
    file.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
