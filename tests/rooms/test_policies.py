"""Rooms with a policy server, which is asked and obeyed.

Rules: an event without its signature is not sent, and is soft-failed when it is
received; a server that hangs holds nothing up.
"""

from collections.abc import Callable
from typing import Any

import nacl.signing
import pytest
from twisted.internet.defer import Deferred

from homeserver.net.cause import Cause
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json, as_object, encode
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.policy import PolicyServer
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.signing import POLICY_KEY_ID, SigningKey
from homeserver.rooms.author import USUAL, Given
from homeserver.rooms.room import Room
from tests.support.coroutines import result_of
from tests.support.http_connection import Connection, request
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import ALICE, text
from tests.support.policy_servers import VERSION, PolicyCalls, policy, reply
from tests.support.room_side import RoomSide, signed
from tests.support.signed_requests import OTHERS, THEM

OTHER_KEY = SigningKey(POLICY_KEY_ID, nacl.signing.SigningKey(b"q" * 32))


class Scene:
    """A public room of ours that Bob's server is the policy server of."""

    def __init__(self) -> None:
        self.calls = PolicyCalls()
        self.side = RoomSide(self.calls)
        room = self.side.ours.create("11", preset="public_chat")
        self.side.join(room)
        self.room_id = room.room_id
        self.side.ours.send(room, "m.room.policy", policy(), "")
        assert self.calls.asked == []

    @property
    def room(self) -> Room:
        """As it is now."""
        return result_of(self.side.ours.rooms.known(self.room_id))

    def say(self, given: Given = USUAL) -> Event:
        """A message of Alice's."""
        ours = self.side.ours
        return ours.send(self.room, "m.room.message", text("a"), given=given).event

    def from_bob(self, body: str = "b") -> Event:
        """A message of Bob's."""
        new = NewEvent("m.room.message", ALICE, text(body))
        pdu = result_of(self.side.ours.author.template(self.room, new))
        bob = self.room.current["m.room.member", "@bob:them.example"]
        alice = self.room.current["m.room.member", ALICE.user_id]
        cited = [bob.event_id if x == alice.event_id else x for x in as_list(pdu)]
        return signed({**pdu, "sender": bob.state_key, "auth_events": cited}, "11")

    def transact(self, *events: Event) -> list[str]:
        """The verdicts on events that come."""
        number = len(self.side.received)
        content: Json = {
            "origin": THEM.server_name.name,
            "origin_server_ts": 1,
            "pdus": [each.pdu for each in events],
        }
        answer = self.side.ask("PUT", "send", str(number), content=content)
        assert answer.status == 200, answer.json
        received: Any = self.side.received[-1]
        return [each["verdict"] for each in received["pdus"]]

    def begin(self, *events: Event) -> Connection:
        """Let a transaction begin; the connection has its answer."""
        content: Json = {
            "origin": THEM.server_name.name,
            "origin_server_ts": 1,
            "pdus": [each.pdu for each in events],
        }
        target = "/_matrix/federation/v1/send/begun"
        header = "Authorization: " + THEM.authorize("PUT", target, content)
        connection = Connection(self.side.site)
        connection.send(request("PUT", target, [header], encode(content)))
        return connection

    def has(self, event: Event) -> bool:
        """Whether the room has an event with the policy server's signature."""
        found = result_of(self.room.read([event.event_id]))[event.event_id]
        server = PolicyServer.of(self.room.current)
        assert server is not None
        return server.has_signed(found)


def as_list(pdu: Json) -> list[str]:
    """The auth events of an event."""
    found = pdu["auth_events"]
    assert isinstance(found, list)
    return found


@pytest.fixture
def scene() -> Scene:
    """The room."""
    return Scene()


def test_our_events_have_its_signature(scene: Scene) -> None:
    """It is asked once, and what others get has the signature beside ours."""
    event = scene.say()
    assert [each.event_id for each in scene.calls.asked] == [event.event_id]
    assert scene.has(event)
    assert set(as_object(event.pdu["signatures"], "signatures")) == {
        OUR_NAME.name,
        THEM.server_name.name,
    }
    assert scene.room.entries[event.event_id].outcome is Outcome.ACCEPTED


def test_it_can_be_replaced_without_it(scene: Scene) -> None:
    """The event that names it needs no signature, and none is asked for."""
    scene.side.ours.send(scene.room, "m.room.policy", {}, "")
    scene.say()
    assert scene.calls.asked == []


def refuse(_: Event) -> Json:
    """The server refuses."""
    raise Refused(THEM.server_name, 400, "M_FORBIDDEN", "spam")


def hang(_: Event) -> Json:
    """The server does not answer in time."""
    raise Unreachable(THEM.server_name, ["timed out"])


def of_another(event: Event) -> Json:
    """A signature of another event."""
    return reply(signed({**event.pdu, "depth": 99, "signatures": {}}, "11"))


