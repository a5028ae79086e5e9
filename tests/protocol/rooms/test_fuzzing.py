"""Whatever stands in an event and in a room's state, there is a verdict.

A hundred times as many:

    FUZZ_EXAMPLES=25000 .venv/bin/python -m pytest tests/protocol/rooms/test_fuzzing.py
"""

import os
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.history_visibility import may_read
from homeserver.protocol.rooms.policy import PolicyServer, is_recommended
from homeserver.protocol.rooms.receipt import States, judge
from homeserver.protocol.rooms.redactions import ground_of, redacted
from homeserver.protocol.rooms.restricted_joins import (
    UnableToGrantJoin,
    authorising_user,
    needs_authorisation,
)
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.server_acl import may_take_part
from homeserver.protocol.rooms.state import residents
from homeserver.protocol.rooms.templates import Wanted, read_template
from tests.protocol.rooms.judged_events import by_mail
from tests.protocol.rooms.room import ALICE, BOB, DAN, INA, OLIVE, Room
from tests.support.mutations import mutated_json

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
SERVER = ServerName.parse("b.example")
VIA = "join_authorised_via_users_server"


def room_of(random: Random) -> tuple[Room, list[Event]]:
    """A room of a version with some of each that has a say, and events in it."""
    room = Room(random.choice(list(ROOM_VERSIONS)))
    mail = by_mail()(room)
    room.set("m.room.server_acl", ALICE, {"allow": ["*"], "deny": ["x*", "?"]})
    room.set("m.room.history_visibility", ALICE, {"history_visibility": "joined"})
    room.set(
        "m.room.policy",
        ALICE,
        {"via": "b.example", "public_keys": {"ed25519": "A" * 43}},
    )
    allow = [{"type": "m.room_membership", "room_id": "!x:y"}]
    room.set("m.room.join_rules", ALICE, {"join_rule": "restricted", "allow": allow})
    events = [
        mail,
        room.create,
        room.make("m.room.message", DAN, {}),
        room.make("m.room.redaction", BOB, {"redacts": "$x"}, redacts="$x:b.example"),
        room.make("m.room.aliases", DAN, {}, "d.example"),
        room.new_levels(ALICE, ban=5, events={"x": 5}, notifications={"room": 5}),
        room.membership(OLIVE, OLIVE, "join", **{VIA: BOB}),
        room.membership(INA, INA, "join"),
        room.membership(BOB, DAN, "ban"),
        room.membership(ALICE, OLIVE, "invite"),
    ]
    return room, events


def changed(random: Random, event: Event) -> Event:
    """An event with some values changed, if that is one still."""
    pdu = mutated_json(random, [event.pdu])
    if random.random() < 0.8:
        pdu = {**event.pdu, "content": mutated_json(random, [event.content])}
    try:
        return Event.parse(pdu, event.room_version)
    except ProtocolError:
        return event


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.randoms(use_true_random=True))
def test_each_event_has_a_verdict(random: Random) -> None:
    """It is allowed or not, by a rule and a sentence, and nothing else is raised."""
    room, events = room_of(random)
    state = {
        key: changed(random, event) if random.random() < 0.3 else event
        for key, event in room.state.items()
    }
    for each in events:
        event = changed(random, each)
        cited = CitedEvents(
            [changed(random, room.known[x]) for x in each.auth_event_ids],
            state.get(("m.room.create", "")),
        )
        for auth in (cited, CitedEvents(list(state.values()), cited.create)):
            receipt = judge(event, auth, States(room.state, state))
            if isinstance(receipt.verdict, NotAllowed):
                assert str(receipt.verdict).startswith("rule ")
            assert 3 < len(receipt.verdict.why) < 500
        assert may_read(event, state, SERVER, is_resident=False) in {True, False}
        assert is_recommended(event, state) in {True, False}
        ground_of(event, each, state)
        redacted(event)
    assert may_take_part(state, SERVER) in {True, False}
    assert PolicyServer.of(state) is None or SERVER in residents(state)
    olive = UserId.parse(OLIVE)
    if needs_authorisation(state, room.version, olive):
        try:
            authorising_user(state, room.version, SERVER, lambda _: True)
        except ProtocolError as refused:
            assert refused.status == 403 or isinstance(refused, UnableToGrantJoin)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.randoms(use_true_random=True))
def test_each_template_is_read_or_refused(random: Random) -> None:
    """Of a template nothing is signed but what was asked for."""
    room, events = room_of(random)
    join = events[6]
    wanted = Wanted("join", room.room_id, UserId.parse(OLIVE))
    reply: Json = {"event": join.pdu, "room_version": room.version.version}
    for _ in range(10):
        try:
            pdu = read_template(mutated_json(random, [reply]), wanted).pdu
        except ProtocolError:
            continue
        content = pdu["content"]
        assert isinstance(content, dict)
        assert content.keys() <= {"membership", VIA}
        assert (pdu["type"], pdu["room_id"]) == ("m.room.member", room.room_id)
        assert (pdu["sender"], pdu["state_key"]) == (OLIVE, OLIVE)
        assert content["membership"] == "join"
