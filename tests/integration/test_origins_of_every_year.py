"""Where a daemon finds the keys of an origin, by what its server answers for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from twisted.web.http_headers import Headers

from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.xmatrix import FederationRequest
from scripts.processes import LOOPBACK, Endpoint
from tests.support.certificates import issue_for
from tests.support.certified_client import US, Answer, Client
from tests.support.origins_by_address import FIRST, build, name_of, running_daemon, send
from tests.support.recording_peers import (
    KEY_REQUEST,
    KEY_V2_REQUEST,
    NOT_FOUND,
    RecordingPeer,
    Respond,
    http,
    listening,
)

UNRECOGNIZED_2014 = b'{"error": "Unrecognized request"}'


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Endpoint]:
    """A daemon that knows no server."""
    with running_daemon(tmp_path) as endpoint:
        yield endpoint


@pytest.fixture
def origin() -> Iterator[RecordingPeer]:
    """A server that is called by its address and port."""
    with listening(RecordingPeer(issue_for(LOOPBACK), http(b"{}"))) as peer:
        yield peer


@pytest.fixture
def trusted(daemon: Endpoint, origin: RecordingPeer) -> Iterator[RecordingPeer]:
    """An origin whose certificate the operator has pinned: no document is needed."""
    build(origin, FIRST, issue_for(LOOPBACK))
    sha256 = origin.issued.certificate.fingerprint(SHA256()).hex()
    name = name_of(origin).name
    assert daemon.call("peers", "--pin", name, sha256).returncode == 0
    yield origin


# Answers to version 2 of servers that have none: of today, and of 2014.
NO_V2 = [NOT_FOUND, http(UNRECOGNIZED_2014, "400 Bad Request")]


@pytest.mark.parametrize("v2", NO_V2, ids=["404", "400 of 2014"])
def test_version_1_where_there_is_no_version_2(
    daemon: Endpoint, trusted: RecordingPeer, v2: Respond
) -> None:
    """A server without version 2 is asked for version 1, and its key counts."""
    trusted.respond_v2 = v2
    assert send(daemon, trusted, FIRST, "1").status == 200
    assert trusted.requests == [KEY_V2_REQUEST, KEY_REQUEST]


def test_a_server_of_2014(daemon: Endpoint, origin: RecordingPeer) -> None:
    """Its version 1 document proves the connection, and has its key."""
    build(origin, FIRST, issue_for("whoever.test"))
    origin.respond_v2 = http(UNRECOGNIZED_2014, "400 Bad Request")
    answer = as_in_2014(daemon, origin)
    assert (answer.status, answer.json) == (200, {"pdus": {}})
    assert origin.requests[0] == KEY_REQUEST
    [transaction] = daemon.ask("received")
    [pdu] = transaction["pdus"]
    assert pdu["verdict"] == "unsigned: of 2014, by its transaction's origin alone"
    assert transaction["problems"] == []


def as_in_2014(daemon: Endpoint, origin: RecordingPeer) -> Answer:
    """The answer to a transaction as Synapse 0.4 sends it.

    Its path ends with a slash, its header quotes the signature and the key alone and
    names no destination, its PDU is not signed.
    """
    name = name_of(origin)
    target = "/_matrix/federation/v1/send/1417000000000/"
    pdu: Json = {
        "pdu_id": "aPRTzEgd",
        "context": "!r:" + name.name,
        "pdu_type": "m.room.message",
        "origin": name.name,
        "origin_server_ts": 1_415_000_000_000,
        "content": {"body": "hello", "msgtype": "m.text"},
        "depth": 2,
        "prev_pdus": [],
        "is_state": False,
        "user_id": f"@a:{name}",
    }
    content: Json = {
        "transaction_id": "1417000000000",
        "origin": name.name,
        "destination": US.name,
        "origin_server_ts": 1_417_000_000_000,
        "previous_ids": [],
        "pdus": [pdu],
        "edus": [],
    }
    request = FederationRequest("PUT", target, name, US, content)
    [signed] = request.sign([FIRST])
    text = encode_base64(signed.signature)
    header = f'X-Matrix origin={name},key="{signed.key_id}",sig="{text}"'
    headers = Headers({"Authorization": [header], "Content-Type": ["application/json"]})
    return Client(daemon.port).ask("PUT", target, headers, encode(content))
