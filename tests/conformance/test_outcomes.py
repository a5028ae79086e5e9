"""What single checks make of replies, without a target.

Rules: what a check does with a target is in the tests of faults. Here are replies that
no target of ours gives.
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from homeserver.conformance.check import Check
from homeserver.conformance.checks import (
    closed_rooms,
    key_fetches,
    sending_choices,
    unsigned_requests,
)
from homeserver.conformance.outcome import (
    NotTestable,
    Outcome,
    expect,
    reported,
    unmet,
)
from homeserver.conformance.reply import Reply
from homeserver.http.reply import Reply as OurReply
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.check_outcomes import (
    ABSENT,
    REFUSED,
    UNKNOWN,
    outcome_of,
    reply,
    returning,
)
from tests.support.pdus import message, sign
from tests.support.signed_requests import OTHERS, THEM, signing_key


def unsigned(of_send: Reply, others: Reply) -> Outcome:
    """The outcome of the check that asks all signed routes without a signature."""

    async def plain(_: str, target: str, *__: object) -> Reply:
        return of_send if target.endswith("/send/1") else others

    return outcome_of(unsigned_requests.unsigned, SimpleNamespace(plain=plain))


# (the reply of `send`, that of the other routes, whether it is met, what is said)
UNSIGNED: list[tuple[Reply, Reply, bool, str]] = [
    (REFUSED, REFUSED, True, "/user/keys/claim: status 401 M_UNAUTHORIZED: no"),
    (
        REFUSED,
        ABSENT,
        True,
        "status 401 M_UNAUTHORIZED: no; 26 of 27 routes are absent",
    ),
    (reply(200), ABSENT, False, "PUT /_matrix/federation/v1/send/1: status 200"),
    (UNKNOWN, REFUSED, False, "/send/1: status 404 M_NOT_FOUND: none"),
]


@pytest.mark.parametrize(("of_send", "others", "is_met", "said"), UNSIGNED)
def test_signed_routes(
    of_send: Reply, others: Reply, said: str, *, is_met: bool
) -> None:
    """Those that are absent are counted where all others are right."""
    outcome = unsigned(of_send, others)
    assert outcome.is_met is is_met
    assert outcome.observed.endswith(said)


def test_no_signed_route() -> None:
    """A target without any of them is not judged."""
    with pytest.raises(NotTestable, match="none of the routes"):
        unsigned(ABSENT, ABSENT)


class Fetching:
    """A target that takes a second key from some time on, and the time."""

    def __init__(self, takes_from_ts: int, *, takes_first: bool = True) -> None:
        self.now_ts = 0
        self.asked: list[int] = []
        self._takes_from_ts, self._takes_first = takes_from_ts, takes_first

    def server(self, **_: object) -> object:
        """A server of ours with two keys."""
        keys = SimpleNamespace(signing=["ed25519:1", "ed25519:2"])
        return SimpleNamespace(
            server=SimpleNamespace(keys=keys), spare_key=lambda _: signing_key()
        )

    def instruct(self, _: object, **__: object) -> None:
        """Nothing depends on what our server answers."""

    async def ask(self, _: object, sign: Any) -> Reply:
        """Take a request, or refuse it."""
        if sign.key_id == "ed25519:1":
            return reply(200 if self._takes_first else 401)
        self.asked.append(self.now_ts)
        assert len(self.asked) < 20
        return reply(200 if self.now_ts >= self._takes_from_ts else 401)

    async def wait_until(self, ts: int) -> None:
        """Let time pass."""
        self.now_ts = ts


# (when the second key is taken, how often it is asked for, whether that is right)
FETCHED = [(0, 1, True), (2500, 4, True), (12_000, 13, True), (12_001, 13, False)]


@pytest.mark.parametrize(("takes_from_ts", "times", "is_met"), FETCHED)
def test_a_new_key(takes_from_ts: int, times: int, *, is_met: bool) -> None:
    """It is asked for each second until it is taken, for 12 seconds."""
    t = Fetching(takes_from_ts)
    outcome = outcome_of(key_fetches.new_key, t)
    assert (outcome.is_met, len(t.asked)) == (is_met, times)


def test_a_new_key_beside_an_unknown_one() -> None:
    """The first key has to be taken as well."""
    t = Fetching(0, takes_first=False)
    outcome = outcome_of(key_fetches.new_key, t)
    assert outcome.is_met is False
    assert outcome.observed.startswith("the first: status 401")


class Audience:
    """A server of ours that notes what it is to answer, and is sent nothing."""

    def __init__(self) -> None:
        self.replies: list[OurReply] = []

    async def of(self, *_: object) -> "Audience":
        """Return the only one."""
        return self

    def answer(self, answer: Callable[[Any], OurReply]) -> None:
        """Note the answer."""
        self.replies.append(answer(None))

    async def newcomer(self) -> None:
        """Nothing comes of it."""

    async def until_sent(self, _: int) -> Sequence[object]:
        """Nothing is sent."""
        return []


@pytest.mark.parametrize(
    ("check", "status", "errcode"),
    [
        (sending_choices.bad_request, 400, "M_UNKNOWN"),
        (sending_choices.too_many, 429, "M_LIMIT_EXCEEDED"),
    ],
)
def test_what_a_transaction_is_refused_with(
    monkeypatch: pytest.MonkeyPatch, check: Check, status: int, errcode: str
) -> None:
    """The choice that is reported is the one after this answer."""
    audience = Audience()
    monkeypatch.setattr(sending_choices, "Audience", audience)
    outcome = outcome_of(check, None)
    assert (outcome.is_met, outcome.observed) == (None, "no transaction came")
    [refusal] = audience.replies
    found = msgspec.json.decode(refusal.body)["errcode"]
    assert (refusal.status, found) == (status, errcode)


JOIN = message(
    peer=OTHERS,
    type="m.room.member",
    state_key=f"@a:{OTHERS.server_name}",
    content={"membership": "join"},
)
COUNTERSIGNED = sign(JOIN, "11", OTHERS, THEM)

# (the event in the reply to `send_join`, whether it is right, how it is said)
JOINED: list[tuple[Json | None, bool, str]] = [
    (COUNTERSIGNED, True, "event $"),
    (JOIN, False, "event $"),
    (message(), False, "event $"),
    (None, False, "event absent"),
]


@pytest.mark.parametrize(("back", "is_met", "said"), JOINED)
def test_a_restricted_join(
    monkeypatch: pytest.MonkeyPatch, back: Json | None, said: str, *, is_met: bool
) -> None:
    """The event of the join has to come back, signed by the target."""
    template = {"content": {closed_rooms._VIA: f"@b:{THEM.server_name}"}}
    joined = SimpleNamespace(
        member=SimpleNamespace(reply=reply(200, event=back)),
        version=ROOM_VERSIONS["11"],
        join=Event.parse(JOIN, ROOM_VERSIONS["11"]),
    )
    replacements: dict[str, object] = {
        "enter": SimpleNamespace(ours=None),
        "make": reply(200, event=template),
        "join_room": joined,
        "keys_of_target": {THEM.key.key_id: THEM.key.verify_key},
    }
    for name, value in replacements.items():
        monkeypatch.setattr(closed_rooms, name, returning(value))
    facts = SimpleNamespace(rooms={"restricted": "!r:them.example"})
    t = SimpleNamespace(name=THEM.server_name, facts=facts)
    outcome = outcome_of(closed_rooms.condition_met, t)
    assert outcome.is_met is is_met
    assert said in outcome.observed


OUTCOMES: Sequence[Callable[[str], Outcome]] = [
    lambda said: expect(False, said),  # noqa: FBT003 - as checks call it
    unmet,
    reported,
]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_is_observed_is_a_line(outcome: Callable[[str], Outcome]) -> None:
    """A target may say megabytes, and what a terminal obeys."""
    assert outcome("a\x1b[2J\nb").observed == r"a\x1b[2J\nb"
    assert outcome("x" * 1_000_000).observed == "x" * 2000 + "..."
