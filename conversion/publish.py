# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""A model folder to a repository of the Hub: its files, a model card, and what sentence-transformers needs."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, metadata_load
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from safetensors import SafetensorError, safe_open

from modeling_elmo._version import __version__
from modeling_elmo.model.configuration_elmo import ElmoConfig
from modeling_elmo.model.tokenization_elmo import ElmoTokenizer

from . import card
from .sentence_transformers_files import sentence_transformers_files
from .source.checkpoints import find
from .source.fetch import SourceFile
from .verify import Row, format_table

CARD = "README.md"
_NEEDED = ("config.json", "tokenizer_config.json")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")


@dataclass(frozen=True)
class PublishedFile:
    """A file that goes to the repository: its path there, and its contents, here or in the folder."""

    path: str
    content: bytes | Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Publication:
    """What is sent, and where to.

    Attributes:
        repo: `OWNER/NAME`.
        files: in the order of their paths.
        private: whether the repository has to be private.
        revision: the branch.
        tag: the commit's tag, if it gets one.
        message: of the commit.
        commit: its hash, once it is made; None before.
    """

    repo: str
    files: tuple[PublishedFile, ...]
    private: bool
    revision: str
    tag: str | None
    message: str
    commit: str | None = None

    def summary(self) -> str:
        """Where, and each file with its size and digest."""
        kind = "private" if self.private else "public"
        done = "would send" if self.commit is None else "sent"
        tag = f", tag {self.tag}" if self.tag else ""
        size = sum(file.size for file in self.files)
        lines = [
            f"{done} {len(self.files)} files, {size:,} bytes, to {self.repo} ({kind} if new), "
            f"branch {self.revision}{tag}",
            f"message: {self.message}",
        ]
        if self.commit is not None:
            lines.append(f"commit: {self.commit}")
        width = max(len(file.path) for file in self.files)
        for file in self.files:
            origin = "  made here" if isinstance(file.content, bytes) else ""
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
    verification: Sequence[Row] | None = None,
    keep_card: bool = False,
    language: str | None = None,
    license: str | None = None,
    base_model: str | None = None,
    note: str | None = None,
    dry_run: bool = False,
    token: str | None = None,
) -> Publication:
    """Send a model to the Hub in one commit; the folder itself stays as it is.

    The card is made anew from the model, its conversion's record and what `checkpoints.toml` knows of the checkpoint;
    what the folder's own card says of language, licence and base model stays.

    Args:
        folder: what `elmo convert` or `save_pretrained` wrote.
        repo: `OWNER/NAME`; made if it is not there.
        private: the repository has to be private; one that is there already and public is refused.
        revision: the branch; made, from `main`, if it is not there.
        tag: a tag for the commit; one that is there already is refused.
        message: of the commit.
        verification: the comparison with golden vectors, for the card (see `verify.verify`); one that failed is
            refused.
        keep_card: send the folder's own card as it is.
        language, license, base_model, note: for the card.
        dry_run: send nothing, ask the Hub nothing.
        token: of the Hub; default: what `hf auth login` or `HF_TOKEN` left.

    Raises:
        FileNotFoundError: the folder lacks a file.
        ValueError: it holds what is no model of this package, files that run code when they are loaded, or the
            repository's name, privacy or tag is wrong.
        ConnectionError: the Hub refuses, or cannot be reached.
    """
    folder = Path(folder)
    if repo.count("/") != 1:
        raise ValueError(f"the repository must be OWNER/NAME; got {repo!r}.")
    validate_repo_id(repo)
    failed = [row for row in verification or () if not row.ok]
    if failed:
        raise ValueError(f"a model must agree with its golden vectors to be published; got\n{format_table(failed)}")
    config, contents = _folder_files(folder)
    made = sentence_transformers_files(config)
    contents = {**{path: made[path] for path in made if path not in contents}, **contents}
    if not keep_card:
        known = metadata_load(folder / CARD) or {} if CARD in contents else {}
        chosen = {
            "language": language or _text(known.get("language")),
            "license": license or _text(known.get("license")),
            "base_model": base_model or _text(known.get("base_model")),
            "note": note,
        }
        contents[CARD] = _card(folder, repo, config, verification, chosen)
    elif CARD not in contents:
        raise FileNotFoundError(f"a card to keep must be there; {folder} has no {CARD}.")
    plan = Publication(
        repo=repo,
        files=tuple(_file(path, contents[path]) for path in sorted(contents)),
        private=private,
        revision=revision,
        tag=tag,
        message=message or f"ELMo by modeling_elmo {__version__}",
    )
    return plan if dry_run else _send(plan, HfApi(token=token))


