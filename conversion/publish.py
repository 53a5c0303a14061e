# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Publication of a model folder on the Hugging Face Hub, with a model card and the files of sentence-transformers."""

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, get_token, metadata_load
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from modeling_elmo._version import __version__
from modeling_elmo.files import PUBLISHED_FILES
from modeling_elmo.messages import format_names
from modeling_elmo.model.configuration_elmo import AUTO_MAP, ElmoConfig
from modeling_elmo.model.tokenization_elmo import ElmoTokenizer
from modeling_elmo.remote_code import write_code

from . import card
from .mapping.options import parse
from .model_files import CONFIG_FILE, open_weights, read_config, weight_files
from .sentence_transformers_files import sentence_transformers_files
from .source.checkpoints import find_checkpoint
from .source.download import file_sha256
from .source.urls import redact
from .verify import Comparison

CARD = "README.md"
TOKENIZER_FILE = "tokenizer_config.json"
MODULES_FILE = "modules.json"
_CODE_FILES = ("*_elmo.py",)  # those of the folder are replaced
_REQUIRED_FILES = (CONFIG_FILE, TOKENIZER_FILE)
_TOKENIZER_AUTO_MAP = {"AutoTokenizer": [f"tokenization_elmo.{ElmoTokenizer.__name__}", None]}
# Fields with which a configuration refers to code.
_CODE_FIELDS = ("auto_map", "custom_pipelines")


@dataclass(frozen=True)
class PublishedFile:
    """File to upload.

    Attributes:
        path: Path in the repository.
        content: Generated content, or the local file.
        size: Size in bytes.
        sha256: Digest in hexadecimal.
    """

    path: str
    content: bytes | Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Publication:
    """Commit to the Hub.

    Attributes:
        repo: Repository, `OWNER/NAME`.
        files: Files of the commit, sorted by path.
        private: Whether the repository must be private.
        revision: Branch.
        tag: Tag of the commit, if any.
        message: Commit message.
        commit: Hash of the commit, or None before the upload.
    """

    repo: str
    files: tuple[PublishedFile, ...]
    private: bool
    revision: str
    tag: str | None
    message: str
    commit: str | None = None

    def summary(self) -> str:
        """Return the target and the size and digest of each file, for the terminal."""
        visibility = "private" if self.private else "public"
        verb = "Would upload" if self.commit is None else "Uploaded"
        tag = f", tag {self.tag}" if self.tag else ""
        size = sum(file.size for file in self.files)
        lines = [
            f"{verb} {len(self.files)} files, {size:,} bytes, to {self.repo} ({visibility} if new), "
            f"branch {self.revision}{tag}",
            f"Message: {self.message}",
        ]
        if self.commit is not None:
            lines.append(f"Commit: {self.commit}")
        width = max(len(file.path) for file in self.files)
        for file in self.files:
            origin = "  generated" if isinstance(file.content, bytes) else ""
            lines.append(f"{file.path:{width}}  {file.size:13,}  {file.sha256}{origin}")
        return "\n".join(lines)


