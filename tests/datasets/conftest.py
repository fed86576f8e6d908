"""A web server of this machine that fails as it is told to."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Reply:
    """How one request is answered; the default is as a good server does."""

    status: int | None = None
    headers: dict = field(default_factory=dict)
    stop_after: int | None = None  # bytes, then the connection ends
    hold: bool = False  # ... or stays open until the server is released
    ranges: bool = True
    declared: bool = True  # whether the length is
    shift: int = 0  # of the part that is sent


class Site:
    """Files by name, replies for the next requests, and what was asked for."""

    def __init__(self):
        self.files, self.replies, self.requests = {}, [], []
        self.etag = '"one"'
        self.released, self.held = threading.Event(), threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                site.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/files"
        self.thread = threading.Thread(
            target=self.server.serve_forever, args=(0.01,), daemon=True
        )
        self.thread.start()

    def answer(self, handler):
        name = handler.path.rpartition("/")[2]
        asked = handler.headers.get("Range")
        self.requests.append((name, asked))
        reply = self.replies.pop(0) if self.replies else Reply()
        content = self.files.get(name)
        if content is None or reply.status is not None:
            self._send(handler, reply.status or 404, b"sorry", reply, {})
            return
        headers, status, start = {"ETag": self.etag} if self.etag else {}, 200, 0
        fresh = handler.headers.get("If-Range", self.etag) == self.etag
        if asked and reply.ranges and fresh:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                self._send(handler, 416, b"", reply, {})
                return
            start, status = start + reply.shift, 206
            last = len(content) - 1
            headers["Content-Range"] = f"bytes {start}-{last}/{len(content)}"
        self._send(handler, status, content[start:], reply, headers)

    def _send(self, handler, status, body, reply, headers):
        handler.send_response(status)
        for key, value in (headers | reply.headers).items():
            handler.send_header(key, value)
        if reply.declared:
            handler.send_header("Content-Length", str(len(body)))
        else:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        handler.end_headers()
        if reply.stop_after is None:
            handler.wfile.write(body)
            return
        handler.wfile.write(body[: reply.stop_after])
        handler.wfile.flush()
        if reply.hold:
            self.held.set()
            self.released.wait(30)
        handler.close_connection = True

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site():
    made = Site()
    yield made
    made.close()


@pytest.fixture(name="Reply")
def reply_fixture():
    return Reply
