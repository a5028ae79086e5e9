"""The route to which transactions are sent.

What is signed is the target as on the wire; the transaction ID is what it stands for. A
body that is no transaction is refused, and nothing of it is recorded.
"""

import json

import pytest

from homeserver.protocol.canonical_json import Json, as_list, as_object, encode
from homeserver.protocol.events.event import event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.federation_side import SEND, Endpoint, ask_signed
from tests.support.http_connection import Connection, ask, request
from tests.support.pdus import message
from tests.support.signed_requests import THEM, US, SlowKeys


def test_send() -> None:
    """A signed transaction is recorded, and its reply has its events."""
    endpoint = Endpoint()
    pdu = message()
    answer = ask_signed(endpoint, "PUT", SEND, {"pdus": [pdu]})
    own_id = event_id(pdu, ROOM_VERSIONS["12"])
    assert (answer.status, answer.json) == (200, {"pdus": {own_id: {}}})
    [recorded] = endpoint.received
    assert (recorded["origin"], recorded["txn_id"]) == ("them.example", "1")
    assert recorded["verified_by"] == {
        "key_id": "ed25519:t_1",
        "client_certificate": None,
    }


TXN_IDS: list[tuple[str, str]] = [
    ("1", "1"),
    ("1/", "1"),
    ("1?x=y", "1"),
    ("a%2Fb", "a/b"),
    ("a%2fb", "a/b"),
    ("a%3Fb", "a?b"),
    ("%24a:b+c", "$a:b+c"),
    ("%C3%A4", "ä"),
    ("%2e%2e", ".."),
]


@pytest.mark.parametrize(("step", "txn_id"), TXN_IDS)
def test_transaction_id(step: str, txn_id: str) -> None:
    """What is signed is the path on the wire; the ID is what it stands for."""
    endpoint = Endpoint()
    target = f"/_matrix/federation/v1/send/{step}"
    assert ask_signed(endpoint, "PUT", target, {"pdus": []}).status == 200
    assert [each["txn_id"] for each in endpoint.received] == [txn_id]


@pytest.mark.parametrize("target", ["send", "send/", "send//"])
def test_transaction_without_an_id(target: str) -> None:
    """A path without a transaction ID leads nowhere."""
    path = f"/_matrix/federation/v1/{target}"
    answer = ask_signed(Endpoint(), "PUT", path, {"pdus": []})
    assert answer.error == (404, "M_UNRECOGNIZED")


def test_repeated_transaction() -> None:
    """A transaction that is sent again gets its reply again."""
    endpoint = Endpoint()
    first = ask_signed(endpoint, "PUT", SEND, {"pdus": [message()]})
    again = ask_signed(endpoint, "PUT", SEND, {"pdus": [message()]})
    assert (again.status, again.body) == (200, first.body)
    assert len(endpoint.received) == 1


def test_transactions_on_one_connection() -> None:
    """A peer keeps its connection for one transaction after the other."""
    endpoint = Endpoint()
    connection = Connection(endpoint.site)
    for number in range(3):
        target = f"/_matrix/federation/v1/send/{number}"
        header = THEM.authorize("PUT", target, {"pdus": []})
        connection.send(
            request("PUT", target, [f"Authorization: {header}"], b'{"pdus":[]}')
        )
    assert [answer.status for answer in connection.answers()] == [200] * 3
    assert [each["txn_id"] for each in endpoint.received] == ["0", "1", "2"]


# What stands in a PDU as it is written, and what its sender reads there.
FLAWS: list[tuple[bytes, object]] = [
    (b"18446744073709551616", 2**64),
    (b'{"a":1,"a":2}', {"a": 2}),
    (b'{"a":' * 120 + b"5" + b"}" * 120, json.loads('{"a":' * 120 + "5" + "}" * 120)),
]


