"""A server without TLS: one answer for each request, and a note of what came."""

import json
import socket
from http.client import HTTPConnection

from homeserver.conformance.plain_server import plain_server
from tests.support.eventually import HANGING_SECONDS
from tests.support.waiting import reactor, wait_for_thread

_HOST = "127.0.0.1"


def test_it_answers_with_its_document_and_notes_the_request() -> None:
    """The note is the first line."""
    with plain_server(reactor, _HOST, b'{"m.server":"a.test"}') as (server, port):

        def get() -> object:
            connection = HTTPConnection(_HOST, port, timeout=HANGING_SECONDS)
            connection.request("GET", "/.well-known/matrix/server")
            found: object = json.load(connection.getresponse())
            connection.close()
            return found

        assert wait_for_thread(get) == {"m.server": "a.test"}
        assert server.asked == ["GET /.well-known/matrix/server HTTP/1.1"]


def test_it_notes_no_more_than_a_few_requests() -> None:
    """A client that asks without an end fills no memory."""
    with plain_server(reactor, _HOST, b"{}") as (server, port):

        def ask() -> None:
            with socket.create_connection(
                (_HOST, port), timeout=HANGING_SECONDS
            ) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                while connection.recv(4096):
                    pass

        for _ in range(25):
            wait_for_thread(ask)
        assert len(server.asked) == 20


def test_a_request_without_an_end_is_cut_off() -> None:
    """It is none; nothing of it is noted."""
    with plain_server(reactor, _HOST, b"{}") as (server, port):

        def send() -> bool:
            with socket.create_connection(
                (_HOST, port), timeout=HANGING_SECONDS
            ) as connection:
                try:
                    while True:
                        connection.sendall(b"a" * 4096)
                except OSError as problem:
                    return not isinstance(problem, TimeoutError)

        assert wait_for_thread(send)
        assert server.asked == []