def publish(
    folder: str | Path,
    repo: str,
    *,
    private: bool = False,
    revision: str = "main",
    tag: str | None = None,
    message: str | None = None,
    verification: Sequence[Comparison] | None = None,
    keep_card: bool = False,
    language: str | None = None,
    license: str | None = None,
    base_model: str | None = None,
    note: str | None = None,
    dry_run: bool = False,
    token: str | None = None,
) -> Publication:
    """Upload a model folder to the Hub in one commit. The folder is not changed.

    Only `PUBLISHED_FILES` are uploaded. Any other file is rejected, unless it is hidden. The code for remote loading
    and the references to it always come from the installed package, never from the folder.

    The model card is generated from the model, its conversion record, and the entry of its checkpoint in
    `checkpoints.toml`. Language, license, and base model of an existing card are kept.

    Args:
        folder: Model folder that `elmo convert` or `save_pretrained` wrote.
        repo: Repository, `OWNER/NAME`. It is created if it does not exist.
        private: Whether the repository must be private. An existing public one is rejected.
        revision: Branch. It is created from `main` if it does not exist.
        tag: Tag for the commit. An existing one is rejected.
        message: Commit message. Defaults to the package version.
        verification: Comparison with reference vectors for the card (see `verify.verify`). A failed one is rejected.
        keep_card: Whether to upload the folder's own card unchanged.
        language: Language code for the card.
        license: License of the weights for the card.
        base_model: Repository of the original weights for the card.
        note: Sentence on the training data for the card.
        dry_run: Whether to upload nothing and to make no request.
        token: Access token. Defaults to that of `hf auth login` or `HF_TOKEN`.

    Returns:
        The publication, with a summary for the terminal.

    Raises:
        FileNotFoundError: If a file of the folder is missing.
        ValueError: If the folder is not a model of this package or contains other files or links, or if the name, the
            visibility, or the tag of the repository is invalid.
        ConnectionError: If the Hub rejects the upload or cannot be reached.
    """
    folder = Path(folder)
    if repo.count("/") != 1:
        raise ValueError(f"Expected a repository OWNER/NAME, got {repo!r}.")
    validate_repo_id(repo)
    failed = [comparison.name for comparison in verification or () if not comparison.passed]
    if failed:
        raise ValueError(f"Cannot publish a model that does not match its reference vectors: {format_names(failed)}.")
    config, contents = _read_folder(folder)
    num_parameters = _num_parameters(folder, contents)
    contents = {**sentence_transformers_files(config), **contents}
    if not keep_card:
        own_card = metadata_load(folder / CARD) or {} if CARD in contents else {}
        card_values = {
            "language": language or _yaml_value(own_card.get("language")),
            "license": license or _yaml_value(own_card.get("license")),
            "base_model": base_model or _yaml_value(own_card.get("base_model")),
            "note": note,
        }
        contents[CARD] = _render_card(folder, repo, config, num_parameters, verification, card_values)
    elif CARD not in contents:
        raise FileNotFoundError(
            f"--keep-card requires {CARD}, which {folder} does not contain. Add it or omit --keep-card."
        )
    publication = Publication(
        repo=repo,
        files=tuple(_published_file(path, contents[path]) for path in sorted(contents)),
        private=private,
        revision=revision,
        tag=tag,
        message=message or f"ELMo by modeling_elmo {__version__}",
    )
    return publication if dry_run else _upload(publication, HfApi(token=token))


def _yaml_value(value: Any) -> str | None:
    """Return a value of the card's YAML on one line, or None if it is empty."""
    if not value:
        return None
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _published_file(path: str, content: bytes | Path) -> PublishedFile:
    if isinstance(content, bytes):
        return PublishedFile(path, content, len(content), hashlib.sha256(content).hexdigest())
    return PublishedFile(path, content, content.stat().st_size, file_sha256(content))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a path matches a pattern, part by part."""
    parts = name.split("/")
    return any(
        len(parts) == pattern.count("/") + 1 and all(map(fnmatchcase, parts, pattern.split("/")))
        for pattern in patterns
    )


def _link_or_device(path: Path) -> str | None:
    """Return a description of a path that may lead to a file outside the folder, or None for a regular file."""
    if path.is_symlink():
        return "a symbolic link"
    if not path.is_file():
        return "not a regular file"
    return "a hard link to a file with another name" if path.stat().st_nlink > 1 else None


def _list_folder(folder: Path) -> dict[str, bytes | Path]:
    """Return the files to upload by their paths in the repository.

    Raises:
        ValueError: If the folder contains other files that are not hidden, or a link.
    """
    contents: dict[str, bytes | Path] = {}
    others: list[str] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") or part == "__pycache__" for part in name.split("/")):
            continue
        if _matches(name, _CODE_FILES) or (path.is_dir() and not path.is_symlink()):
            continue
        if not _matches(name, PUBLISHED_FILES):
            others.append(name)
        elif (reason := _link_or_device(path)) is not None:
            raise ValueError(f"Cannot publish {name}: it is {reason}. Replace it with a copy.")
        else:
            contents[name] = path
    if others:
        raise ValueError(
            f"Cannot publish {format_names(others)}: not part of a model folder. Move other files out of {folder}."
        )
    return contents


def _redact_values(value: Any) -> Any:
    """Return a JSON value without the secrets of URLs."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redact_values(each) for each in value]
    return {key: _redact_values(each) for key, each in value.items()} if isinstance(value, dict) else value


