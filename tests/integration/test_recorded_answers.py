"""The record of a lab beside the bytes of its servers, as a client hears them."""

import time
from typing import Any

import pytest

from homeserver.lab.faults.registry import ANSWER_FAULTS
from homeserver.testing import Lab, Server
from tests.support.eventually import eventually
from tests.support.heard_bytes import Heard, Listener, heard, shown
from tests.support.lab_rules import acted, put
from tests.support.tables import cases

KEYS = "/_matrix/key/v2/server"
WELL_KNOWN = "/.well-known/matrix/server"
UNKNOWN = "/_matrix/unknown"
EVENT = "/_matrix/federation/v1/event/$a"

SAID = 2**20  # bytes of a body in a record


def recorded(lab: Lab, server: Server, kind: str = "request") -> dict[str, Any]:
    """The one exchange of a server in the record, once it is there."""
    [found] = server.expect(kind=kind, direction="in", within=60)
    return dict(lab.exchange(found.id))


def compare(data: bytes, exchange: dict[str, Any]) -> Heard | None:
    """Whether the record has what was heard; that."""
    said = heard(data)
    if said is None:
        assert "response" not in exchange
        assert "status" not in exchange
        return None
    response = exchange["response"]
    assert shown(response) == said._replace(body=said.body[:SAID])
    assert response["body_bytes"] == len(said.body)
    assert exchange["status"] == int(said.start_line.split(" ")[1])
    return said


def test_without_a_fault(lab: Lab) -> None:
    """An answer is recorded byte by byte, with all of its headers."""
    server = lab.server()
    client = Listener(server)
    client.ask(KEYS)
    said = compare(client.hear(), exchange := recorded(lab, server))
    assert said is not None
    assert {"Date", "Connection", "Server"} <= {name for name, _ in said.headers}
    assert exchange["response"]["is_whole"] is True


SAMPLES: dict[str, tuple[str, object]] = {
    # Arguments of faults that are not on or off.
    "http.delay": (KEYS, 0.1),
    "http.delay-body": (KEYS, 0.1),
    "http.wrong-length": (KEYS, 3),
    "http.retry-after": (KEYS, 3),
    "http.header": (KEYS, {"x-lower": "v", "Server": "other"}),
    "http.body": (KEYS, [1]),
    "http.errcode": (KEYS, "M_X"),
    "http.redirect": (KEYS, "https://a.test/"),
    "http.status": (KEYS, 599),
    "well-known.redirect": (WELL_KNOWN, 2),
    "well-known.cache": (WELL_KNOWN, "max-age=1"),
    "well-known.m.server": (WELL_KNOWN, "a.test:1"),
    "keys.valid_until": (KEYS, 5),
}

LEAVES = {"http.silence", "well-known.silence"}
"""Those after which the client leaves without an answer."""

OPEN = [
    name
    for name in ANSWER_FAULTS
    if name.split(".")[0] in {"vary", "http", "keys", "well-known"}
]
"""The faults of answers that can be asked for without a signature."""


@pytest.mark.parametrize("name", [each for each in OPEN if each not in LEAVES])
def test_a_faulty_answer(lab: Lab, name: str) -> None:
    """Whatever a fault makes of an answer is in the record as it was sent."""
    usual = WELL_KNOWN if name.startswith("well-known") else KEYS
    target, argument = SAMPLES.get(name, (usual, True))
    server = lab.server()
    server.rule({name: argument})
    client = Listener(server)
    client.ask(target)
    compare(client.hear(), recorded(lab, server))


@cases(
    "do target expected",
    [
        (
            "dropped request",
            {"http.drop-request": True},
            KEYS,
            {"reason": "rule", "error": "a rule of the lab: http.drop-request"},
        ),
        (
            "dropped reply",
            {"http.drop-reply": True},
            KEYS,
            {"reason": "rule", "error": "a rule of the lab: http.drop-reply"},
        ),
        (
            "dropped error",
            {"http.drop-reply": True},
            EVENT,
            {
                "reason": "missing_header",
                "error": "the request has no X-Matrix Authorization header",
            },
        ),
    ],
)
def test_a_dropped_answer(
    lab: Lab, do: dict[str, object], target: str, expected: dict[str, str]
) -> None:
    """Nothing was sent, and the client did not leave: the record says who ended it."""
    server = lab.server()
    server.rule(do)
    client = Listener(server)
    client.ask(target)
    assert client.hear() == b""
    exchange = recorded(lab, server)
    assert compare(b"", exchange) is None
    assert exchange.items() >= {**expected, "is_gone": False}.items()
    assert "errcode" not in exchange
    assert server.refused() == [] or target == EVENT


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_a_silence(lab: Lab, name: str) -> None:
    """There is no answer, and the record says that the client has left."""
    server = lab.server()
    put(lab, server, {name: True})
    client = Listener(server)
    client.ask(WELL_KNOWN)
    eventually(lambda: acted(lab, server) == [(1, 1)])
    client.leave()
    exchange = recorded(lab, server)
    assert compare(b"", exchange) is None
    assert (exchange["reason"], exchange["is_gone"]) == ("rule", True)
    assert exchange["error"] == f"a rule of the lab: {name}"
    assert server.refused() == []


