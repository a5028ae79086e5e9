"""What a whole endpoint does as a notary, between real servers that err or lie."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeserver.inbound import notary as notaries
from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import OldVerifyKey
from homeserver.protocol.signing import sign
from scripts.processes import free_ports
from tests.support.certificates import issue_for
from tests.support.key_documents import signing_key
from tests.support.notaries import is_signed_by, signers, without_signatures
from tests.support.notary_endpoints import HOUR, Notary, Origin, notary
from tests.support.recording_peers import http
from tests.support.tls_servers import Answer, drip, garbage, hang_up, silence
from tests.support.waiting import reactor

FIRST, SECOND = (signing_key(KeyId(f"ed25519:{version}")) for version in ("a_1", "b"))


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Notary]:
    """A notary who may connect to this machine, and knows nobody."""
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


def test_asks_anew_at_half_of_the_life(asked: Notary, origin: Origin) -> None:
    """A document is handed out for half of its life without asking its server."""
    asked.documents(origin.name)
    asked.pass_time(4.9 * HOUR)
    asked.documents(origin.name)
    assert origin.fetches == 1
    asked.pass_time(0.2 * HOUR)
    until = asked.now_ts + 10 * HOUR
    origin.publish(origin.document([FIRST], until))
    [found] = asked.documents(origin.name)
    assert found["valid_until_ts"] == until
    assert origin.fetches == 2


def test_asks_anew_for_a_later_end(asked: Notary, origin: Origin) -> None:
    """Who wants a document that is valid for longer has its server asked."""
    [found] = asked.documents(origin.name)
    until = found["valid_until_ts"]
    assert isinstance(until, int)
    assert asked.documents(origin.name, minimum=until) == [found]
    assert origin.fetches == 1
    origin.publish(origin.document([FIRST], until + HOUR))
    [later] = asked.documents(origin.name, minimum=until + 1)
    assert later["valid_until_ts"] == until + HOUR
    assert origin.fetches == 2
    # Where there is nothing later, there is what is known.
    assert asked.documents(origin.name, minimum=until + 2 * HOUR) == [later]
    assert origin.fetches == 3


def test_remembers_who_is_gone(asked: Notary) -> None:
    """The keys of a server that has gone are handed out long after their end."""
    with Origin("gone.test").running() as gone:
        gone.publish(gone.document([FIRST], asked.now_ts + HOUR))
        before = asked.documents(gone.name)
        name = gone.name
    asked.pass_time(365 * 24 * HOUR)
    assert asked.documents(name) == before
    assert asked.documents(name, FIRST.key_id) == before
    assert asked.documents(name, minimum=asked.now_ts) == before


def test_knows_after_a_restart(tmp_path: Path) -> None:
    """What was fetched is known to the next process, without asking anybody."""
    with Origin().running() as origin:
        with notary(tmp_path) as first:
            origin.publish(origin.document([FIRST], first.now_ts + HOUR))
            before = first.documents(origin.name)
        with notary(tmp_path) as second:
            assert second.documents(origin.name) == before
        assert origin.fetches == 1


Spurious = Callable[[Origin, int], Json | bytes]

# Each is what a server, or who is in its place, answers after its good document with
# two keys; the number is a time later than the end of that.
SPURIOUS: dict[str, Spurious] = {
    "another key": lambda o, t: o.document([signing_key(KeyId("ed25519:x"))], t),
    "one key less": lambda o, t: o.document([FIRST], t),
    "other bytes, sooner over": lambda o, _: o.document(
        [signing_key(FIRST.key_id, b"x"), SECOND], 1
    ),
    "sooner over": lambda o, _: o.document([FIRST, SECOND], 1),
    "not signed": lambda o, t: o.document([], t) | {"verify_keys": listed()},
    "signed by another key": lambda o, t: sign(
        o.document([], t) | {"verify_keys": listed()},
        o.name,
        [signing_key(KeyId("ed25519:x"))],
    ),
    "forged": lambda o, t: o.document([FIRST, SECOND], t) | {"valid_until_ts": t + 1},
    "another name": lambda o, t: o.document(
        [FIRST, SECOND], t, name=ServerName.parse("origin.test")
    ),
    "no keys": lambda o, t: o.document([], t),
    "nothing": lambda _, __: b"{}",
    "no JSON": lambda _, __: b"<html>",
}


def listed() -> Json:
    """Both keys, as a document lists them."""
    return {
        key.key_id: {"key": encode_base64(key.verify_key.key)}
        for key in (FIRST, SECOND)
    }


@pytest.mark.parametrize("spurious", SPURIOUS.values(), ids=SPURIOUS)
def test_a_spurious_answer_erases_nothing(
    spurious: Spurious, asked: Notary, origin: Origin
) -> None:
    """A good document is still handed out after its server has said something else."""
    until = asked.now_ts + 10 * HOUR
    origin.publish(origin.document([FIRST, SECOND], until))
    before = asked.documents(origin.name)
    origin.publish(spurious(origin, until + HOUR))
    for found in (
        asked.documents(origin.name, minimum=until + 1),
        asked.documents(origin.name, SECOND.key_id, minimum=until + 1),
    ):
        assert before[0] in found
    assert origin.fetches >= 2


@pytest.mark.parametrize("old", [True, False], ids=["as an old one", "not any more"])
def test_a_key_that_was_given_up_is_known(
    asked: Notary, origin: Origin, *, old: bool
) -> None:
    """After a rotation, both keys can be had, whether the old one is listed or not."""
    asked.documents(origin.name)
    asked.pass_time(6 * HOUR)
    retired = [OldVerifyKey(FIRST.verify_key, 5)] if old else []
    later = origin.document([SECOND], asked.now_ts + 10 * HOUR, retired)
    origin.publish(later)
    for key in FIRST, SECOND:
        [found] = asked.documents(origin.name, key.key_id)
        assert key.key_id in str(without_signatures(found))
    assert len(asked.documents(origin.name)) == (1 if old else 2)


LIES: dict[str, Answer] = {
    "hangs": silence,
    "hangs up": hang_up,
    "drips": drip,
    "is no HTTP": garbage,
    "says no": http(b'{"errcode":"M_UNKNOWN","error":"no"}', "500 Internal Error"),
    "lists nothing": http(b"{}"),
    "is empty": http(b""),
    "is too large": http(b'{"padding":"%b"}' % (b"x" * 5_000_000)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_who_errs_is_left_out(
    lie: Answer, asked: Notary, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that has no document for us is not in the answer, and others are."""
    monkeypatch.setattr(notaries, "_REFRESH_SECONDS", 0.5)
    with Origin("other.test").running() as liar:
        liar.server.otherwise = lie
        assert asked.documents(liar.name) == []
        [found] = asked.documents_of(liar.name, origin.name)
        assert found["server_name"] == origin.name.name
        assert liar.server.received


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


