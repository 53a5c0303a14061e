# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The job of `elmo embed`: rows in, shards out, each of them complete or absent, so that it goes on after any kill.

A shard is a fixed run of input rows, encoded by itself. What it holds does not depend on where the job began, and a
resumed output is the same, bit by bit, as an undisturbed one.
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
from ..encode.stream import EncodedWindow, counting_on
from ..encode.vectors import ALL_LAYERS
from ..encoder import ElmoEncoder
from ..files import atomic_file, fsync_folder, write_json
from .files import EMBEDDING, INDEX, SENTENCE, WORDS, write_hdf5, write_npz, write_safetensors
from .inputs import Input
from .rows import STOP, RowPolicy, Shard, shard_windows, warn
from .shards import MANIFEST, ShardFolder, Statistics, read_json

FOLDERS = {".parquet": "parquet", ".arrow": "arrow"}
FILES = {".safetensors": write_safetensors, ".npz": write_npz, ".hdf5": write_hdf5, ".h5": write_hdf5}
HDF5 = (".hdf5", ".h5")
HDF5_LAYERS = ("all", "top", "average")


@dataclass(frozen=True)
class EmbedOptions:
    """What determines the output, with input and model. `hdf5_layers` and what follows count for .hdf5 alone."""

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
        source: the input.
        output: a folder of shards if it ends in .parquet or .arrow, a file if in .safetensors, .npz or .hdf5.
        encoder: the model and where it computes.
        options: see there.
        model_name: for the manifest.
        resume: go on with the output that is there, or begin if there is none.
        overwrite: replace the output that is there, if it is one of `elmo embed`.
        quiet: no progress bar, which is shown on a terminal alone anyway.

    Raises:
        ValueError: the options contradict each other, the model or the output's suffix.
        ImportError: h5py is not installed, for .hdf5.
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
        if suffix not in FOLDERS and suffix not in FILES:
            raise ValueError(f"the output must end in one of {', '.join([*FOLDERS, *FILES])}; got {output.name!r}.")
        if resume and source.is_standard_input:
            raise ValueError("--resume needs an input that can be read again; got standard input.")
        self.source, self.output, self.encoder, self.model_name = source, output, encoder, model_name
        self.resume, self.overwrite, self.quiet = resume, overwrite, quiet
        self.is_hdf5 = suffix in HDF5
        if self.is_hdf5:
            layer = f"lstm_outputs{encoder.model.config.num_hidden_layers}"
            options = replace(options, layer=layer if options.hdf5_layers == "top" else ALL_LAYERS)
        self.options = options
        self.kind = encoder.vector_spec(options.layer, options.pooling, options.normalize, options.dtype)
        self.is_folder = suffix in FOLDERS
        self.folder = output if self.is_folder else output.with_name(f"{output.name}.parts")
        self.shards = ShardFolder(self.folder, FOLDERS.get(suffix, "arrow"))
        # A finished file keeps its manifest beside it.
        self.file_manifest = output.with_name(f"{output.name}.manifest.json")
        write: Any = FILES.get(suffix)
        if self.is_hdf5:
            write = partial(
                write_hdf5, sentence_keys=options.use_sentence_keys, forget_sentences=options.forget_sentences
            )
        self._write_file: Callable[..., None] | None = write
        self.policy = RowPolicy(
            source.path, options.errors, options.is_split_into_words, self.is_hdf5 and options.use_sentence_keys
        )

    def run(self) -> dict[str, Any]:
        """Do the job.

        Returns:
            The summary that `--json` prints.

        Raises:
            ValueError: a bad row stopped it, or what is there belongs to another input, model or options.
            FileExistsError: there is an output already.
        """
        started = time.perf_counter()
        manifest, total = self._manifest()
        finished = self._prepare(manifest)
        done = {} if finished else self.shards.complete()
        if not finished:
            self._encode(done, total)
            if self.policy.stopped_by is not None:
                raise ValueError(self.policy.stopped_by)
            statistics = Statistics()
            for part in self.shards.complete().values():
                statistics.add(part)
            manifest["complete"] = {"shards": len(self.shards.complete()), **asdict(statistics)}
            self._finish(manifest)
        else:
            manifest = finished
        seconds = time.perf_counter() - started
        summary = {"output": str(self.output), **manifest["complete"], "resumed_shards": len(done)}
        return {**summary, "seconds": round(seconds, 3), "device": str(self.encoder.device)}

    # ---------------------------------------------------------------- manifest

    def _manifest(self) -> tuple[dict[str, Any], int | None]:
        """What the output will belong to, and about how many rows there are."""
        source = self.source
        sha256, total = (None, None) if source.is_standard_input else source.digest()
        fields = {"format": source.kind, "column": source.column, "max_characters": source.max_characters}
        manifest = {
            "input": {"path": source.path, "sha256": sha256, **fields},
            "model": {"name": self.model_name, "sha256": self.encoder.fingerprint()},
            "options": {**asdict(self.options), "output": self.output.suffix.lower()},
            "written_by": {
                "modeling_elmo": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
        return manifest, total

    def _prepare(self, manifest: dict[str, Any]) -> dict[str, Any] | None:
        """Make the folder ready. Returns the manifest of an output that is finished already."""
        beside = self.folder / MANIFEST
        is_there = self.output.exists() or self.folder.exists()
        is_finished = self.file_manifest.is_file() and self.output.is_file()
        known = self.file_manifest if is_finished else beside if beside.is_file() else None
        if is_there and not self.resume and not self.overwrite:
            raise FileExistsError(f"the output must be new; {self.output} is there (see --resume and --overwrite).")
        if is_there and known is None and not _is_new(self.folder):
            raise FileExistsError(
                f"an output to go on with or to replace must have a manifest; {self.output} has none."
            )
        if self.overwrite and not self.resume:
            self._remove()
        elif known is not None:
            stored = read_json(known)
            self._compare(stored, manifest, known)
            if is_finished:
                shutil.rmtree(self.folder, ignore_errors=True)
                return dict(stored)
            _warn_of_other_versions(stored.get("written_by") or {}, manifest["written_by"])
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(beside, manifest)
        return None

    def _compare(self, stored: dict[str, Any], manifest: dict[str, Any], path: Path) -> None:
        changes = []
        for section, names in (("input", None), ("model", ("sha256",)), ("options", None)):
            new, old = manifest[section], stored.get(section) or {}
            for name in names or [name for name in new if name != "path"]:
                # Up to where it stopped, a job that stops at bad rows is like any other.
                if old.get(name) != new[name] and not (name == "errors" and old.get(name) == STOP):
                    shown = "" if name == "sha256" else f" {name} from {old.get(name)!r} to {new[name]!r}"
                    changes.append(f"{section}{shown}")
        if changes:
            raise ValueError(
                f"--resume needs the input, model and options that {path} tells of; changed: {', '.join(changes)}."
            )

    def _remove(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        for path in (self.output, self.file_manifest):
            path.unlink(missing_ok=True)

    def _finish(self, manifest: dict[str, Any]) -> None:
        if self._write_file is not None:
            with atomic_file(self.output) as file:
                self._write_file(file, self.shards.tables)
            write_json(self.file_manifest, manifest)
            shutil.rmtree(self.folder)
            fsync_folder(self.output.parent)
        else:
            write_json(self.folder / MANIFEST, manifest)

    # ---------------------------------------------------------------- shards

    def _encode(self, done: dict[int, Statistics], total: int | None) -> None:
        finished = sum(part.rows for part in done.values())
        bar = tqdm(total=total, initial=finished, unit="sentence", disable=True if self.quiet else None, smoothing=0.05)
        shards = shard_windows(self.source.rows(), self.policy, self.options.shard_rows, done)
        limits = (self.options.batch_size, self.options.max_tokens_per_batch)
        windows = self.encoder.encode_windows(shards, self.kind, *limits, on_batch=counting_on(bar))
        # One shard is written while the next one is computed.
        with bar, ThreadPoolExecutor(1, thread_name_prefix="elmo-writer") as pool:
            writing: Future | None = None
            for window in windows:
                shard: Shard = window.label
                bar.update(shard.statistics.rows - sum(map(bool, window.words)))  # those that no batch had
                if writing is not None:
                    writing.result()
                writing = pool.submit(self._write, window)
            if writing is not None:
                writing.result()

    def _write(self, window: EncodedWindow) -> None:
        shard: Shard = window.label
        shard.statistics.words = sum(window.lengths)
        flat = window.vectors.numpy()
        if self.is_hdf5 and self.options.hdf5_layers == "average":
            flat = flat.mean(1)  # as in AllenNLP: of the layers, without the scalar mix
        columns: dict[str, Any] = {INDEX: pa.array(shard.rows, pa.int64())}
        if self.is_hdf5:
            columns[SENTENCE] = pa.array(shard.texts, pa.string())
        elif self.is_folder and self.kind.pooling is None:
            columns[WORDS] = pa.array(window.words, pa.list_(pa.string()))
        columns[EMBEDDING] = to_arrow(flat, None if self.kind.pooling else window.lengths)
        self.shards.write(shard.index, pa.table(columns), shard.statistics)


def _warn_of_other_versions(old: dict[str, Any], new: dict[str, Any]) -> None:
    """What is there is kept, and need not agree with the rest in the last digit."""
    for name in ("modeling_elmo", "torch"):
        if old.get(name) != new[name]:
            versions = f"with {name} {old.get(name)}, the rest will be with {new[name]}"
            warn(f"what is there was written {versions}; last digits may differ")


def _is_new(folder: Path) -> bool:
    """Whether a folder is empty, but for what a kill may have left."""
    return folder.is_dir() and all(path.suffix == ".tmp" for path in folder.iterdir())
