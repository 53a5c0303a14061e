"""The stub of the Hub answers the real ``huggingface_hub`` client as the Hub does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.hub_server import HubServer

WEIGHTS = bytes(range(256)) * 20


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


def run_client(environment: dict[str, str], script: str) -> Any:
    """Run ``script`` with the names of the client imported, and return the value of its variable ``result``."""
    script = f"import json\nfrom huggingface_hub import *\n{script}\nprint(json.dumps(result))"
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_a_folder_goes_up_and_comes_back(hub: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    (folder / "sub" / "model.safetensors").write_bytes(WEIGHTS)
    uploaded = run_client(
        hub.environment(tmp_path / "writer"),
        f"""
name = create_repo("tiny").repo_id
create_repo("tiny", exist_ok=True)
first = upload_folder(repo_id=name, folder_path={str(folder)!r}).oid
HfApi().create_tag(name, tag="v1")
create_branch(name, branch="refs/pr/1")
second = upload_file(path_or_fileobj=b"[1]", path_in_repo="config.json", repo_id=name).oid
same = upload_folder(repo_id=name, folder_path={str(folder / "sub")!r}, path_in_repo="sub").oid
delete_folder("sub", name, revision="refs/pr/1")
info = model_info(name)
result = dict(name=name, first=first, second=second, same=same, user=whoami()["name"], head=info.sha)
result["listed"] = [file.rfilename for file in info.siblings]
result["tree"] = [entry.path for entry in HfApi().list_repo_tree(name, recursive=False)]
result["branch"] = list_repo_files(name, revision="refs/pr/1")
""",
    )
    name, first, second = uploaded["name"], uploaded["first"], uploaded["second"]
    assert (name, uploaded["user"]) == ("me/tiny", "me")
    assert uploaded["head"] == uploaded["same"] == second != first  # an unchanged folder makes no commit
    assert uploaded["listed"] == [".gitattributes", "README.md", "config.json", "sub/model.safetensors"]
    assert sorted(uploaded["tree"]) == [".gitattributes", "README.md", "config.json", "sub"]
    assert uploaded["branch"] == [".gitattributes", "README.md", "config.json"]
    assert hub.files(name)["sub/model.safetensors"] == WEIGHTS
    assert hub.files(name, first)["config.json"] == b"{}"
    assert sum(method == "PUT" for method, _ in hub.requests) == 1  # LFS uploads the weights only

    reader = hub.environment(tmp_path / "reader")
    read = f"""
from pathlib import Path
snapshot = Path(snapshot_download({name!r}))
configs = [Path(hf_hub_download({name!r}, "config.json", revision=r)) for r in ("main", {first!r}, "v1")]
result = dict(commit=snapshot.name, configs=[config.read_text() for config in configs])
result["weights"] = (snapshot / "sub" / "model.safetensors").read_bytes().hex()
"""
    expected = {"commit": second, "configs": ["[1]", "{}", "{}"], "weights": WEIGHTS.hex()}
    weights = ("GET", f"/{name}/resolve/{second}/sub/model.safetensors")
    assert run_client(reader, read) == expected
    assert hub.requests.count(weights) == 1
    assert run_client(reader, read) == expected
    assert hub.requests.count(weights) == 1

    hub.close()
    seen = len(hub.requests)
    assert run_client(reader | {"HF_HUB_OFFLINE": "1"}, read) == expected
    assert len(hub.requests) == seen


def test_a_commit_on_the_server_is_downloaded_from_its_branch(hub: HubServer, tmp_path: Path) -> None:
    main = hub.commit("org/name", {"a.txt": b"1", "b.txt": b"2"})
    branch = hub.commit("org/name", {"a.txt": b"3", "b.txt": None}, revision="dev")
    assert hub.files("org/name") == hub.files("org/name", main) == {"a.txt": b"1", "b.txt": b"2"}
    read = """
result = [open(hf_hub_download("org/name", "a.txt", revision=r)).read() for r in (None, "dev")]
result.append(list_repo_files("org/name", revision="dev"))
"""
    assert run_client(hub.environment(tmp_path), read) == ["1", "3", ["a.txt"]]
    assert ("GET", "/org/name/resolve/dev/a.txt") in hub.requests
    assert hub.files("org/name", branch) == {"a.txt": b"3"}


def test_missing_and_rejected_requests_raise_the_errors_of_the_client(hub: HubServer, tmp_path: Path) -> None:
    head = hub.commit("org/name", {"a.txt": b"1"})
    raised = run_client(
        hub.environment(tmp_path),
        """
def error(function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except Exception as caught:
        names = [kind.__name__ for kind in type(caught).__mro__]
        return [name for name in names if name.endswith("NotFoundError")], caught.response.status_code
create_repo("org/secret", private=True)
result = dict(
    repo=error(hf_hub_download, "org/none", "a.txt"),
    anonymous=error(model_info, "org/none", token=False),
    private=error(model_info, "org/secret", token=False),
    entry=error(hf_hub_download, "org/name", "none.txt"),
    revision=error(hf_hub_download, "org/name", "a.txt", revision="none"),
    snapshot=error(snapshot_download, "org/name", revision="none"),
    exists=error(create_repo, "org/name"),
    unsigned=error(upload_file, path_or_fileobj=b"", path_in_repo="x", repo_id="org/name", token=False),
    token=error(whoami, token="hf_other"),
    stale=error(delete_file, "a.txt", "org/name", parent_commit="0" * 40),
    unknown=error(list_repo_commits, "org/name"),
)
""",
    )
    assert [path.name for path in tmp_path.rglob(".no_exist/*/*")] == ["none.txt"]  # the client caches this
    kinds = {key: (names[0] if names else None, status) for key, (names, status) in raised.items()}
    entry = kinds.pop("entry")
    assert entry[0] in ("RemoteEntryNotFoundError", "EntryNotFoundError")  # depends on the version of the client
    assert entry[1] == 404
    assert kinds == {
        "repo": ("RepositoryNotFoundError", 404),
        "anonymous": ("RepositoryNotFoundError", 401),
        "private": ("RepositoryNotFoundError", 401),
        "revision": ("RevisionNotFoundError", 404),
        "snapshot": ("RevisionNotFoundError", 404),
        "exists": (None, 409),
        "unsigned": (None, 401),
        "token": (None, 401),
        "stale": (None, 412),
        "unknown": (None, 501),
    }
    assert hub.files("org/name") == hub.files("org/name", head)
