# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Downloads from servers that fail, stall, redirect, and resume. The only server is a local one."""

import random
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from helpers.file_server import FileServer, serve

from modeling_elmo.conversion.source import download as module
from modeling_elmo.conversion.source.download import DownloadLimits, download

DATA = random.Random(0).randbytes(300_000)
NEW_DATA = random.Random(1).randbytes(300_000)
LIMITS = DownloadLimits(stall_seconds=5, backoff_seconds=0.01, max_attempts=3)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "w.hdf5").write_bytes(DATA)
    monkeypatch.setattr(module.constants, "HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve(tmp_path / "served") as running:
        yield running


def get(server: FileServer, name: str = "w.hdf5", **options: object) -> Path:
    return download(f"{server.url}/{name}", limits=options.pop("limits", LIMITS), **options)  # type: ignore[arg-type]


def cached() -> list[str]:
    """Return the names of the visible and the partial files in the cache."""
    return sorted(path.suffix for path in module.cache_folder().iterdir() if path.suffix != ".lock")


def test_an_interrupted_download_resumes_within_one_call(server: FileServer) -> None:
    server.cuts = [100_000, 50_000]
    assert get(server).read_bytes() == DATA
    assert [headers.get("range") for headers in server.headers] == [None, "bytes=100000-", "bytes=150000-"]
    assert cached() == [".hdf5"]


def test_an_interrupted_download_resumes_in_the_next_call(server: FileServer) -> None:
    server.cuts = [100_000]
    with pytest.raises(ConnectionError, match=r"w\.hdf5: the server sent 100000 of 300000 bytes\.$"):
        get(server, limits=replace(LIMITS, max_attempts=1))
    assert cached() == [".etag", ".part"]
    assert get(server, sha256=sha256(DATA).hexdigest()).read_bytes() == DATA
    assert server.headers[1]["range"] == "bytes=100000-"
    assert server.headers[1]["if-range"] == f'"{sha256(DATA).hexdigest()}"'
    assert cached() == [".hdf5"]


@pytest.mark.parametrize("fault", ["file changed", "no ranges", "no etags", "shorter file"])
def test_a_download_that_cannot_resume_restarts(fault: str, server: FileServer, tmp_path: Path) -> None:
    server.etags = fault != "no etags"
    server.ranges = fault != "no ranges"
    server.cuts = [100_000]
    with pytest.raises(ConnectionError):
        get(server, limits=replace(LIMITS, max_attempts=1))
    assert cached() == ([] if fault == "no etags" else [".etag", ".part"])
    expected = {"file changed": NEW_DATA, "shorter file": NEW_DATA[:50]}.get(fault, DATA)
    (tmp_path / "served" / "w.hdf5").write_bytes(expected)
    assert get(server).read_bytes() == expected
    assert cached() == [".hdf5"]


def test_a_range_that_the_server_no_longer_has_restarts(server: FileServer) -> None:
    server.cuts = [100_000]
    with pytest.raises(ConnectionError):
        get(server, limits=replace(LIMITS, max_attempts=1))
    (partial,) = module.cache_folder().glob(".*.part")
    partial.write_bytes(DATA)
    assert get(server).read_bytes() == DATA  # after status 416
    assert [headers.get("range") for headers in server.headers] == [None, "bytes=300000-", None]


def test_transient_errors_are_retried_and_others_are_not(server: FileServer) -> None:
    server.statuses = [503, 429]
    assert get(server).read_bytes() == DATA
    assert len(server.requests) == 3
    server.statuses = [500, 502, 503, 504]
    with pytest.raises(ConnectionError, match="the server returned 503 Service Unavailable"):
        get(server, force=True)
    assert len(server.requests) == 6
    server.statuses = [403]
    with pytest.raises(ConnectionError, match="the server returned 403 Forbidden"):
        get(server, force=True)
    assert len(server.requests) == 7


def test_pauses_double(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    server.statuses = [503] * 5
    with pytest.raises(ConnectionError):
        get(server, limits=DownloadLimits())
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_a_server_that_stalls_is_left_in_time(server: FileServer) -> None:
    server.drip = 30
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="the server did not respond in time"):
        get(server, limits=replace(LIMITS, stall_seconds=0.2, max_attempts=2))
    assert time.monotonic() - start < 5
    assert len(server.requests) == 2


def test_a_server_that_drips_is_left_in_time(server: FileServer) -> None:
    limits = replace(LIMITS, grace_seconds=0.3, min_bytes_per_second=1000)
    start = time.monotonic()
    server.drip = 0.02  # 50 bytes per second, so no read ever times out
    with pytest.raises(ConnectionError, match=r"the server is too slow \(\d+ bytes in \d+ seconds\)"):
        get(server, limits=limits)
    assert time.monotonic() - start < 5
    assert len(server.requests) == 1, "not a transient error"
    server.drip = 0
    assert get(server, limits=limits).read_bytes() == DATA


def test_a_server_that_drips_headers_is_left_in_time(server: FileServer) -> None:
    server.header_drip = 0.1
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=r"no response within 0\.3 seconds"):
        get(server, limits=replace(LIMITS, response_seconds=0.3))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
