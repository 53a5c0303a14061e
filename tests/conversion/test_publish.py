# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`elmo publish` with the real client and a stub of the Hub: uploaded files, card, and loading from the Hub."""

import hashlib
import json
import os
import re
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.hub_server import HubServer
from helpers.run_python import run
from helpers.small_models import tiny_model
from helpers.tolerances import PACKED
from huggingface_hub import HfApi

from elmo_cli import main
from modeling_elmo import ElmoConfig, ElmoEncoder, ElmoModel, ElmoTokenizer
from modeling_elmo.conversion import commands
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.demo import write_demo
from modeling_elmo.conversion.publish import Publication, publish
from modeling_elmo.conversion.sentence_transformers_files import write_sentence_transformers_files
from modeling_elmo.conversion.verify import Comparison
from modeling_elmo.files import PUBLISHED_FILES
from modeling_elmo.model.configuration_elmo import AUTO_MAP

TEXTS = ["The bank of the river.", "Good."]
COMPARISON = Comparison("lm_embeddings_0.hdf5 (top layer)", 1234, 9.5e-7, 2e-6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("publish")
    write_demo(place / "old")
    convert(place / "old", place / "model", language="en", license="apache-2.0")
    (place / "model" / ".cache").mkdir()
    (place / "model" / ".cache" / "secret").write_text("not to be uploaded")
    return place / "model"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


def publish_calls(hub: HubServer, folder: Path, cache: Path, *calls: dict[str, Any]) -> list[str]:
    """Publish in a client process once per call; return the commits, or the types and messages of the errors."""
    code = f"""
from modeling_elmo.conversion.publish import publish
result = []
for options in {calls!r}:
    try:
        result.append(publish({str(folder)!r}, "org/elmo", **options).commit)
    except Exception as error:
        result.append(f"{{type(error).__name__}}: {{error}}")
"""
    return run(code, {**hub.environment(cache), "HF_HUB_OFFLINE": "0"})


def test_a_dry_run_shows_what_is_sent_and_asks_nobody(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    plan = publish(folder, "org/elmo", private=True, revision="dev", tag="v1", message="First", dry_run=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    listed = re.findall(r"^(\S+) +([\d,]+)  ([0-9a-f]{64})(  generated)?$", plan.summary(), re.MULTILINE)
    code = {path.name for path in folder.glob("*_elmo.py")}
    generated = {"README.md", "config.json", "tokenizer_config.json"} | code
    assert {path for path, _, _, mark in listed if mark} == generated
    inside = {str(path.relative_to(folder)): content for path, content in before.items()}
    visible = {path: content for path, content in inside.items() if not path.endswith("secret")}
    assert {path for path, _, _, _ in listed} == visible.keys() | generated
    for path, size, digest, _ in listed:
        if path != "README.md":  # the others have the content that `convert` wrote
            assert int(size.replace(",", "")) == len(visible[path]), path
            assert digest == hashlib.sha256(visible[path]).hexdigest(), path
    total = sum(int(size.replace(",", "")) for _, size, _, _ in listed)
    first = f"Would upload {len(listed)} files, {total:,} bytes, to org/elmo (private if new), branch dev, tag v1"
    assert plan.summary().splitlines()[:2] == [first, "Message: First"]


def test_the_card_tells_where_the_weights_come_from(folder: Path) -> None:
    (content,) = (
        f.content
        for f in publish(folder, "org/elmo", verification=[COMPARISON], dry_run=True).files
        if f.path == "README.md"
    )
    card = content.decode()
    assert card.startswith("---\nlicense: apache-2.0\nlanguage: en\n")
    assert "${" not in card
    assert 'from_pretrained("org/elmo")' in card
    files = ElmoConfig.from_pretrained(folder).conversion["files"]
    for what in ("options", "weights"):
        assert f"| {what} | `{files[what]['name']}`, sha256 `{files[what]['sha256']}` |" in card
    assert "| lm_embeddings_0.hdf5 (top layer) | 1,234 | 9.5e-07 | 2e-06 |" in card
    assert re.search(r"\| card written by \| modeling_elmo \S+, torch \S+, transformers \S+ \|", card)
    model = ElmoModel.from_pretrained(folder)
    count = sum(p.numel() for name, p in model.named_parameters() if "scalar_mixes" not in name)
    assert f"; {count:,} parameters. Converted" in card
    changed = publish(folder, "org/elmo", language="pt", license="mit", note="Read much.", dry_run=True)
    text = next(file.content for file in changed.files if file.path == "README.md").decode()
    assert text.startswith("---\nlicense: mit\nlanguage: pt\n")
    assert "Read much." in text
    assert "reference vectors" not in text


def test_the_card_includes_the_facts_of_a_known_checkpoint(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["conversion"]["checkpoint"] = "original"
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "model" / "README.md").unlink()
    plan = publish(tmp_path / "model", "org/elmo", dry_run=True)
    card = next(file.content for file in plan.files if file.path == "README.md").decode()
    assert "language: en\n" in card
    assert "base_model: lysandre/elmo-2x4096_512_2048cnn_2xhighway\n" in card
    assert "1 Billion Word Benchmark" in card
    assert "| known checkpoint | original |" in card


def test_a_trained_model_claims_no_conversion(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    ElmoTokenizer().save_pretrained(tmp_path)
    plan = publish(tmp_path, "org/elmo", dry_run=True)
    card = next(file.content for file in plan.files if file.path == "README.md").decode()
    assert "onvert" not in card
    assert "Trained with modeling_elmo" in card
    (tmp_path / "README.md").write_text("By hand.")
    kept = publish(tmp_path, "org/elmo", keep_card=True, dry_run=True)
    assert next(file for file in kept.files if file.path == "README.md").content == tmp_path / "README.md"


@pytest.mark.slow
def test_it_goes_up_and_opens(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    plan = publish(folder, "org/elmo", dry_run=True)
    (commit,) = publish_calls(hub, folder, tmp_path / "writer", {"private": True, "tag": "v1", "message": "First"})
    files = hub.files("org/elmo", commit)
    assert hub.repos["org/elmo"].private
    assert hub.repos["org/elmo"].tags == {"v1": commit}
    assert {path: hashlib.sha256(data).hexdigest() for path, data in files.items() if path != ".gitattributes"} == {
        file.path: file.sha256 for file in plan.files
    }
    code = f"""
from transformers import AutoModel, AutoTokenizer, pipeline
model = AutoModel.from_pretrained("org/elmo", trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained("org/elmo", trust_remote_code=True)
features = pipeline("feature-extraction", model="org/elmo", trust_remote_code=True)
batch = tokenizer({TEXTS!r}, padding=True, return_tensors="pt")
result = [model(**batch)[0].tolist(), [features(text)[0] for text in {TEXTS!r}]]
"""
    online = {**hub.environment(tmp_path / "reader"), "HF_HUB_OFFLINE": "0"}
    opened = run(code, online, without_package=True)
    hub.close()
    assert run(code, {**online, "HF_HUB_OFFLINE": "1"}, without_package=True) == opened
    for i, expected in enumerate(ElmoEncoder.from_pretrained(folder).encode(TEXTS)):
        for vectors in (opened[0][i][: len(expected)], opened[1][i]):
            assert np.abs(np.array(vectors) - expected).max() <= 10 * PACKED


@pytest.mark.slow
def test_branches_tags_and_what_is_there_already(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    calls = [
        {"tag": "v1"},
        {"tag": "v1"},
        {"private": True},
        {"revision": "dev", "note": "Another note."},
        {"token": "hf_wrong"},
    ]
    first, tagged, public, second, refused = publish_calls(hub, folder, tmp_path, *calls)
    assert tagged == "ValueError: Tag 'v1' already exists in org/elmo. Choose another tag."
    assert public == "ValueError: Expected a private repository, got org/elmo, which is public."
    assert refused.startswith("ConnectionError: Cannot publish to org/elmo: ")
    assert "\n" not in refused
    assert hub.repos["org/elmo"].branches == {"main": first, "dev": second}, "rejected calls upload nothing"
    assert hub.repos["org/elmo"].tags == {"v1": first}
    assert b"Another note." in hub.files("org/elmo", "dev")["README.md"]
    assert b"Another note." not in hub.files("org/elmo")["README.md"]


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: (f / "config.json").unlink(), FileNotFoundError, "model folder with config.json"),
        (
            lambda f: (f / "tokenizer_config.json").unlink(),
            FileNotFoundError,
            "folder with tokenizer_config.json",
        ),
        (lambda f: (f / "model.safetensors").unlink(), FileNotFoundError, "model folder with model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 99), ValueError, "corrupt or truncated"),
        (
            lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../secret.safetensors"}}'),
            FileNotFoundError,
            "model folder with secret.safetensors",
        ),
        (
            lambda f: (f / "model-00001-of-00002.safetensors").write_bytes(b""),
            ValueError,
            "Cannot publish model-00001-of-00002.safetensors: the model does not use it",
        ),
        (
            lambda f: (f / "modules.json").write_text('[{"type": "evil.Module"}]'),
            ValueError,
            "Expected modules of sentence_transformers in .*, got evil.Module",
        ),
        (lambda f: (f / "modules.json").write_text("{}x"), ValueError, "it is no list of modules"),
        (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), ValueError, "got 'bert'"),
        (lambda f: shutil.rmtree(f), FileNotFoundError, "does not exist"),
    ],
)
def test_rejected_folders(damage: Any, error: type[Exception], message: str, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(error, match=message):
        publish(tmp_path / "model", "org/elmo", dry_run=True)


@pytest.mark.parametrize(
    "name",
    [
        "id_rsa",
        "credentials.json",
        "wandb/log.txt",
        "evil.py",
        "pytorch_model.bin",
        "evil.th",
        "evil.joblib",
        "evil.npy",
        "evil.zip",
        "curve.csv",
        "checkpoint-2/model.safetensors",
        "sub/config.json",
        "sub/modeling_elmo.py",
        "onnx/keys.txt",
        "onnx/sub/model.onnx",
        "vocab.txt.bak",
        "Config.json",
    ],
)
def test_other_files_are_named_and_refused(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / "model" / name).write_bytes(b"secret")
    assert main(["publish", str(tmp_path / "model"), "org/elmo", "--dry-run"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    expected = f"elmo: error: Cannot publish {name}: not part of a model folder. Move other files out of "
    assert printed.err.startswith(expected)


def test_several_other_files_are_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    for name in ("a.key", "b\x1b[2J.key"):
        (tmp_path / "model" / name).write_bytes(b"secret")
    with pytest.raises(ValueError, match=r"^Cannot publish a\.key, 'b\\x1b\[2J\.key': not part of a model folder\."):
        publish(tmp_path / "model", "org/elmo", dry_run=True)


def test_all_files_of_model_folders_are_allowed(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path, max_shard_size="4KB")
    ElmoTokenizer().save_pretrained(tmp_path)
    (tmp_path / "onnx").mkdir()
    shards = {path.name for path in tmp_path.glob("model-*.safetensors")}
    optional = {name for name in PUBLISHED_FILES if "*" not in name and name != "model.safetensors"}
    optional |= {"onnx/model.onnx", "onnx/model.onnx_data"}
    (tmp_path / "1_Pooling").mkdir()
    for name in optional:
        if not (tmp_path / name).exists():
            (tmp_path / name).write_text("[]" if name == "modules.json" else "")
    for name in (".git/config", ".gitattributes", "__pycache__/modeling_elmo.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("hidden")
    plan = publish(tmp_path, "org/elmo", dry_run=True)
    code = {path.name for path in tmp_path.glob("*_elmo.py")}
    assert len(shards) > 1
    assert {file.path for file in plan.files} == optional | shards | code


@pytest.mark.parametrize("name", ["vocab.txt", "model.safetensors", "1_Pooling", "onnx/model.onnx"])
@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "FIFO"])
def test_links_are_refused(kind: str, name: str, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    secret, link = tmp_path / "secret", tmp_path / "model" / name
    if name == "1_Pooling":
        shutil.rmtree(link)
        secret.mkdir()
        (secret / "config.json").write_text("secret")
    else:
        secret.write_text("secret")
        link.unlink(missing_ok=True)
        link.parent.mkdir(exist_ok=True)
    if kind == "symbolic link":
        link.symlink_to(secret)
    elif kind == "FIFO":
        os.mkfifo(link)
    elif name == "1_Pooling":
        link.mkdir()
        (link / "config.json").hardlink_to(secret / "config.json")
    else:
        link.hardlink_to(secret)
    if name == "1_Pooling" and kind != "hard link":
        reason = f"{name}: not part of a model folder."
    else:
        descriptions = {"hard link": "a hard link to a file with another name", "FIFO": "not a regular file"}
        path = "1_Pooling/config.json" if name == "1_Pooling" else name
        reason = f"{path}: it is {descriptions.get(kind, 'a symbolic link')}. Replace it with a copy."
    with pytest.raises(ValueError, match=f"^Cannot publish {reason}"):
        publish(tmp_path / "model", "org/elmo", dry_run=True)


def contents(plan: Publication) -> dict[str, bytes]:
    """Return the bytes of the files that the publication uploads."""
    return {f.path: f.content if isinstance(f.content, bytes) else f.content.read_bytes() for f in plan.files}


def test_code_and_references_to_it_are_those_of_the_package(folder: Path, tmp_path: Path) -> None:
    expected = contents(publish(folder, "org/elmo", dry_run=True))
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "modeling_elmo.py").write_text("raise SystemExit('edited code')")
    (tmp_path / "model" / "tokenization_elmo.py").unlink()
    (tmp_path / "model" / "lstm_elmo.py").unlink()
    (tmp_path / "model" / "lstm_elmo.py").symlink_to("/etc/passwd")
    (tmp_path / "model" / "heads_elmo.py").write_text("# of an older version")
    for name, reference in (
        ("config.json", {"auto_map": {"AutoModel": "evil/repo--modeling.Evil", "AutoTokenizer": ["a.B", None]}}),
        ("config.json", {"custom_pipelines": {"feature-extraction": {"impl": "evil/repo--pipeline.Evil"}}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil/repo--tokenization.Evil", None]}}),
    ):
        fields = json.loads((tmp_path / "model" / name).read_text())
        (tmp_path / "model" / name).write_text(json.dumps({**fields, **reference}))
    published = contents(publish(tmp_path / "model", "org/elmo", dry_run=True))
    assert published == expected
    assert "modeling_elmo.py" in published
    assert json.loads(published["config.json"])["auto_map"] == AUTO_MAP
    references = json.loads(published["tokenizer_config.json"])["auto_map"]
    assert references == {"AutoTokenizer": ["tokenization_elmo.ElmoTokenizer", None]}
    for module in [*AUTO_MAP.values(), references["AutoTokenizer"][0]]:
        assert f"{module.partition('.')[0]}.py" in published


def test_secrets_of_recorded_urls_are_not_published(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["conversion"]["files"]["weights"]["name"] = "https://me:SECRET@a.org/w.hdf5?token=SECRET"  # an old folder
    config["_name_or_path"] = "https://me:SECRET@a.org/elmo"
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    published = contents(publish(tmp_path / "model", "org/elmo", dry_run=True))
    assert all(b"SECRET" not in content for content in published.values())
    assert b"| weights | `https://a.org/w.hdf5`, sha256" in published["README.md"]


@pytest.mark.parametrize("error", [RuntimeError, ValueError, OSError])
def test_errors_of_the_client_contain_no_secret(
    error: type[Exception], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_repo(*_: object, **__: object) -> None:
        raise error("Invalid my-token in 'https://me:SECRET@host.org/api?token=SECRET' of hf_SECRET01234\nmore")

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    with pytest.raises((ConnectionError, ValueError)) as caught:
        publish(folder, "org/elmo", token="my-token")
    printed = "".join(traceback.format_exception(caught.value))
    assert str(caught.value).endswith("Invalid *** in 'https://host.org/api' of ***")
    assert "SECRET" not in printed
    assert "hf_" not in printed.replace("_hub_errors", "")


@pytest.mark.parametrize("repo", ["elmo", "a/b/c", "org/", "/elmo", "org/e lmo", "org/elmo..x"])
def test_a_repository_has_an_owner_and_a_name(repo: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        publish(folder, repo, dry_run=True)


def test_a_failed_comparison_is_not_published(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"does not match its reference vectors: worse\."):
        publish(folder, "org/elmo", verification=[COMPARISON, Comparison("worse", 1, 1.0, 2e-6)], dry_run=True)


def test_command(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["publish", str(folder), "org/elmo", "--dry-run", "--private", "--tag", "v2", "--language", "de"]
    assert main(line) == 0
    assert "to org/elmo (private if new), branch main, tag v2\n" in capsys.readouterr().out
    options: dict[str, Any] = {}
    monkeypatch.setattr(commands, "verify", lambda *_: [COMPARISON])
    monkeypatch.setattr(commands, "publish", lambda *a, **k: options.update(k) or publish(*a, **k))
    assert main([*line, "--verify", "reference"]) == 0
    assert options["verification"] == [COMPARISON]
    assert options["language"] == "de"
    assert "9.50e-07" in capsys.readouterr().out


def test_keep_card_requires_a_card(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "README.md").unlink()
    with pytest.raises(FileNotFoundError, match=r"--keep-card requires README\.md"):
        publish(tmp_path / "model", "org/elmo", keep_card=True, dry_run=True)


def test_parameters_of_shards_are_counted(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    ElmoTokenizer().save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors.index.json").is_file()
    plan = publish(tmp_path, "org/elmo", dry_run=True)
    card = next(file.content for file in plan.files if file.path == "README.md").decode()
    count = sum(p.numel() for name, p in model.named_parameters() if "scalar_mixes" not in name)
    assert f"; {count:,} parameters." in card


def test_sentence_transformers_open_it(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    plan = publish(folder, "org/elmo", dry_run=True)
    hub.commit("org/elmo", contents(plan))
    code = f"""
from sentence_transformers import SentenceTransformer
model = SentenceTransformer("org/elmo", trust_remote_code=True)
result = [[type(module).__name__ for module in model], model.encode({TEXTS!r}).tolist()]
"""
    online = {**hub.environment(tmp_path / "reader"), "HF_HUB_OFFLINE": "0"}
    kinds, means = run(code, online, without_package=True)
    hub.close()
    assert run(code, {**online, "HF_HUB_OFFLINE": "1"}, without_package=True) == [kinds, means]
    assert kinds == ["Transformer", "Pooling"]
    expected = ElmoEncoder.from_pretrained(folder).encode(TEXTS, pooling="mean")
    assert np.abs(np.array(means) - expected).max() <= 10 * PACKED


@pytest.mark.parametrize("layer", ["elmo", "word_emb", "lstm_outputs1"])
def test_sentence_transformers_files(layer: str, tmp_path: Path) -> None:
    model = tiny_model(pooling_layer=layer)
    model.save_pretrained(tmp_path)
    ElmoTokenizer().save_pretrained(tmp_path)
    write_sentence_transformers_files(tmp_path, model.config)
    pooling = json.loads((tmp_path / "1_Pooling" / "config.json").read_text())
    assert pooling["word_embedding_dimension"] == (8 if layer == "word_emb" else 16)
    assert [key for key, value in pooling.items() if value is True] == ["pooling_mode_mean_tokens"]
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    means = library.SentenceTransformer(str(tmp_path), trust_remote_code=True).encode(TEXTS)
    expected = ElmoEncoder.from_pretrained(tmp_path).encode(TEXTS, layer=layer, pooling="mean")
    assert means.shape == expected.shape
    assert np.abs(means - expected).max() <= 10 * PACKED
