"""What a whole endpoint does as a notary, between real servers that err or lie."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.key_documents import OldVerifyKey
from tests.support.key_documents import signing_key
from tests.support.notaries import is_signed_by, signers, without_signatures
from tests.support.notary_endpoints import HOUR, Notary, Origin, notary
from tests.support.recording_peers import http

FIRST, SECOND = (signing_key(KeyId(f"ed25519:{version}")) for version in ("a_1", "b"))


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Notary]:
    """A notary that may connect to this machine, and knows no server."""
    with notary(tmp_path) as running:
        yield running


@pytest.fixture
def origin(asked: Notary) -> Iterator[Origin]:
    """A server with a document that is good for ten hours."""
    with Origin().running() as running:
        running.publish(running.document([FIRST], asked.now_ts + 10 * HOUR))
        yield running


def test_hands_out_what_the_origin_signed(asked: Notary, origin: Origin) -> None:
    """A document comes as its server made it, signed by the server and the notary."""
    old = OldVerifyKey(SECOND.verify_key, 5)
    published = origin.document([FIRST], asked.now_ts + HOUR, [old])
    origin.publish(published)
    for found in (
        asked.documents(origin.name),
        asked.documents(origin.name, FIRST.key_id),
        asked.documents(origin.name, SECOND.key_id),
        asked.documents_of(origin.name),
    ):
        [document] = found
        assert without_signatures(document) == without_signatures(published)
        assert is_signed_by(document, origin.name, FIRST)
        assert is_signed_by(document, asked.name, asked.key)
    assert origin.fetches == 1


def test_knows_after_a_restart(tmp_path: Path) -> None:
    """What was fetched is known to the next process, without asking anybody."""
    with Origin().running() as origin:
        with notary(tmp_path) as first:
            origin.publish(origin.document([FIRST], first.now_ts + HOUR))
            before = first.documents(origin.name)
        with notary(tmp_path) as second:
            assert second.documents(origin.name) == before
        assert origin.fetches == 1


def test_the_sequence_of_sytest(asked: Notary, origin: Origin) -> None:
    """A bad answer after good ones costs neither the old key nor the next question.

    SyTest asks so, each time within milliseconds, and its origin never answers
    version 1.
    """
    expired = asked.now_ts - 24 * HOUR
    known = origin.document([FIRST], expired)
    origin.publish(known)
    asked.documents(origin.name, FIRST.key_id, minimum=0)
    for fetches in 2, 3:
        [found] = asked.documents(origin.name, FIRST.key_id, minimum=expired + 1000)
        assert found["valid_until_ts"] == expired
        assert origin.fetches == fetches
        origin.server.otherwise = http(b"{}", "400 Bad Request")
    # What is stored and ends late enough is not fetched again.
    [found] = asked.documents(origin.name, FIRST.key_id, minimum=expired)
    assert without_signatures(found) == without_signatures(known)
    assert origin.fetches == 3
    # Another key of the same server is asked for at once, and only once in a while.
    origin.publish(origin.document([SECOND], expired + 1))
    [other] = asked.documents(origin.name, SECOND.key_id, minimum=0)
    assert SECOND.key_id in str(without_signatures(other))
    for _ in range(2):
        assert asked.documents(origin.name, "ed25519:nobody", minimum=0) == []
    assert origin.fetches == 5
    [found] = asked.documents(origin.name, FIRST.key_id, minimum=expired)
    assert without_signatures(found) == without_signatures(known)
    assert not any("/v1" in request for request in origin.server.requests)


def test_two_notaries_sign_beside_each_other(tmp_path: Path) -> None:
    """Two notaries' answers are one document, which three servers have signed."""
    with (
        notary(tmp_path) as first,
        notary(tmp_path, "second.test") as second,
        Origin().running() as origin,
    ):
        origin.publish(origin.document([FIRST], first.now_ts + HOUR))
        [one], [two] = (each.documents(origin.name) for each in (first, second))
        assert without_signatures(one) == without_signatures(two)
        both: Json = {**one}
        both["signatures"] = {**_signatures(one), **_signatures(two)}
        for name, key in [
            (origin.name, FIRST),
            (first.name, first.key),
            (second.name, second.key),
        ]:
            assert is_signed_by(both, name, key)
        # What one signed, and its origin now claims, the other does not vouch for.
        origin.publish(one)
        [found] = second.documents(origin.name, minimum=second.now_ts + 2 * HOUR)
        assert origin.fetches == 3
        assert signers(found).keys() == {origin.name.name, second.name.name}


def _signatures(document: Json) -> Json:
    signatures = document["signatures"]
    assert isinstance(signatures, dict)
    return signatures