def _with_own_code(path: Path, auto_map: Mapping[str, Any]) -> bytes:
    """Return a configuration file that refers to the code of this package only, without the secrets of URLs."""
    fields = _redact_values(parse(path.read_text(encoding="utf-8"), str(path)))
    fields = {key: value for key, value in fields.items() if key not in _CODE_FIELDS} | {"auto_map": auto_map}
    return (json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _check_modules(path: Path) -> None:
    """Check that sentence-transformers loads its own classes only.

    Raises:
        ValueError: If it would load others.
    """
    try:
        types = [module["type"] for module in json.loads(path.read_bytes())]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError(f"Cannot read {path}: it is no list of modules. Delete it.") from None
    foreign = [str(name) for name in types if not str(name).startswith("sentence_transformers.")]
    if foreign:
        raise ValueError(f"Expected modules of sentence_transformers in {path}, got {format_names(foreign)}.")


def _code_files() -> dict[str, bytes | Path]:
    with tempfile.TemporaryDirectory() as folder:
        write_code(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _read_folder(folder: Path) -> tuple[ElmoConfig, dict[str, bytes | Path]]:
    """Return the configuration, and the files to upload except those that can be generated from it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"Expected a model folder, got {folder}, which does not exist.")
    for name in _REQUIRED_FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"Expected a model folder with {name}, got {folder}, which does not contain it.")
    contents = _list_folder(folder)
    config = read_config(folder, auto_map=AUTO_MAP)
    contents[CONFIG_FILE] = _with_own_code(folder / CONFIG_FILE, AUTO_MAP)
    contents[TOKENIZER_FILE] = _with_own_code(folder / TOKENIZER_FILE, _TOKENIZER_AUTO_MAP)
    if MODULES_FILE in contents:
        _check_modules(folder / MODULES_FILE)
    return config, {**contents, **_code_files()}


def _num_parameters(folder: Path, contents: Mapping[str, bytes | Path]) -> int:
    """Return the number of parameters without scalar mixes, as `elmo convert` counts them.

    Raises:
        FileNotFoundError: If a weight file is missing.
        ValueError: If a weight file is corrupt or does not belong to the model.
    """
    paths = weight_files(folder)
    for path in paths:
        if contents.get(path.name) != path:
            raise FileNotFoundError(
                f"Expected a model folder with {path.name}, got {folder}, which does not contain it."
            )
    unused = {name for name in contents if name.endswith(".safetensors")} - {path.name for path in paths}
    if unused:
        raise ValueError(f"Cannot publish {format_names(sorted(unused))}: the model does not use it. Delete it.")
    count = 0
    for path in paths:
        with open_weights(path) as file:
            names = [name for name in file.keys() if "scalar_mixes." not in name]  # noqa: SIM118 (not a mapping)
            count += sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    return count


def _render_card(
    folder: Path,
    repo: str,
    config: ElmoConfig,
    num_parameters: int,
    verification: Sequence[Comparison] | None,
    card_values: dict[str, str | None],
) -> bytes:
    conversion = getattr(config, "conversion", None) or {}
    checkpoint = find_checkpoint(conversion["checkpoint"]) if conversion.get("checkpoint") else None
    text = card.render(
        card.template_text(),
        card.template_fields(
            name=repo,
            config=config,
            splitter=ElmoTokenizer.from_pretrained(folder).splitter,
            num_parameters=num_parameters,
            language=card_values["language"] or (checkpoint.language if checkpoint else None),
            license=card_values["license"] or (checkpoint.license if checkpoint else None),
            base_model=card_values["base_model"] or (checkpoint.base_model if checkpoint else None),
            note=card_values["note"] or (checkpoint.note if checkpoint else None),
            verification=verification,
        ),
    )
    return text.encode()


@contextmanager
def _hub_errors(repo: str, token: str | None) -> Iterator[None]:
    """Convert exceptions of the Hub client to a one-line ConnectionError without the token and secrets of URLs."""
    try:
        yield
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        reason = redact(reason, token)
        if isinstance(error, ValueError):
            raise ValueError(reason) from None
        raise ConnectionError(f"Cannot publish to {repo}: {reason}") from None


def _upload(publication: Publication, api: HfApi) -> Publication:
    repo, revision, tag = publication.repo, publication.revision, publication.tag
    with _hub_errors(repo, api.token if isinstance(api.token, str) else get_token()):
        api.create_repo(repo, private=publication.private, exist_ok=True)
        if publication.private and not api.model_info(repo).private:
            raise ValueError(f"Expected a private repository, got {repo}, which is public.")
        if tag and any(ref.name == tag for ref in api.list_repo_refs(repo).tags):
            raise ValueError(f"Tag {tag!r} already exists in {repo}. Choose another tag.")
        if revision != "main":
            api.create_branch(repo, branch=revision, exist_ok=True)
        operations = [
            CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=file.content) for file in publication.files
        ]
        commit = api.create_commit(repo, operations, commit_message=publication.message, revision=revision)
        if tag:
            api.create_tag(repo, tag=tag, revision=commit.oid)
    return replace(publication, commit=commit.oid)
