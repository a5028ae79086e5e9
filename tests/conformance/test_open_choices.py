"""What the texts leave open is no failure: choices, clocks, pauses and limits.

Rules: as in `test_outcomes`.
"""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from homeserver.conformance.checks import (
    http_errors,
    key_fetches,
    our_handshakes,
    own_keys,
    queries,
    sending,
    x_matrix_signatures,
)
from homeserver.conformance.documents import usable_keys
from homeserver.conformance.outcome import Late, NoAnswer, NotTestable
from homeserver.conformance.reply import Reply
from homeserver.net.exchange import Exchange
from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.discovery import Route
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import issue_for
from tests.support.check_outcomes import (
    ABSENT,
    REFUSED,
    UNKNOWN,
    outcome_of,
    reply,
    returning,
    said_of,
)
from tests.support.signed_requests import THEM, signing_key
from tests.support.tables import cases


class Rotating:
    """A target whose clock is behind ours, which keeps keys as long as they last."""

    def __init__(self, behind_ms: float, *, reads: bool = True) -> None:
        self.now_ts = 0
        self._behind_ms, self._reads = behind_ms, reads
        self._until_ts: float | None = None

    def server(self, keys: Callable[[Any], Json], **_: object) -> object:
        """A server of ours with two keys, whose document the target keeps."""
        ours = SimpleNamespace(
            server=SimpleNamespace(keys=SimpleNamespace(signing=["ed25519:1", "2"])),
            spare_key=lambda _: signing_key(),
            now_ts=0,
            document=lambda **members: members,
        )
        until_ts = keys(ours)["valid_until_ts"]
        assert isinstance(until_ts, int)
        self._until_ts = until_ts + self._behind_ms
        return ours

    def instruct(self, _: object, **__: object) -> None:
        """It has one document."""

    async def ask(self, _: object, sign: Any) -> Reply:
        """Take a request, or refuse it."""
        assert sign.key_id == "ed25519:1"
        assert self._until_ts is not None
        is_valid = self._reads and self.now_ts < self._until_ts
        return reply(200 if is_valid else 401)

    async def wait_until(self, ts: int) -> None:
        """Let time pass."""
        self.now_ts = ts


# (how far the target's clock is behind, whether that is right)
ROTATED = [(0, True), (20_000, True), (60_000, False), (math.inf, False)]


@pytest.mark.parametrize(("behind_ms", "is_met"), ROTATED)
def test_a_key_that_has_become_an_old_one(behind_ms: float, *, is_met: bool) -> None:
    """A clock may be half a minute behind, and no more."""
    outcome = outcome_of(key_fetches.rotated, Rotating(behind_ms))
    assert outcome.is_met is is_met


def test_a_clock_that_is_ahead() -> None:
    """A target that reads a document as expired is not judged by it."""
    with pytest.raises(NotTestable, match="clock ahead"):
        outcome_of(key_fetches.rotated, Rotating(0, reads=False))


POLICY = [
    ("none", ABSENT, "met"),
    ("unknown room", UNKNOWN, "met"),
    ("no event", reply(400, errcode="M_BAD_JSON", error="no"), "not testable"),
    ("ACL", reply(403, errcode="M_FORBIDDEN", error="no"), "not testable"),
    ("another error", reply(400, errcode="M_UNKNOWN", error="no"), "not met"),
    ("a signature", reply(200), "not met"),
]


@cases("answer said", POLICY)
def test_no_policy_server(answer: Reply, said: str) -> None:
    """A policy server is not judged as if it were none."""
    t = SimpleNamespace(server=lambda: None, request=returning(answer))
    assert said_of(queries.no_policy_server, t) == said


NAMED = reply(200, displayname="Alice")

# (the answer to a question for a profile, what two checks say of it)
PROFILES = [
    ("a profile", NAMED, "met", "met"),
    ("forbidden", reply(403, errcode="M_FORBIDDEN", error="no"), "met", "met"),
    ("no profile", UNKNOWN, "not testable", "not testable"),
    ("a whole profile", reply(200, displayname="A", a=1), "met", "not met"),
    ("a list", Reply(200, [], b'["Alice"]'), "not met", "not met"),
    ("another code", reply(404, errcode="M_UNKNOWN"), "not met", "not met"),
]


@cases("answer whole field", PROFILES)
def test_profiles(answer: Reply, whole: str, field: str) -> None:
    """A user may have no profile, and no display name in it."""
    facts = SimpleNamespace(users=["@alice:them.example"])
    t = SimpleNamespace(facts=facts, server=lambda: None, request=returning(answer))
    assert said_of(queries.profile, t) == whole
    assert said_of(queries.profile_field, t) == field


