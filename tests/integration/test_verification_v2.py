"""Peers without a version 1 document, proven by the fingerprints in version 2."""

from collections.abc import Sequence

import pytest

from homeserver.net.wall_clock import wall_seconds
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json, encode, parse_object
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import build_v2
from homeserver.protocol.signing import SigningKey, sign
from tests.support.certificates import Issued, issue_for
from tests.support.memory_database import MemoryDatabase
from tests.support.real_outbound import reaching
from tests.support.recording_peers import (
    KEY_REQUEST,
    KEY_V2_REQUEST,
    NOT_FOUND,
    RecordingPeer,
    Respond,
    http,
    key_document,
    listening,
    signing_key,
)
from tests.support.verified_sending import NAME, PUT, send
from tests.support.waiting import reactor, wait

HOUR = 3600 * 1000
FOREIGN = issue_for("peer.test")

# As a Synapse of 2018 says it, which had no version 1 any more.
SYNAPSE_2018 = http(
    b'{"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}', "400 Bad Request"
)


def now_ts() -> int:
    """The time, in milliseconds since 1970."""
    return int(wall_seconds(reactor) * 1000)


def document(
    name: str,
    certificates: Sequence[Issued],
    *keys: SigningKey,
    until: int | None = None,
) -> Json:
    """The version 2 document of a server that presents these certificates."""
    return build_v2(
        ServerName.parse(name),
        keys or [signing_key()],
        [],
        now_ts() + HOUR if until is None else until,
        [each.value.leaf for each in certificates],
    )


# As a server of 2014 says it, which had version 1; others may say it in its words.
SYNAPSE_2014 = http(b'{"error": "Unrecognized request"}', "400 Bad Request")


@pytest.mark.parametrize(
    "v1", [NOT_FOUND, SYNAPSE_2018, SYNAPSE_2014, http(b"", "404 Not Found")]
)
@pytest.mark.parametrize("others", [[], [FOREIGN]])
def test_fingerprints_prove_a_peer_without_v1(
    v1: Respond, others: list[Issued]
) -> None:
    """A peer gets the request on the connection whose certificate its document names.

    It is pinned to the keys of the document, which are known from then on.
    """
    peer = RecordingPeer(issue_for("whoever.test"), v1)
    with listening(peer), reaching(("key-document",)) as reach:
        name = NAME.format(port=peer.port)
        peer.respond_v2 = http(encode(document(name, [*others, peer.issued])))
        assert send(reach, peer)["verified_by"] == "key-document"
        known = wait(reach.peers.peer(ServerName.parse(name)))
        stored = wait(reach.peers.keys(ServerName.parse(name)))
    assert known is not None
    assert known.pinned_keys.keys() == stored.keys() == {signing_key().key_id}
    assert peer.requests == [KEY_REQUEST, KEY_V2_REQUEST, PUT]
    assert len(peer.received) == 1


def changed(members: Json, **others: object) -> Json:
    """A document with other members, under the signatures that it had."""
    return {**members, **others}


def bad_documents(name: str, issued: Issued) -> dict[str, tuple[Respond, str]]:
    """What a hostile peer answers when it is asked for version 2, and what is said."""
    good = document(name, [issued])
    unsigned = {k: v for k, v in good.items() if k != "tls_fingerprints"}
    without = sign(unsigned | {"signatures": {}}, ServerName.parse(name), KEYS)
    foreign = encode(document(name, [FOREIGN]))
    return {
        "no such route": (NOT_FOUND, "v2/server answers with status 404"),
        "400": (http(b"{}", "400 Bad Request"), "v2/server answers with status 400"),
        "not JSON": (http(b"<html>"), "not JSON"),
        "no fingerprints": (http(encode(without)), "names no TLS certificate"),
        "another certificate": (http(foreign), "names another TLS certificate"),
        "another certificate under the old signature": (
            http(
                encode(
                    changed(
                        parse_object(foreign), tls_fingerprints=good["tls_fingerprints"]
                    )
                )
            ),
            "does not verify",
        ),
        "another name": (
            http(encode(document("other.test", [issued]))),
            "has the server_name 'other.test'",
        ),
        "expired": (
            http(encode(document(name, [issued], until=now_ts() - 1000))),
            "the key document expired at",
        ),
        "not signed": (http(encode(changed(good, signatures={}))), "not signed"),
        "ends the connection after it": (
            http(encode(good), headers="Connection: close\r\n"),
            "ended the connection",
        ),
    }


KEYS = [signing_key()]


@pytest.mark.parametrize("case", bad_documents("peer.test", FOREIGN))
def test_bad_v2_document_gets_nothing_more(case: str) -> None:
    """A peer whose version 2 document proves nothing gets no request."""
    peer = RecordingPeer(issue_for("peer.test"), NOT_FOUND)
    database = MemoryDatabase()
    with listening(peer), reaching(database=database) as reach:
        name = NAME.format(port=peer.port)
        peer.respond_v2, said = bad_documents(name, peer.issued)[case]
        with pytest.raises(Unreachable, match=said):
            send(reach, peer)
        assert wait(reach.peers.keys(ServerName.parse(name))) == {}
        assert wait(reach.peers.peer(ServerName.parse(name))) is None
    assert peer.requests == [KEY_REQUEST, KEY_V2_REQUEST]
    assert b"PUT" not in b"".join(peer.received)


@pytest.mark.parametrize(
    "v1",
    [
        http(b"{}"),
        http(b"{}", "500 Internal Server Error"),
        http(b"{}", "403 Forbidden"),
        http(b'{"error": "Bad request"}', "400 Bad Request"),
    ],
)
def test_v2_is_no_way_round_a_bad_v1(v1: Respond) -> None:
    """Only a peer that says that it has no version 1 is asked for version 2."""
    peer = RecordingPeer(issue_for("peer.test"), v1)
    with listening(peer), reaching(("key-document",)) as reach:
        name = NAME.format(port=peer.port)
        peer.respond_v2 = http(encode(document(name, [peer.issued])))
        with pytest.raises(Unreachable, match="/_matrix/key/v1"):
            send(reach, peer)
    assert peer.requests == [KEY_REQUEST]


def test_pins_hold_over_both_versions() -> None:
    """The keys of one version's document are the pins of the other's."""
    old, new = (signing_key(f"k_{n}", bytes([n]) * 32) for n in range(2))
    database = MemoryDatabase()
    peer = RecordingPeer(issue_for("peer.test"), NOT_FOUND)
    with listening(peer):
        name = NAME.format(port=peer.port)

        def attempt(respond: Respond, *keys: SigningKey) -> None:
            peer.respond = respond
            peer.respond_v2 = http(encode(document(name, [peer.issued], *keys)))
            with reaching(("key-document",), database=database) as reach:
                send(reach, peer)

        attempt(http(key_document(name, peer.issued, old)), old)
        with pytest.raises(Unreachable, match="not signed by a key that is pinned"):
            attempt(NOT_FOUND, new)
        attempt(NOT_FOUND, old, new)
        attempt(NOT_FOUND, new)
        with pytest.raises(Unreachable, match="not signed by a key that is pinned"):
            attempt(http(key_document(name, peer.issued, old)), old)
    assert b"".join(peer.received).count(PUT) == 3
