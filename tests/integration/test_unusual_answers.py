"""Unusual and faulty answers, and those to transactions, met by clients of others."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.lab.faults.registry import FAULTS
from homeserver.lab.seed import Seed
from homeserver.protocol.canonical_json import Encoded, encode
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import parse_v1, parse_v2
from homeserver.protocol.xmatrix import FederationRequest
from homeserver.testing import Lab, Server
from tests.support.foreign_clients import Client, Got, curl, run
from tests.support.lab_rules import asked, put, rule

V1, V2 = "/_matrix/key/v1", "/_matrix/key/v2/server"
SEED = "clients of others"
EVENT = "$a:a.test"

Check = Callable[[Any, Any], bool]
"""Whether the JSON of a body is what it should be, beside that without the fault."""

JSON: Check = lambda got, right: got == right  # noqa: E731


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab whose keys are known: each test has servers of its own."""
    with Lab("--seed", SEED) as running:
        yield running


VARIANTS: list[tuple[str, bytes, dict[str, str]]] = [
    # The fault, what is in the body of a key document, and headers.
    ("vary.white-space", rb"\t : ", {}),
    ("vary.escapes", rb'"\\u', {}),
    ("vary.member-order", rb'^{"verify_keys', {}),
    ("vary.header-case", rb"^{", {"content-type": "application/json"}),
    ("vary.header-order", rb"^{", {"content-type": "application/json"}),
    ("vary.several-headers", rb"^{", {"vary": "Accept, Origin", "x-unknown": ""}),
    ("vary.chunked", rb"^{", {}),
    ("vary.http-1.0", rb"^{", {}),
]


@pytest.mark.parametrize("row", VARIANTS, ids=[row[0] for row in VARIANTS])
def test_a_variant(
    lab: Lab, client: Client, row: tuple[str, bytes, dict[str, str]]
) -> None:
    """A client reads what it reads in the usual form."""
    name, pattern, headers = row
    [server] = lab.servers(1)
    right = client(asked(lab, server, V2))
    put(lab, server, {name: True}, times=1)
    got = client(asked(lab, server, V2))
    assert (got.status, got.error) == (200, "")
    assert json.loads(got.body) == json.loads(right.body)
    assert re.search(pattern, got.body), got.body
    assert headers.items() <= got.headers.items()
    assert client(asked(lab, server, V2)).body == right.body


def raw(lab: Lab, server: Server) -> list[str]:
    """The lines of a response as they come, as curl shows them."""
    host, _, port = server.listen.rpartition(":")
    at = ["--connect-to", f"{server.name}:443:{host}:{port}"]
    shown = ["--silent", "--insecure", "--include", "--raw", "--http1.1"]
    return run("curl", *shown, *at, f"https://{server.name}{V2}").out.split("\r\n")


def test_the_bytes_of_a_response(lab: Lab) -> None:
    """Names in small letters, chunks of seven bytes, another order and version."""
    [server] = lab.servers(1)
    right = raw(lab, server)
    head = right[1 : right.index("")]
    with rule(lab, server, {"vary.header-order": True}):
        got = raw(lab, server)
        assert [line.partition(":")[0] for line in got[1 : got.index("")]] == [
            line.partition(":")[0] for line in reversed(head)
        ]
    with rule(lab, server, {"vary.header-case": True, "vary.chunked": True}):
        got = raw(lab, server)
        assert "transfer-encoding: chunked" in got
        assert not any(line.startswith("content-length") for line in got)
        assert got[got.index("") + 1] == "7"
        assert got[-3:] == ["0", "", ""]
    with rule(lab, server, {"vary.http-1.0": True, "vary.chunked": True}):
        got = raw(lab, server)
        assert got[0] == "HTTP/1.0 200 OK"
        assert got[-1] == right[-1]
    with rule(lab, server, {"http.100-continue": True}):
        assert raw(lab, server)[:3] == ["HTTP/1.1 100 Continue", "", right[0]]


