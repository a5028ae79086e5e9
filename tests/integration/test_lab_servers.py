"""The servers of a lab: what they are told to be, and what they become meanwhile."""

import json
import socket
import ssl
from http.client import HTTPSConnection
from typing import Any

import pytest

from homeserver.lab.authority.faults import CERTIFICATE_FAULTS
from homeserver.testing import Lab, LabError, Server
from tests.support.eventually import HANGING_SECONDS
from tests.support.ipv6 import skip_without

VERSION = "/_matrix/federation/v1/version"
PROFILE = "/_matrix/federation/v1/query/profile?user_id=@a:b&field=displayname"


def get(server: Server, name: str, context: ssl.SSLContext) -> dict[str, Any]:
    """A key document, fetched by Python's own client from where a server listens."""
    host, _, port = server.listen.rpartition(":")
    plain = socket.create_connection((host.strip("[]"), int(port)), HANGING_SECONDS)
    with plain, context.wrap_socket(plain, server_hostname=name) as secure:
        connection = HTTPSConnection(name)
        connection.sock = secure
        connection.request("GET", "/_matrix/key/v2/server")
        document: dict[str, Any] = json.loads(connection.getresponse().read())
        return document


NAMES: list[tuple[str, dict[str, str]]] = [
    ("127.0.0.1", {"listen": "own"}),
    ("127.0.0.1", {"name": "127.0.0.1:0", "listen": "own"}),
    ("::1", {"name": "[::1]:0", "listen": "own"}),
    ("localhost", {"name": "localhost:0", "listen": "own"}),
    ("a.lab.test", {"name": "a.lab.test"}),
    ("matrix.org", {"name": "matrix.org"}),
    ("b.lab.test", {"name": "b.lab.test", "listen": "own"}),
]


@pytest.mark.parametrize(("host", "told"), NAMES)
def test_servers_are_what_they_are_told_to_be(
    lab: Lab, host: str, told: dict[str, str]
) -> None:
    """Each kind of name has its keys, and a certificate for strict clients."""
    skip_without(host)
    server = lab.server(**told)
    context = ssl.create_default_context(cadata=lab.ca_pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    document = get(server, host, context)
    assert document["server_name"] == server.name
    assert document["verify_keys"] == {server.key_id: {"key": server.verify_key}}
    assert server.name.partition(":")[0] in {host, "[", "127.0.0.1", "localhost"}
    other = lab.server()
    answer = other.request(server.name, VERSION)
    assert (answer.status, answer.verified_by) == (200, "certificate")
    server.delete(gone=True)


def test_keys_change_while_a_server_runs(lab: Lab) -> None:
    """A rotated key is an old one, and the new one signs."""
    ours, theirs = lab.servers(2)
    before = ours.key_id
    ours.change(rotate=True)
    assert ours.key_id != before
    document = theirs.request(ours.name, "/_matrix/key/v2/server").content
    assert list(document["verify_keys"]) == [ours.key_id]
    assert list(document["old_verify_keys"]) == [before]
    assert ours.request(theirs.name, PROFILE).status == 404
    ours.change(keys={"ids": ["ed25519:x", "ed25519:y"], "valid_seconds": 7})
    ours.change(expire="ed25519:x")
    document = theirs.request(ours.name, "/_matrix/key/v2/server").content
    assert list(document["verify_keys"]) == ["ed25519:y"]


@pytest.mark.parametrize("fault", CERTIFICATE_FAULTS)
def test_a_certificate_changes_while_a_server_runs(lab: Lab, fault: str) -> None:
    """The next handshake has the certificate that is told, and a client judges it."""
    ours, theirs = lab.servers(2)
    theirs.change(tls={"certificate": fault})
    answer = ours.request(theirs.name, VERSION)
    if CERTIFICATE_FAULTS[fault].is_refused:
        # It proves itself by its key document, as servers could in 2014.
        assert answer.verified_by == "key-document"
    else:
        assert answer.verified_by == "certificate"
    theirs.change(tls={"certificate": "valid", "chain": "intermediate"})
    assert lab.server().request(theirs.name, VERSION).verified_by == "certificate"


def test_dns_records_and_delegation_change(lab: Lab) -> None:
    """What names lead to is what the test says, from the next question on."""
    target = lab.server("target.lab.test", listen="own")
    port = target.listen.rpartition(":")[2]
    ours, moved = lab.servers(2)
    moved.change(
        dns=[
            {
                "name": f"_matrix._tcp.{moved.name}",
                "type": "SRV",
                "value": f"0 0 {port} target.lab.test",
            }
        ]
    )
    steps = {step["step"] for step in ours.resolve(moved.name)["steps"]}
    assert "srv" in steps
    assert [r["port"] for r in ours.resolve(moved.name)["routes"]] == [int(port)]


def test_a_deleted_server_is_polite(lab: Lab) -> None:
    """It still has its keys and takes transactions, until it is to be gone."""
    ours, theirs = lab.servers(2)
    theirs.delete()
    with pytest.raises(LabError, match="there is no server"):
        theirs.change(rotate=True)
    assert ours.request(theirs.name, "/_matrix/key/v2/server").status == 200
    for path in (VERSION, PROFILE):
        answer = ours.request(theirs.name, path)
        assert (answer.status, answer.content["errcode"]) == (404, "M_NOT_FOUND")
        assert "was deleted" in answer.content["error"]
    assert lab.server().request(ours.name, VERSION).status == 200
    body = {"origin": ours.name, "origin_server_ts": 1, "pdus": []}
    path = "/_matrix/federation/v1/send/1"
    taken = ours.request(theirs.name, path, method="PUT", content=body)
    assert (taken.status, taken.content) == (200, {"pdus": {}})
    theirs.delete(gone=True)
    assert lab.server().request(theirs.name, VERSION).status is None
    again = lab.server(theirs.name)
    assert again.key_id == theirs.key_id
    assert ours.request(theirs.name, VERSION).status == 200


def test_a_server_is_made_with_rules(lab: Lab) -> None:
    """Its rules are in force at once, and a change replaces them, for it alone."""
    down = {"match": {"path": VERSION}, "do": {"http.status": 503}}
    ours, other = lab.servers(2)
    broken = lab.server(rules=[down])
    assert ours.request(broken.name, VERSION).status == 503
    assert ours.request(other.name, VERSION).status == 200
    broken.change(rotate=True)
    assert ours.request(broken.name, VERSION).status == 503
    broken.change(rules=[])
    assert ours.request(broken.name, VERSION).status == 200