_KEY = encode_base64(bytes(signing_key().verify_key.key))

# (the keys in a document, those that can be used)
USABLE: list[tuple[str, object, list[str]]] = [
    ("one", {"ed25519:a": {"key": _KEY}}, ["ed25519:a"]),
    ("beside one of no use", {"ed25519:a": {"key": _KEY}, "rsa:b": {}}, ["ed25519:a"]),
    ("a text", {"ed25519:a": _KEY}, []),
    ("too short", {"ed25519:a": {"key": _KEY[:40]}}, []),
    ("none", {}, []),
    ("a list", [_KEY], []),
]


@cases("listed used", USABLE)
def test_keys_of_a_target(listed: object, used: list[str]) -> None:
    """Without a key that can be used, nothing that it signs is judged."""
    document: Json = {"verify_keys": listed}
    if used:
        assert list(usable_keys(document)) == used
    else:
        with pytest.raises(NotTestable, match="publishes no key"):
            usable_keys(document)


VERSIONS = [
    ("whole", reply(200, server={"name": "a", "version": "1", "more": 5}), "met"),
    ("no member", reply(200, more=1), "not met"),
    ("nothing in it", reply(200, server={}), "not met"),
    ("a name alone", reply(200, server={"name": "a"}), "not met"),
    ("a number", reply(200, server={"name": "a", "version": 1}), "not met"),
    ("a number alone", reply(200, server={"name": 1}), "not met"),
    ("a text", reply(200, server="a 1"), "not met"),
    ("a list", Reply(200, [], b"[]"), "not met"),
    ("no JSON", Reply(200, [], b"a 1"), "not met"),
    ("absent", ABSENT, "not met"),
]


@cases("answer said", VERSIONS)
def test_versions(answer: Reply, said: str) -> None:
    """A server says what it is."""
    t = SimpleNamespace(plain=returning(answer))
    assert said_of(own_keys.version, t) == said


# (the names of client certificates that a target shows, whether it may)
CLIENT_CERTIFICATES = [
    ("none", [], "met"),
    ("its own", ["target.example"], "met"),
    ("that of its delegate", ["delegate.example"], "met"),
    ("another's", ["another.example"], "not met"),
    ("another's as well", ["target.example", "another.example"], "not met"),
]


@cases("names said", CLIENT_CERTIFICATES)
def test_client_certificates(names: Sequence[str], said: str) -> None:
    """A target that delegates shows the certificate of the host in its document."""
    shown = [issue_for(name).certificate.public_bytes(Encoding.DER) for name in names]
    connections = [
        SimpleNamespace(details=SimpleNamespace(tls=SimpleNamespace(certificate=each)))
        for each in shown
    ]
    delegate = Route("192.0.2.1", 8448, "delegate.example", "delegate.example")
    t = SimpleNamespace(
        name=ServerName.parse("target.example"),
        ground=SimpleNamespace(routes=[delegate]),
        server=lambda: None,
        ask=returning(reply(200)),
        seen=lambda _: SimpleNamespace(connections=connections),
    )
    assert said_of(our_handshakes.asked_for_certificate, t) == said


class Ambiguous:
    """A connection on which a request says twice how long it is."""

    def __init__(self, answer: Reply | NoAnswer, *, is_closed: bool) -> None:
        self._answer, self._is_closed = answer, is_closed

    def send(self, _: bytes) -> None:
        """It does not matter what is sent."""

    async def read(self, *_: object) -> Reply:
        """The answer to it."""
        if isinstance(self._answer, NoAnswer):
            raise self._answer
        return self._answer

    async def closed(self, _: float) -> bool:
        """Whether the connection ends then."""
        return self._is_closed

    def close(self) -> None:
        """End it."""


# (the answer, whether the connection ends after it, what the check says)
TWO_LENGTHS: list[tuple[str, Reply | NoAnswer, bool, str]] = [
    ("refused", reply(400), False, "met"),
    ("read by its chunks", REFUSED, True, "met"),
    ("read, and more may come", REFUSED, False, "not met"),
    ("closed", NoAnswer("closed"), True, "met"),
    ("waits for more", Late("no answer"), False, "not met"),
    ("limited", reply(429), True, "not testable"),
]


@cases("answer is_closed said", TWO_LENGTHS)
def test_a_request_of_two_lengths(
    answer: Reply | NoAnswer, said: str, *, is_closed: bool
) -> None:
    """It may be read by its chunks where nothing can come after it."""
    t = SimpleNamespace(
        fresh=lambda _: "t",
        connect=returning(Ambiguous(answer, is_closed=is_closed)),
        complete=lambda headers, _: headers,
    )
    assert said_of(http_errors.two_lengths, t) == said


