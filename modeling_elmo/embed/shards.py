# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Files that are complete or absent, whenever the process is killed, and the manifest of what they belong to."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..files import atomic_file

# Readers of a folder of Parquet or Arrow files pass over names that begin like this.
MANIFEST = "_manifest.json"
_STATISTICS = b"elmo_embed"


@dataclass
class Statistics:
    """What has been read and written."""

    rows: int = 0  # read
    sentences: int = 0  # written
    words: int = 0  # of the sentences that were encoded
    bad_rows: int = 0
    left_out: int = 0  # with sentences for keys: empty or there before

    def add(self, other: "Statistics") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def read_json(path: Path) -> Any:
    """The contents of a manifest; ValueError if it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be a manifest of `elmo embed`; it cannot be read: {error}.") from None


class ShardFolder:
    """Numbered files of one format, `"parquet"` or `"arrow"`, each with its statistics."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder = folder
        self.suffix = suffix

    def path(self, index: int) -> Path:
        return self.folder / f"part-{index:05d}.{self.suffix}"

    def write(self, index: int, table: pa.Table, statistics: Statistics) -> None:
        table = table.replace_schema_metadata({_STATISTICS: json.dumps(asdict(statistics))})
        with atomic_file(self.path(index)) as file:
            if self.suffix == "parquet":
                # Vectors neither repeat nor shrink.
                pq.write_table(table, file, compression="none", use_dictionary=False, write_statistics=False)
            else:
                with pa.ipc.new_file(file, table.schema) as writer:
                    writer.write_table(table)

    def complete(self) -> dict[int, Statistics]:
        """The shards that are there, with their statistics."""
        found = {}
        for path in sorted(self.folder.glob(f"part-*.{self.suffix}")):
            try:
                schema = pq.read_schema(path) if self.suffix == "parquet" else _ipc_schema(path)
                found[int(path.stem.removeprefix("part-"))] = Statistics(**json.loads(schema.metadata[_STATISTICS]))
            except (pa.ArrowException, KeyError, TypeError, ValueError):
                continue  # damaged by something else than a kill: it will be written anew
        return found

    def tables(self) -> Iterator[pa.Table]:
        """The shards in order; of Arrow files, mapped into memory."""
        for index in sorted(self.complete()):
            if self.suffix == "parquet":
                yield pq.read_table(self.path(index))
            else:
                with pa.memory_map(str(self.path(index))) as source:
                    yield pa.ipc.open_file(source).read_all()


def _ipc_schema(path: Path) -> pa.Schema:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).schema
