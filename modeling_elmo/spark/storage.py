# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Saving and loading of ElmoEmbeddings: the params in Spark's own format, next to a copy of the model folder."""

import shutil
from pathlib import Path
from typing import Any

from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReader, MLWriter

from . import model as spark_model

_MODEL_FOLDER = "model"  # saved: name of the model folder in the folder of a transformer


def _hadoop_path(session: Any, path: str) -> tuple[Any, Any, Path | None]:
    """Return Hadoop's file system of `path`, the qualified path, and the local path if the file system is local."""
    target = session.sparkContext._jvm.org.apache.hadoop.fs.Path(path)
    file_system = target.getFileSystem(session._jsparkSession.sessionState().newHadoopConf())
    target = file_system.makeQualified(target)
    is_local = target.toUri().getScheme() == "file"
    return file_system, target, Path(target.toUri().getPath()) if is_local else None


def upload_model(session: Any, folder: str, path: str) -> None:
    """Copy the model folder to `path` in any Hadoop file system."""
    file_system, target, local = _hadoop_path(session, path)
    if local is not None:
        local.mkdir(parents=True, exist_ok=True)
    else:
        file_system.mkdirs(target)
    hadoop_path = session.sparkContext._jvm.org.apache.hadoop.fs.Path
    for file in spark_model.list_model_files(Path(folder)):
        if local is not None:
            shutil.copyfile(file, local / file.name)  # follows the symbolic links of the Hub's cache
        else:
            file_system.copyFromLocalFile(hadoop_path(file.resolve().as_uri()), hadoop_path(target, file.name))


def download_model(session: Any, path: str) -> tuple[str, bool]:
    """Return the local path of a saved model folder, and whether it is a copy that only the driver has."""
    file_system, target, local = _hadoop_path(session, path)
    if local is not None:
        return str(local), False
    folder = spark_model.create_temporary_folder() / _MODEL_FOLDER
    hadoop_path = session.sparkContext._jvm.org.apache.hadoop.fs.Path
    file_system.copyToLocalFile(False, target, hadoop_path(folder.as_uri()), True)
    return str(folder), True


class ElmoWriter(MLWriter):
    """Writer of the params, in Spark's own format, and of the model folder."""

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.instance = instance

    def save(self, path: str) -> None:
        """Write to a folder of any file system that Spark supports.

        Raises:
            ValueError: If there is no model to save.
        """
        if self.instance.getModelPath() is None:
            raise ValueError(
                "Cannot save ElmoEmbeddings without a model. Use ElmoEmbeddings.pretrained(...) or setModelPath(...)."
            )
        self.instance._keep_model()  # `overwrite()` can delete the model folder
        super().save(path)

    def saveImpl(self, path: str) -> None:
        """Write the files. `save` has removed old ones."""
        transformer = self.instance
        # The saved model path would be wrong, because the copy has another one.
        params = {param.name: value for param, value in transformer._paramMap.items() if param.name != "modelPath"}
        DefaultParamsWriter.saveMetadata(transformer, path, self.sc, paramMap=params)
        upload_model(self.sparkSession, transformer._keep_model().folder, f"{path}/{_MODEL_FOLDER}")


class ElmoReader(MLReader):
    """Reader of the folders of `ElmoWriter` and of converted models."""

    def __init__(self, cls: Any) -> None:
        super().__init__()
        self.cls = cls

    def load(self, path: str) -> Any:
        """Load the transformer that was saved to `path`.

        A folder that is not local is copied to the driver, and its model will be sent to the workers.

        Raises:
            ValueError: If `path` contains another class, for example an annotator of Spark NLP.
        """
        if spark_model.is_model_folder(path):
            return self.cls.pretrained(path)
        metadata = DefaultParamsReader.loadMetadata(path, self.sc)
        expected = f"{self.cls.__module__}.{self.cls.__name__}"
        if metadata["class"] != expected:
            raise ValueError(f"Expected a saved {expected} or a model folder at {path!r}, got {metadata['class']}.")
        transformer = self.cls()._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(transformer, metadata)
        folder, is_copy = download_model(self.sparkSession, f"{path}/{_MODEL_FOLDER}")
        transformer.setModelPath(folder)
        return transformer.setShipModel(True) if is_copy else transformer
