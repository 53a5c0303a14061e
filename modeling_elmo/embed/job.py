# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""The `elmo embed` job. It writes shards atomically, so an interrupted job can resume.

Each shard holds a fixed range of input rows and is encoded separately. Its contents do not depend on the other shards,
so the output of a resumed job is bit-identical to that of an uninterrupted one.
"""

import hashlib
import json
import os
import platform
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
from ..files import OutputKind, atomic_file, check_output, fsync_folder, write_json
from .files import EMBEDDING, INDEX, SENTENCE, WORDS, write_hdf5, write_npz, write_safetensors
from .inputs import Input, hash_and_count_lines
from .lock import OutputLock
from .rows import STOP, RowPolicy, Shard, ShardPlan, shard_windows, warn
from .shards import OLD_MANIFEST, ShardFolder, Statistics, default_shard_rows, read_manifest, rename_old_keys

FOLDER_FORMATS = {".parquet": "parquet", ".arrow": "arrow"}
FILE_WRITERS = {".safetensors": write_safetensors, ".npz": write_npz, ".hdf5": write_hdf5, ".h5": write_hdf5}
HDF5 = (".hdf5", ".h5")
HDF5_LAYERS = ("all", "top", "average")
# Version of the manifest and the shards. Increase it also if `ElmoEncoder.fingerprint` changes for an unchanged model.
_SCHEMA = 3
_MAX_NAMES = 5  # in a message


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
        shard_rows: Maximum number of rows per shard. Defaults to that of the output to resume, or to
            `default_shard_rows`.
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
    shard_rows: int | None = None
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
        overwrite: Whether to replace an existing output of `elmo embed` that contains nothing else.
        verify: Whether to read the output to resume completely, and to encode corrupt shards again.
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
        verify: bool = False,
        quiet: bool = False,
    ) -> None:
        suffix = output.suffix.lower()
        if suffix not in FOLDER_FORMATS and suffix not in FILE_WRITERS:
            suffixes = ", ".join([*FOLDER_FORMATS, *FILE_WRITERS])
            raise ValueError(f"Expected an output that ends in one of {suffixes}, got {output.name!r}.")
        if resume and overwrite:
            raise ValueError("Expected at most one of `resume` and `overwrite`, got both.")
        if resume and source.is_standard_input:
            raise ValueError("Cannot resume a job that reads standard input. Pass a file as the input.")
        self.source, self.output, self.encoder, self.model_name = source, output, encoder, model_name
        self.resume, self.overwrite, self.verify, self.quiet = resume, overwrite, verify, quiet
        self.is_hdf5 = suffix in HDF5
        if self.is_hdf5:
            layer = f"lstm_outputs{encoder.model.config.num_hidden_layers}"
            options = replace(options, layer=layer if options.hdf5_layers == "top" else ALL_LAYERS)
        self.options = options
        self.vector_spec = encoder.vector_spec(options.layer, options.pooling, options.normalize, options.dtype)
        self.is_folder = suffix in FOLDER_FORMATS
        self.folder = output if self.is_folder else output.with_name(f"{output.name}.parts")
        self.shards = ShardFolder(self.folder, FOLDER_FORMATS.get(suffix, "arrow"))
        self.manifest_path = output.with_name(f"{output.name}.manifest.json")
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
            ValueError: If a bad row stops the job, the existing output belongs to another job, or the input or the
                shards changed during the job.
            FileExistsError: If the output may not be written, see `check_output`.
            BlockingIOError: If another job writes the output.
        """
        started = time.perf_counter()
        self.output.parent.mkdir(parents=True, exist_ok=True)
        with OutputLock(self.output, warn) as lock:
            manifest, num_resumed = self._run_locked(lock)
        seconds = time.perf_counter() - started
        counts = rename_old_keys(manifest["complete"])
        summary = {"output": str(self.output), **counts, "resumed_shards": num_resumed}
        return {**summary, "seconds": round(seconds, 3), "device": str(self.encoder.device)}

    def _run_locked(self, lock: OutputLock) -> tuple[dict[str, Any], int]:
        """Return the manifest of the finished output, and the number of shards that existed before."""
        self._check_output()
        manifest, num_rows = self._build_manifest()
        finished_manifest = self._prepare_output(manifest)
        if finished_manifest:
            return finished_manifest, 0
        completed, corrupt = self.shards.read_saved(self.verify)
        for path in corrupt[:_MAX_NAMES]:
            warn(f"Embedding {path.name} again, because it is corrupt or belongs to another job.")
        plan = ShardPlan(completed)
        try:
            self._encode(plan, num_rows)
        except Exception:
            self._check_input_is_unchanged(manifest)  # a change can be the reason of the error
            raise
        self._check_input_is_unchanged(manifest)
        if self.policy.stop_message is not None:
            raise ValueError(self.policy.stop_message)
        lock.check()
        manifest["complete"] = self._count_shards(plan)
        self._merge_shards(manifest)
        return manifest, len(plan.row_ranges) - plan.num_encoded

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
        if self.options.shard_rows is None:
            self.options = replace(self.options, shard_rows=self._stored_shard_rows() or self._default_rows(num_rows))
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

    def _default_rows(self, num_rows: int | None) -> int:
        return default_shard_rows(num_rows, self.vector_spec.pooling is not None)

    def _stored_shard_rows(self) -> int | None:
        """Return the rows per shard of the output to continue, which another version may have chosen."""
        path = self._find_manifest()
        if path is None or not self.resume or not self._exists() or self._manifest_error() is not None:
            return None
        value = read_manifest(path)["options"].get("shard_rows")
        return value if isinstance(value, int) and value > 0 else None

    def _find_manifest(self) -> Path | None:
        """Return the manifest of the output; that of an older version can be in the folder."""
        paths = (self.manifest_path, self.folder / OLD_MANIFEST)
        return next((path for path in paths if path.is_file() and not path.is_symlink()), None)

    # ---------------------------------------------------------------- existing output

    def _exists(self) -> bool:
        return self.output.is_file() or (self.folder.is_dir() and any(self.folder.iterdir()))

    def _check_output(self) -> None:
        companions = [] if self.is_folder else [self.folder]
        # A manifest without its output is a leftover, unless it is something else.
        is_input = Path(self.source.path).resolve() == self.manifest_path.resolve()
        if self._manifest_error() is not None or is_input:
            companions.append(self.manifest_path)
        check_output(
            self.output,
            OutputKind(self.is_folder, self._find_foreign),
            overwrite=self.overwrite,
            inputs=() if self.source.is_standard_input else (self.source.path,),
            resume=self.resume,
            companions=companions,
        )

    def _manifest_error(self) -> str | None:
        """Return why the output has no manifest of `elmo embed`, or None if it has one."""
        path = self._find_manifest()
        if path is None:
            return "it has no manifest, so `elmo embed` did not write it"
        try:
            manifest = read_manifest(path)
        except ValueError:
            return f"{path} is not a manifest of `elmo embed`"
        # A merged file has shards until its manifest is complete.
        if not self.is_folder and self.output.is_file():
            if "complete" not in manifest and not self.folder.is_dir():
                return f"its manifest {path} is that of an unfinished job"
            size = self.output.stat().st_size
            if manifest.get("file", {}).get("bytes", size) != size:
                return "its size is not that in its manifest"
        return None

    def _find_foreign(self, output: Path) -> str | None:
        """Return why an existing output was not provably written by `elmo embed`, or None. See `OutputKind`."""
        error = self._manifest_error()
        if error is not None:
            return error
        if self.folder.is_symlink():
            return f"{self.folder} is a symbolic link"
        name = self.shards.find_foreign()
        return None if name is None else f"it contains {name}, which `elmo embed` did not write"

    def _prepare_output(self, manifest: dict[str, Any]) -> dict[str, Any] | None:
        """Create the folder. Return the manifest of an output that is already finished, else None."""
        self.shards.job = _job_digest(manifest)
        if self.overwrite:
            self._remove_output()
        exists = self._exists()
        error = self._manifest_error() if exists or os.path.lexists(self.manifest_path) else None
        if error is not None:
            raise FileExistsError(f"Cannot resume {self.output}: {error}. Choose another output.")
        if exists and not self.overwrite:
            path = self._find_manifest()
            stored = read_manifest(path) if path else {}
            is_current = stored.get("schema") == _SCHEMA
            is_finished = "complete" in stored and (self.is_folder or self.output.is_file())
            if not is_current and not (is_finished and self._has_all_shards(stored)):
                raise ValueError(
                    f"Cannot resume {self.output}: an older version of modeling_elmo wrote it. "
                    "Pass --overwrite to restart."
                )
            self._check_same_job(stored, manifest, path or self.manifest_path)
            if not is_current:
                warn(f"An older version wrote {self.output}. Compared the name of the model, but not its weights.")
            if is_finished and (not self.is_folder or not is_current):
                self._verify_finished(stored)
                return stored
            _warn_version_mismatch(stored.get("written_by") or {}, manifest["written_by"])
        # The manifest is first, so that the folder is never without it.
        write_json(self.manifest_path, manifest)
        self.folder.mkdir(exist_ok=True)
        return None

    def _has_all_shards(self, stored: dict[str, Any]) -> bool:
        """Return whether a finished output of an older version is a single file, or has all its shards."""
        shards = ShardFolder(self.folder, self.shards.suffix)
        return not self.is_folder or stored["complete"].get("shards") == len(shards.read_saved()[0])

    def _verify_finished(self, stored: dict[str, Any]) -> None:
        """Remove leftovers beside a finished single file. With `verify`, read the output completely."""
        if not self.is_folder:
            self.shards.remove()
        if not self.verify:
            return
        corrupt = []
        if self.is_folder:
            corrupt = ShardFolder(self.folder, self.shards.suffix).read_saved(verify=True)[1]
        elif "file" not in stored:
            warn(f"Cannot verify {self.output}: an older version wrote it, without a digest.")
        elif hash_and_count_lines(self.output)[0] != stored["file"]["sha256"]:
            corrupt = [self.output]
        if corrupt:
            raise ValueError(f"Cannot resume {self.output}: {corrupt[0]} is corrupt. Pass --overwrite to restart.")

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
        """Remove the files of an existing output. Its manifest remains, as the proof of its origin."""
        if not self.is_folder:
            self.output.unlink(missing_ok=True)
        self.shards.remove()

    # ---------------------------------------------------------------- end of the job

    def _check_input_is_unchanged(self, manifest: dict[str, Any]) -> None:
        sha256 = manifest["input"]["sha256"]
        if sha256 is not None and not self.source.is_unchanged(sha256):
            raise ValueError(
                f"Input {self.source.path} changed during the job, so {self.output} is incomplete. Its shards are "
                "kept: restore the input and pass --resume, or pass --overwrite to restart."
            )

    def _count_shards(self, plan: ShardPlan) -> dict[str, int]:
        """Return the counts of the output, after comparing the shards on the disk with the rows of the input."""
        names = [self.shards.path(index).name for index in range(len(plan.row_ranges))]
        extra = {path.name for path in self.folder.glob(f"part-*.{self.shards.suffix}")}.difference(names)
        if extra:
            raise ValueError(
                f"Cannot complete {self.output}: {self.folder / min(extra)} is not one of its shards. Delete the file "
                "and pass --resume."
            )
        saved, _ = self.shards.read_saved()
        statistics, wrong = Statistics(), []
        for index, row_range in enumerate(plan.row_ranges):
            if index in saved and saved[index].row_range == row_range:
                statistics.add(saved[index].statistics)
            else:
                wrong.append(names[index])
        if wrong:
            option = "--overwrite" if self.source.is_standard_input else "--resume"
            raise ValueError(
                f"Cannot complete {self.output}: {len(wrong)} of {len(names)} shards are missing or are not those of "
                f"the input ({', '.join(wrong[:_MAX_NAMES])}). Pass {option} to write them again."
            )
        return {"shards": len(saved), **asdict(statistics)}

    def _merge_shards(self, manifest: dict[str, Any]) -> None:
        """Write the single file, if the output is one, and the final manifest."""
        if self._write_file is not None:
            with atomic_file(self.output) as file:
                self._write_file(file, self.shards.tables)
            size, sha256 = self.output.stat().st_size, hash_and_count_lines(self.output)[0]
            manifest["file"] = {"bytes": size, "sha256": sha256}
        write_json(self.manifest_path, manifest)
        if self._write_file is not None:
            self.shards.remove()
            fsync_folder(self.output.parent)

    # ---------------------------------------------------------------- shards

    def _encode(self, plan: ShardPlan, num_rows: int | None) -> None:
        """Encode and write the missing shards."""
        initial = sum(shard.statistics.rows for shard in plan.completed.values())
        hidden = True if self.quiet else None
        bar = tqdm(total=num_rows, initial=initial, unit="sentence", disable=hidden, smoothing=0.05)
        shards = shard_windows(self.source.read_rows(), self.policy, self.options.shard_rows or 1, plan)
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
        self.shards.write(shard.index, shard.row_range, pa.table(columns), shard.statistics)


def _warn_version_mismatch(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Warn that existing shards were written with other versions."""
    for name in ("modeling_elmo", "torch"):
        if old.get(name) != new[name]:
            versions = f"{name} {old.get(name)}, and the remaining ones use {new[name]}"
            warn(f"The existing shards were written with {versions}. Vectors may differ in the last digits.")


def _job_digest(manifest: dict[str, Any]) -> str:
    """Return a digest of what determines the shards, which each shard carries."""
    sections = {name: dict(manifest[name]) for name in ("input", "model", "options")}
    # The shards before the first bad row do not depend on `errors`. A path or name may change.
    for section, name in (("input", "path"), ("model", "name"), ("options", "errors")):
        del sections[section][name]
    return hashlib.sha256(json.dumps(sections, sort_keys=True).encode()).hexdigest()[:16]
