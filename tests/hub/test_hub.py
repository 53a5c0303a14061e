# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Hub ids, revisions, the cache, and uploads, with the real client and a local stub of the Hub."""

from pathlib import Path

import pytest
from helpers.hub_server import HubServer
from helpers.run_python import run
from helpers.small_models import tiny_model

from modeling_elmo import ElmoTokenizer

_LOAD = """
import torch
from transformers import AutoModel, AutoTokenizer
{imports}
model = AutoModel.from_pretrained("org/elmo", {arguments}).eval()
tokenizer = AutoTokenizer.from_pretrained("org/elmo", {arguments})
with torch.no_grad():
    result = model(**tokenizer("The bank of the river.", return_tensors="pt"))[0].sum().item()
"""


def model_files(folder: Path, seed: int) -> dict[str, bytes]:
    tiny_model(seed=seed).save_pretrained(folder)
    ElmoTokenizer().save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def num_downloads(hub: HubServer) -> int:
    return sum(method == "GET" and path.endswith("/model.safetensors") for method, path in hub.requests)


@pytest.mark.slow
@pytest.mark.parametrize("remote", [False, True], ids=["package", "remote code"])
def test_load_by_id_and_revision_and_again_offline(remote: bool, tmp_path: Path) -> None:
    imports = "" if remote else "import modeling_elmo"
    trust = "trust_remote_code=True" if remote else ""
    with HubServer() as hub:
        old = hub.commit("org/elmo", model_files(tmp_path / "old", seed=1))
        hub.commit("org/elmo", model_files(tmp_path / "new", seed=2))
        online = {**hub.environment(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}

        def load(arguments: str, environment: dict[str, str]) -> float:
            code = _LOAD.format(imports=imports, arguments=f"{trust}, {arguments}" if trust else arguments)
            return run(code, environment, without_package=remote)

        newest = load("", online)
        assert num_downloads(hub) == 1
        assert load("", online) == newest
        assert num_downloads(hub) == 1, "the second load reads the cache"
        pinned = load(f"revision={old!r}", online)
        assert pinned != newest
        assert num_downloads(hub) == 2
        offline = {**online, "HF_HUB_OFFLINE": "1"}
    assert load("", offline) == newest
    assert load(f"revision={old!r}", offline) == pinned


@pytest.mark.slow
def test_push_to_hub(tmp_path: Path) -> None:
    code = """
import torch
from modeling_elmo import ElmoConfig, ElmoModel, ElmoTokenizer
torch.manual_seed(0)
config = ElmoConfig(projection_size=8, cell_size=12, filters=[[1, 4], [2, 5]], num_highway_layers=1)
model = ElmoModel(config)
model.push_to_hub("me/elmo")
ElmoTokenizer().push_to_hub("me/elmo")
twin = ElmoModel.from_pretrained("me/elmo")
assert ElmoTokenizer.from_pretrained("me/elmo").tokenize("wasn't") == ["wasn", "'t"]
result = all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))
"""
    with HubServer() as hub:
        assert run(code, {**hub.environment(tmp_path), "HF_HUB_OFFLINE": "0"})
        names = set(hub.files("me/elmo"))
    expected = {"config.json", "model.safetensors", "tokenizer_config.json", "modeling_elmo.py", "tokenization_elmo.py"}
    assert expected <= names
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)
