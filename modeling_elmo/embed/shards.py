# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Numbered shards, written atomically, each with its statistics."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..files import atomic_file

# Readers of a folder of Parquet or Arrow files ignore names that start with an underscore.
MANIFEST = "_manifest.json"
_METADATA_KEY = b"elmo_embed"
# Key of `skipped_sentences` in outputs of the first version.
_OLD_SKIPPED_SENTENCES = "left_out"


@dataclass
class Statistics:
    """Counts of a shard or of the whole output. The field names are saved.

    Attributes:
        rows: Rows that were read.
        sentences: Sentences that were written.
        words: Words of the written sentences.
        bad_rows: Rows with an error.
        skipped_sentences: With sentences as HDF5 keys, empty sentences and repetitions.
    """

    rows: int = 0
    sentences: int = 0
    words: int = 0
    bad_rows: int = 0
    skipped_sentences: int = 0

    def add(self, other: "Statistics") -> None:
        """Add the counts of another shard."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def rename_old_keys(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved statistics with the current keys."""
    return {"skipped_sentences" if key == _OLD_SKIPPED_SENTENCES else key: n for key, n in statistics.items()}


def read_manifest(path: Path) -> Any:
    """Return the contents of a manifest.

    Raises:
        ValueError: If the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"Cannot read the manifest {path}: {error}. Pass --overwrite to restart.") from None


class ShardFolder:
    """Folder of numbered shards.

    Args:
        folder: Folder of the shards.
        suffix: Format of the shards, `"parquet"` or `"arrow"`.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder = folder
        self.suffix = suffix

    def path(self, index: int) -> Path:
        """Return the path of a shard."""
        return self.folder / f"part-{index:05d}.{self.suffix}"

    def write(self, index: int, table: pa.Table, statistics: Statistics) -> None:
        """Write a shard and its statistics atomically."""
        table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(asdict(statistics))})
        with atomic_file(self.path(index)) as file:
            if self.suffix == "parquet":
                # Vectors neither repeat nor compress.
                pq.write_table(table, file, compression="none", use_dictionary=False, write_statistics=False)
            else:
                with pa.ipc.new_file(file, table.schema) as writer:
                    writer.write_table(table)

    def completed(self) -> dict[int, Statistics]:
        """Return the statistics of the existing shards by index, without corrupt shards."""
        statistics = {}
        for path in sorted(self.folder.glob(f"part-*.{self.suffix}")):
            try:
                schema = pq.read_schema(path) if self.suffix == "parquet" else _read_ipc_schema(path)
                saved = rename_old_keys(json.loads(schema.metadata[_METADATA_KEY]))
                statistics[int(path.stem.removeprefix("part-"))] = Statistics(**saved)
            except (pa.ArrowException, KeyError, TypeError, ValueError, AttributeError):
                continue  # Corrupt shard (not an interrupted write): encode it again.
        return statistics

    def tables(self) -> Iterator[pa.Table]:
        """Yield the shards in order. Arrow files are memory-mapped."""
        for index in sorted(self.completed()):
            if self.suffix == "parquet":
                yield pq.read_table(self.path(index))
            else:
                with pa.memory_map(str(self.path(index))) as source:
                    yield pa.ipc.open_file(source).read_all()


def _read_ipc_schema(path: Path) -> pa.Schema:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).schema