@pytest.mark.parametrize(("written", "value"), FLAWS)
def test_one_bad_pdu_costs_that_pdu(written: bytes, value: object) -> None:
    """The rest of its transaction is processed, and the reply says what is wrong."""
    endpoint = Endpoint()
    good, bad = message(), message(depth=9, content={"x": 123456789})
    content: Json = {
        "edus": [{"edu_type": "m.x", "content": {"x": value}}],
        "pdus": [good, bad | {"content": {"x": value}}, 5],
    }
    body = b'{"edus":[{"content":{"x":%b},"edu_type":"m.x"}],"pdus":[%b,%b,5]}' % (
        written,
        encode(good),
        encode(bad).replace(b"123456789", written),
    )
    header = "Authorization: " + THEM.authorize("PUT", SEND, content)
    answer = ask(endpoint.site, "PUT", SEND, [header], body)
    assert answer.status == 200
    [received] = endpoint.received
    first, second, third = as_list(received["pdus"], "PDUs")
    assert isinstance(second, dict)
    assert second["event_id"] == event_id(bad, ROOM_VERSIONS["11"])
    assert second["event"] == encode(bad).replace(b"123456789", written).decode()
    assert answer.json["pdus"] == {
        event_id(good, ROOM_VERSIONS["11"]): {},
        second["event_id"]: {"error": second["verdict"]},
    }
    assert as_object(first, "a PDU")["verdict"] == "accepted"
    assert as_object(third, "a PDU")["event"] == "5"
    assert received["edus"] == []
    [problem] = as_list(received["problems"], "problems")
    assert str(problem).startswith("EDU 0: ")
    unsigned = "Authorization: " + THEM.authorize("PUT", SEND, {"pdus": []})
    refused = ask(endpoint.site, "PUT", SEND, [unsigned], body)
    assert refused.error == (401, "M_UNAUTHORIZED")


def test_too_many_values() -> None:
    """A body of more than 200,000 values is refused before it is read."""
    endpoint = Endpoint(max_body_bytes=1_000_000)
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"pdus": []})
    body = b'{"pdus":[' + b"0," * 200_000  # and no JSON
    answer = ask(endpoint.site, "PUT", SEND, [header], body)
    assert answer.error == (413, "M_TOO_LARGE")
    assert answer.json["error"] == "the JSON has more than 200000 values"


CONTENTS: list[tuple[str, Json | None, int, str]] = [
    ("nothing", None, 400, "M_NOT_JSON"),
    ("an empty object", {}, 400, "M_BAD_JSON"),
    ("no list", {"pdus": 5}, 400, "M_BAD_JSON"),
    ("too many", {"pdus": [{}] * 51}, 400, "M_BAD_JSON"),
]


@pytest.mark.parametrize(
    ("content", "status", "errcode"),
    [row[1:] for row in CONTENTS],
    ids=[row[0] for row in CONTENTS],
)
def test_signed_nonsense(content: Json | None, status: int, errcode: str) -> None:
    """A signature does not make a transaction of what is none."""
    endpoint = Endpoint()
    assert ask_signed(endpoint, "PUT", SEND, content).error == (status, errcode)
    assert endpoint.received == []


def test_body_with_floats() -> None:
    """An envelope may have numbers that canonical JSON has not."""
    content: Json = {"pdus": [], "origin_server_ts": 1, "x": 1.5, "y": 2**60}
    assert ask_signed(Endpoint(), "PUT", SEND, content).status == 200


def test_transactions_that_wait_for_another_one() -> None:
    """Who sends on before an answer is told when to come again."""
    endpoint = Endpoint(keyring=SlowKeys(THEM))
    connections = [Connection(endpoint.site) for _ in range(4)]
    for number, connection in enumerate(connections):
        target = f"/_matrix/federation/v1/send/{number}"
        content: Json = {"pdus": [message(depth=number)]}
        header = THEM.authorize("PUT", target, content)
        lines = [f"Authorization: {header}"]
        connection.send(request("PUT", target, lines, encode(content)))
    [refused] = connections[3].answers()
    assert refused.error == (429, "M_LIMIT_EXCEEDED")
    assert refused.headers["retry-after"] == "5"
    # The first gives up its keys after twenty seconds, the second after forty.
    for _ in range(301):
        endpoint.clock.advance(0.1)
    assert [answer.status for answer in connections[0].answers()] == [200]
    assert connections[1].answers() == []
    [refused] = connections[2].answers()
    assert refused.error == (429, "M_LIMIT_EXCEEDED")
    assert refused.headers["retry-after"] == "5"


def test_body_in_the_encoding_identity() -> None:
    """The encoding that changes nothing is taken as none."""
    content: Json = {"pdus": []}
    header = "Authorization: " + THEM.authorize("PUT", SEND, content)
    lines = [header, "Content-Encoding: identity"]
    answer = ask(Endpoint().site, "PUT", SEND, lines, encode(content))
    assert answer.status == 200


def test_poll_for_presence() -> None:
    """A poll for presence is handed on once, however often it is repeated."""
    endpoint = Endpoint()
    poll: Json = {"edu_type": "m.presence", "content": {"poll": [f"@a:{US}"]}}
    for _ in range(2):
        answer = ask_signed(endpoint, "PUT", SEND, {"pdus": [], "edus": [poll]})
        assert answer.status == 200
    assert endpoint.polled == [(THEM.server_name, [f"@a:{US}"])]