WRONG: list[Callable[[Event], Json]] = [
    refuse,
    hang,
    of_another,
    lambda event: reply(event, OTHER_KEY),
    lambda event: reply(event, name="other.example"),
    lambda _: {},
    lambda _: {THEM.server_name.name: {POLICY_KEY_ID: 1}},
]


@pytest.mark.parametrize("answer", WRONG)
def test_our_events_are_not_sent_without_it(
    scene: Scene, answer: Callable[[Event], Json]
) -> None:
    """Nothing is sent, and nothing is in the room; the caller learns why."""
    scene.calls.answer = answer
    before, queued = dict(scene.room.entries), scene.side.ours.queued()
    with pytest.raises(Forbidden, match="policy server"):
        scene.say()
    assert (scene.room.entries, scene.side.ours.queued()) == (before, queued)
    assert len(scene.calls.asked) == 1


def test_a_test_may_send_without_it(scene: Scene) -> None:
    """Then the event is sent, and soft-failed as others do it."""
    event = scene.say(Given(asks_policy=False))
    assert scene.calls.asked == []
    entry = scene.room.entries[event.event_id]
    assert (entry.outcome, entry.check, entry.rule) == (Outcome.SOFT_FAILED, 7, "")
    assert "the policy server them.example did not sign it" in entry.why
    assert event.event_id not in scene.room.extremities


def test_received_events_are_asked_about(scene: Scene) -> None:
    """Once each; those that it signs are accepted, with the signature."""
    events = [scene.from_bob(), scene.from_bob("c")]
    assert scene.transact(*events) == ["accepted"] * 2
    assert len(scene.calls.asked) == 2
    assert all(scene.has(each) for each in events)
    scene.transact(*events)
    assert len(scene.calls.asked) == 2


def test_signed_events_are_not_asked_about(scene: Scene) -> None:
    """A received event that has the signature is accepted as it is."""
    event = scene.from_bob()
    own = as_object(event.pdu["signatures"], "signatures")[THEM.server_name.name]
    both = {**as_object(own, "own"), **as_object(reply(event)["them.example"], "both")}
    pdu = {**event.pdu, "signatures": {THEM.server_name.name: both}}
    assert scene.transact(Event.parse(pdu, VERSION)) == ["accepted"]
    assert scene.calls.asked == []


@pytest.mark.parametrize("answer", WRONG)
def test_received_events_are_soft_failed_without_it(
    scene: Scene, answer: Callable[[Event], Json]
) -> None:
    """They are stored, and not cited; a silent server is asked once at a time."""
    scene.calls.answer = answer
    events = [scene.from_bob(), scene.from_bob("c")]
    verdict = "soft-failed: the policy server them.example did not sign it"
    assert scene.transact(*events) == [verdict] * 2
    assert len(scene.calls.asked) == (1 if answer is hang else 2)
    assert not scene.room.extremities & {each.event_id for each in events}


def test_a_slow_server(scene: Scene) -> None:
    """All events of a transaction wait for it as long as one request may take."""

    def slowly(event: Event) -> Json:
        scene.side.clock.advance(9)
        return reply(event)

    scene.calls.answer = slowly
    events = [scene.from_bob(str(number)) for number in range(10)]
    verdicts = scene.transact(*events)
    assert len(scene.calls.asked) == 4
    assert verdicts[:4] == ["accepted"] * 4
    assert all(each.startswith("soft-failed") for each in verdicts[4:])


def test_a_server_that_hangs(scene: Scene) -> None:
    """A request to it ends with the time that all of them have."""
    waiting: list[Deferred[Event]] = []

    async def never(_: Event, __: StateMap, ___: Cause) -> Event:
        waiting.append(Deferred())
        return await waiting[-1]

    events = [scene.from_bob("b"), scene.from_bob("c")]
    scene.side.ours.rooms.recommend = never
    connection = scene.begin(*events)
    assert connection.answers() == []
    scene.side.clock.advance(30)
    [answer] = connection.answers()
    assert answer.json == {"pdus": {each.event_id: {} for each in events}}
    assert len(waiting) == 1
    assert not scene.room.extremities & {each.event_id for each in events}


def test_joins_are_asked_about(scene: Scene) -> None:
    """The joining server does not know of it; without the signature it is refused."""
    user = f"@oli:{OTHERS.server_name}"
    join = scene.side.join(scene.room, user, OTHERS)
    assert scene.has(join)
    scene.calls.answer = refuse
    other = f"@eve:{OTHERS.server_name}"
    event = scene.side.membership(scene.room, "join", other, OTHERS)
    answer = scene.side.send("join", event, peer=OTHERS)
    assert (answer.status, answer.json["errcode"]) == (403, "M_FORBIDDEN")
    assert event.event_id not in scene.room.entries
