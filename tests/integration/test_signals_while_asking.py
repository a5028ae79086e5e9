"""A daemon that ends while it asks others says nothing of it."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from scripts.processes import LOOPBACK, first_line, make_endpoint
from tests.support.http_connection import request
from tests.support.raw_client import talking
from tests.support.signed_requests import Peer, signing_key

ALPHA = ServerName.parse("alpha.test")
KEY = signing_key("b_1", b"5")

SEND = "/_matrix/federation/v1/send/1"
EMPTY: Json = {"pdus": []}
EDU = '{"edu_type": "m.x", "content": {}}'


@pytest.mark.parametrize("seconds", [1, 30])
def test_sigterm_while_questions_are_out(tmp_path: Path, seconds: int) -> None:
    """A daemon that ends while it asks name servers and peers says nothing of it."""
    with ExitStack() as stack:
        silent = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        silent.bind((LOOPBACK, 0))
        peer = stack.enter_context(socket.create_server((LOOPBACK, 0)))
        configuration = (
            f'[dns]\nservers = ["{LOOPBACK}:{silent.getsockname()[1]}"]\n'
            '[network]\nallow = ["127.0.0.0/8"]\n'
        )
        alpha = make_endpoint(tmp_path / "alpha", ALPHA.name, configuration)
        text = alpha.configuration.read_text()
        alpha.configuration.write_text(f"shutdown_seconds = {seconds}\n{text}")
        with alpha.running() as process:
            first_line(process)
            names = [f"{LOOPBACK}:{peer.getsockname()[1]}", "down.test", "other.test"]
            for name in names:
                stranger = Peer(ServerName.parse(name), KEY)
                header = stranger.authorize("PUT", SEND, EMPTY, destination=ALPHA)
                talk = stack.enter_context(talking(alpha.port))
                lines = [f"Authorization: {header}"]
                talk.send(request("PUT", SEND, lines, encode(EMPTY)))
                alpha.call("send", name, "--edu", EDU, "--timeout", "0.1")
            process.terminate()
            assert process.wait(timeout=60) == 0
        assert silent.recv(512)  # it had asked
    assert "Unhandled" not in alpha.log.read_text()
