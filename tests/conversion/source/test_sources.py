# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Checkpoint sources: folders, files, URLs, and known names. The only server is a local one."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from helpers.write_checkpoint import OPTIONS, read_datasets, write_checkpoint

from modeling_elmo.conversion.convert import ConversionRecord, convert
from modeling_elmo.conversion.export import export
from modeling_elmo.conversion.source import download, fetch
from modeling_elmo.conversion.source.checkpoints import Checkpoint, checkpoints, find_checkpoint
from modeling_elmo.model.configuration_elmo import PRESETS

S3 = "https://s3-us-west-2.amazonaws.com/allennlp/models/elmo/"
OTHER_S3 = "https://allennlp.s3.amazonaws.com/models/elmo/"


class Server(ThreadingHTTPServer):
    """Server of the files of a folder. It records the requests and truncates responses by `missing_bytes`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.requests, self.missing_bytes = folder, list[str](), 0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404, "Not Found")
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) - self.server.missing_bytes])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    write_checkpoint(tmp_path / "served")
    monkeypatch.setattr(download.constants, "HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(tmp_path / "served") as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_conversion_from_urls(server: Server, tmp_path: Path) -> None:
    weights, options = f"{server.url}/lm_weights.hdf5", f"{server.url}/options.json"
    record = convert(weights, tmp_path / "model", options=options)
    assert record.config.conversion["files"]["weights"]["name"] == weights
    export(tmp_path / "model", tmp_path / "back")
    served = tmp_path / "served" / "lm_weights.hdf5"
    assert read_datasets(tmp_path / "back" / "lm_weights.hdf5") == read_datasets(served)
    convert(weights, tmp_path / "again", options=tmp_path / "served" / "options.json")
    assert sorted(server.requests) == ["/lm_weights.hdf5", "/options.json"]  # the second conversion reads the cache
    assert len(list((tmp_path / "cache" / "modeling_elmo").iterdir())) == 2


def test_weights_from_a_url_require_options(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="without options"):
        convert(f"{server.url}/lm_weights.hdf5", tmp_path / "model")


def test_downloads_that_fail_leave_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="the server returned 404 Not Found"):
        download.download(f"{server.url}/no.hdf5")
    server.missing_bytes = 100
    with pytest.raises((ConnectionError, ValueError), match=r"Expected \d+ bytes|Cannot download"):
        download.download(f"{server.url}/lm_weights.hdf5")
    server.missing_bytes = 0
    with pytest.raises(ValueError, match="Expected 5 bytes"):
        download.download(f"{server.url}/options.json", size=5)
    with pytest.raises(ValueError, match="Expected the sha256 00"):
        download.download(f"{server.url}/options.json", sha256="00")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionError, match="Cannot download"):
            download.download(f"http://127.0.0.1:{unused.getsockname()[1]}/options.json")
    assert list((tmp_path / "cache" / "modeling_elmo").iterdir()) == []


def test_a_known_name_leads_to_its_files(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = find_checkpoint("pubmed")
    assert known is not None
    size = (tmp_path / "served" / "options.json").stat().st_size
    served = replace(
        known,
        weights=f"{server.url}/lm_weights.hdf5",
        options=f"{server.url}/options.json",
        sizes={"options": size},
        license="apache-2.0",
    )
    monkeypatch.setattr(fetch, "find_checkpoint", lambda text: served if text == "pubmed" else None)
    record = convert("pubmed", tmp_path / "model")
    assert record.splitter == "moses"  # known to be English
    assert record.config.conversion["checkpoint"] == "pubmed"
    card = (tmp_path / "model" / "README.md").read_text()
    assert "license: apache-2.0\nlanguage: en\n" in card
    monkeypatch.setattr(fetch, "find_checkpoint", lambda text: replace(served, sizes={"options": size + 1}))
    with pytest.raises(ValueError, match=f"Expected {size + 1} bytes from .*, got {size}"):
        convert("pubmed", tmp_path / "other")


def test_files_by_path(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old")
    (tmp_path / "old" / "lm_embeddings_0.hdf5").write_bytes(b"")  # stored vectors next to the weights
    for source in (tmp_path / "old", tmp_path / "old" / "lm_weights.hdf5"):
        assert file_names(convert(source, tmp_path / "model", overwrite=True)) == ("lm_weights.hdf5", "options.json")
    (tmp_path / "old" / "options.json").rename(tmp_path / "old" / "options262.json")
    (tmp_path / "old" / "lm_weights.hdf5").rename(tmp_path / "old" / "model.hdf5")
    (tmp_path / "old" / "lm_embeddings_0.hdf5").unlink()
    assert file_names(convert(tmp_path / "old", tmp_path / "model", overwrite=True)) == (
        "model.hdf5",
        "options262.json",
    )


def file_names(record: ConversionRecord) -> tuple[str, str]:
    """Return the names of weights and options in the record."""
    files = record.config.conversion["files"]
    assert files.keys() == {"weights", "options"}
    return files["weights"]["name"], files["options"]["name"]


def test_language_and_splitter(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old", OPTIONS)
    assert convert(tmp_path / "old", tmp_path / "1", language="en").splitter == "moses"
    assert convert(tmp_path / "old", tmp_path / "2", language="pt").splitter == "whitespace"
    assert convert(tmp_path / "old", tmp_path / "3").splitter == "whitespace"
    assert convert(tmp_path / "old", tmp_path / "4", splitter="characters").splitter == "characters"


def test_the_list_of_checkpoints() -> None:
    names = [name for known in checkpoints() for name in (known.name, *known.aliases)]
    assert len(names) == len(set(names))
    for known in checkpoints():
        assert known.preset in (None, *PRESETS)
        assert all(name == name.lower() for name in (known.name, *known.aliases))
        assert (known.weights and known.options) or known.page
        assert set(known.sizes) | set(known.sha256) <= {"options", "weights", "softmax", "vocab"}
        for url in filter(None, (known.weights, known.options, known.softmax, known.vocab)):
            assert url.startswith("https://")


@pytest.mark.parametrize("host", [S3, OTHER_S3, S3.replace("https", "http")])
def test_both_spellings_of_the_host_are_known(host: str) -> None:
    original: Checkpoint | None = find_checkpoint("original")
    assert original is not None
    assert (
        find_checkpoint(f"{host}2x4096_512_2048cnn_2xhighway/elmo_2x4096_512_2048cnn_2xhighway_weights.hdf5")
        is original
    )
    assert (
        find_checkpoint(f"{host}2x4096_512_2048cnn_2xhighway/elmo_2x4096_512_2048cnn_2xhighway_options.json")
        is original
    )
    assert find_checkpoint("5.5B") is find_checkpoint("original-5.5b")
    assert find_checkpoint(f"{host}nothing") is None
    assert find_checkpoint("nothing") is None
    with pytest.raises(ValueError, match="Expected `file` to be one of"):
        original.url("name")


def test_a_checkpoint_without_urls_names_its_page(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Get its files from https://github\.com/t-systems"):
        convert("german", tmp_path / "model")