def _text(value: Any) -> str | None:
    """A field of a card's YAML, on one line."""
    return None if not value else f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _file(path: str, content: bytes | Path) -> PublishedFile:
    if isinstance(content, bytes):
        return PublishedFile(path, content, len(content), hashlib.sha256(content).hexdigest())
    return PublishedFile(path, content, content.stat().st_size, SourceFile(content, content.name).sha256())


def _folder_files(folder: Path) -> tuple[ElmoConfig, dict[str, bytes | Path]]:
    """The configuration, and every file of the folder that is not hidden."""
    if not folder.is_dir():
        raise FileNotFoundError(f"the model folder must exist; {folder} does not.")
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"a model folder must have {' and '.join(_NEEDED)}; {folder} lacks {missing[0]}.")
    contents: dict[str, bytes | Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") or part == "__pycache__" for part in name.split("/")):
            continue
        if path.is_symlink():
            raise ValueError(f"a model folder must hold files, which are sent, and no links; {name} is one.")
        if path.suffix.lower() in _PICKLES:
            raise ValueError(f"weights must be safetensors, which run no code; got {name}.")
        if path.is_file():
            contents[name] = path
    if not any(name.endswith(".safetensors") for name in contents):
        raise FileNotFoundError(f"a model folder must have model.safetensors; {folder} has none.")
    kind = ElmoConfig.get_config_dict(folder)[0].get("model_type")
    if kind != ElmoConfig.model_type:
        raise ValueError(f"the model must be one of modeling_elmo, model_type 'elmo'; got {kind!r}.")
    config = ElmoConfig.from_pretrained(folder)
    if not config.auto_map or "modeling_elmo.py" not in contents:
        raise ValueError(
            f"a model to publish must come with its code, for trust_remote_code; {folder} has none: "
            "save it with save_pretrained, or convert it again."
        )
    return config, contents


def _num_parameters(folder: Path) -> int:
    """Weights of the model without its scalar mix, as `elmo convert` counts them."""
    count = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 - not a dictionary
                    if "scalar_mixes." not in name:
                        size = 1
                        for length in file.get_slice(name).get_shape():
                            size *= length
                        count += size
        except SafetensorError as error:
            raise ValueError(f"{path} must be a whole safetensors file; {error}.") from error
    return count


def _card(
    folder: Path, repo: str, config: ElmoConfig, verification: Sequence[Row] | None, chosen: dict[str, str | None]
) -> bytes:
    conversion = getattr(config, "conversion", None) or {}
    checkpoint = find(conversion["checkpoint"]) if conversion.get("checkpoint") else None
    text = card.render(
        card.template_text(),
        card.fields(
            name=repo,
            config=config,
            splitter=ElmoTokenizer.from_pretrained(folder).splitter,
            num_parameters=_num_parameters(folder),
            language=chosen["language"] or (checkpoint.language if checkpoint else None),
            license=chosen["license"] or (checkpoint.licence if checkpoint else None),
            base_model=chosen["base_model"] or (checkpoint.base_model if checkpoint else None),
            note=chosen["note"] or (checkpoint.note if checkpoint else None),
            verification=verification,
        ),
    )
    return text.encode()


@contextmanager
def _on_the_hub(repo: str) -> Iterator[None]:
    """Whatever the client's libraries raise becomes one sentence."""
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConnectionError(f"the Hub must accept the repository {repo}; got {first}") from error


def _send(plan: Publication, api: HfApi) -> Publication:
    with _on_the_hub(plan.repo):
        api.create_repo(plan.repo, private=plan.private, exist_ok=True)
        if plan.private and not api.model_info(plan.repo).private:
            raise ValueError(f"the repository must be private; {plan.repo} is there already and public.")
        if plan.tag and any(ref.name == plan.tag for ref in api.list_repo_refs(plan.repo).tags):
            raise ValueError(f"the tag must be new; {plan.repo} has {plan.tag} already.")
        if plan.revision != "main":
            api.create_branch(plan.repo, branch=plan.revision, exist_ok=True)
        operations = [CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=file.content) for file in plan.files]
        done = api.create_commit(plan.repo, operations, commit_message=plan.message, revision=plan.revision)
        if plan.tag:
            api.create_tag(plan.repo, tag=plan.tag, revision=done.oid)
    return Publication(**{**vars(plan), "commit": done.oid})
