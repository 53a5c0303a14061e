# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ElmoEmbeddings in a local Spark session with two workers and, as on a cluster, four attempts per task."""

import dataclasses
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.hub_server import HubServer
from helpers.run_python import run
from helpers.small_models import ROOT, SENTENCES, tiny_model
from helpers.tolerances import BATCHING_SMALL, SAME_BATCH

from modeling_elmo import ElmoTokenizer
from modeling_elmo.encoder import ElmoEncoder

pytest.importorskip("pyspark", reason="needs the extra `spark`")
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("Spark needs Java 17 or later", allow_module_level=True)

from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from modeling_elmo import spark as elmo_spark
from modeling_elmo.spark import ElmoEmbeddings
from modeling_elmo.spark import model as spark_model
from modeling_elmo.spark.schema import ANNOTATIONS, VECTORS

pytestmark = pytest.mark.slow

LAYERS = {"word_emb": 8, "lstm_outputs1": 16, "lstm_outputs2": 16, "elmo": 16}
THREE = [["the", "bank"], ["of", "the", "river", "."], ["money", "and", "boats"]]
MANY = [[f"word{i}", *["the"] * (i % 7)] for i in range(70)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("spark") / "model"
    tiny_model().save_pretrained(path)
    ElmoTokenizer().save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder behind viewfs:///data, a Hadoop file system that is not local to Spark."""
    return tmp_path_factory.mktemp("mount")


@pytest.fixture(scope="module")
def spark(mount: Path) -> Iterator[SparkSession]:
    before = os.environ.get("PYSPARK_PYTHON")
    os.environ["PYSPARK_PYTHON"] = sys.executable  # the default is the first python3 in PATH
    builder = SparkSession.builder.master("local[2,4]")
    options = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.warehouse.dir": str(mount / "warehouse"),
        "spark.hadoop.fs.viewfs.mounttable.test.link./data": mount.as_uri(),
    }
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
    if before is None:
        del os.environ["PYSPARK_PYTHON"]


@pytest.fixture(scope="module")
def encoder(folder: str) -> ElmoEncoder:
    return ElmoEncoder.from_pretrained(folder)


