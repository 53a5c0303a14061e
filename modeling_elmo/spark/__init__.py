# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ElmoEmbeddings: ELMo as a `pyspark.ml` Transformer, in place of Spark NLP's annotator and without its jars.

Needs the extra `spark`. The workers need this package too.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from pyspark.ml import Transformer
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField, StructType

from ..encode.batches import Window
from . import model as spark_model
from .columns import (
    DOCUMENT,
    TOKEN,
    WORD_EMBEDDINGS,
    Rows,
    read_annotations,
    read_texts,
    read_words,
    write_annotations,
    write_vectors,
)
from .params import ElmoParams
from .schema import ANNOTATIONS, VECTORS, WORDS, input_kind
from .storage import ElmoReader, ElmoWriter

# Words whose vectors go to Spark at once: 64 MB at ELMo's size. An Arrow list holds 2^31 numbers at most, and
# batches are sorted by length inside such a chunk.
CHUNK_WORDS = 16384

_ARROW_UDF: Any = getattr(F, "arrow_udf", None)  # not there before Spark 4.1

Columns = Sequence[pa.Array]
Embed = Callable[[Columns], Iterator[pa.Array]]


@dataclass(frozen=True)
class EmbedColumns:
    """What a worker does with an Arrow batch: input columns to the chunks of the output column, in order.

    Attributes:
        model: as for `spark_model.locate`.
        layer, batch_size, max_tokens_per_batch: as for `ElmoEncoder.encode`.
        device, dtype: as for `spark_model.worker_encoder`.
        kind: what the columns hold: `"text"`, `"words"` or `"document"` (annotations).
        document_first: for annotations, whether the first column holds the sentences; None if only the data say.
        chunk_words: about how many words' vectors go to Spark at once.
    """

    model: str
    layer: str
    batch_size: int | None
    max_tokens_per_batch: int | None
    device: str | None
    dtype: str | None
    kind: str
    document_first: bool | None = None
    chunk_words: int = CHUNK_WORDS

    def __call__(self, columns: Columns) -> Iterator[pa.Array]:
        if self.kind == DOCUMENT:
            rows = read_annotations(columns[0], columns[1], self.document_first)
        else:
            rows = (read_words if self.kind == WORDS else read_texts)(columns[0])
        encoder = spark_model.worker_encoder(self.model, self.device, self.dtype)
        vectors = encoder.vector_spec(self.layer, dtype=torch.float32)
        windows = self._windows(rows)
        first_token = 0
        for window in encoder.encode_windows(windows, vectors, self.batch_size, self.max_tokens_per_batch):
            flat, lengths = window.vectors.numpy(), window.lengths
            if rows.tokens is None:
                yield write_vectors(flat, lengths, window.label)
            else:
                yield write_annotations(flat, lengths, window.label, rows.tokens, first_token)
            first_token += len(flat)

    def _windows(self, rows: Rows) -> Iterator[Window]:
        for start, stop in rows.chunks(self.chunk_words):
            firsts = rows.firsts[start : stop + 1]
            yield Window(rows.sentences[firsts[0] : firsts[-1]], label=firsts - firsts[0], first=int(firsts[0]))


def has_arrow_udf() -> bool:
    """Whether functions on Arrow columns exist, as they do from Spark 4.1 on."""
    return _ARROW_UDF is not None


def _quoted(name: str) -> str:
    """A column's name where Spark would read dots as fields."""
    return "`" + name.replace("`", "``") + "`"


