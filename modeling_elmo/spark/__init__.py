# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ElmoEmbeddings: a `pyspark.ml` Transformer that replaces Spark NLP's annotator and needs no jars.

It requires the extra `spark`, and this package on the workers. `ElmoEmbeddings` must stay defined in this module,
because Spark saves its path.
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
    SentenceColumns,
    read_annotations,
    read_texts,
    read_words,
    write_annotations,
    write_vectors,
)
from .params import ElmoParams
from .schema import ANNOTATIONS, VECTORS, WORDS, detect_input_type
from .storage import ElmoReader, ElmoWriter

# Number of words whose vectors are sent to Spark together: 64 MB for the original model. An Arrow list has at most
# 2^31 elements, and sentences are sorted by length within such a chunk.
CHUNK_WORDS = 16384

# Missing before Spark 4.1.
_ARROW_UDF: Any = getattr(F, "arrow_udf", None)

Columns = Sequence[pa.Array]
EmbedFunction = Callable[[Columns], Iterator[pa.Array]]


@dataclass(frozen=True)
class EmbedColumns:
    """Function that embeds an Arrow batch on a worker. It yields the output column in chunks, in order.

    Attributes:
        model: Model path, see `spark_model.local_model_folder`.
        layer: See `ElmoEncoder.encode`.
        batch_size: See `ElmoEncoder.encode`.
        max_tokens_per_batch: See `ElmoEncoder.encode`.
        device: See `spark_model.load_worker_encoder`.
        dtype: See `spark_model.load_worker_encoder`.
        input_type: See `detect_input_type`.
        document_first: See `detect_input_type`.
        chunk_words: Approximate number of words per chunk of the output.
    """

    model: str
    layer: str
    batch_size: int | None
    max_tokens_per_batch: int | None
    device: str | None
    dtype: str | None
    input_type: str
    document_first: bool | None = None
    chunk_words: int = CHUNK_WORDS

    def __call__(self, columns: Columns) -> Iterator[pa.Array]:
        if self.input_type == DOCUMENT:
            batch = read_annotations(columns[0], columns[1], self.document_first)
        else:
            batch = (read_words if self.input_type == WORDS else read_texts)(columns[0])
        encoder = spark_model.load_worker_encoder(self.model, self.device, self.dtype)
        spec = encoder.vector_spec(self.layer, dtype=torch.float32)
        windows = self._iter_windows(batch)
        first_token = 0
        for window in encoder.encode_windows(windows, spec, self.batch_size, self.max_tokens_per_batch):
            flat, lengths = window.vectors.numpy(), window.lengths
            if batch.tokens is None:
                yield write_vectors(flat, lengths, window.label)
            else:
                yield write_annotations(flat, lengths, window.label, batch.tokens, first_token)
            first_token += len(flat)

    def _iter_windows(self, batch: SentenceColumns) -> Iterator[Window]:
        """Yield chunks of rows, labeled with their sentence offsets."""
        for start, stop in batch.iter_chunks(self.chunk_words):
            offsets = batch.sentence_offsets[start : stop + 1]
            first, end = int(offsets[0]), int(offsets[-1])
            yield Window(batch.sentences[first:end], label=offsets - first, first=first)


def has_arrow_udf() -> bool:
    """Return whether Spark has functions on Arrow columns (Spark 4.1 or later)."""
    return _ARROW_UDF is not None


def _quote(name: str) -> str:
    """Return the column name in backticks, because Spark reads a dot as access to a field."""
    return "`" + name.replace("`", "``") + "`"


