# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Words per second of ElmoEmbeddings in Spark's `local[N]` and of N processes with an ElmoEncoder each.

    python benchmarks/spark.py [--model FOLDER | --preset small] [--text FILE] [--sentences 2000] [--workers 2]
                               [--repeat 3]

FILE has one sentence per line, words separated by whitespace. Without --model, the model has the preset's size and
random weights. Every process computes with one thread on the CPU, and its model is loaded in advance. Both methods run
alternately; the result is the median. Spark's vectors are summed and discarded, so that no disk is measured. If the
sums of both methods differ, nothing is printed.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import environment_info, run_interleaved
from pyspark import __version__ as pyspark_version
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from tokenizer import SENTENCES

from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer
from modeling_elmo.encoder import ElmoEncoder
from modeling_elmo.spark import ElmoEmbeddings

_encoder: list[ElmoEncoder] = []  # encoder of this process of the pool


def start_process(model: str) -> None:
    """Load the model of this process."""
    torch.set_num_threads(1)
    _encoder.append(ElmoEncoder.from_pretrained(model, device="cpu"))


def embed(sentences: list[list[str]]) -> tuple[int, float]:
    """Return the number of words, and the sum of the first values of their vectors."""
    vectors = _encoder[0].encode(sentences)
    return sum(map(len, vectors)), float(sum(rows[:, 0].sum(dtype=np.float64) for rows in vectors))


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a converted model")
    parser.add_argument("--preset", default="small", help="architecture for random weights: small (default), ...")
    parser.add_argument("--text", type=Path, help="file with one sentence per line (default: four sentences, repeated)")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    os.environ.update(PYSPARK_PYTHON=sys.executable, OMP_NUM_THREADS="1")

    lines = arguments.text.read_text(encoding="utf-8").splitlines() if arguments.text else SENTENCES
    sentences = [line.split() for line in (lines * (arguments.sentences // len(lines) + 1))[: arguments.sentences]]
    count = arguments.workers
    parts = [sentences[index::count] for index in range(count)]

    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or folder
        if arguments.model is None:
            ElmoModel(ElmoConfig.from_preset(arguments.preset)).save_pretrained(model)
            ElmoTokenizer().save_pretrained(model)
        options = {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
        }
        builder = SparkSession.builder.master(f"local[{count}]")
        for name, value in options.items():
            builder = builder.config(name, value)
        spark = builder.getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        rows = [(part, words) for part in range(count) for words in parts[part]]
        # One partition per worker. The rows are cached before timing starts.
        rdd = spark.sparkContext.parallelize(rows, count)
        data = spark.createDataFrame(rdd, "part int, words array<string>").cache()
        data.count()
        elmo = ElmoEmbeddings.pretrained(model).setInputCols("words").setOutputCol("v").setPoolingLayer("elmo")
        first = F.aggregate("v", F.lit(0.0), lambda total, vector: total + vector[0].cast("double"))

        def in_spark() -> tuple[int, float]:
            row = elmo.setDevice("cpu").transform(data).agg(F.sum(F.size("v")), F.sum(first)).collect()[0]
            return int(row[0]), float(row[1])

        pool = multiprocessing.get_context("spawn").Pool(count, start_process, (model,))

        def in_processes() -> tuple[int, float]:
            results = pool.map(embed, parts, chunksize=1)
            return sum(words for words, _ in results), sum(total for _, total in results)

        methods: dict[str, Callable[[], tuple[int, float]]] = {"encoder processes": in_processes, "Spark": in_spark}
        results = [method() for method in methods.values()]  # loads the models, too
        words = results[0][0]
        if results[1][0] != words or abs(results[0][1] - results[1][1]) > 1e-6 * words:
            raise SystemExit(f"The methods disagree: {results}")
        seconds = run_interleaved(methods, arguments.repeat)
        pool.close()
        pool.join()
        spark.stop()
    figures = {name: round(words / statistics.median(times)) for name, times in seconds.items()}
    ratio = round(figures["Spark"] / figures["encoder processes"], 3)
    record = {"pyspark": pyspark_version, "workers": count, "sentences": len(sentences), "words": words}
    record |= {"model": arguments.model or f"{arguments.preset}, random weights"}
    print(
        json.dumps({**environment_info(), **record, "words_per_second": figures, "spark_to_processes": ratio}, indent=2)
    )


if __name__ == "__main__":
    main()
