# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Atomic writing of files and folders, and the one rule on which outputs a command may write.

Files and folders are either complete or absent, even if the process is killed. `check_output` decides for all commands
whether an output may be written: never over an input, and over existing data only with --overwrite and only if this
package provably wrote all of it.
"""

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO

_CODE_FILES = ("*_elmo.py",)
_SAVED_FILES = (
    *("config.json", "model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "lexicon.json"),
)
_CHECKPOINT_FILES = (
    *("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "trainer_state.json", "training_args.bin"),
    *("random_state*.safetensors", "carried_states*.safetensors", "*progress.json"),
)
# Paths in a model folder that `elmo publish` uploads, as patterns per path component. Code comes from the package.
PUBLISHED_FILES = (
    *(*_SAVED_FILES, "README.md", "onnx/*.onnx", "onnx/*.onnx_data"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json"),
)
MODEL_FILES = (*PUBLISHED_FILES, *_CODE_FILES, "__pycache__/*_elmo.*.pyc")
# Further paths in the output of `elmo train`.
TRAINING_FILES = (
    *("curve.csv", "curve.png", "checkpoints/runs/*/events.out.tfevents.*", "checkpoints/events.out.tfevents.*"),
    *(f"checkpoints/*checkpoint-*/{name}" for name in (*_SAVED_FILES, *_CODE_FILES, *_CHECKPOINT_FILES)),
)
EXPORTED_FILES = ("options.json", "lm_weights.hdf5", "lm_softmax_weights.hdf5", "vocab.txt", "scalar_mix.th")
_FIRST_WORDS = b"<S>\n</S>\n<UNK>\n"  # of a vocabulary


@contextlib.contextmanager
def atomic_file(path: Path, concurrent: bool = False) -> Iterator[BinaryIO]:
    """Write a file atomically: temporary name, `fsync`, rename.

    Args:
        path: File to write.
        concurrent: Whether several processes may write the file at the same time. The temporary name is then unique.
            Otherwise it is fixed, so that leftovers of an earlier attempt are overwritten.

    Yields:
        Binary file, open for reading and writing.
    """
    suffix = secrets.token_hex(8) if concurrent else "tmp"
    temporary = path.with_name(f".{path.name}.{suffix}")
    try:
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Flush the directory entries of a folder to the disk. Has an effect on POSIX systems only."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically."""
    with atomic_file(path) as file:
        file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


@dataclass(frozen=True)
class OutputKind:
    """Kind of output, with the proof that an existing output may be replaced.

    Attributes:
        is_folder: Whether the output is a folder.
        find_foreign: Function that returns None if this package provably wrote the output and all files in it, else the
            reason, as a fragment of a message.
    """

    is_folder: bool
    find_foreign: Callable[[Path], str | None]


def check_output(
    output: Path,
    kind: OutputKind,
    *,
    overwrite: bool,
    inputs: Iterable[str | os.PathLike[str] | None] = (),
    resume: bool | None = None,
    companions: Sequence[Path] = (),
) -> None:
    """Check that a command may write its output. Symbolic and hard links are resolved.

    Args:
        output: File or folder to write.
        kind: Kind of the output.
        overwrite: Whether to replace an existing output.
        inputs: Files and folders that the command reads. Names that do not exist here, such as URLs, are ignored.
        resume: Whether to continue an existing output. None if the command cannot.
        companions: Further files and folders that belong to the output. If one exists, the output exists.

    Raises:
        FileExistsError: If the output is, contains, or is inside an input, or if it exists and may not be replaced.
    """
    written = (output, *companions)
    for source in inputs:
        if source is not None and os.path.exists(source):
            for target in written:
                _check_not_input(target, Path(source))
    if os.path.lexists(output) and (
        output.is_symlink() or not (output.is_dir() if kind.is_folder else output.is_file())
    ):
        noun = "or empty output folder" if kind.is_folder else "output file"
        plain = "folder" if kind.is_folder else "file"
        raise FileExistsError(f"Expected a new {noun}, got {output}, which is not a plain {plain}.")
    if resume or not any(map(_has_content, written)):
        return
    noun = "folder" if kind.is_folder else "file"
    if not overwrite and resume is not None:
        raise FileExistsError(
            f"Output {output} already exists. Pass --resume to continue it or --overwrite to replace it."
        )
    if not overwrite:
        exists = f"Output folder {output} is not empty" if kind.is_folder else f"Output {output} already exists"
        raise FileExistsError(f"{exists}. Choose another {noun} or pass --overwrite.")
    reason = kind.find_foreign(output)
    if reason is not None:
        raise FileExistsError(f"Cannot overwrite {output}: {reason}. Choose another {noun}.")