def test_redirects_to_another_scheme_are_refused(scheme: str, server: FileServer, tmp_path: Path) -> None:
    path = tmp_path / "served" / "w.hdf5"
    targets = {"file": path.as_uri(), "ftp": "ftp://127.0.0.1/w.hdf5", "data": "data:,text"}
    server.redirects = {"/moved.hdf5": f"{targets[scheme]}?token=SECRET"}
    with pytest.raises(ConnectionError, match="the server returned 302, a redirect that is not allowed") as caught:
        get(server, "moved.hdf5")
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))
    assert cached() == []


@pytest.mark.parametrize(("old", "new", "allowed"), [("https", "http", False), ("http", "https", True)])
def test_redirects_between_http_and_https(old: str, new: str, allowed: bool) -> None:
    request = module.urllib.request.Request(f"{old}://host.org/a")
    arguments = (request, None, 302, "Found", {}, f"{new}://host.org/b")
    if allowed:
        assert module._RedirectHandler().redirect_request(*arguments).full_url == "https://host.org/b"
    else:
        with pytest.raises(module.urllib.error.HTTPError):
            module._RedirectHandler().redirect_request(*arguments)


def test_redirects_within_a_scheme_are_followed_without_the_password(server: FileServer) -> None:
    server.redirects = {"/moved.hdf5": f"{server.url}/w.hdf5"}
    url = f"{server.url}/moved.hdf5".replace("//", "//me:pass%20word@")
    assert download(url, limits=LIMITS).read_bytes() == DATA
    assert server.headers[0]["authorization"] == "Basic bWU6cGFzcyB3b3Jk"
    assert "authorization" not in server.headers[1]


def test_redirect_loops_end(server: FileServer) -> None:
    server.redirects = {"/loop": f"{server.url}/loop"}
    with pytest.raises(ConnectionError, match="302, a redirect that is not allowed"):
        get(server, "loop")


def test_force_ignores_the_cache(server: FileServer, tmp_path: Path) -> None:
    assert get(server).read_bytes() == DATA
    (tmp_path / "served" / "w.hdf5").write_bytes(NEW_DATA)
    assert get(server).read_bytes() == DATA
    assert get(server, force=True).read_bytes() == NEW_DATA
    assert get(server).read_bytes() == NEW_DATA


def test_simultaneous_downloads_share_one_request(server: FileServer) -> None:
    server.drip, paths = 0.002, list[Path]()
    (server.folder / "w.hdf5").write_bytes(DATA[:200])
    threads = [threading.Thread(target=lambda: paths.append(get(server))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert [path.read_bytes() for path in paths] == [DATA[:200]] * 3


def test_unusual_urls(server: FileServer) -> None:
    (server.folder / "weights ü.hdf5").write_bytes(DATA)
    path = get(server, "weights ü.hdf5?download=a b#top")
    assert path.read_bytes() == DATA
    assert server.requests == ["/weights%20%C3%BC.hdf5?download=a%20b"]
    assert path.name.endswith("-weights_ü.hdf5")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionError, match="Connection refused"):
            download(f"http://127.0.0.1:{unused.getsockname()[1]}/options.json")


@pytest.mark.parametrize(
    "url",
    [
        "http://me:SECRET@127.0.0.1:{port}/none.hdf5?token=SECRET#SECRET",
        "http://me:SECRET@127.0.0.1:{port}/cut.hdf5?token=SECRET",
        "http://me:SECRET@127.0.0.1:1/none.hdf5?token=SECRET",
        "http://me:SEC?RET@127.0.0.1:{port}/none.hdf5",
        "http://me:SECRET@[127.0.0.1/none.hdf5?token=SECRET",
        "http://me:SECRET@127.0.0.1:SECRET/none.hdf5?SECRET",
        "http://me:SECRET@/none.hdf5?SECRET",
        "http://me:SECRET@host with blank/none.hdf5?SECRET",
        "http://me:SECRET@127.0.0.1\t:{port}/none.hdf5?SECRET",
        "http://me:SECRET@" + "x" * 70 + "/none.hdf5?SECRET",
        "file://me:SECRET@/etc/passwd?SECRET",
    ],
)
def test_errors_contain_no_secret(url: str, server: FileServer, capfd: pytest.CaptureFixture[str]) -> None:
    (server.folder / "cut.hdf5").write_bytes(DATA)
    server.cuts = [10, 10, 10]
    with pytest.raises((ConnectionError, ValueError), match=r"^Cannot download ") as caught:
        download(url.format(port=server.server_port), limits=LIMITS)
    output = "".join([*traceback.format_exception(caught.value), *capfd.readouterr()])
    assert "SEC" not in output
    assert "\t" not in str(caught.value)