@pytest.fixture(params=["arrow_udf", "mapInArrow"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use the functions of Spark 4.1 and those of earlier versions."""
    if request.param == "mapInArrow":
        monkeypatch.setattr(elmo_spark, "has_arrow_udf", lambda: False)
    elif not elmo_spark.has_arrow_udf():
        pytest.skip("arrow_udf needs Spark 4.1")
    return request.param


def annotation(annotator_type: str, begin: int, result: str, sentence: int) -> Row:
    return Row(annotator_type, begin, begin + len(result) - 1, result, {"sentence": str(sentence)}, [])


def annotated(spark: SparkSession, rows: list[list[list[str]] | None]) -> DataFrame:
    """Return Spark NLP's columns for rows of sentences of words. None makes both columns null."""
    data = []
    for index, sentences in enumerate(rows):
        documents, tokens, begin = [], [], 0
        for number, words in enumerate(sentences or []):
            documents.append(annotation("document", begin, " ".join(words), number))
            for word in words:
                tokens.append(annotation("token", begin, word, number))
                begin += len(word) + 1
        data.append((index, documents if sentences is not None else None, tokens if sentences is not None else None))
    schema = f"id int, sentence {ANNOTATIONS.simpleString()}, token {ANNOTATIONS.simpleString()}"
    columns = [F.col("id"), typed("sentence", "document"), typed("token", "token")]
    return spark.createDataFrame(data, schema).select(*columns)


def typed(column: str, annotator_type: str) -> Any:
    return F.col(column).alias(column, metadata={"annotatorType": annotator_type})


def matrix(vectors: Any, size: int = 16) -> np.ndarray:
    """Return the vectors of a row, of either output type, as [words, size]."""
    rows = [vector.embeddings if isinstance(vector, Row) else vector for vector in vectors]
    return np.array(rows, np.float32).reshape(-1, size)


def cpu_vendor() -> str | None:
    """Return the vendor of the processor as Linux names it, or None on other systems."""
    path = Path("/proc/cpuinfo")
    match = re.search(r"^vendor_id\s*: (\S+)", path.read_text(), re.MULTILINE) if path.exists() else None
    return match[1] if match else None


def assert_same(vectors: Any, expected: np.ndarray) -> None:
    actual = matrix(vectors, expected.shape[1])
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=BATCHING_SMALL)


def elmo(folder: str, *inputs: str, layer: str = "elmo") -> ElmoEmbeddings:
    return ElmoEmbeddings.pretrained(folder).setInputCols(*inputs).setOutputCol("embeddings").setPoolingLayer(layer)


def wrapped(folder: str, wrap: Callable[[Any], Any], *inputs: str, chunk_words: int = 4) -> ElmoEmbeddings:
    """Return a transformer with a wrapped worker function and small output chunks."""

    class Wrapped(ElmoEmbeddings):
        def _embed(self, columns: Any) -> Any:
            return wrap(dataclasses.replace(columns, chunk_words=chunk_words))

    return Wrapped().setModelPath(folder).setInputCols(*inputs).setOutputCol("embeddings").setPoolingLayer("elmo")


# -------------------------------------------------------------------- vectors


def test_each_sentence_of_a_row_gets_its_own_vectors(
    spark: SparkSession, folder: str, encoder: ElmoEncoder, way: str
) -> None:
    """Spark NLP repeats the vectors of the first sentence."""
    data = annotated(spark, [THREE, None, [], THREE[:1], MANY])
    rows = elmo(folder, "sentence", "token").transform(data).orderBy("id").collect()
    assert [row.id for row in rows] == [0, 1, 2, 3, 4]
    assert [row.embeddings for row in rows[1:3]] == [[], []]
    for row, sentences in ((rows[0], THREE), (rows[3], THREE[:1]), (rows[4], MANY)):
        alone = [encoder.encode([words])[0] for words in sentences]
        assert_same(row.embeddings, np.concatenate(alone))
        names = [str(number) for number, words in enumerate(sentences) for _ in words]
        assert [item.metadata["sentence"] for item in row.embeddings] == names


def test_columns_in_either_order(spark: SparkSession, folder: str) -> None:
    data = annotated(spark, [THREE, [["one"]]]).coalesce(1)
    untyped = data.select("id", F.col("sentence").alias("a", metadata={}), F.col("token").alias("b", metadata={}))
    first = elmo(folder, "sentence", "token").transform(data).collect()
    for transformer, frame in (
        (elmo(folder, ["token", "sentence"]), data),
        (elmo(folder, "a", "b"), untyped),
        (elmo(folder, "b", "a"), untyped),
    ):
        rows = transformer.transform(frame).collect()
        assert [row.embeddings for row in rows] == [row.embeddings for row in first]


def test_annotations_and_their_column(spark: SparkSession, folder: str, way: str) -> None:
    transformer = elmo(folder, "sentence", "token").setStorageRef("elmo-ref")
    out = transformer.transform(annotated(spark, [[["Hello", "🙂"], ["you"]]]))
    assert out.columns == ["id", "sentence", "token", "embeddings"]
    assert out.schema["embeddings"].dataType == ANNOTATIONS
    assert out.schema["embeddings"].metadata == {
        "annotatorType": "word_embeddings",
        "dimension": 16,
        "ref": "elmo-ref",
    }
    assert out.schema["token"].metadata == {"annotatorType": "token"}
    (row,) = out.collect()
    assert [item.asDict() | {"embeddings": len(item.embeddings)} for item in row.embeddings] == [
        {
            "annotatorType": "word_embeddings",
            "begin": begin,
            "end": end,
            "result": word,
            "metadata": {
                "sentence": sentence,
                "token": word,
                "pieceId": "-1",
                "isWordStart": "true",
                "isOOV": "false",
            },
            "embeddings": 16,
        }
        for begin, end, word, sentence in ((0, 4, "Hello", "0"), (6, 6, "🙂", "0"), (8, 10, "you", "1"))
    ]
    finished = out.select("embeddings.embeddings").collect()[0][0]  # as Spark NLP's finisher returns it
    assert np.array(finished).shape == (3, 16)


def test_words(spark: SparkSession, folder: str, encoder: ElmoEncoder, way: str) -> None:
    data = spark.createDataFrame([(words,) for words in [*SENTENCES, None]], "`w.x` array<string>")
    for layer, size in LAYERS.items():
        transformer = elmo(folder, "w.x", layer=layer)
        assert transformer.getDimension() == size
        out = transformer.transform(data)
        assert out.schema["embeddings"].dataType == VECTORS
        rows = out.collect()
        assert rows[-1].embeddings == []
        for row, expected in zip(rows, encoder.encode(SENTENCES, layer=layer), strict=False):
            assert_same(row.embeddings, expected)


def test_text_is_split_by_the_tokenizer(spark: SparkSession, folder: str, encoder: ElmoEncoder, way: str) -> None:
    texts = ["It wasn't the bank.", None, "", " \t", "東京 U.S."]
    # A column with the output's name is replaced. The others do not change.
    data = spark.createDataFrame([(text, 1.5, text) for text in texts], "text string, n double, embeddings string")
    out = elmo(folder, "text").transform(data)
    assert sorted(out.columns) == ["embeddings", "n", "text"]
    rows = out.collect()
    assert [row.text for row in rows] == texts
    for row, expected in zip(rows, encoder.encode([text or "" for text in texts]), strict=True):
        assert_same(row.embeddings, expected)
    assert [len(row.embeddings) for row in rows] == [6, 0, 0, 0, 3]


def test_batches_do_not_change_vectors(spark: SparkSession, folder: str, encoder: ElmoEncoder) -> None:
    data = spark.createDataFrame([(words,) for words in MANY], "words array<string>")
    expected = encoder.encode(MANY)
    for options in ({}, {"batchSize": 1}, {"batchSize": 32}, {"maxTokensPerBatch": 9}):
        rows = elmo(folder, "words").copy()._set(**options).transform(data).collect()
        for row, vectors in zip(rows, expected, strict=True):
            assert_same(row.embeddings, vectors)


# -------------------------------------------------------------------- workers


def test_each_worker_loads_the_model_once(spark: SparkSession, folder: str, tmp_path: Path) -> None:
    def wrap(embed: Any) -> Any:
        def work(columns: Any) -> Iterator[Any]:
            yield from embed(columns)
            loads = spark_model._load_encoder.cache_info().misses
            (tmp_path / f"{os.getpid()}-{loads}").touch()

        return work

    data = spark.createDataFrame([(words,) for words in MANY], "words array<string>").repartition(6)
    copy = shutil.copytree(folder, tmp_path / "fresh")
    before = spark_model._load_encoder.cache_info().misses
    for _ in range(2):
        wrapped(str(copy), wrap, "words").transform(data).collect()
    workers = [path.name.split("-") for path in tmp_path.glob("*-*")]
    pids = {pid for pid, _ in workers}
    assert str(os.getpid()) not in pids
    assert 1 <= len(pids) <= 2
    assert len(workers) == len(pids), "no worker loaded a second time"
    assert spark_model._load_encoder.cache_info().misses == before, "the driver loaded no model"


def test_a_changed_model_is_loaded_again(spark: SparkSession, tmp_path: Path) -> None:
    data = spark.createDataFrame([(["the"],)], "words array<string>")
    results = []
    for seed in (0, 1):
        tiny_model(seed).save_pretrained(tmp_path / "m")
        ElmoTokenizer().save_pretrained(tmp_path / "m")
        results.append(elmo(str(tmp_path / "m"), "words").transform(data).collect())
    assert results[0] != results[1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_weights_are_mapped_into_memory(folder: str) -> None:
    """The workers of a machine share them."""
    model = spark_model.load_worker_encoder(folder, "cpu", None).model
    spans = [
        [int(number, 16) for number in line.split(" ", 1)[0].split("-")]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith("model.safetensors")
    ]
    inside = [any(low <= weight.data_ptr() < high for low, high in spans) for weight in model.parameters()]
    assert all(inside)


def test_a_filter_does_not_embed_twice(spark: SparkSession, folder: str, way: str) -> None:
    embedded = spark.sparkContext.accumulator(0)

    def wrap(embed: Any) -> Any:
        def work(columns: Any) -> Iterator[Any]:
            for part in embed(columns):
                embedded.add(len(part))
                yield part

        return work

    data = spark.createDataFrame([(words,) for words in MANY], "words array<string>")
    out = wrapped(folder, wrap, "words").transform(data).where(F.size("embeddings") > 3).select("embeddings")
    assert len(out.collect()) == sum(len(words) > 3 for words in MANY)
    assert embedded.value == len(MANY)


def test_a_killed_worker_changes_nothing(
    spark: SparkSession, folder: str, encoder: ElmoEncoder, tmp_path: Path, way: str
) -> None:
    marker = tmp_path / "killed"

    def wrap(embed: Any) -> Any:
        def work(columns: Any) -> Iterator[Any]:
            for number, part in enumerate(embed(columns)):
                if number == 3 and not marker.exists():
                    marker.write_text(str(os.getpid()))
                    os.kill(os.getpid(), signal.SIGKILL)
                yield part

        return work

    data = spark.createDataFrame(list(enumerate(MANY)), "id int, words array<string>").repartition(2)
    rows = wrapped(folder, wrap, "words").transform(data).collect()
    assert marker.exists()
    assert sorted(row.id for row in rows) == list(range(len(MANY)))
    expected = encoder.encode(MANY)
    for row in rows:
        assert_same(row.embeddings, expected[row.id])


# -------------------------------------------------------------------- saving, loading, distributing


def test_pipeline_saved_and_loaded(spark: SparkSession, folder: str, tmp_path: Path) -> None:
    data = annotated(spark, [THREE]).coalesce(1)
    moved = shutil.copytree(folder, tmp_path / "moved")
    transformer = elmo(str(moved), "sentence", "token").setStorageRef("ref").setBatchSize(3)
    fitted = Pipeline(stages=[transformer]).fit(data)
    expected = fitted.transform(data).collect()
    Pipeline(stages=[transformer]).save(str(tmp_path / "pipeline"))
    fitted.save(str(tmp_path / "fitted"))
    fitted.write().overwrite().save(str(tmp_path / "fitted"))
    shutil.rmtree(moved)
    saved = "".join(path.read_text() for path in (tmp_path / "fitted").rglob("part-*"))
    assert "moved" not in saved, "the copy has another path"
    for loaded in (
        PipelineModel.load(str(tmp_path / "fitted")),
        Pipeline.load(str(tmp_path / "pipeline")).fit(data),
    ):
        out = loaded.transform(data)
        assert out.collect() == expected
        assert out.schema["embeddings"].metadata["ref"] == "ref"
        stage = loaded.stages[0]
        assert stage.uid == transformer.uid
        assert (stage.getBatchSize(), stage.getPoolingLayer(), stage.getShipModel()) == (3, "elmo", False)


def test_saved_and_loaded_alone(spark: SparkSession, folder: str, tmp_path: Path) -> None:
    path = str(tmp_path / "alone")
    elmo(folder, "words").save(path)
    loaded = ElmoEmbeddings.load(path)
    assert loaded.getInputCols() == ["words"]
    assert ElmoEmbeddings.load(folder).getModelPath() == folder, "a converted model loads as well"
    metadata = {"class": "com.johnsnowlabs.nlp.embeddings.ElmoEmbeddings", "uid": "E", "paramMap": {}}
    (tmp_path / "other" / "metadata").mkdir(parents=True)
    (tmp_path / "other" / "metadata" / "part-00000").write_text(json.dumps(metadata))
    with pytest.raises(
        ValueError, match=r"Expected a saved modeling_elmo.spark.ElmoEmbeddings .* got com\.johnsnowlabs"
    ):
        ElmoEmbeddings.load(str(tmp_path / "other"))


@pytest.fixture
def data(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([(words,) for words in THREE], "words array<string>").coalesce(1)


def save_and_load(kind: str, stage: ElmoEmbeddings, data: DataFrame, path: Path) -> Any:
    """Save the transformer as it is, in a pipeline, or in a fitted pipeline, and return what Spark loads."""
    if kind == "transformer":
        stage.save(str(path))
        return ElmoEmbeddings.load(str(path))
    pipeline = Pipeline(stages=[stage])
    if kind == "pipeline":
        pipeline.save(str(path))
        return Pipeline.load(str(path))
    pipeline.fit(data).save(str(path))
    return PipelineModel.load(str(path))


def vectors_of(loaded: Any, data: DataFrame) -> list[Row]:
    return (loaded.fit(data) if isinstance(loaded, Pipeline) else loaded).transform(data).collect()


@pytest.mark.parametrize("target", ["folder", "link", "link in the path"])
@pytest.mark.parametrize("kind", ["transformer", "pipeline", "fitted pipeline"])
def test_a_loaded_model_is_saved_over_its_own_folder(
    kind: str, target: str, folder: str, data: DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    path = tmp_path / "real" / "saved"
    loaded = save_and_load(kind, elmo(folder, "words"), data, path)
    expected = elmo(folder, "words").transform(data).collect()
    if target == "link":
        path = tmp_path / "link"
        path.symlink_to(tmp_path / "real" / "saved")
        loaded = type(loaded).load(str(path))
    elif target == "link in the path":
        (tmp_path / "link").symlink_to(tmp_path / "real")
        path = tmp_path / "link" / "saved"
    earlier = None if kind == "pipeline" else loaded.transform(data)
    for _ in range(2):
        loaded.write().overwrite().save(str(path))
        assert len(list(path.rglob("model.safetensors"))) == 1
        assert vectors_of(type(loaded).load(str(path)), data) == expected
        assert vectors_of(loaded, data) == expected
    assert earlier is None or earlier.collect() == expected, "Spark evaluates a frame later than `transform`"


@pytest.mark.parametrize("kind", ["transformer", "pipeline", "fitted pipeline"])
def test_a_loaded_model_outlives_its_folder(kind: str, folder: str, data: DataFrame, tmp_path: Path) -> None:
    loaded = save_and_load(kind, elmo(folder, "words"), data, tmp_path / "saved")
    expected = vectors_of(loaded, data)
    shutil.rmtree(tmp_path / "saved")
    assert vectors_of(loaded, data) == expected
    loaded.save(str(tmp_path / "again"))
    assert vectors_of(type(loaded).load(str(tmp_path / "again")), data) == expected


def test_a_pipeline_is_saved_over_its_model_folder(folder: str, data: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "model"
    for source in (lambda: elmo(str(path), "words"), lambda: elmo(folder, "words").setModelPath(str(path))):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(folder, path)
        fitted = PipelineModel([source()])
        fitted.write().overwrite().save(str(path))
        assert vectors_of(PipelineModel.load(str(path)), data) == vectors_of(fitted, data)


def test_another_model_at_the_same_path(folder: str, data: DataFrame, tmp_path: Path) -> None:
    """A transformer keeps the model that it was loaded with."""
    path = tmp_path / "saved"
    loaded = save_and_load("transformer", elmo(folder, "words"), data, path)
    expected = vectors_of(loaded, data)
    tiny_model(seed=1).save_pretrained(tmp_path / "other")
    ElmoTokenizer().save_pretrained(tmp_path / "other")
    loaded.copy().setModelPath(str(tmp_path / "other")).write().overwrite().save(str(path))
    assert vectors_of(loaded, data) == expected
    assert vectors_of(ElmoEmbeddings.load(str(path)), data) != expected


def test_a_cluster_gets_the_kept_files(
    spark: SparkSession, folder: str, data: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers read the model folder. If it is deleted or replaced, the driver sends them the kept files."""
    loaded = save_and_load("transformer", elmo(folder, "words"), data, tmp_path / "saved")
    expected = vectors_of(loaded, data)
    monkeypatch.setattr(spark.sparkContext, "master", "spark://host:7077")
    paths = []
    monkeypatch.setattr(loaded, "_embed", lambda columns: paths.append(columns.model) or columns)
    assert loaded.transform(data).collect() == expected
    loaded.write().overwrite().save(str(tmp_path / "saved"))
    assert loaded.transform(data).collect() == expected
    shutil.rmtree(tmp_path / "saved")
    assert loaded.transform(data).collect() == expected
    assert paths[0] == loaded.getModelPath()
    assert [name.startswith("elmo-") for name in paths[1:]] == [True, True]


def test_a_pipeline_of_commit_a814f96(spark: SparkSession) -> None:
    """Its params load, and its vectors are bit-identical."""
    folder = ROOT / "tests" / "data" / "spark_saved_by_a814f96"
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    pipeline = PipelineModel.load(str(folder / "pipeline"))
    (stage,) = pipeline.stages
    assert type(stage) is ElmoEmbeddings
    assert {param.name: value for param, value in stage._paramMap.items() if param.name != "modelPath"} == {
        "inputCols": ["text"], "outputCol": "vectors", "poolingLayer": "elmo", "batchSize": 2, "maxTokensPerBatch": 64,
        "storageRef": "tiny", "dimension": 16, "device": "cpu", "dtype": "float32", "shipModel": False,
        "caseSensitive": True, "lazyAnnotator": True, "configProtoBytes": [1, 2],
    }  # fmt: skip
    data = spark.createDataFrame([(text,) for text in expected["texts"]], "text string").coalesce(1)
    rows = pipeline.transform(data).collect()
    assert len(rows) == len(expected["texts"])
    # Kernels and their summation order depend on these.
    is_same_platform = expected["computed_with"] == {
        "torch": torch.__version__.split("+")[0],
        "vendor": cpu_vendor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
    with np.load(folder / "expected.npz") as vectors:
        for index, row in enumerate(rows):
            actual = matrix(row.vectors)
            if is_same_platform:
                assert actual.tobytes() == vectors[str(index)].tobytes()
            np.testing.assert_allclose(actual, vectors[str(index)], rtol=0, atol=SAME_BATCH)


def test_a_file_system_that_is_not_local(spark: SparkSession, folder: str, mount: Path) -> None:
    """The model is uploaded, downloaded to the driver, and sent to the workers as an archive."""
    data = spark.createDataFrame([(words,) for words in THREE], "words array<string>").coalesce(1)
    path = "viewfs://test/data/elmo"
    elmo(folder, "words").save(path)
    assert (mount / "elmo" / "model" / "config.json").is_file()
    loaded = ElmoEmbeddings.load(path)
    assert loaded.getShipModel()
    expected = elmo(folder, "words").transform(data).collect()
    before = set(spark.sparkContext.listArchives)
    out = loaded.transform(data)
    (name,) = set(spark.sparkContext.listArchives) - before
    assert out.collect() == expected
    loaded.transform(data)
    assert set(spark.sparkContext.listArchives) == {*before, name}, "sent once"
    named = elmo(folder, "words").setModelPath(name.rpartition("#")[2])
    assert named.transform(data).collect() == expected, "the model is found by its name as a Spark file"


def test_a_model_of_the_hub(folder: str, tmp_path: Path) -> None:
    code = """
from pathlib import Path
from modeling_elmo.spark import ElmoEmbeddings
path = ElmoEmbeddings.pretrained("org/elmo").getModelPath()
result = sorted(file.name for file in Path(path).iterdir())
"""
    with HubServer() as hub:
        hub.commit("org/elmo", {file.name: file.read_bytes() for file in Path(folder).iterdir()})
        names = run(code, {**hub.environment(tmp_path), "HF_HUB_OFFLINE": "0"})
    assert names == ["config.json", "model.safetensors", "tokenizer_config.json"], "no code is downloaded"


# -------------------------------------------------------------------- params and errors


def test_params_as_in_spark_nlp(spark: SparkSession, folder: str) -> None:
    transformer = ElmoEmbeddings.pretrained(folder)
    assert transformer.getPoolingLayer() == "word_emb"
    assert transformer.getDimension() == 8
    assert transformer.getBatchSize() is None
    assert transformer.getStorageRef() == transformer.uid
    assert transformer.getCaseSensitive()
    changed = (
        transformer.setInputCols("a", "b")
        .setOutputCol("c")
        .setPoolingLayer("lstm_outputs2")
        .setBatchSize(8)
        .setMaxTokensPerBatch(100)
        .setStorageRef("r")
        .setDimension(16)
        .setCaseSensitive(True)
        .setLazyAnnotator(True)
        .setConfigProtoBytes([1, 2])
        .setDevice("cpu")
        .setDtype("float32")
        .setShipModel(False)
    )
    assert changed is transformer
    assert changed.getInputCols() == ["a", "b"]
    assert (changed.getOutputCol(), changed.getPoolingLayer(), changed.getStorageRef()) == ("c", "lstm_outputs2", "r")
    assert (changed.getBatchSize(), changed.getMaxTokensPerBatch(), changed.getDimension()) == (8, 100, 16)
    assert (changed.getLazyAnnotator(), changed.getConfigProtoBytes()) == (True, [1, 2])
    assert (changed.getDevice(), changed.getDtype(), changed.getEngine()) == ("cpu", "float32", "pytorch")
    assert (changed.name, changed.outputAnnotatorType) == ("ElmoEmbeddings", "word_embeddings")
    assert changed.inputAnnotatorTypes == ["document", "token"]
    parent, name = os.path.split(folder)
    assert ElmoEmbeddings.pretrained(name, remote_loc=parent).getModelPath() == folder
    assert ElmoEmbeddings.loadSavedModel(folder, spark).getModelPath() == folder


@pytest.mark.parametrize(
    ("setter", "value", "error", "message"),
    [
        ("setInputCols", ["a", "b", "c"], TypeError, "Expected two columns .* got"),
        ("setInputCols", [1], TypeError, "Expected two columns"),
        ("setPoolingLayer", "elmo2", ValueError, "`poolingLayer` to be one of .* got 'elmo2'"),
        ("setPoolingLayer", "lstm_outputs3", ValueError, "got 'lstm_outputs3'"),
        ("setBatchSize", 0, ValueError, "`batchSize` to be a positive integer, got 0"),
        ("setCaseSensitive", False, ValueError, "`caseSensitive` to be True, got False"),
        ("setDtype", "int8", ValueError, "dtype.* one of .* got 'int8'"),
    ],
)
def test_wrong_params(
    spark: SparkSession, folder: str, setter: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        getattr(ElmoEmbeddings.pretrained(folder), setter)(value)


def test_wrong_input_is_rejected_on_the_driver(spark: SparkSession, folder: str, tmp_path: Path) -> None:
    data = annotated(spark, [THREE]).withColumn("n", F.lit(1))
    for inputs, error, message in (
        (["nothing"], ValueError, "among id, sentence, token, n, got nothing"),
        (["n"], TypeError, "one string column, one array<string> column, or two .* got int"),
        (["token"], TypeError, "one string column"),
        (["token", "n"], TypeError, "one string column"),
        (["token", "token"], ValueError, "got \\['token', 'token'\\]"),
    ):
        with pytest.raises(error, match=message):
            elmo(folder, inputs).transform(data)
    with pytest.raises(ValueError, match=r"`dimension` 8 for layer 'word_emb' .* got 512"):
        elmo(folder, "sentence", "token", layer="word_emb").setDimension(512).transform(data)
    with pytest.raises(ValueError, match="Cannot transform without a model"):
        ElmoEmbeddings().setInputCols("sentence", "token").setOutputCol("x").transform(data)
    with pytest.raises(ValueError, match="Cannot save ElmoEmbeddings without a model"):
        ElmoEmbeddings().save(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match=r"No model found at .* on the driver"):
        elmo(folder, "sentence", "token").setModelPath(str(tmp_path / "gone")).transform(data)
    with pytest.raises(ValueError, match=r"Expected a model folder with config.json .* got 'elmo'"):
        ElmoEmbeddings.pretrained()


# -------------------------------------------------------------------- the documentation


def test_the_guide(
    spark: SparkSession, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: ElmoEncoder
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, "my-elmo")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "spark.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"spark": spark}
    for block in blocks:
        if "cluster" not in block:
            # Java's working folder is another one.
            code = block.replace('"my-pipeline"', f'"{tmp_path}/my-pipeline"')
            exec(compile(code, "docs/spark.md", "exec"), names)
    assert names["vectors"].count() == 3
    (first, *_) = names["annotated"].collect()
    assert [item.result for item in first.embeddings] == ["We", "sat", "on", "the", "bank", "."]
    assert [first.text[item.begin : item.end + 1] for item in first.embeddings] == [
        item.result for item in first.embeddings
    ]
    assert_same(first.embeddings, encoder.encode([["We", "sat", "on", "the", "bank", "."]])[0])
