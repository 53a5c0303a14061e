"""Stub of the Hugging Face Hub: a small HTTP server, so that tests run the real client offline.

It implements the requests with which ``huggingface_hub`` creates, lists, tags, and downloads a model repository and
uploads plain and LFS files. Other requests get status 501. The server keeps everything in memory and records every
request in ``HubServer.requests``.

``huggingface_hub`` reads ``HF_ENDPOINT`` and most other settings at import, so the client must be a new process with
the environment that the server returns::

    with HubServer() as hub:
        hub.commit("org/name", {"config.json": b"{}"})
        subprocess.run([sys.executable, "-c", script], env=hub.environment(tmp_path), check=True)
        assert sum(method == "GET" and path.endswith("/config.json") for method, path in hub.requests) == 1

The path of a file contains the revision, which is ``main`` or a commit, depending on the version of the client.
Therefore compare the end of the path only, as above.

Also set ``HF_HUB_OFFLINE=1`` for a client that runs after the server has stopped. Without it, the client retries each
refused connection for half a minute before it uses its cache.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

USER, TOKEN = "me", "hf_test"
LFS_SUFFIXES = (".safetensors", ".bin", ".h5", ".hdf5", ".pt", ".msgpack", ".npz", ".onnx", ".zip", ".gz")
LFS_SIZE = 10 * 2**20  # in bytes; the Hub stores all larger files with LFS
DATE = "2024-01-01T00:00:00.000Z"


class HubError(LookupError):
    """Rejected request with its status and its ``X-Error-Code``, from which the client selects its exception."""

    def __init__(self, status: int, message: str, code: str = "", commit: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, "X-Error-Code": code, "X-Repo-Commit": commit}


@dataclass(frozen=True)
class File:
    path: str
    data: bytes

    @property
    def lfs(self) -> bool:
        return stored_with_lfs(self.path, len(self.data))

    @property
    def etag(self) -> str:
        return hashlib.sha256(self.data).hexdigest() if self.lfs else git_oid(self.data)

    def entry(self) -> dict[str, Any]:
        size = len(self.data)
        entry: dict[str, Any] = {"type": "file", "path": self.path, "size": size, "oid": git_oid(self.data)}
        if self.lfs:  # git stores a pointer
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.etag}\nsize {size}\n"
            entry["oid"] = git_oid(pointer.encode())
            entry["lfs"] = {"oid": self.etag, "size": size, "pointerSize": len(pointer)}
        return entry


@dataclass
class Repo:
    name: str
    private: bool = False
    commits: dict[str, dict[str, File]] = field(default_factory=dict)  # sha -> snapshot
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def at(self, revision: str) -> tuple[str, dict[str, File]]:
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        if sha not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha, self.commits[sha]

    def commit(self, branch: str, changes: Mapping[str, bytes | None]) -> str:
        """Commit changes to ``branch``; ``None`` removes a file."""
        files = dict(self.commits[self.branches[branch]]) if branch in self.branches else {}
        for path, data in changes.items():
            files.pop(path, None)
            if data is not None:
                files[path] = File(path, data)
        # The count distinguishes commits with the same content, as the date does in git.
        identity = [self.name, len(self.commits), *((file.path, file.etag) for file in files.values())]
        sha = hashlib.sha1(repr(identity).encode()).hexdigest()
        self.commits[sha] = dict(sorted(files.items()))
        self.branches[branch] = sha
        return sha

    def tree(self, revision: str, folder: str, recursive: bool) -> list[dict[str, Any]]:
        sha, files = self.at(revision)
        prefix = with_slash(folder) if folder else ""
        inside = [file for path, file in files.items() if path.startswith(prefix)]
        if folder and not inside:
            raise HubError(404, f"{folder} does not exist", "EntryNotFound", sha)
        # A recursive listing has no folders, because the client does not need them.
        listed = [file for file in inside if recursive or "/" not in file.path[len(prefix) :]]
        nested = [file.path[len(prefix) :] for file in inside if file not in listed]
        folders = sorted({prefix + path.split("/")[0] for path in nested})
        return [
            *({"type": "directory", "path": path, "size": 0, "oid": git_oid(b"")} for path in folders),
            *(file.entry() for file in listed),
        ]


def with_slash(folder: str) -> str:
    return folder.rstrip("/") + "/"


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def stored_with_lfs(path: str, size: int) -> bool:
    return size > LFS_SIZE or (size > 0 and path.endswith(LFS_SUFFIXES))


class HubServer:
    """Context manager that runs the server in a thread. See the module docstring."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []  # (method, path without query), in order of arrival
        self.repos: dict[str, Repo] = {}
        self.lfs: dict[str, bytes] = {}  # sha256 -> uploaded content
        self.lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> HubServer:
        # shutdown() waits for the end of a poll, so polls are short.
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def environment(self, cache_dir: str | os.PathLike[str]) -> dict[str, str]:
        """Return the environment of a client process: the current one with the Hub's settings replaced."""
        inherited = {k: v for k, v in os.environ.items() if not re.match("HF_|HUGGING|TRANSFORMERS_", k)}
        return inherited | {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": os.fspath(cache_dir),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",  # the client prefers Xet over LFS
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "DISABLE_SAFETENSORS_CONVERSION": "1",  # transformers requests it in a thread
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def commit(self, repo: str, files: Mapping[str, bytes | None], revision: str = "main") -> str:
        """Commit files and return the sha. ``None`` removes a file; a missing repository or branch is created."""
        with self.lock:
            target = self.repos.setdefault(repo, Repo(repo))
            if "main" in target.branches:
                target.branches.setdefault(revision, target.branches["main"])
            return target.commit(revision, files)

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        with self.lock:
            return {path: file.data for path, file in self.repos[repo].at(revision)[1].items()}


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0 has one connection per request. A persistent connection would outlive the server.

    def __init__(self, hub: HubServer, *args: Any) -> None:
        self.hub = hub  # before super().__init__, which handles the request
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:
        pass  # tests read HubServer.requests

    def answer(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append((self.command, url.path))
        try:
            with self.hub.lock:
                # Split before unquoting, because a revision such as refs/pr/1 is one quoted part.
                self.route([unquote(part) for part in url.path.strip("/").split("/")])
        except HubError as error:
            self.send(error.status, json.dumps({"error": str(error)}).encode(), error.headers)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_json(self, answer: Any, status: int = 200) -> None:
        self.send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def signed_in(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in ("", TOKEN):
            raise HubError(401, "Invalid credentials in Authorization header")
        return bool(token)

    def require_token(self) -> None:
        if not self.signed_in():
            raise HubError(401, "Invalid username or password.")

    def repo(self, owner: str, name: str, write: bool = False) -> Repo:
        repo = self.hub.repos.get(f"{owner}/{name}")
        if repo is None or (repo.private and not self.signed_in()):
            # Without a token, the Hub does not distinguish missing from private repositories.
            raise HubError(404 if self.signed_in() else 401, "Repository not found", "RepoNotFound")
        if write:
            self.require_token()
        return repo

    def route(self, parts: list[str]) -> None:
        match "GET" if self.command == "HEAD" else self.command, parts:
            case "GET", ["api", "whoami-v2"]:
                self.require_token()
                auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": "write"}}
                self.send_json({"type": "user", "id": USER, "name": USER, "orgs": [], "auth": auth})
            case "POST", ["api", "validate-yaml"]:
                self.send_json({"errors": [], "warnings": []})
            case "POST", ["api", "repos", "create"]:
                self.create_repo(json.loads(self.body))
            case "GET", ["api", "models", owner, name]:
                self.model_info(self.repo(owner, name), "main")
            case "GET", ["api", "models", owner, name, "revision", revision]:
                self.model_info(self.repo(owner, name), revision)
            case "GET", ["api", "models", owner, name, "tree", revision, *folder]:
                recursive = self.query.get("recursive", [""])[0].lower() in ("true", "1")
                self.send_json(self.repo(owner, name).tree(revision, "/".join(folder), recursive))
            case "GET", ["api", "models", owner, name, "refs"]:
                self.refs(self.repo(owner, name))
            case "POST", ["api", "models", owner, name, "branch", branch]:
                repo = self.repo(owner, name, write=True)
                start = json.loads(self.body or b"{}").get("startingPoint", "main")
                self.add_ref(repo.branches, branch, repo.at(start)[0])
            case "POST", ["api", "models", owner, name, "tag", revision]:
                repo = self.repo(owner, name, write=True)
                self.add_ref(repo.tags, json.loads(self.body)["tag"], repo.at(revision)[0])
            case "POST", ["api", "models", owner, name, "preupload", revision]:
                self.preupload(self.repo(owner, name, write=True).at(revision)[1])
            case "POST", [owner, repository, "info", "lfs", "objects", "batch"]:
                self.repo(owner, repository.removesuffix(".git"), write=True)
                self.lfs_batch(json.loads(self.body)["objects"])
            case "PUT", ["lfs-upload", oid]:  # without a token, because the Hub's upload URLs are signed
                if hashlib.sha256(self.body).hexdigest() != oid:
                    raise HubError(400, "The content does not have the announced SHA-256")
                self.hub.lfs[oid] = self.body
                self.send(200, b"", {})
            case "POST", ["api", "models", owner, name, "commit", branch] if "create_pr" not in self.query:
                self.create_commit(self.repo(owner, name, write=True), branch)
            case "GET", [owner, name, "resolve", revision, *path] if path:
                self.resolve(*self.repo(owner, name).at(revision), "/".join(path))
            case _:
                raise HubError(501, f"The stub of the Hub does not implement {self.command} {self.path}")

    def create_repo(self, payload: dict[str, Any]) -> None:
        self.require_token()
        if payload.get("type") not in (None, "model"):
            raise HubError(501, "The stub of the Hub implements model repositories only")
        name = f"{payload.get('organization') or USER}/{payload['name']}"
        answer = {"url": f"{self.hub.endpoint}/{name}", "name": name}
        if name in self.hub.repos:
            # With exist_ok=True, the client reads the URL from this answer.
            return self.send_json({"error": "You already created this model repo", **answer}, 409)
        # Newer versions of huggingface_hub send "visibility", older ones "private".
        private = bool(payload.get("private")) or payload.get("visibility") == "private"
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
        self.hub.repos[name] = Repo(name, private)
        self.hub.repos[name].commit("main", {".gitattributes": attributes.encode()})
        return self.send_json(answer)

    def model_info(self, repo: Repo, revision: str) -> None:
        sha, files = repo.at(revision)
        answer = {"id": repo.name, "modelId": repo.name, "author": repo.name.split("/")[0], "sha": sha}
        flags = {"private": repo.private, "gated": False, "disabled": False, "downloads": 0, "likes": 0}
        lists = {"tags": [], "siblings": [{"rfilename": path} for path in files]}
        self.send_json(answer | flags | lists | {"createdAt": DATE, "lastModified": DATE})

    def refs(self, repo: Repo) -> None:
        def entries(folder: str, refs: Mapping[str, str]) -> list[dict[str, str]]:
            return [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": sha} for name, sha in refs.items()]

        self.send_json(
            {"branches": entries("heads", repo.branches), "tags": entries("tags", repo.tags), "converts": []}
        )

    def add_ref(self, refs: dict[str, str], name: str, sha: str) -> None:
        if name in refs:
            raise HubError(409, f"Reference already exists: {name}")
        refs[name] = sha
        self.send_json({})

    def preupload(self, present: Mapping[str, File]) -> None:
        """Return which files use LFS and the ids of existing ones. The client uploads changed files only."""
        answer: list[dict[str, Any]] = []
        for path, size in ((file["path"], file["size"]) for file in json.loads(self.body)["files"]):
            mode = "lfs" if stored_with_lfs(path, size) else "regular"
            existing = {"oid": present[path].etag} if path in present else {}
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **existing})
        self.send_json({"files": answer})

    def lfs_batch(self, objects: list[dict[str, Any]]) -> None:
        for item in objects:
            if item["oid"] not in self.hub.lfs:  # without "actions", the client uploads nothing
                item["actions"] = {"upload": {"href": f"{self.hub.endpoint}/lfs-upload/{item['oid']}"}}
        self.send_json({"transfer": "basic", "objects": objects})

    def create_commit(self, repo: Repo, branch: str) -> None:
        if branch not in repo.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        head, present = repo.at(branch)
        changes: dict[str, bytes | None] = {}
        for line in self.body.splitlines():
            key, value = (operation := json.loads(line))["key"], operation["value"]
            path = value.get("path", "")
            match key:
                case "header":
                    if value.get("parentCommit", head) != head:
                        raise HubError(412, "A commit has happened since. Please refresh and try again.")
                case "file":
                    changes[path] = base64.b64decode(value["content"])
                case "lfsFile":
                    if value["oid"] not in self.hub.lfs:
                        raise HubError(400, f"{path}: the LFS object was not uploaded")
                    changes[path] = self.hub.lfs[value["oid"]]
                case "deletedFile" if path in present:
                    changes[path] = None
                case "deletedFolder" if inside := [p for p in present if p.startswith(with_slash(path))]:
                    changes |= dict.fromkeys(inside)
                case _:
                    raise HubError(404, f"{path}: A file with this name doesn't exist", "EntryNotFound", head)
        sha = repo.commit(branch, changes)
        url = f"{self.hub.endpoint}/{repo.name}/commit/{sha}"
        self.send_json({"success": True, "commitOid": sha, "commitUrl": url})

    def resolve(self, sha: str, files: Mapping[str, File], path: str) -> None:
        if path not in files:
            # The commit lets the client cache that the file is missing.
            raise HubError(404, "Entry not found", "EntryNotFound", sha)
        file = files[path]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{file.etag}"'}
        if file.lfs:
            # The Hub sends these headers with its redirect to the CDN.
            headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(len(file.data))}
        self.send(200, file.data, headers)