@cases(
    "do is_whole",
    [
        ("truncated", {"http.truncate": True}, False),
        ("cut in a chunk", {"http.chunked-cut": True}, False),
        ("in chunks", {"vary.chunked": True}, True),
        ("longer than it says", {"http.wrong-length": 3}, True),
        ("shorter than it says", {"http.wrong-length": 9999}, False),
        ("without a body", {"http.status": 304}, True),
    ],
)
def test_the_end_of_an_answer(
    lab: Lab, do: dict[str, object], *, is_whole: bool
) -> None:
    """The record says whether all of a body was sent that its headers announce."""
    server = lab.server()
    server.rule(do)
    client = Listener(server)
    client.ask(KEYS)
    exchange = recorded_after(lab, client, server)
    assert exchange["response"]["is_whole"] is is_whole
    assert exchange["is_gone"] is False


def recorded_after(lab: Lab, client: Listener, server: Server) -> dict[str, Any]:
    """The exchange in the record, which has what a client hears."""
    data = client.hear()
    compare(data, exchange := recorded(lab, server))
    return exchange


def test_a_client_that_leaves_before_the_body(lab: Lab) -> None:
    """The head alone was sent, and the record has no more."""
    server = lab.server()
    server.rule({"http.delay-body": 600, "vary.header-case": True})
    client = Listener(server)
    client.ask(KEYS)
    data = client.hear(lambda data: data.endswith(b"\r\n\r\n"))
    exchange = recorded(lab, server)
    said = compare(data, exchange)
    assert said is not None
    assert said.body == b""
    assert (exchange["is_gone"], exchange["response"]["is_whole"]) == (True, False)


def total(lab: Lab, version: str) -> int:
    """How many bytes a server sends in all, to a client that asks for its keys."""
    client = Listener(server := lab.server(), version=version)
    client.ask(KEYS)
    client.hear()
    recorded(lab, server)
    return client.count


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_connection_that_ends_in_the_answer(lab: Lab, version: str) -> None:
    """A client cannot read a part of a record of TLS: the answer was not sent."""
    server = lab.server()
    # Signatures differ by a few bytes, and the last record has five hundred.
    server.rule({"connection.close-after": total(lab, version) - 100})
    client = Listener(server, version=version)
    client.ask(KEYS)
    assert client.hear() == b""
    exchange = recorded(lab, server)
    assert compare(b"", exchange) is None
    assert (exchange["reason"], exchange["is_gone"]) == ("rule", False)
    assert exchange["error"] == "a rule of the lab: close-after"


def test_a_connection_that_ends_in_a_long_answer(lab: Lab) -> None:
    """As much of it is in the record as the client could read."""
    server = lab.server()
    server.rule({"connection.close-after": 40_000, "keys.too-large": True})
    client = Listener(server)
    client.ask(KEYS)
    exchange = recorded_after(lab, client, server)
    assert exchange["response"]["body_bytes"] > 2**14
    assert exchange["response"]["is_whole"] is False
    assert exchange["error"] == "a rule of the lab: close-after"


def test_a_slow_connection(lab: Lab) -> None:
    """The answer is recorded once it has left, with the time that this took."""
    server = lab.server()
    server.rule({"connection.slow": 2000})
    client = Listener(server)
    client.ask(KEYS)
    exchange = recorded_after(lab, client, server)
    # 549 bytes at 2000 a second, in steps of a twentieth of one.
    assert exchange["seconds"] > 0.15
    assert exchange["response"]["is_whole"] is True


def test_a_client_that_leaves_a_slow_connection(lab: Lab) -> None:
    """What waited to be sent is not in the record."""
    server = lab.server()
    server.rule({"connection.slow": 300_000, "keys.too-large": True})
    client = Listener(server)
    client.ask(KEYS)
    data = client.hear(lambda data: len(data) > 2**16)
    exchange = recorded(lab, server)
    said = heard(data)
    assert said is not None
    response = exchange["response"]
    assert len(said.body) <= response["body_bytes"] < 10_000_000
    assert (exchange["is_gone"], response["is_whole"]) == (True, False)


def test_a_connection_that_begins_late(lab: Lab) -> None:
    """The time of a connection begins with the client, not with the handshake."""
    server = lab.server()
    server.rule({"connection.delay": 0.5})
    client = Listener(server)
    client.ask(KEYS)
    client.hear()
    exchange = recorded(lab, server, "connection")
    assert exchange["seconds"] >= 0.5
    arrived = recorded(lab, server)
    assert exchange["started_ts"] + 499 <= arrived["started_ts"]


def test_a_connection_that_waits_in_vain(lab: Lab) -> None:
    """A client that leaves meanwhile is recorded with the time that it waited."""
    server = lab.server()
    put(lab, server, {"connection.delay": 600})
    client = Listener(server)
    client.say_hello()
    eventually(lambda: acted(lab, server) == [(1, 1)])
    began = time.monotonic()
    acted(lab, server)
    waited = time.monotonic() - began
    client.leave()
    exchange = recorded(lab, server, "connection")
    assert exchange["error"] == "a rule of the lab: delay"
    assert exchange["seconds"] >= waited
