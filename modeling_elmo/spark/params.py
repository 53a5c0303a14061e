# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The params of ElmoEmbeddings: Spark NLP's names, setters and getters, and a few of our own."""

import re
from typing import Any, TypeVar

import torch
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCols, HasOutputCol

from ..encode.vectors import parse_dtype, vector_spec
from . import model as spark_model

_LAYER_NAME = re.compile(r"elmo|word_emb|lstm_outputs[1-9][0-9]*")

P = TypeVar("P", bound="ElmoParams")


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer; got {value!r}.")
    return value


class ElmoParams(HasInputCols, HasOutputCol):
    """What can be set on `ElmoEmbeddings`; each setter returns the transformer."""

    poolingLayer = Param(
        Params._dummy(),
        "poolingLayer",
        "word_emb, lstm_outputs1, lstm_outputs2 or elmo",
        TypeConverters.toString,
    )
    batchSize = Param(Params._dummy(), "batchSize", "most sentences in a forward pass", TypeConverters.toInt)
    maxTokensPerBatch = Param(Params._dummy(), "maxTokensPerBatch", "most words in a pass", TypeConverters.toInt)
    storageRef = Param(Params._dummy(), "storageRef", "name of these embeddings", TypeConverters.toString)
    dimension = Param(Params._dummy(), "dimension", "numbers a vector", TypeConverters.toInt)
    modelPath = Param(Params._dummy(), "modelPath", "folder of the model", TypeConverters.toString)
    shipModel = Param(Params._dummy(), "shipModel", "send the model to the workers", TypeConverters.toBoolean)
    device = Param(Params._dummy(), "device", "where to compute", TypeConverters.toString)
    dtype = Param(Params._dummy(), "dtype", "type of the model's numbers", TypeConverters.toString)
    caseSensitive = Param(Params._dummy(), "caseSensitive", "always true", TypeConverters.toBoolean)
    lazyAnnotator = Param(Params._dummy(), "lazyAnnotator", "without effect", TypeConverters.toBoolean)
    configProtoBytes = Param(Params._dummy(), "configProtoBytes", "without effect", TypeConverters.toListInt)

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(poolingLayer="word_emb", shipModel=False, caseSensitive=True, lazyAnnotator=False)

    def setInputCols(self: P, *value: Any) -> P:
        """One or two names, as a list or one by one; TypeError for another number of them."""
        names = list(value[0]) if len(value) == 1 and isinstance(value[0], (list, tuple)) else list(value)
        if len(names) not in (1, 2) or not all(isinstance(name, str) for name in names):
            raise TypeError(
                "setInputCols takes two columns of annotations, sentences and tokens, or one column of words or text; "
                f"got {names!r}."
            )
        return self._set(inputCols=names)

    def setOutputCol(self: P, value: str) -> P:
        """Name of the new column."""
        return self._set(outputCol=value)

    def setPoolingLayer(self: P, value: str) -> P:
        """Which vectors; ValueError for a layer that the model has not (Spark NLP silently takes `word_emb`)."""
        if not isinstance(value, str) or not _LAYER_NAME.fullmatch(value):
            raise ValueError(
                f"poolingLayer must be one of elmo, word_emb, lstm_outputs1, lstm_outputs2, ...; got {value!r}."
            )
        if self.isDefined("modelPath"):
            self._config().layer_index(value)
        return self._set(poolingLayer=value)

    def getPoolingLayer(self) -> str:
        """Which vectors."""
        return self.getOrDefault("poolingLayer")

    def setBatchSize(self: P, value: int) -> P:
        """Most sentences in a forward pass."""
        return self._set(batchSize=_positive("batchSize", value))

    def getBatchSize(self) -> int | None:
        """Most sentences in a forward pass; None for as many as suit the device."""
        return self._value("batchSize")

    def setMaxTokensPerBatch(self: P, value: int) -> P:
        """Most words in a forward pass, padding included."""
        return self._set(maxTokensPerBatch=_positive("maxTokensPerBatch", value))

    def getMaxTokensPerBatch(self) -> int | None:
        """Most words in a forward pass; None for what suits the device."""
        return self._value("maxTokensPerBatch")

    def setStorageRef(self: P, value: str) -> P:
        """The `ref` that the output column bears, and that models trained on it ask for."""
        return self._set(storageRef=value)

    def getStorageRef(self) -> str:
        """The `ref` that the output column bears."""
        return self._value("storageRef") or self.uid

    def setDimension(self: P, value: int) -> P:
        """State the numbers a vector; `transform` refuses if the model's are others."""
        return self._set(dimension=_positive("dimension", value))

    def getDimension(self) -> int | None:
        """The numbers a vector of this model and layer; None without a model."""
        if not self.isDefined("modelPath"):
            return self._value("dimension")
        return vector_spec(self._config(), self.getPoolingLayer(), None, False, torch.float32).shape[0]

    def setModelPath(self: P, value: str) -> P:
        """The model's folder as the workers see it, or its name among Spark's files (`addFile`, `--archives`)."""
        return self._set(modelPath=str(value))

    def getModelPath(self) -> str | None:
        """The model's folder."""
        return self._value("modelPath")

    def setShipModel(self: P, value: bool) -> P:
        """Whether to send the model folder to the workers."""
        return self._set(shipModel=value)

    def getShipModel(self) -> bool:
        """Whether to send the model folder to the workers."""
        return self.getOrDefault("shipModel")

    def setDevice(self: P, value: str) -> P:
        """Where to compute: `"cpu"`, `"cuda"`, `"cuda:1"`."""
        return self._set(device=str(torch.device(value)))

    def getDevice(self) -> str | None:
        """Where to compute."""
        return self._value("device")

    def setDtype(self: P, value: str) -> P:
        """Type of the model's numbers: `"float32"`, `"bfloat16"`; ValueError for one that is none."""
        parse_dtype(value)
        return self._set(dtype=value)

    def getDtype(self) -> str | None:
        """Type of the model's numbers."""
        return self._value("dtype")

    def setCaseSensitive(self: P, value: bool) -> P:
        """Accepts True; False is a ValueError, for ELMo reads words as they are."""
        if value is not True:
            raise ValueError(f"caseSensitive must be True, as ELMo reads words as they are; got {value!r}.")
        return self._set(caseSensitive=value)

    def getCaseSensitive(self) -> bool:
        """Always True."""
        return self.getOrDefault("caseSensitive")

    def setLazyAnnotator(self: P, value: bool) -> P:
        """Without effect."""
        return self._set(lazyAnnotator=value)

    def getLazyAnnotator(self) -> bool:
        """Without effect."""
        return self.getOrDefault("lazyAnnotator")

    def setConfigProtoBytes(self: P, value: list[int]) -> P:
        """Without effect: there is no TensorFlow."""
        return self._set(configProtoBytes=value)

    def getConfigProtoBytes(self) -> list[int] | None:
        """Without effect."""
        return self._value("configProtoBytes")

    def getEngine(self) -> str:
        """What computes."""
        return "pytorch"

    def _value(self, name: str) -> Any:
        return self.getOrDefault(name) if self.isDefined(name) else None

    def _config(self) -> Any:
        path = self.getModelPath()
        if path is None:
            raise ValueError("ElmoEmbeddings needs a model: ElmoEmbeddings.pretrained(...) or setModelPath(...).")
        return spark_model.load_config(path)
