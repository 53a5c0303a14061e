# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The `elmo embed` job. It writes shards atomically, so an interrupted job can resume.

Each shard holds a fixed range of input rows and is encoded separately. Its contents do not depend on the other shards,
so the output of a resumed job is bit-identical to that of an uninterrupted one.
"""

import platform
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from tqdm import tqdm

from .._version import __version__
from ..encode.output import to_arrow
from ..encode.stream import EncodedWindow, progress_callback
from ..encode.vectors import ALL_LAYERS
from ..encoder import ElmoEncoder
from ..files import atomic_file, fsync_folder, write_json
from .files import EMBEDDING, INDEX, SENTENCE, WORDS, write_hdf5, write_npz, write_safetensors
from .inputs import Input
from .rows import STOP, RowPolicy, Shard, shard_windows, warn
from .shards import MANIFEST, ShardFolder, Statistics, read_manifest, rename_old_keys

FOLDER_FORMATS = {".parquet": "parquet", ".arrow": "arrow"}
FILE_WRITERS = {".safetensors": write_safetensors, ".npz": write_npz, ".hdf5": write_hdf5, ".h5": write_hdf5}
HDF5 = (".hdf5", ".h5")
HDF5_LAYERS = ("all", "top", "average")
# Version of the manifest. Increase it if `ElmoEncoder.fingerprint` changes for an unchanged model.
_SCHEMA = 2


@dataclass(frozen=True)
class EmbedOptions:
    """Options that, with the input and the model, determine the output. The field names are saved in the manifest.

    Args:
        layer: See `ElmoEncoder.encode`.
        pooling: See `ElmoEncoder.encode`.
        normalize: See `ElmoEncoder.encode`.
        dtype: Dtype of the vectors, `"float32"` or `"float16"`.
        is_split_into_words: Whether strings are words separated by whitespace.
        errors: Action for bad rows, see `RowPolicy`.
        shard_rows: Maximum number of rows per shard.
        batch_size: See `ElmoEncoder.encode`.
        max_tokens_per_batch: See `ElmoEncoder.encode`.
        hdf5_layers: For .hdf5, one of `HDF5_LAYERS`. It replaces `layer`.
        use_sentence_keys: For .hdf5, see `write_hdf5`.
        forget_sentences: For .hdf5, see `write_hdf5`.
    """

    layer: str = "elmo"
    pooling: str | None = None
    normalize: bool = False
    dtype: str = "float32"
    is_split_into_words: bool = False
    errors: str = "stop"
    shard_rows: int = 1000
    batch_size: int | None = None
    max_tokens_per_batch: int | None = None
    hdf5_layers: str = "all"
    use_sentence_keys: bool = False
    forget_sentences: bool = False


class EmbedJob:
    """One run of `elmo embed`.

    Args:
        source: Input to read.
        output: Folder of shards (.parquet, .arrow) or single file (.safetensors, .npz, .hdf5, .h5) to write.
        encoder: Encoder to use.
        options: Options that determine the output.
        model_name: Name of the model for the manifest.
        resume: Whether to continue an existing output. A missing output is started.
        overwrite: Whether to replace an existing output of `elmo embed`.
        quiet: Whether to hide the progress bar. It is shown only on a terminal.

    Raises:
        ValueError: If the options contradict each other, the model, or the suffix of the output.
        ImportError: If the output is .hdf5 and h5py is not installed.
    """

    def __init__(
        self,
        source: Input,
        output: Path,
        encoder: ElmoEncoder,
        options: EmbedOptions,
        model_name: str,
        resume: bool = False,
        overwrite: bool = False,
        quiet: bool = False,
    ) -> None:
        suffix = output.suffix.lower()
        if suffix not in FOLDER_FORMATS and suffix not in FILE_WRITERS:
            suffixes = ", ".join([*FOLDER_FORMATS, *FILE_WRITERS])
            raise ValueError(f"Expected an output that ends in one of {suffixes}, got {output.name!r}.")
        if resume and source.is_standard_input:
            raise ValueError("Cannot resume a job that reads standard input. Pass a file as the input.")
        self.source, self.output, self.encoder, self.model_name = source, output, encoder, model_name
        self.resume, self.overwrite, self.quiet = resume, overwrite, quiet
        self.is_hdf5 = suffix in HDF5
        if self.is_hdf5:
            layer = f"lstm_outputs{encoder.model.config.num_hidden_layers}"
            options = replace(options, layer=layer if options.hdf5_layers == "top" else ALL_LAYERS)
        self.options = options
        self.vector_spec = encoder.vector_spec(options.layer, options.pooling, options.normalize, options.dtype)
        self.is_folder = suffix in FOLDER_FORMATS
        self.folder = output if self.is_folder else output.with_name(f"{output.name}.parts")
        self.shards = ShardFolder(self.folder, FOLDER_FORMATS.get(suffix, "arrow"))
        # The manifest of a finished single file is next to it.
        self.file_manifest = output.with_name(f"{output.name}.manifest.json")
        write_file: Any = FILE_WRITERS.get(suffix)
        if self.is_hdf5:
            write_file = partial(
                write_hdf5, sentence_keys=options.use_sentence_keys, forget_sentences=options.forget_sentences
            )
        self._write_file: Callable[..., None] | None = write_file
        self.policy = RowPolicy(
            source.path, options.errors, options.is_split_into_words, self.is_hdf5 and options.use_sentence_keys
        )

    def run(self) -> dict[str, Any]:
        """Run the job.

        Returns:
            Summary that `--json` prints.

        Raises:
            ValueError: If a bad row stops the job, or the existing output belongs to another job.
            FileExistsError: If the output exists and neither `resume` nor `overwrite` is set.
        """
        started = time.perf_counter()
        manifest, num_rows = self._build_manifest()
        finished_manifest = self._prepare_output(manifest)
        completed = {} if finished_manifest else self.shards.completed()
        if finished_manifest:
            manifest = finished_manifest
        else:
            self._encode(completed, num_rows)
            if self.policy.stop_message is not None:
                raise ValueError(self.policy.stop_message)
            statistics = Statistics()
            for shard_statistics in self.shards.completed().values():
                statistics.add(shard_statistics)
            manifest["complete"] = {"shards": len(self.shards.completed()), **asdict(statistics)}
            self._merge_shards(manifest)
        seconds = time.perf_counter() - started
        counts = rename_old_keys(manifest["complete"])
        summary = {"output": str(self.output), **counts, "resumed_shards": len(completed)}
        return {**summary, "seconds": round(seconds, 3), "device": str(self.encoder.device)}

    # ---------------------------------------------------------------- manifest

    def _build_manifest(self) -> tuple[dict[str, Any], int | None]:
        """Return the manifest of this job and the approximate number of rows."""
        source = self.source
        sha256, num_rows = (None, None) if source.is_standard_input else source.hash_and_count_rows()
        fields = {
            "format": source.resolved_format,
            "column": source.column,
            "max_characters": source.max_characters,
        }
        manifest = {
            "schema": _SCHEMA,
            "input": {"path": source.path, "sha256": sha256, **fields},
            "model": {"name": self.model_name, "sha256": self.encoder.fingerprint()},
            "options": {**asdict(self.options), "output": self.output.suffix.lower()},
            "written_by": {
                "modeling_elmo": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
        return manifest, num_rows

    def _prepare_output(self, manifest: dict[str, Any]) -> dict[str, Any] | None:
        """Create the folder. Return the manifest of an output that is already finished, else None."""
        shard_manifest = self.folder / MANIFEST
        exists = self.output.exists() or self.folder.exists()
        is_merged = self.file_manifest.is_file() and self.output.is_file()
        path = self.file_manifest if is_merged else shard_manifest if shard_manifest.is_file() else None
        if exists and not self.resume and not self.overwrite:
            raise FileExistsError(
                f"Output {self.output} already exists. Pass --resume to continue it or --overwrite to replace it."
            )
        if exists and path is None and not _is_empty(self.folder):
            raise FileExistsError(
                f"Cannot resume or replace {self.output}: it has no manifest, so `elmo embed` did not write it. "
                "Choose another output."
            )
        if self.overwrite and not self.resume:
            self._remove_output()
        elif path is not None:
            stored = read_manifest(path)
            is_current = stored.get("schema") == _SCHEMA
            if not is_current and not is_merged and not self._has_all_shards(stored):
                raise ValueError(
                    f"Cannot resume {self.output}: an older version of modeling_elmo wrote it. "
                    "Pass --overwrite to restart."
                )
            self._check_same_job(stored, manifest, path)
            if not is_current:
                warn(f"An older version wrote {self.output}. Compared the name of the model, but not its weights.")
            if is_merged:
                shutil.rmtree(self.folder, ignore_errors=True)
            if is_merged or not is_current:
                return dict(stored)
            _warn_version_mismatch(stored.get("written_by") or {}, manifest["written_by"])
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(shard_manifest, manifest)
        return None

    def _has_all_shards(self, stored: dict[str, Any]) -> bool:
        """Return whether the output is a finished folder."""
        return self.is_folder and stored.get("complete", {}).get("shards") == len(self.shards.completed())

    def _check_same_job(self, stored: dict[str, Any], manifest: dict[str, Any], path: Path) -> None:
        """Check that the input, model, and options of an existing output are those of this job."""
        # Fingerprints of different schemas differ for the same model.
        model_key = "sha256" if stored.get("schema") == _SCHEMA else "name"
        changes = []
        for section, names in (("input", None), ("model", (model_key,)), ("options", None)):
            new, old = manifest[section], stored.get(section) or {}
            for name in names or [name for name in new if name != "path"]:
                # Before the first bad row, a job that stops at bad rows writes the same shards as any other.
                if old.get(name) != new[name] and not (name == "errors" and old.get(name) == STOP):
                    values = "" if name == "sha256" else f" {name} from {old.get(name)!r} to {new[name]!r}"
                    changes.append(f"{section}{values}")
        if changes:
            raise ValueError(
                f"Cannot resume {self.output}: {path} belongs to another job. Changed: {', '.join(changes)}."
            )

    def _remove_output(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        for path in (self.output, self.file_manifest):
            path.unlink(missing_ok=True)

    def _merge_shards(self, manifest: dict[str, Any]) -> None:
        """Write the single file, if the output is one, and the final manifest."""
        if self._write_file is not None:
            with atomic_file(self.output) as file:
                self._write_file(file, self.shards.tables)
            write_json(self.file_manifest, manifest)
            shutil.rmtree(self.folder)
            fsync_folder(self.output.parent)
        else:
            write_json(self.folder / MANIFEST, manifest)

    # ---------------------------------------------------------------- shards

    def _encode(self, completed: dict[int, Statistics], num_rows: int | None) -> None:
        """Encode and write the missing shards."""
        initial = sum(statistics.rows for statistics in completed.values())
        hidden = True if self.quiet else None
        bar = tqdm(total=num_rows, initial=initial, unit="sentence", disable=hidden, smoothing=0.05)
        shards = shard_windows(self.source.read_rows(), self.policy, self.options.shard_rows, completed)
        limits = (self.options.batch_size, self.options.max_tokens_per_batch)
        windows = self.encoder.encode_windows(shards, self.vector_spec, *limits, on_batch=progress_callback(bar))
        # Write each shard while the next one is encoded.
        with bar, ThreadPoolExecutor(1, thread_name_prefix="elmo-writer") as pool:
            pending: Future | None = None
            for window in windows:
                shard: Shard = window.label
                # Count the rows that are in no batch: bad, skipped, or without words.
                bar.update(shard.statistics.rows - sum(map(bool, window.words)))
                if pending is not None:
                    pending.result()
                pending = pool.submit(self._write_shard, window)
            if pending is not None:
                pending.result()

    def _write_shard(self, window: EncodedWindow) -> None:
        shard: Shard = window.label
        shard.statistics.words = sum(window.lengths)
        flat = window.vectors.numpy()
        if self.is_hdf5 and self.options.hdf5_layers == "average":
            # AllenNLP averages the layers and ignores the scalar mix.
            flat = flat.mean(1)
        columns: dict[str, Any] = {INDEX: pa.array(shard.rows, pa.int64())}
        if self.is_hdf5:
            columns[SENTENCE] = pa.array(shard.texts, pa.string())
        elif self.is_folder and self.vector_spec.pooling is None:
            columns[WORDS] = pa.array(window.words, pa.list_(pa.string()))
        columns[EMBEDDING] = to_arrow(flat, None if self.vector_spec.pooling else window.lengths)
        self.shards.write(shard.index, pa.table(columns), shard.statistics)


def _warn_version_mismatch(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Warn that existing shards were written with other versions."""
    for name in ("modeling_elmo", "torch"):
        if old.get(name) != new[name]:
            versions = f"{name} {old.get(name)}, and the remaining ones use {new[name]}"
            warn(f"The existing shards were written with {versions}. Vectors may differ in the last digits.")


def _is_empty(folder: Path) -> bool:
    """Return whether the folder contains nothing but temporary files of an interrupted job."""
    return folder.is_dir() and all(path.suffix == ".tmp" for path in folder.iterdir())
