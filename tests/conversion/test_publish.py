# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`elmo publish` with the real client and a stub of the Hub: uploaded files, card, and loading from the Hub."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.hub_server import HubServer
from helpers.run_python import run
from helpers.small_models import tiny_model
from helpers.tolerances import PACKED

from elmo_cli import main
from modeling_elmo import ElmoConfig, ElmoEncoder, ElmoModel, ElmoTokenizer
from modeling_elmo.conversion import commands
from modeling_elmo.conversion.convert import convert
from modeling_elmo.conversion.demo import write_demo
from modeling_elmo.conversion.publish import publish
from modeling_elmo.conversion.sentence_transformers_files import write_sentence_transformers_files
from modeling_elmo.conversion.verify import Comparison

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
    generated = {"README.md"}
    assert {path for path, _, _, here in listed if here} == generated
    inside = {str(path.relative_to(folder)): content for path, content in before.items()}
    visible = {path: content for path, content in inside.items() if not path.endswith("secret")}
    assert {path for path, _, _, _ in listed} == visible.keys() | generated
    for path, size, digest, here in listed:
        if not here:
            assert int(size.replace(",", "")) == len(visible[path])
            assert digest == hashlib.sha256(visible[path]).hexdigest()
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
        (lambda f: (f / "modeling_elmo.py").unlink(), ValueError, "the model code for trust_remote_code is missing"),
        (
            lambda f: (f / "pytorch_model.bin").write_bytes(b""),
            ValueError,
            "pytorch_model.bin: .*Use safetensors",
        ),
        (lambda f: (f / "link").symlink_to("/etc/passwd"), ValueError, "Cannot publish link: it is a symbolic link"),
        (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), ValueError, "got 'bert'"),
        (lambda f: shutil.rmtree(f), FileNotFoundError, "does not exist"),
    ],
)
def test_rejected_folders(damage: Any, error: type[Exception], message: str, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(error, match=message):
        publish(tmp_path / "model", "org/elmo", dry_run=True)


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
    contents = {f.path: f.content if isinstance(f.content, bytes) else f.content.read_bytes() for f in plan.files}
    hub.commit("org/elmo", contents)
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
