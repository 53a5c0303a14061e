# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The result of `run.py` as a Markdown page and a bar chart, beside it.

    python benchmarks/probing/report.py docs/probing.json

writes docs/probing.md and docs/probing.png, and needs matplotlib.
"""

import argparse
import json
from pathlib import Path
from typing import Any

Report = dict[str, Any]

TEXT = """# What the layers know

A probe sees the vector of a word, in one layer of `{model}`, and nothing else; the model stays as it is. What a probe
finds in a layer of the LSTM and not in `word_emb`, which knows the word's letters only, comes from the context.

{table}

![Bars of the same numbers](probing.png)

Percent; the mean of {seeds} seeds, ± the standard deviation between them. *No context* is what needs no model: each
word's most frequent tag, one answer for all pairs, each word's most frequent sense.

- **UD-EWT POS**: universal parts of speech in UD English EWT, all words of the dev portion (25,147) and those of its
  words that are ambiguous: 248 forms whose most frequent tag covers at most 85 % of 20 or more occurrences (3,487 in
  dev).
- **WNUT-17 NER**: F1 of whole entities (words and type) in the dev portion. Text of social media, which the model's
  training text is not, and names that hardly repeat those of the training portion.
- Both by multinomial logistic regression on single vectors, standardised, with an L2 penalty ({probe}), with no
  choice made on what is tested. Each seed learns from its own {share:.0f} % of the training sentences.
- **WiC**: has a word one sense in two sentences? Yes if the cosine of its two vectors is above a threshold. The
  threshold is the best one on {share:.0f} % of the training pairs, others for each seed; tested on the dev portion.
- **CoarseWSD-20**: the sense of a noun is that of the occurrence with the highest cosine. Each seed compares
  {rest:.0f} % of a word's occurrences with the others; the mean of the 20 nouns' accuracies.

Test portions were not touched. Text is given word by word; `do n't` as `don 't`, as the model's training text writes
it.

How it was measured: `{command}`, then `python benchmarks/probing/report.py docs/probing.json`; {cpu}, {cores} cores,
{threads} thread(s), GPU: {gpu}; Python {python}, torch {torch}, transformers {transformers}, scikit-learn {sklearn};
{seconds} s, {memory} MB at most.
"""


def by_measure(report: Report) -> dict[str, dict[str, list[float]]]:
    """The values by "task, measure" and layer, in the report's order."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in report["results"]:
        found.setdefault(f"{row['task']}, {row['measure']}", {})[row["layer"]] = row["values"]
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def deviation(values: list[float]) -> float:
    """The standard deviation of a sample; 0 of one value."""
    if len(values) == 1:
        return 0.0
    return (sum((value - mean(values)) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def table(report: Report) -> str:
    """One line a measure, one column a layer; the best layer of each line in bold."""
    measures = by_measure(report)
    layers = list(next(iter(measures.values())))
    lines = [f"| | {' | '.join(layers)} |", f"|---|{'---|' * len(layers)}"]
    for measure, values in measures.items():
        best = max(layers, key=lambda layer: mean(values[layer]))
        cells = [measure]
        for layer in layers:
            text = f"{mean(values[layer]):.1f}"
            text = f"**{text}**" if layer == best else text
            cells.append(f"{text} ± {deviation(values[layer]):.1f}" if len(values[layer]) > 1 else text)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page(report: Report) -> str:
    """The Markdown page."""
    share = 100 * report["share of the training items a seed"]
    shown = {
        "table": table(report),
        "probe": ", ".join(f"{name} {value}" for name, value in report["linear probe"].items()),
        "share": share,
        "rest": 100 - share,
        "sklearn": report["scikit-learn"],
        "memory": report["peak MB"],
    }
    return TEXT.format_map({**report, **shown})


def plot(report: Report, file: Path) -> None:
    """Bars of every measure, grouped, with the deviation between seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    measures = by_measure(report)
    layers = list(next(iter(measures.values())))
    colours = ["0.75", *plt.get_cmap("viridis")([index / len(layers) for index in range(1, len(layers))])]
    figure, axes = plt.subplots(figsize=(10, 4.5))
    width = 0.85 / len(layers)
    for place, layer in enumerate(layers):
        positions = [number + (place - (len(layers) - 1) / 2) * width for number in range(len(measures))]
        heights = [mean(values[layer]) for values in measures.values()]
        errors = [deviation(values[layer]) for values in measures.values()]
        bars = axes.bar(positions, heights, width, yerr=errors, label=layer, color=colours[place], ecolor="0.3")
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_xticks(range(len(measures)), [name.replace(", ", "\n", 1) for name in measures], fontsize=8)
    axes.set_ylabel("percent")
    axes.set_ylim(0, 108)
    axes.set_title(f"Probes of {report['model']}, mean and deviation of {report['seeds']} seeds", fontsize=10)
    axes.legend(fontsize=8, ncols=len(layers), loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> None:
    """Write the page and the chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path, help="JSON of run.py; page and chart go beside it")
    file = parser.parse_args().result
    report = json.loads(file.read_text(encoding="utf-8"))
    plot(report, file.with_suffix(".png"))
    text = page(report).replace("(probing.png)", f"({file.stem}.png)")
    file.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
