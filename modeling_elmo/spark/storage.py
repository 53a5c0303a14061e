# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Saving and loading ElmoEmbeddings: the params as Spark's own transformers do, and the model's folder beside them."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReader, MLWriter

from . import model as spark_model

_MODEL = "model"  # the model's folder in the folder of a saved transformer

# Copies of models from file systems that are not local; they live as long as the process.
_copies: list[tempfile.TemporaryDirectory] = []


def _hadoop(session: Any, path: str) -> tuple[Any, Any, Path | None]:
    """Hadoop's file system of `path`, the full path, and the local path if it is one."""
    target = session.sparkContext._jvm.org.apache.hadoop.fs.Path(path)
    files = target.getFileSystem(session._jsparkSession.sessionState().newHadoopConf())
    target = files.makeQualified(target)
    return files, target, Path(target.toUri().getPath()) if target.toUri().getScheme() == "file" else None


def is_inside(session: Any, model_path: str, path: str) -> bool:
    """Whether the model at `model_path` lies in the folder `path` of Hadoop's."""
    local = _hadoop(session, path)[2]
    return local is not None and spark_model.locate(model_path).resolve().is_relative_to(local.resolve())


def store(session: Any, model_path: str, path: str) -> None:
    """Copy the model folder to `path`, in whatever file system that is."""
    files, target, local = _hadoop(session, path)
    if local is not None:
        local.mkdir(parents=True, exist_ok=True)
    else:
        files.mkdirs(target)
    hadoop_path = session.sparkContext._jvm.org.apache.hadoop.fs.Path
    for file in spark_model.model_files(spark_model.locate(model_path)):
        if local is not None:
            shutil.copyfile(file, local / file.name)  # follows the links of the Hub's cache
        else:
            files.copyFromLocalFile(hadoop_path(file.resolve().as_uri()), hadoop_path(target, file.name))


def fetch(session: Any, path: str) -> tuple[str, bool]:
    """A stored model folder as a local one: its path, and whether it is a copy that only the driver has."""
    files, target, local = _hadoop(session, path)
    if local is not None:
        return str(local), False
    place = tempfile.TemporaryDirectory(prefix="elmo-spark-")
    _copies.append(place)
    folder = Path(place.name, "model")
    hadoop_path = session.sparkContext._jvm.org.apache.hadoop.fs.Path
    files.copyToLocalFile(False, target, hadoop_path(folder.as_uri()), True)
    return str(folder), True


class ElmoWriter(MLWriter):
    """Writes params as Spark's own transformers do, and the model's folder beside them."""

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.instance = instance

    def save(self, path: str) -> None:
        """Write to a folder of any file system that Spark knows.

        Raises:
            ValueError: there is no model to save, or `overwrite()` would delete it.
        """
        model = self.instance.getModelPath()
        if model is None:
            raise ValueError("ElmoEmbeddings needs a model before it is saved: pretrained(...) or setModelPath(...).")
        if self.shouldOverwrite and is_inside(self.sparkSession, model, path):
            raise ValueError(f"{path!r} cannot be overwritten, as the model is loaded from there; save elsewhere.")
        super().save(path)

    def saveImpl(self, path: str) -> None:
        """What is left after old files are gone."""
        transformer = self.instance
        # Not the model's path: the copy has another.
        params = {param.name: value for param, value in transformer._paramMap.items() if param.name != "modelPath"}
        DefaultParamsWriter.saveMetadata(transformer, path, self.sc, paramMap=params)
        store(self.sparkSession, transformer.getModelPath(), f"{path}/{_MODEL}")


class ElmoReader(MLReader):
    """Reads what `ElmoWriter` wrote, or the folder of a converted model."""

    def __init__(self, cls: Any) -> None:
        super().__init__()
        self.cls = cls

    def load(self, path: str) -> Any:
        """The transformer that was saved to `path`.

        A folder that is not local is copied to the driver, and its model will be shipped to the workers.

        Raises:
            ValueError: something else was saved there; annotators of Spark NLP hold TensorFlow graphs.
        """
        if spark_model.is_model(path):
            return self.cls.pretrained(path)
        metadata = DefaultParamsReader.loadMetadata(path, self.sc)
        expected = f"{self.cls.__module__}.{self.cls.__name__}"
        if metadata["class"] != expected:
            raise ValueError(f"{path!r} must hold a saved {expected} or a converted model; got {metadata['class']}.")
        transformer = self.cls()._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(transformer, metadata)
        folder, is_copy = fetch(self.sparkSession, f"{path}/{_MODEL}")
        transformer.setModelPath(folder)
        return transformer.setShipModel(True) if is_copy else transformer