def test_a_silent_server_costs_three_seconds(asked: Notary, origin: Origin) -> None:
    """While its server is silent, a query is answered in time with what is stored."""
    [known] = asked.documents(origin.name)
    origin.server.otherwise = silence
    until = known["valid_until_ts"]
    assert isinstance(until, int)
    begun = reactor.seconds()
    assert asked.documents(origin.name, minimum=until + 1) == [known]
    assert 2.9 < reactor.seconds() - begun < 8


def test_who_refuses_is_left_out(asked: Notary, origin: Origin) -> None:
    """A server that refuses connections, or does not exist, is not in the answer."""
    [port] = free_ports(1)
    names = [ServerName.parse(f"{host}.test:{port}") for host in ("other", "nowhere")]
    [found] = asked.documents_of(*names, origin.name)
    assert found["server_name"] == origin.name.name


def test_who_proves_nothing_is_left_out(asked: Notary) -> None:
    """A server whose certificate is not for its name is not even asked."""
    with Origin().running() as origin:
        origin.publish(origin.document([FIRST], asked.now_ts + HOUR))
        origin.server.issued = issue_for("origin.test")  # by itself
        assert asked.documents(origin.name) == []
        assert origin.server.conversations
        assert origin.server.received == b""


@pytest.mark.parametrize("host", ["origin.test", "127.0.0.1", "[::ffff:127.0.0.1]"])
def test_refused_addresses_are_not_connected_to(host: str, tmp_path: Path) -> None:
    """Nobody has us connect into our own network by asking for a name."""
    with notary(tmp_path, allow=()) as careful, Origin().running() as origin:
        name = ServerName.parse(f"{host}:{origin.server.port}")
        origin.publish(origin.document([FIRST], careful.now_ts + HOUR, name=name))
        assert careful.documents(name) == []
        assert careful.documents_of(name) == []
        assert origin.server.conversations == []


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


def test_too_many_servers_are_refused(asked: Notary, origin: Origin) -> None:
    """Who asks for more than a hundred servers at once has nobody asked for him."""
    names = [origin.name.name, *(f"{number}.test:1" for number in range(100))]
    body = encode({"server_keys": {name: {} for name in names}})
    status, answer = asked.ask("POST", "", body)
    assert (status, answer["errcode"]) == (413, "M_TOO_LARGE")
    assert origin.server.conversations == []