TRANSACTIONS: list[tuple[str, object, Check]] = [
    (
        "federation.pdu-error",
        "no",
        lambda got, _: got["pdus"] == {EVENT: {"error": "no"}},
    ),
    ("federation.no-pdus", True, lambda got, _: got == {"pdus": {}}),
    (
        "federation.wrong-event-id",
        True,
        lambda got, _: list(got["pdus"]) == [f"{EVENT}x"],
    ),
    ("federation.unknown-members", True, lambda got, _: "org.example.unknown" in got),
    ("vary.white-space", True, JSON),
    ("vary.chunked", True, JSON),
    ("vary.http-1.0", True, JSON),
]


@pytest.mark.parametrize("row", TRANSACTIONS, ids=[row[0] for row in TRANSACTIONS])
def test_an_answer_to_a_transaction(
    lab: Lab, client: Client, row: tuple[str, object, Check]
) -> None:
    """The transaction of a real client is taken, and the answer is another one."""
    name, argument, check = row
    ours, theirs = lab.servers(2)
    right = transact(lab, client, ours, theirs, 1)
    put(lab, theirs, {name: argument})
    got = transact(lab, client, ours, theirs, 2)
    assert (got.status, got.error) == (200, "")
    assert check(json.loads(got.body), json.loads(right.body)), got.body
    assert len(theirs.received()) == 2


def transact(
    lab: Lab, client: Client, ours: Server, theirs: Server, number: int
) -> Got:
    """Sends a transaction, signed with the key of a server of the lab."""
    pdu = {
        "event_id": EVENT,
        "room_id": "!r:a.test",
        "type": "m.x",
        "sender": f"@a:{ours.name}",
        "origin_server_ts": 1,
        "depth": 1,
        "auth_events": [],
        "prev_events": [],
        "content": {},
        "hashes": {},
        "signatures": {},
    }
    body = json.dumps({"origin": ours.name, "origin_server_ts": 1, "pdus": [pdu]})
    path = f"/_matrix/federation/v1/send/{number}"
    request = FederationRequest(
        "PUT",
        path,
        ServerName.parse(ours.name),
        ServerName.parse(theirs.name),
        Encoded(encode(json.loads(body))),
    )
    key = Seed(SEED).signing_key(KeyId(ours.key_id), ours.name)
    [authorization] = map(str, request.sign([key]))
    return client(
        asked(lab, theirs, path, Method="PUT", Body=body, Authorization=authorization)
    )


def test_all_variants_together(lab: Lab, client: Client) -> None:
    """A key document with everything that is legal and unusual means the same."""
    [server] = lab.servers(1)
    right = json.loads(client(asked(lab, server, V2)).body)
    names = [name for name in FAULTS if name.startswith("vary.")]
    names.remove("vary.extra-members")
    put(lab, server, dict.fromkeys(names, True))
    got = client(asked(lab, server, V2))
    assert (got.status, got.error) == (200, "")
    assert json.loads(got.body) == right


def test_signatures_hold(lab: Lab) -> None:
    """Key documents of all variants are right, and our own servers take them."""
    ours, theirs = lab.servers(2)
    variants = [name for name in FAULTS if name.startswith("vary.")]
    put(lab, theirs, dict.fromkeys(variants, True))
    for path, parse in [(V1, parse_v1), (V2, parse_v2)]:
        body = curl(asked(lab, theirs, path)).body
        assert b"u006f\\u0072\\u0067" in body  # of `org.example.unknown`
        parse(body, ServerName.parse(theirs.name))
    edus = [{"edu_type": "m.x", "content": {}}]
    assert ours.send(theirs.name, edus=edus).state == "delivered"
    assert theirs.send(ours.name, edus=edus).state == "delivered"


def test_each_fault_is_met_by_a_client_of_others() -> None:
    """No fault is left out of these tests, or of those of rooms and policy servers."""
    folder = Path(__file__).parent
    files = (
        "test_unusual_answers.py",
        "test_faults_of_requests.py",
        "test_faults_of_answers.py",
        "test_connection_faults.py",
        "test_dns_faults.py",
        "../lab/test_room_faults.py",
        "../lab/test_policy_faults.py",
    )
    text = "".join((folder / each).read_text("utf-8") for each in files)
    assert [name for name in FAULTS if f'"{name}"' not in text] == []
