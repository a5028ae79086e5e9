"""The record of a lab beside the bytes of what its servers send, and get back."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from homeserver.lab.faults.departing import DEPART_ACTS
from homeserver.testing import Lab, Server
from tests.support.heard_bytes import Answerer, heard, shown
from tests.support.tables import cases

TARGET = "/_matrix/federation/v1/send/1?a=b"
CONTENT = {"b": [1, "é"], "a": {"c": None}}

OK = b"HTTP/1.1 200 OK\r\nx-ODD: 1\r\ncontent-length: 2\r\nX-odd: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"


@pytest.fixture(scope="module")
def certificate(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a certificate of loopback, with its key."""
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    Path(path).write_text("".join(lab.certificate("127.0.0.1")))
    return str(path)


def ask(
    lab: Lab, server: Server, answerer: Answerer, **members: Any
) -> tuple[bytes, dict[str, Any]]:
    """What another server heard of a request, and the exchange in the record."""
    asked: dict[str, Any] = {"method": "PUT", "content": CONTENT, **members}
    with ThreadPoolExecutor(1) as thread:
        serving = thread.submit(answerer.serve)
        answer = server.request(answerer.name, TARGET, **asked)
        assert answer.exchange is not None
        exchange = dict(lab.exchange(answer.exchange))
        if answer.status is not None:
            assert exchange["response"]["headers"] == [*map(list, answer.headers)]
        serving.result()
    return answerer.data, exchange


@pytest.mark.parametrize("name", [None, *DEPART_ACTS])
def test_a_request_in_another_form(
    lab: Lab, certificate: str, name: str | None
) -> None:
    """Its first line, its headers and its body are in the record as they were sent."""
    server = lab.server()
    if name is not None:
        server.rule({name: True}, match={"direction": "out"})
    data, exchange = ask(lab, server, Answerer(certificate, OK, closes=True))
    said = heard(data)
    assert said == shown(exchange["request"])
    assert said is not None
    method, target, _ = said.start_line.split(" ")
    assert (method, target) == (exchange["method"], exchange["target"])
    assert exchange["path"] == target.partition("?")[0]


@pytest.mark.parametrize(
    "spoil",
    ["method", "path", "no-auth", "host:other.test", "raw:AAH/", "header:x-A=b"],
)
def test_a_request_that_is_wrong(lab: Lab, certificate: str, spoil: str) -> None:
    """A request with a mistake is in the record with it."""
    answerer = Answerer(certificate, OK, closes=True)
    data, exchange = ask(lab, lab.server(), answerer, spoil=[spoil])
    assert heard(data) == shown(exchange["request"])


@cases(
    "answer status is_whole",
    [
        ("whole", OK, 200, True),
        ("without a length", b"HTTP/1.0 200 OK\r\n\r\n{}", 200, True),
        ("after interim", b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + OK, 200, True),
        ("chunked", CHUNKED + b"0\r\n\r\n", 200, True),
        ("cut in a chunk", CHUNKED + b"5\r\nab", 200, False),
        ("cut", b"HTTP/1.1 502 No\r\nContent-Length: 9\r\n\r\n{}", 502, False),
        ("cut in its head", b"HTTP/1.1 200 OK\r\nConte", None, None),
        ("nothing", b"", None, None),
        ("not HTTP", b"SSH-2.0-x\r\n\r\n", None, None),
    ],
)
def test_a_response(
    lab: Lab, certificate: str, answer: bytes, status: int | None, *, is_whole: bool
) -> None:
    """What came of it is in the record, though it is no answer if it was cut."""
    answerer = Answerer(certificate, answer, closes=True)
    _, exchange = ask(lab, lab.server(), answerer)
    assert exchange.get("status") == status
    assert exchange.get("reason") == (None if is_whole else "no_answer")
    if status is None:
        assert "response" not in exchange
    else:
        assert heard(answer) == shown(exchange["response"])
        assert exchange["response"]["is_whole"] is is_whole


def test_a_response_that_does_not_end(lab: Lab, certificate: str) -> None:
    """What came in time is in the record."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"
    answerer = Answerer(certificate, answer, closes=False)
    _, exchange = ask(lab, lab.server(), answerer, timeout=5)
    assert exchange["reason"] == "timeout"
    assert heard(answer) == shown(exchange["response"])
    assert exchange["response"]["is_whole"] is False
