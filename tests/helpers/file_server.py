# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""HTTP server of the files of a folder, with ETags, ranges, and the faults of real servers."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class FileServer(ThreadingHTTPServer):
    """Server on 127.0.0.1.

    Attributes:
        requests: Paths with queries, in order of arrival.
        headers: Headers of the requests.
        etags: Whether to send ETags.
        ranges: Whether to answer range requests with status 206.
        cuts: Numbers of bytes after which the next responses end, one per response.
        statuses: Statuses of the next responses, without content.
        redirects: Location for each path to redirect.
        drip: Seconds before each byte of the content; 0 to send it at once.
        header_drip: Seconds before each byte of the headers.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests, self.headers = list[str](), list[dict[str, str]]()
        self.etags = self.ranges = True
        self.cuts, self.statuses = list[int](), list[int]()
        self.redirects: dict[str, str] = {}
        self.drip = self.header_drip = 0.0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(self.path)
        server.headers.append({name.lower(): value for name, value in self.headers.items()})
        path = unquote(urlsplit(self.path).path)
        if path in server.redirects:
            self.respond(302, {"Location": server.redirects[path]})
        elif server.statuses:
            self.respond(server.statuses.pop(0), {})
        elif (server.folder / path.lstrip("/")).is_file():
            self.send_file((server.folder / path.lstrip("/")).read_bytes())
        else:
            self.respond(404, {})

    def send_file(self, data: bytes) -> None:
        server = self.server
        etag = f'"{sha256(data).hexdigest()}"'
        headers = {"ETag": etag} if server.etags else {}
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = 0
        if server.ranges and requested and self.headers.get("If-Range", etag) == etag:
            start = int(requested[1])
            if start >= len(data):
                return self.respond(416, {"Content-Range": f"bytes */{len(data)}"})
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        content = data[start:]
        headers["Content-Length"] = str(len(content))
        self.respond(206 if start else 200, headers, content[: server.cuts.pop(0)] if server.cuts else content)
        return None

    def respond(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        lines = [f"HTTP/1.0 {status} Reason", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.write("\r\n".join(lines).encode(), self.server.header_drip)
        self.write(content, self.server.drip)

    def write(self, data: bytes, pause: float) -> None:
        try:
            for piece in (data[i : i + 1] for i in range(len(data))) if pause else (data,):
                if pause:
                    time.sleep(pause)
                self.wfile.write(piece)
        except OSError:  # the client has closed the connection
            pass

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[FileServer]:
    """Run a server of the folder until the context ends."""
    with FileServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
