"""A server of data files on this machine that misbehaves on demand."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What a server serves: ``files`` by name, and what it did: the name and the Range header of each request in ``asked``.

    ``breaks_after``: bytes of a body after which the next connections end, one entry a connection; ``ranges``: whether it resumes;
    ``status`` in place of 200; ``silent_s``: how long it waits before it answers; ``encoding``: the Content-Encoding it states;
    ``lengths``: whether it states a length.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    breaks_after: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    silent_s: float = 0.0
    encoding: str = ""
    lengths: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    """``site``, now reachable at ``site.url``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.rpartition("/")[2], self.headers.get("Range", "")
            site.asked.append((name, wanted))
            time.sleep(site.silent_s)
            body = site.files.get(name)
            if site.status != 200 or body is None:
                self.send_error(404 if body is None else site.status)
                return
            first = re.fullmatch(r"bytes=(\d+)-", wanted)
            start = int(first[1]) if first and site.ranges else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if site.lengths:
                self.send_header("Content-Length", str(len(body) - start))
            if site.encoding:
                self.send_header("Content-Encoding", site.encoding)
            self.end_headers()
            end = start + site.breaks_after.pop(0) if site.breaks_after else len(body)
            self.wfile.write(body[start:end])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Says nothing of clients that hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