def _has_content(path: Path) -> bool:
    """Return whether a path exists and is not an empty folder."""
    if not path.is_dir() or path.is_symlink():
        return os.path.lexists(path)
    return any(path.iterdir())


def _check_not_input(target: Path, source: Path) -> None:
    if _is_same(target, source):
        relation = "is"
    elif any(_is_same(target, parent) for parent in source.resolve().parents):
        relation = "contains"
    elif any(_is_same(source, parent) for parent in target.resolve().parents):
        relation = "is inside"
    else:
        return
    raise FileExistsError(f"Cannot write {target}: it {relation} the input {source}. Choose another output.")


def _is_same(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:  # one of them does not exist
        return first.resolve() == second.resolve()


def find_unknown(folder: Path, patterns: Iterable[str]) -> str | None:
    """Return the first path in a folder that matches no pattern, relative to it, or None.

    Args:
        folder: Folder to search, with its subfolders. Links are not followed.
        patterns: Patterns of relative paths. `*` does not match `/`. Temporary names of `atomic_file` match as well.
    """
    known = [pattern.split("/") for pattern in patterns]

    def matches(parts: Sequence[str], is_folder: bool) -> bool:
        name = parts[-1]
        if name.startswith(".") and name.endswith(".tmp") and not is_folder:
            parts = [*parts[:-1], name[1:-4]]
        candidates = ([p[: len(parts)] for p in known if len(p) > len(parts)]) if is_folder else known
        return any(len(p) == len(parts) and all(map(fnmatchcase, parts, p)) for p in candidates)

    for root, folders, files in os.walk(folder):
        start = Path(root).relative_to(folder).parts
        for name in sorted(folders + files):
            if not matches([*start, name], is_folder=name in folders and not Path(root, name).is_symlink()):
                return "/".join([*start, name])
    return None


def _find_unknown(folder: Path, patterns: Iterable[str], command: str) -> str | None:
    name = find_unknown(folder, patterns)
    return None if name is None else f"it contains {name}, which `{command}` does not write"


def _find_foreign_in_model(folder: Path) -> str | None:
    path = folder / "config.json"
    # A run of `elmo train` that was interrupted before its end has no configuration yet.
    is_unfinished = (folder / "checkpoints").is_dir() and not os.path.lexists(path)
    if not is_unfinished:
        if not path.is_file():
            return "it does not contain config.json"
        try:
            fields = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return "its config.json is not JSON"
        model_type = fields.get("model_type") if isinstance(fields, dict) else None
        if model_type != "elmo":
            return f"its config.json has model_type {model_type!r:.80}, not 'elmo'"
    return _find_unknown(folder, (*MODEL_FILES, *TRAINING_FILES), "elmo")


def _find_foreign_in_export(folder: Path) -> str | None:
    if not (folder / EXPORTED_FILES[0]).is_file():
        return f"it does not contain {EXPORTED_FILES[0]}"
    return _find_unknown(folder, EXPORTED_FILES, "elmo export")


def _find_foreign_vocabulary(file: Path) -> str | None:
    with file.open("rb") as lines:
        start = lines.read(len(_FIRST_WORDS))
    return None if start == _FIRST_WORDS else "it does not begin with <S>, </S>, <UNK>, so it is no vocabulary"


MODEL_FOLDER = OutputKind(True, _find_foreign_in_model)
EXPORTED_FOLDER = OutputKind(True, _find_foreign_in_export)
VOCABULARY_FILE = OutputKind(False, _find_foreign_vocabulary)
# Folder that is rewritten in place: the caller copies its files to the new folder.
REWRITTEN_FOLDER = OutputKind(True, lambda folder: None)


@contextlib.contextmanager
def atomic_folder(
    output: Path, kind: OutputKind, *, overwrite: bool, inputs: Sequence[str | os.PathLike[str] | None] = ()
) -> Iterator[Path]:
    """Yield a temporary folder that replaces `output` at the end and is deleted on any error.

    Args:
        output: See `check_output`.
        kind: See `check_output`.
        overwrite: See `check_output`.
        inputs: See `check_output`.

    Yields:
        Empty folder to write to.

    Raises:
        FileExistsError: See `check_output`.
    """
    check_output(output, kind, overwrite=overwrite, inputs=inputs)
    output = output.resolve()  # so that it has a name, unlike "."
    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        new = work / "new"
        new.mkdir()  # with default permissions, unlike the folder of `mkdtemp`
        yield new
        check_output(output, kind, overwrite=overwrite, inputs=inputs)
        if output.exists():
            output.rename(work / "old")
        try:
            new.rename(output)
        except OSError:
            if (work / "old").exists():
                (work / "old").rename(output)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