def _apply_arrow_udf(embed: EmbedFunction, inputs: Sequence[str], output_type: DataType) -> Any:
    """Return the output as a column expression. Only the input columns pass through Python."""

    def embed_one(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for column in batches:
            yield from embed([column])

    def embed_two(batches: Iterator[tuple[pa.Array, ...]]) -> Iterator[pa.Array]:
        for columns in batches:
            yield from embed(columns)

    udf = _ARROW_UDF(embed_one if len(inputs) == 1 else embed_two, output_type)
    # Spark can evaluate a deterministic function twice, once for a filter on its result.
    return udf.asNondeterministic()(*(F.col(_quote(name)) for name in inputs))


def _map_in_arrow(
    embed: EmbedFunction, data: DataFrame, inputs: Sequence[str], output: str, output_type: DataType
) -> DataFrame:
    """Return the data with the output as the last column, for Spark before 4.1. All columns pass through Python."""
    positions = [data.columns.index(name) for name in inputs]
    others = [index for index, name in enumerate(data.columns) if name != output]
    fields = [data.schema.fields[index] for index in others]
    # Indices as names, because some versions of Spark fail on names with dots.
    names = [str(index) for index in range(len(others) + 1)]

    def extend(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            start = 0
            for column in embed([batch.column(position) for position in positions]):
                part = batch.slice(start, len(column))
                start += len(column)
                columns = [*(part.column(index) for index in others), column]
                yield pa.RecordBatch.from_arrays(columns, names)

    types = [*(field.dataType for field in fields), output_type]
    schema = StructType([StructField(name, field_type) for name, field_type in zip(names, types, strict=True)])
    mapped = data.toDF(*map(str, range(len(data.columns)))).mapInArrow(extend, schema)
    # mapInArrow drops the metadata of the columns.
    restored = [
        F.col(name).alias(field.name, metadata=field.metadata) for name, field in zip(names, fields, strict=False)
    ]
    return mapped.select(*restored, F.col(names[-1]).alias(output))


class ElmoEmbeddings(ElmoParams, Transformer, MLReadable, MLWritable):
    """Transformer that adds one ELMo vector per word, with the params and columns of Spark NLP's `ElmoEmbeddings`.

    The input columns are one of:

    - Two columns of Spark NLP's annotations, sentences (or documents) and tokens, in either order. The output is Spark
      NLP's array of `word_embeddings` annotations, and the column's metadata are `annotatorType`, `dimension`, and
      `ref`.
    - One `array<string>` column with one sentence of words per row. The output is `array<array<float>>` [words, D].
    - One string column with one sentence per row, which the model's tokenizer splits. The output is the same.

    Null, empty, and whitespace-only rows get empty arrays. Each sentence of a row gets its own vectors; Spark NLP's
    annotator repeats those of the first sentence. Batches contain sentences of several rows.

    Params, each with a setter and a getter:
        poolingLayer: `"word_emb"` (default, as in Spark NLP for Python), `"lstm_outputs1"`, `"lstm_outputs2"`, or
            `"elmo"`, the scalar mix of all layers.
        batchSize: Maximum number of sentences per batch. Defaults to the device's default.
        maxTokensPerBatch: Maximum number of words per batch, padding included. Defaults to the device's default.
        storageRef: `ref` in the metadata of the output. Defaults to the uid.
        dimension: Embedding dimension. It follows from model and layer; `transform` rejects another value.
        modelPath: Path of the model folder on the workers, or its name as a Spark file.
        shipModel: Whether to send the model folder to the workers, for clusters without a shared file system.
        device: Device to compute on. Defaults to the GPU that Spark assigned to the task, any GPU, or the CPU.
        dtype: Dtype of the model, for example `"bfloat16"`. Defaults to that of its weights. Vectors are float32.
        caseSensitive: Always True, because ELMo reads characters.
        lazyAnnotator: Ignored; a param of Spark NLP.
        configProtoBytes: Ignored; a param of Spark NLP.

    Example:
        >>> elmo = ElmoEmbeddings.pretrained("my-elmo").setInputCols("text").setOutputCol("embeddings")
        >>> PipelineModel([elmo]).transform(data).columns
        ['text', 'embeddings']
    """

    inputAnnotatorTypes = [DOCUMENT, TOKEN]
    outputAnnotatorType = WORD_EMBEDDINGS
    name = "ElmoEmbeddings"

    # ---------------------------------------------------------------- loading and saving

    @classmethod
    def pretrained(cls, name: str = "elmo", lang: str = "en", remote_loc: str | None = None) -> "ElmoEmbeddings":
        """Create a transformer with the model of a folder or of the Hub.

        Args:
            name: Folder, as `elmo convert` writes it, or `owner/name` on the Hub.
            lang: Ignored; the model determines the language.
            remote_loc: Folder that contains the folder `name`.

        Raises:
            ValueError: If the model does not exist.
        """
        return cls().setModelPath(spark_model.resolve_model(name, remote_loc))

    @classmethod
    def loadSavedModel(cls, folder: str, spark_session: SparkSession | None = None) -> "ElmoEmbeddings":
        """Call `pretrained(folder)` and ignore the session. Convert a TensorFlow folder first."""
        return cls.pretrained(folder)

    @classmethod
    def read(cls) -> ElmoReader:
        """Return the reader that `load` and `PipelineModel.load` use."""
        return ElmoReader(cls)

    def write(self) -> ElmoWriter:
        """Return the writer of params and model that `save` and `PipelineModel.save` use."""
        return ElmoWriter(self)

    # ---------------------------------------------------------------- transform

    def _transform(self, dataset: DataFrame) -> DataFrame:
        dimension = self.getDimension()
        if self.getModelPath() is None or dimension is None:
            raise ValueError(
                "Cannot transform without a model. Use ElmoEmbeddings.pretrained(...) or setModelPath(...)."
            )
        declared = self.getOrDefault("dimension") if self.isDefined("dimension") else dimension
        if declared != dimension:
            raise ValueError(
                f"Expected `dimension` {dimension} for layer {self.getPoolingLayer()!r} of this model, got {declared}."
            )
        inputs, output = self.getInputCols(), self.getOutputCol()
        input_type, document_first = detect_input_type(dataset, inputs)
        context = dataset.sparkSession.sparkContext
        model = spark_model.distribute_model(context, self._keep_model(), self.getShipModel())
        embed = self._embed(
            EmbedColumns(
                model=model,
                layer=self.getPoolingLayer(),
                batch_size=self.getBatchSize(),
                max_tokens_per_batch=self.getMaxTokensPerBatch(),
                device=self.getDevice(),
                dtype=self.getDtype(),
                input_type=input_type,
                document_first=document_first,
            )
        )
        output_type, metadata = VECTORS, {}
        if input_type == DOCUMENT:
            output_type = ANNOTATIONS
            metadata = {"annotatorType": WORD_EMBEDDINGS, "dimension": dimension, "ref": self.getStorageRef()}
        if has_arrow_udf():
            column = _apply_arrow_udf(embed, inputs, output_type)
        else:
            dataset = _map_in_arrow(embed, dataset, inputs, output, output_type)
            column = F.col(_quote(output))
        return dataset.withColumn(output, column.alias(output, metadata=metadata))

    def _embed(self, columns: EmbedColumns) -> EmbedFunction:
        """Return the function that runs on the workers. Subclasses can wrap it."""
        return columns
