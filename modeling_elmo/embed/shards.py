# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Numbered shards, written atomically, each with its number, its input rows, and its statistics."""

import contextlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..files import atomic_file

# Manifest in the folder of an older output. Readers ignore names that start with an underscore, but not all of them.
OLD_MANIFEST = "_manifest.json"
# Rows per shard of a small input, for one vector per word and for one vector per sentence.
DEFAULT_SHARD_ROWS, DEFAULT_POOLED_SHARD_ROWS = 1000, 10_000
# Larger shards keep the number of files below this one, because readers open all of them.
_MAX_SHARDS = 10_000
# With 25 words per sentence, both are 400 MB of vectors of the original model.
_MAX_SHARD_ROWS, _MAX_POOLED_SHARD_ROWS = 4000, 100_000
_METADATA_KEY = b"elmo_embed"
# Key of `skipped_sentences` in outputs of the first version.
_OLD_SKIPPED_SENTENCES = "left_out"
_READ_ERRORS = (pa.ArrowException, OSError, KeyError, IndexError, TypeError, ValueError, AttributeError)


def default_shard_rows(num_rows: int | None, is_pooled: bool) -> int:
    """Return the default number of rows per shard.

    Args:
        num_rows: Number of rows of the input, or None if it is unknown.
        is_pooled: Whether a sentence has one vector.
    """
    rows = DEFAULT_POOLED_SHARD_ROWS if is_pooled else DEFAULT_SHARD_ROWS
    maximum = _MAX_POOLED_SHARD_ROWS if is_pooled else _MAX_SHARD_ROWS
    return min(maximum, rows * max(1, -(-(num_rows or 0) // (rows * _MAX_SHARDS))))


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


@dataclass(frozen=True)
class RowRange:
    """Input rows of a shard. The field names are saved.

    Attributes:
        first_row: Index of the first row.
        rows: Number of rows.
        rows_digest: Digest of their contents.
    """

    first_row: int
    rows: int
    rows_digest: str


@dataclass(frozen=True)
class SavedShard:
    """Contents of a shard's metadata. `row_range` is None in outputs of older versions."""

    statistics: Statistics
    row_range: RowRange | None


def rename_old_keys(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved statistics with the current keys."""
    return {"skipped_sentences" if key == _OLD_SKIPPED_SENTENCES else key: n for key, n in statistics.items()}


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the contents of a manifest.

    Raises:
        ValueError: If the file is not a JSON object with the sections of a manifest.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Cannot read the manifest {path}: {error}. Choose another output.") from None
    sections = ("input", "model", "options", "written_by")
    empty: dict[str, Any] = {}
    is_valid = isinstance(manifest, dict) and all(isinstance(manifest.get(name), dict) for name in sections)
    if not is_valid or not all(isinstance(manifest.get(name, empty), dict) for name in ("complete", "file")):
        raise ValueError(f"Expected a manifest of `elmo embed` in {path}, got other JSON. Choose another output.")
    return manifest


class ShardFolder:
    """Folder of numbered shards.

    Args:
        folder: Folder of the shards.
        suffix: Format of the shards, `"parquet"` or `"arrow"`.
        job: Digest of the job that writes the shards. Shards of other jobs are corrupt. Defaults to any job.
    """

    def __init__(self, folder: Path, suffix: str, job: str | None = None) -> None:
        self.folder = folder
        self.suffix = suffix
        self.job = job

    def path(self, index: int) -> Path:
        """Return the path of a shard."""
        return self.folder / f"part-{index:08d}.{self.suffix}"

    def paths(self) -> dict[int, Path]:
        """Return the existing shards by index, sorted. Those of older versions have five digits."""
        pattern = re.compile(rf"part-(\d{{5,}})\.{self.suffix}")
        matches = ((pattern.fullmatch(path.name), path) for path in self.folder.glob(f"part-*.{self.suffix}"))
        return dict(sorted((int(match[1]), path) for match, path in matches if match))

    def write(self, index: int, row_range: RowRange, table: pa.Table, statistics: Statistics) -> None:
        """Write a shard and its metadata atomically."""
        metadata = {"shard": index, "job": self.job, **asdict(row_range), **asdict(statistics)}
        metadata["crc32"] = _checksum(table, metadata)
        table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(metadata)})
        with atomic_file(self.path(index)) as file:
            if self.suffix == "parquet":
                # Vectors neither repeat nor compress.
                options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
                pq.write_table(table, file, write_page_checksum=True, **options)
            else:
                with pa.ipc.new_file(file, table.schema) as writer:
                    writer.write_table(table)

    def read_saved(self, verify: bool = False) -> tuple[dict[int, SavedShard], list[Path]]:
        """Return the valid shards by index, and the paths of the corrupt ones.

        Args:
            verify: Whether to read the shards completely and compare their checksums. Otherwise only the metadata and
                the number of sentences are read.
        """
        saved, corrupt = {}, []
        for index, path in self.paths().items():
            try:
                saved[index] = self._read_metadata(index, path)
                if verify:
                    self._read(path)
            except _READ_ERRORS:
                saved.pop(index, None)
                corrupt.append(path)
        return saved, corrupt

    def tables(self) -> Iterator[pa.Table]:
        """Yield the shards in order, after comparing their checksums. Arrow files are memory-mapped.

        Raises:
            ValueError: If a shard is corrupt.
        """
        for path in self.paths().values():
            try:
                table = self._read(path)
            except _READ_ERRORS as error:
                raise ValueError(
                    f"Cannot read {path}: {' '.join(str(error).split())}. Pass --resume --verify to embed it again."
                ) from error
            yield table

    def find_foreign(self) -> str | None:
        """Return the name of a file in the folder that `elmo embed` did not write, or None."""
        names = sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []
        return next((name for name in names if not self._is_own(name)), None)

    def remove(self) -> None:
        """Remove the shards, and the folder if nothing else is in it."""
        if self.folder.is_dir():
            # The manifest of an older output is last, so that an interrupted removal leaves the proof of its origin.
            paths = [path for path in self.folder.iterdir() if self._is_own(path.name)]
            for path in sorted(paths, key=lambda path: path.name == OLD_MANIFEST):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    def _is_own(self, name: str) -> bool:
        if name.startswith(".") and name.endswith(".tmp"):
            name = name[1:-4]
        return name == OLD_MANIFEST or re.fullmatch(rf"part-\d{{5,}}\.{self.suffix}", name) is not None

    def _read_metadata(self, index: int, path: Path) -> SavedShard:
        """Return the metadata of a shard, after comparing them with its name and its number of sentences."""
        if self.suffix == "parquet":
            with pq.ParquetFile(path) as file:
                schema, num_sentences = file.schema_arrow, file.metadata.num_rows
        else:
            with pa.memory_map(str(path)) as source:
                reader = pa.ipc.open_file(source)
                schema = reader.schema
                num_sentences = sum(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))
        metadata = rename_old_keys(json.loads(schema.metadata[_METADATA_KEY]))
        statistics = Statistics(**{field.name: metadata[field.name] for field in fields(Statistics)})
        row_range = None
        if "shard" in metadata:
            row_range = RowRange(**{field.name: metadata[field.name] for field in fields(RowRange)})
        is_job = self.job is None or self.job == metadata.get("job")
        if not is_job or num_sentences != statistics.sentences or metadata.get("shard", index) != index:
            raise ValueError(f"it is not shard {index} of this job")
        return SavedShard(statistics, row_range)

    def _read(self, path: Path) -> pa.Table:
        """Return a shard, after comparing its checksums."""
        if self.suffix == "parquet":
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                table, schema = file.read(), file.schema_arrow
        else:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
            schema = table.schema
        table.validate(full=True)  # Arrow ends the process at offsets that are out of range
        metadata = json.loads(schema.metadata[_METADATA_KEY])
        checksum = metadata.pop("crc32", None)  # older versions wrote none
        if checksum != _checksum(table, metadata) and (checksum is not None or self.job is not None):
            raise ValueError("its checksum differs")
        return table


def _checksum(table: pa.Table, metadata: Mapping[str, Any]) -> int:
    """Return a CRC-32 of the metadata, the columns' names and types, and their values.

    It does not depend on the file format, and covers what the page checksums of Parquet omit.
    """
    checksum = zlib.crc32(json.dumps([metadata, table.column_names], sort_keys=True).encode())
    for column in table.columns:
        for chunk in column.chunks if len(table) else ():
            checksum = _checksum_of_values(chunk, checksum)
    return checksum


def _checksum_of_values(array: pa.Array, checksum: int) -> int:
    if array.null_count:
        raise ValueError("it contains a null")
    if pa.types.is_list(array.type):
        checksum = zlib.crc32(array.value_lengths().to_numpy(), checksum)
        return _checksum_of_values(array.flatten(), checksum)
    if pa.types.is_fixed_size_list(array.type):
        checksum = zlib.crc32(str(array.type.list_size).encode(), checksum)
        return _checksum_of_values(array.flatten(), checksum)
    checksum = zlib.crc32(str(array.type).encode(), checksum)
    if pa.types.is_string(array.type):
        return zlib.crc32("\0".join(array.to_pylist()).encode(), checksum)
    return zlib.crc32(array.to_numpy(), checksum)
