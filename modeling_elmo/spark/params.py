# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Params of ElmoEmbeddings: those of Spark NLP's annotator, and additional ones."""

import re
from typing import Any, TypeVar

import torch
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCols, HasOutputCol

from ..encode.vectors import parse_dtype, vector_spec
from ..model.configuration_elmo import ElmoConfig
from . import model as spark_model

_LAYER_NAME = re.compile(r"elmo|word_emb|lstm_outputs[1-9][0-9]*")

P = TypeVar("P", bound="ElmoParams")


def _check_positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"Expected `{name}` to be a positive integer, got {value!r}.")
    return value


class ElmoParams(HasInputCols, HasOutputCol):
    """Params of `ElmoEmbeddings`. Each setter returns the transformer. The names are saved."""

    poolingLayer = Param(
        Params._dummy(),
        "poolingLayer",
        "word_emb, lstm_outputs1, lstm_outputs2 or elmo",
        TypeConverters.toString,
    )
    batchSize = Param(Params._dummy(), "batchSize", "maximum number of sentences per batch", TypeConverters.toInt)
    maxTokensPerBatch = Param(
        Params._dummy(), "maxTokensPerBatch", "maximum number of words per batch", TypeConverters.toInt
    )
    storageRef = Param(Params._dummy(), "storageRef", "name of these embeddings", TypeConverters.toString)
    dimension = Param(Params._dummy(), "dimension", "embedding dimension", TypeConverters.toInt)
    modelPath = Param(Params._dummy(), "modelPath", "folder of the model", TypeConverters.toString)
    shipModel = Param(Params._dummy(), "shipModel", "send the model to the workers", TypeConverters.toBoolean)
    device = Param(Params._dummy(), "device", "device to compute on", TypeConverters.toString)
    dtype = Param(Params._dummy(), "dtype", "dtype of the model", TypeConverters.toString)
    caseSensitive = Param(Params._dummy(), "caseSensitive", "always true", TypeConverters.toBoolean)
    lazyAnnotator = Param(Params._dummy(), "lazyAnnotator", "ignored", TypeConverters.toBoolean)
    configProtoBytes = Param(Params._dummy(), "configProtoBytes", "ignored", TypeConverters.toListInt)

    _kept_model: spark_model.KeptModel | None = None

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(poolingLayer="word_emb", shipModel=False, caseSensitive=True, lazyAnnotator=False)

    def setInputCols(self: P, *value: Any) -> P:
        """Set the input columns, as a list or as separate arguments.

        Raises:
            TypeError: If there are not one or two names.
        """
        names = list(value[0]) if len(value) == 1 and isinstance(value[0], (list, tuple)) else list(value)
        if len(names) not in (1, 2) or not all(isinstance(name, str) for name in names):
            raise TypeError(
                "Expected two columns of annotations (sentences and tokens) or one column of words or text, "
                f"got {names!r}."
            )
        return self._set(inputCols=names)

    def setOutputCol(self: P, value: str) -> P:
        """Set the name of the new column."""
        return self._set(outputCol=value)

    def setPoolingLayer(self: P, value: str) -> P:
        """Set the layer. Spark NLP silently uses `word_emb` for an unknown one.

        Raises:
            ValueError: If the model does not have the layer.
        """
        if not isinstance(value, str) or not _LAYER_NAME.fullmatch(value):
            raise ValueError(
                "Expected `poolingLayer` to be one of elmo, word_emb, lstm_outputs1, lstm_outputs2, ..., "
                f"got {value!r}."
            )
        if self.isDefined("modelPath"):
            self._load_config().layer_index(value)
        return self._set(poolingLayer=value)

    def getPoolingLayer(self) -> str:
        """Return the layer."""
        return self.getOrDefault("poolingLayer")

    def setBatchSize(self: P, value: int) -> P:
        """Set the maximum number of sentences per batch."""
        return self._set(batchSize=_check_positive("batchSize", value))

    def getBatchSize(self) -> int | None:
        """Return the maximum number of sentences per batch, or None for the device's default."""
        return self._get("batchSize")

    def setMaxTokensPerBatch(self: P, value: int) -> P:
        """Set the maximum number of words per batch, padding included."""
        return self._set(maxTokensPerBatch=_check_positive("maxTokensPerBatch", value))

    def getMaxTokensPerBatch(self) -> int | None:
        """Return the maximum number of words per batch, or None for the device's default."""
        return self._get("maxTokensPerBatch")

    def setStorageRef(self: P, value: str) -> P:
        """Set the `ref` in the metadata of the output column. Spark NLP's models compare it with their own."""
        return self._set(storageRef=value)

    def getStorageRef(self) -> str:
        """Return the `ref` in the metadata of the output column."""
        return self._get("storageRef") or self.uid

    def setDimension(self: P, value: int) -> P:
        """Declare the embedding dimension. `transform` rejects a value that differs from the model's."""
        return self._set(dimension=_check_positive("dimension", value))

    def getDimension(self) -> int | None:
        """Return the embedding dimension of the model's layer. Without a model, it is the declared one or None."""
        if not self.isDefined("modelPath"):
            return self._get("dimension")
        return vector_spec(self._load_config(), self.getPoolingLayer(), None, False, torch.float32).shape[0]

    def setModelPath(self: P, value: str) -> P:
        """Set the path of the model folder on the workers, or its name as a Spark file (`addFile`, `--archives`).

        The transformer keeps the files of a folder that exists on the driver, so that the folder can be deleted.
        """
        self._set(modelPath=str(value))
        if spark_model.is_model_folder(value):
            self._keep_model()
        return self

    def getModelPath(self) -> str | None:
        """Return the path of the model folder, or None."""
        return self._get("modelPath")

    def setShipModel(self: P, value: bool) -> P:
        """Set whether to send the model folder to the workers."""
        return self._set(shipModel=value)

    def getShipModel(self) -> bool:
        """Return whether to send the model folder to the workers."""
        return self.getOrDefault("shipModel")

    def setDevice(self: P, value: str) -> P:
        """Set the device to compute on: `"cpu"`, `"cuda"`, `"cuda:1"`."""
        return self._set(device=str(torch.device(value)))

    def getDevice(self) -> str | None:
        """Return the device to compute on, or None for the default."""
        return self._get("device")

    def setDtype(self: P, value: str) -> P:
        """Set the dtype of the model: `"float32"`, `"bfloat16"`, `"float16"`, `"float64"`.

        Raises:
            ValueError: If the dtype is unknown.
        """
        parse_dtype(value)
        return self._set(dtype=value)

    def getDtype(self) -> str | None:
        """Return the dtype of the model, or None for that of its weights."""
        return self._get("dtype")

    def setCaseSensitive(self: P, value: bool) -> P:
        """Accept True, because ELMo is always case-sensitive.

        Raises:
            ValueError: If the value is not True.
        """
        if value is not True:
            raise ValueError(
                f"Expected `caseSensitive` to be True, got {value!r}. Lowercase the words to ignore their case."
            )
        return self._set(caseSensitive=value)

    def getCaseSensitive(self) -> bool:
        """Return True."""
        return self.getOrDefault("caseSensitive")

    def setLazyAnnotator(self: P, value: bool) -> P:
        """Set a value that is ignored."""
        return self._set(lazyAnnotator=value)

    def getLazyAnnotator(self) -> bool:
        """Return the ignored value."""
        return self.getOrDefault("lazyAnnotator")

    def setConfigProtoBytes(self: P, value: list[int]) -> P:
        """Set a value that is ignored, because the model does not use TensorFlow."""
        return self._set(configProtoBytes=value)

    def getConfigProtoBytes(self) -> list[int] | None:
        """Return the ignored value, or None."""
        return self._get("configProtoBytes")

    def getEngine(self) -> str:
        """Return the name of the library that computes the vectors."""
        return "pytorch"

    def _get(self, name: str) -> Any:
        """Return the value of a param, or None if it is not set and has no default."""
        return self.getOrDefault(name) if self.isDefined(name) else None

    def _keep_model(self) -> spark_model.KeptModel:
        """Return the model at the path, which must be set, and keep its files from the first call on."""
        path, kept = self.getOrDefault("modelPath"), self._kept_model
        if kept is None or kept.path != path or not spark_model.is_model_folder(kept.folder):
            kept = self._kept_model = spark_model.keep_model(path)
        return kept

    def _load_config(self) -> ElmoConfig:
        """Return the configuration of the model, whose path must be set."""
        return spark_model.load_config(self._keep_model().folder)
