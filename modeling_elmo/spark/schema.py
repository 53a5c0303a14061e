# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Types of the input and output columns of ElmoEmbeddings."""

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


def detect_input_type(data: DataFrame, inputs: Sequence[str]) -> tuple[str, bool | None]:
    """Return the input type and, for annotations, whether the first column holds the sentences.

    Returns:
        `"text"`, `"words"`, or `"document"` (annotations), and True or False for annotations. The second value is None
        if the columns have no metadata, so that only the data show the order.

    Raises:
        ValueError: If a column is missing, or two columns are not sentences and tokens.
        TypeError: If the columns have other types.
    """
    missing = [name for name in inputs if name not in data.columns]
    if missing:
        raise ValueError(f"Expected input columns among {', '.join(data.columns)}, got {', '.join(missing)}.")
    fields = [data.schema[name] for name in inputs]
    types = [field.dataType for field in fields]
    if types == [StringType()]:
        return TEXT, None
    if len(types) == 1 and isinstance(types[0], ArrayType) and types[0].elementType == StringType():
        return WORDS, None
    if len(types) != 2 or not all(_is_annotations(column_type) for column_type in types):
        raise TypeError(
            "Expected one string column, one array<string> column, or two columns of annotations (array of structs "
            f"with begin, end, and result), got {', '.join(column_type.simpleString() for column_type in types)}."
        )
    roles = [field.metadata.get("annotatorType") for field in fields]
    for document_first, expected_roles in ((True, [DOCUMENT, TOKEN]), (False, [TOKEN, DOCUMENT])):
        if all(role in (None, expected) for role, expected in zip(roles, expected_roles, strict=True)):
            return DOCUMENT, document_first if any(roles) else None
    raise ValueError(f"Expected input columns of the types {DOCUMENT!r} and {TOKEN!r}, got {roles}.")


def _is_annotations(column_type: DataType) -> bool:
    element = column_type.elementType if isinstance(column_type, ArrayType) else None
    return isinstance(element, StructType) and {"begin", "end", "result"} <= set(element.names)
