# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The types of ElmoEmbeddings' columns: what comes in, told by its type, and what goes out."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    DataType,
    FloatType,
    IntegerType,
    MapType,
    StringType,
    StructField,
    StructType,
)

from .columns import DOCUMENT, TOKEN

_FLOATS = ArrayType(FloatType(), containsNull=False)
VECTORS = ArrayType(_FLOATS)
ANNOTATIONS = ArrayType(
    StructType(
        [
            StructField("annotatorType", StringType()),
            StructField("begin", IntegerType(), nullable=False),
            StructField("end", IntegerType(), nullable=False),
            StructField("result", StringType()),
            StructField("metadata", MapType(StringType(), StringType())),
            StructField("embeddings", _FLOATS),
        ]
    )
)
TEXT, WORDS = "text", "words"


def input_kind(data: DataFrame, inputs: Sequence[str]) -> tuple[str, bool | None]:
    """What the input columns hold, and for annotations whether sentences come first, None if only the data say.

    Raises:
        ValueError: a column is missing, or two columns do not say sentences and tokens.
        TypeError: the columns hold something else.
    """
    missing = [name for name in inputs if name not in data.columns]
    if missing:
        raise ValueError(f"the input columns must be among {', '.join(data.columns)}; got {', '.join(missing)}.")
    fields = [data.schema[name] for name in inputs]
    types = [field.dataType for field in fields]
    if types == [StringType()]:
        return TEXT, None
    if len(types) == 1 and isinstance(types[0], ArrayType) and types[0].elementType == StringType():
        return WORDS, None
    if len(types) != 2 or not all(_is_annotations(column_type) for column_type in types):
        raise TypeError(
            "the input must be one string column, one array<string> column, or two columns of annotations (array of "
            f"structs with begin, end and result); got {', '.join(each.simpleString() for each in types)}."
        )
    roles = [field.metadata.get("annotatorType") for field in fields]
    for document_first, expected in ((True, [DOCUMENT, TOKEN]), (False, [TOKEN, DOCUMENT])):
        if all(role in (None, wanted) for role, wanted in zip(roles, expected, strict=True)):
            return DOCUMENT, document_first if any(roles) else None
    raise ValueError(f"the input columns must be of the types {DOCUMENT!r} and {TOKEN!r}; got {roles}.")


def _is_annotations(column_type: DataType) -> bool:
    element = column_type.elementType if isinstance(column_type, ArrayType) else None
    return isinstance(element, StructType) and {"begin", "end", "result"} <= set(element.names)