def _column(embed: Embed, inputs: Sequence[str], output_type: DataType) -> Any:
    """The output as an expression, which leaves the other columns where they are."""

    def one(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for column in batches:
            yield from embed([column])

    def two(batches: Iterator[tuple[pa.Array, ...]]) -> Iterator[pa.Array]:
        for columns in batches:
            yield from embed(columns)

    udf = _ARROW_UDF(one if len(inputs) == 1 else two, output_type)
    # Spark may compute a deterministic function twice, once for a filter on its result.
    return udf.asNondeterministic()(*(F.col(_quoted(name)) for name in inputs))


def _with_map(embed: Embed, data: DataFrame, inputs: Sequence[str], output: str, output_type: DataType) -> DataFrame:
    """The output as a last column, for Spark before 4.1: every column passes through Python."""
    places = [data.columns.index(name) for name in inputs]
    others = [index for index, name in enumerate(data.columns) if name != output]
    fields = [data.schema.fields[index] for index in others]
    # Numbers for names: in some versions of Spark, names with dots do not get through.
    names = [str(index) for index in range(len(others) + 1)]

    def extend(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            start = 0
            for column in embed([batch.column(place) for place in places]):
                part = batch.slice(start, len(column))
                start += len(column)
                columns = [*(part.column(index) for index in others), column]
                yield pa.RecordBatch.from_arrays(columns, names)

    types = [*(field.dataType for field in fields), output_type]
    schema = StructType([StructField(name, each) for name, each in zip(names, types, strict=True)])
    mapped = data.toDF(*map(str, range(len(data.columns)))).mapInArrow(extend, schema)
    # The way through Python loses the columns' metadata.
    kept = [F.col(name).alias(field.name, metadata=field.metadata) for name, field in zip(names, fields, strict=False)]
    return mapped.select(*kept, F.col(names[-1]).alias(output))


class ElmoEmbeddings(ElmoParams, Transformer, MLReadable, MLWritable):
    """Adds ELMo's vectors to a DataFrame, one a word, with the names and columns of Spark NLP's `ElmoEmbeddings`.

    The input columns are one of:

    - two columns of Spark NLP's annotations, sentences (or documents) and tokens, in either order. The output is its
      array of `word_embeddings` annotations, and the column's metadata say `annotatorType`, `dimension` and `ref`;
    - one `array<string>` column, a sentence of words in each row. The output is `array<array<float>>` [words, D];
    - one string column, a sentence in each row, which the model's tokenizer splits. The output is the same.

    Null, empty and blank rows get empty arrays. Each sentence of a row is read by itself and gets its own vectors
    (Spark NLP's annotator repeats the first sentence's). Batches are made across rows.

        elmo = ElmoEmbeddings.pretrained("my-elmo").setInputCols(["sentence", "token"]).setOutputCol("embeddings")
        PipelineModel([elmo]).transform(data)

    Params, each with a setter and a getter:
        poolingLayer: `"word_emb"` (the default, as in Spark NLP for Python), `"lstm_outputs1"`, `"lstm_outputs2"` or
            `"elmo"`, the weighted sum of all.
        batchSize: most sentences in a forward pass; unset for as many as suit the device.
        maxTokensPerBatch: most words in a forward pass; unset for what suits the device.
        storageRef: the `ref` of the output's metadata; the uid by default.
        dimension: numbers a vector. They follow from model and layer; another number set here is refused.
        modelPath: the model's folder as the workers see it, or its name among Spark's files.
        shipModel: send the model folder to the workers; for clusters without a common file system.
        device: where to compute; unset for the GPU that Spark gave the task, else for any GPU, else the CPU.
        dtype: of the model, `"float32"` or `"bfloat16"`, say; unset for that of its weights. Vectors are float32.
        caseSensitive: always True; ELMo reads characters.
        lazyAnnotator, configProtoBytes: Spark NLP's; without effect.
    """

    inputAnnotatorTypes = [DOCUMENT, TOKEN]
    outputAnnotatorType = WORD_EMBEDDINGS
    name = "ElmoEmbeddings"

    # ---------------------------------------------------------------- where models come from

    @classmethod
    def pretrained(cls, name: str = "elmo", lang: str = "en", remote_loc: str | None = None) -> "ElmoEmbeddings":
        """A transformer with the model of a folder or of the Hub.

        Args:
            name: a folder, as `elmo convert` writes, or the Hub's `owner/name`; no model comes with the package.
            lang: without effect: a model knows one language.
            remote_loc: a folder of model folders, in which `name` is.

        Raises:
            ValueError: there is no such model.
        """
        return cls().setModelPath(spark_model.resolve(name, remote_loc))

    @classmethod
    def loadSavedModel(cls, folder: str, spark_session: SparkSession | None = None) -> "ElmoEmbeddings":
        """As `pretrained(folder)`; the session is not needed. TensorFlow's folders have to be converted before."""
        return cls.pretrained(folder)

    @classmethod
    def read(cls) -> ElmoReader:
        """Reads what `write` wrote; `load(path)` and `PipelineModel.load` do it with this."""
        return ElmoReader(cls)

    def write(self) -> ElmoWriter:
        """Writes the params and a copy of the model; `save(path)` and `PipelineModel.save` do it with this."""
        return ElmoWriter(self)

    # ---------------------------------------------------------------- transform

    def _transform(self, dataset: DataFrame) -> DataFrame:
        model = self.getModelPath()
        dimension = self.getDimension()
        if model is None or dimension is None:
            raise ValueError("ElmoEmbeddings needs a model: ElmoEmbeddings.pretrained(...) or setModelPath(...).")
        stated = self.getOrDefault("dimension") if self.isDefined("dimension") else dimension
        if stated != dimension:
            raise ValueError(
                f"dimension must be {dimension}, as layer {self.getPoolingLayer()!r} of this model has; got {stated}."
            )
        inputs, output = self.getInputCols(), self.getOutputCol()
        kind, document_first = input_kind(dataset, inputs)
        if self.getShipModel():
            model = spark_model.ship(dataset.sparkSession.sparkContext, model)
        embed = self._embed(
            EmbedColumns(
                model=model,
                layer=self.getPoolingLayer(),
                batch_size=self.getBatchSize(),
                max_tokens_per_batch=self.getMaxTokensPerBatch(),
                device=self.getDevice(),
                dtype=self.getDtype(),
                kind=kind,
                document_first=document_first,
            )
        )
        output_type, metadata = VECTORS, {}
        if kind == DOCUMENT:
            output_type = ANNOTATIONS
            metadata = {"annotatorType": WORD_EMBEDDINGS, "dimension": dimension, "ref": self.getStorageRef()}
        if has_arrow_udf():
            column = _column(embed, inputs, output_type)
        else:
            dataset = _with_map(embed, dataset, inputs, output, output_type)
            column = F.col(_quoted(output))
        return dataset.withColumn(output, column.alias(output, metadata=metadata))

    def _embed(self, columns: EmbedColumns) -> Embed:
        """The work of a worker, for subclasses to wrap."""
        return columns