class Profiles:
    """A target that answers requests for profiles, proven or not."""

    name = THEM.server_name

    def __init__(self, proven: Reply, unproven: Reply) -> None:
        self._proven, self._unproven = proven, unproven

    def server(self) -> None:
        """It does not matter who asks."""

    async def request(self, *_: object, **changes: object) -> Reply:
        """The answer to a request without a body."""
        return self._unproven if "sign" in changes else self._proven


FORBIDDEN = reply(403, errcode="M_FORBIDDEN", error="no")

# (the answer to a request that is proven, and to another, what two checks say)
FORBIDDING = [
    ("usual", UNKNOWN, REFUSED, "met", "met"),
    ("forbidden to all", FORBIDDEN, REFUSED, "met", "met"),
    ("unproven is forbidden", UNKNOWN, FORBIDDEN, "met", "met"),
    ("cannot be told apart", FORBIDDEN, FORBIDDEN, "not testable", "not testable"),
    ("believes nobody", REFUSED, REFUSED, "not met", "met"),
    ("believes all", UNKNOWN, UNKNOWN, "met", "not met"),
]


@cases("proven unproven believes refuses", FORBIDDING)
def test_requests_without_a_body(
    proven: Reply, unproven: Reply, believes: str, refuses: str
) -> None:
    """403 shows what is not proven only where it is not the answer to all."""
    t = Profiles(proven, unproven)
    assert said_of(x_matrix_signatures.without_body, t) == believes
    assert said_of(x_matrix_signatures.empty_content, t) == refuses


# (the headers of a limit, its body, for how many seconds it holds)
PAUSES: list[tuple[list[tuple[str, str]], bytes, float]] = [
    ([("Retry-After", "3")], b"", 3.0),
    ([("retry-after", "0")], b'{"retry_after_ms":9000}', 0.0),
    ([], b'{"retry_after_ms":250}', 0.25),
    ([("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")], b"", 1.0),
    ([], b'{"retry_after_ms":"soon"}', 1.0),
    ([], b'{"retry_after_ms":-5}', 1.0),
]


@pytest.mark.parametrize(("headers", "body", "pause"), PAUSES)
def test_how_long_a_limit_holds(
    headers: list[tuple[str, str]], body: bytes, pause: float
) -> None:
    """The header goes before the member; without both it is a second."""
    assert Reply(429, headers, body).pause == pause


class Repeating:
    """A server of ours that is sent some transactions again, later or sooner."""

    def __init__(self, at_once: Sequence[str], after_more: Sequence[str]) -> None:
        self._sent, self._more = list(at_once), list(after_more)
        self.ours = None
        join = SimpleNamespace(event_id="$join")
        self._newcomer = SimpleNamespace(join=join)

    async def of(self, *_: object) -> "Repeating":
        """Return the only one."""
        return self

    async def newcomer(self) -> Any:
        """The one that is told of."""
        return self._newcomer

    async def told(self, _: str) -> Sequence[Exchange]:
        """What tells of it."""
        return self._exchanges()[:1]

    async def leave(self, _: object) -> None:
        """Something more happens."""
        self._sent += self._more
        self._more = []

    async def until_sent(self, _: int, __: float = 0.0) -> Sequence[Exchange]:
        """What was sent so far."""
        return self._exchanges()

    def _exchanges(self) -> list[Exchange]:
        found = [Exchange("request", "in") for _ in self._sent]
        for exchange, txn_id in zip(found, self._sent, strict=True):
            exchange.path = f"/_matrix/federation/v1/send/{txn_id}"
        return found


# (the IDs that are sent by themselves, those after another event, what is said of
# transactions that fail, and of those that are cut)
REPEATED = [
    ("three times", "aaa", "b", "met", "met"),
    ("twice", "aa", "", "met", "met"),
    ("never again", "a", "", "not met", "not met"),
    ("only after more", "a", "a", "met", "met"),
    ("another one", "a", "b", "not met", "not met"),
    ("another one at last", "aab", "", "not met", "met"),
]


@cases("first more failed cut", REPEATED)
def test_transactions_that_come_again(
    monkeypatch: pytest.MonkeyPatch, first: str, more: str, failed: str, cut: str
) -> None:
    """Nothing else may come in between, and another event may be waited for."""
    t = SimpleNamespace(instruct=lambda *_, **__: None)
    for check, said in ((sending.again, failed), (sending.cut, cut)):
        monkeypatch.setattr(sending, "Audience", Repeating(first, more))
        assert said_of(check, t) == said
