"""A control API that answers as a test says, on a real port."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class CannedControl:
    """What it answers, and what it was asked."""

    address: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    """By `METHOD path`, without the query: status and JSON, or a list of such pairs."""

    asked: list[tuple[str, str | None, Any]] = field(default_factory=list)
    """Each request: `METHOD target`, its `Authorization`, its body."""


@contextmanager
def canned_control(
    answers: dict[str, Any], server: str = "homeserver/test"
) -> Iterator[CannedControl]:
    """Answer on a free port of the loopback interface."""
    control = CannedControl(answers=answers)

    class Handler(BaseHTTPRequestHandler):
        server_version = server

        def version_string(self) -> str:
            """What `Server` says."""
            return server

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            request = f"{self.command} {self.path}"
            control.asked.append((request, self.headers.get("Authorization"), body))
            found = control.answers[request.partition("?")[0]]
            status, reply = found.pop(0) if isinstance(found, list) else found
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    control.address = f"127.0.0.1:{listener.server_port}"
    thread = Thread(target=listener.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield control
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
