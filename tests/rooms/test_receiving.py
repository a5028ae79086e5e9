"""The events of transactions that are of rooms that we are in."""

import pytest

from homeserver.protocol.canonical_json import Json, as_list
from homeserver.protocol.errors import NotFound
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.author import Given
from tests.support.our_rooms import BOB, same, text
from tests.support.room_pair import EVE, Pair
from tests.support.room_side import changed
from tests.support.signed_requests import OTHERS, THEM
from tests.support.state_ids import ids

ALL = ("1", "2", "6", "10", "11", "12")


def agree(pair: Pair, *, is_open: bool = False) -> None:
    """Both servers have the same current state and the same end of the room."""
    assert ids(pair.ours.current) == ids(pair.theirs.current)
    ends = pair.theirs.extremities
    # What was known before a gap whose inside is not known stays an end as well.
    assert ends <= pair.ours.extremities if is_open else ends == pair.ours.extremities
    same(pair.ours, pair.side.ours.read(pair.theirs.room_id))


@pytest.mark.parametrize("version", ALL)
def test_received(version: str) -> None:
    """Events are judged in their order, and are part of the room then."""
    pair = Pair(version)
    first = [pair.send(), pair.send("m.room.topic", {"topic": "T"}, "")]
    assert pair.transact(*first) == {each.event_id: {} for each in first}
    agree(pair)
    eve: Json = {"membership": "join"}
    more = [
        pair.send("m.room.member", eve, EVE.user_id, sender=EVE),
        pair.send("m.room.message", text("hello"), sender=EVE),
    ]
    pair.transact(*more)
    agree(pair)
    assert membership(pair.ours.current, EVE.user_id) == "join"
    assert pair.calls.made == []
    # Again, in another transaction: the same, and nothing changes.
    before = dict(pair.ours.entries)
    assert pair.transact(*more) == {each.event_id: {} for each in more}
    assert pair.ours.entries == before


def test_rejected_and_soft_failed() -> None:
    """Each outcome has its verdict, and its part in the room or none."""
    pair = Pair("10")
    join = pair.send("m.room.member", {"membership": "join"}, EVE.user_id, sender=EVE)
    pair.transact(join)
    end = list(pair.theirs.extremities)
    ban = pair.send("m.room.member", {"membership": "ban"}, EVE.user_id)
    pair.transact(ban)
    late = Given(prev_events=end, is_checked=False)
    soft = pair.send("m.room.message", text("late"), sender=EVE, given=late)
    create = pair.theirs.current["m.room.create", ""].event_id
    bad = pair.send(
        "m.room.message",
        text("bad"),
        given=Given(auth_events=[create], is_checked=False),
    )
    reply = pair.transact(soft, bad)
    assert reply[soft.event_id] == {}
    assert "rule" in reply[bad.event_id]["error"]
    outcomes = {k: pair.ours.entries[k].outcome for k in (soft.event_id, bad.event_id)}
    assert outcomes == {
        soft.event_id: Outcome.SOFT_FAILED,
        bad.event_id: Outcome.REJECTED,
    }
    assert pair.ours.extremities == {ban.event_id}
    [*_, last] = pair.side.received
    verdicts = [each["verdict"] for each in as_list(last["pdus"], "pdus")]  # type: ignore[index]
    assert str(verdicts[0]).startswith("soft-failed: rule ")
    assert str(verdicts[1]).startswith("rejected: rule ")


def test_cited_messages() -> None:
    """An event that is authorised by messages is rejected, and they leave memory."""
    pair = Pair("10")
    messages = [pair.send() for _ in range(3)]
    pair.transact(*messages)
    cited = [each.event_id for each in messages]
    bad = changed(pair.send(), THEM, auth_events=cited)
    assert "rule 2" in pair.transact(bad)[bad.event_id]["error"]
    held = {x.event_id for x in pair.ours.events.values() if x.state_key is None}
    assert held == pair.ours.extremities == {cited[-1]}


@pytest.mark.parametrize("version", ALL)
def test_gap(version: str) -> None:
    """What is missing between is fetched from the server that sent the event."""
    pair = Pair(version)
    for number in range(30):
        pair.send("m.room.topic", {"topic": str(number)}, "")
    last = pair.send()
    assert pair.transact(last) == {last.event_id: {}}
    agree(pair)
    assert pair.calls.made == ["get_missing_events"] * 2
    outcomes = {each.outcome for each in pair.ours.entries.values()}
    assert Outcome.REJECTED not in outcomes
    assert len(pair.ours.entries) == len(pair.theirs.entries)


@pytest.mark.parametrize("version", ALL)
def test_large_gap(version: str) -> None:
    """Where too much is missing, the state before the rest is fetched."""
    pair = Pair(version)
    for number in range(130):
        pair.send("m.room.topic", {"topic": str(number)}, "")
    last = pair.send()
    assert pair.transact(last) == {last.event_id: {}}
    agree(pair, is_open=True)
    assert pair.calls.made.count("get_missing_events") == 5
    assert pair.calls.made.count("state_ids") == 1
    assert len(pair.ours.entries) < len(pair.theirs.entries)


def test_large_state() -> None:
    """A state of which much is missing is fetched in one reply."""
    pair = Pair("10", events={}, state_default=0)
    for number in range(60):
        pair.send("m.room.x", {}, str(number))
    for _ in range(105):
        pair.send()
    last = pair.send()
    pair.transact(last)
    agree(pair, is_open=True)
    assert pair.calls.made.count("state") == 1


def refuse(_: Json) -> Json:
    """A server that does not have it."""
    raise NotFound("nothing")


def test_nothing_is_told() -> None:
    """Without an answer the event is not taken in; later it may come again."""
    pair = Pair("10")
    pair.send()
    last = pair.send("m.room.topic", {"topic": "T"}, "")
    for route in ("get_missing_events", "event", "state_ids"):
        pair.calls.change[route] = refuse
    reply = pair.transact(last)
    assert "could not be fetched" in reply[last.event_id]["error"]
    assert last.event_id not in pair.ours.entries
    assert len(pair.calls.made) <= 3
    pair.calls.change.clear()
    assert pair.transact(last) == {last.event_id: {}}
    agree(pair)


def test_unrelated_events() -> None:
    """What has nothing to do with the question is not taken from a reply."""
    pair = Pair("10")
    hole = pair.send()
    other = Pair("10", seed=2).send()
    aside = pair.send(
        "m.room.name",
        {"name": "N"},
        "",
        given=Given(prev_events=list(hole.prev_event_ids)),
    )
    last = pair.send(given=Given(prev_events=[hole.event_id]))
    pair.calls.change["get_missing_events"] = lambda reply: {
        "events": [*as_list(reply["events"], ""), aside.pdu, other.pdu, 1, {}]
    }
    assert pair.transact(last) == {last.event_id: {}}
    assert hole.event_id in pair.ours.entries
    assert aside.event_id not in pair.ours.entries
    assert other.event_id not in pair.ours.entries


def test_gap_without_an_end() -> None:
    """A server that always has one more event is asked a few times."""
    pair = Pair("10")
    for _ in range(200):
        pair.send()
    last = pair.send()
    pair.calls.change["state_ids"] = lambda _: {"pdu_ids": [], "auth_chain_ids": []}
    reply = pair.transact(last)
    assert "could not be fetched" in reply[last.event_id]["error"]
    assert len(pair.calls.made) < 10
    assert last.event_id not in pair.ours.entries


def test_half_a_state() -> None:
    """A state of which an event is not to be had is not taken for the whole."""
    pair = Pair("10")
    for _ in range(110):
        pair.send("m.room.topic", {"topic": "T"}, "")
    last = pair.send()
    pair.calls.change["state_ids"] = lambda reply: {
        **reply,
        "pdu_ids": [*as_list(reply["pdu_ids"], ""), "$unknown"],
    }
    assert "error" in pair.transact(last)[last.event_id]
    assert last.event_id not in pair.ours.entries


def test_lie_about_the_state() -> None:
    """A state without the ban of a user does not undo the ban."""
    pair = Pair("10")
    join = pair.send("m.room.member", {"membership": "join"}, EVE.user_id, sender=EVE)
    ban = pair.send("m.room.member", {"membership": "ban"}, EVE.user_id)
    pair.transact(join, ban)
    for _ in range(110):
        pair.send()
    last = pair.send()
    pair.calls.change["state_ids"] = lambda reply: {
        **reply,
        "pdu_ids": [
            join.event_id if each == ban.event_id else each
            for each in as_list(reply["pdu_ids"], "")
        ],
    }
    pair.transact(last)
    assert membership(pair.ours.current, EVE.user_id) == "ban"


def test_missing_auth_events() -> None:
    """Auth events that are missing are fetched, and judged by their own."""
    pair = Pair("10")
    hole = pair.send("m.room.power_levels", {"users": {BOB.user_id: 100}, "ban": 1}, "")
    end = list(hole.prev_event_ids)
    last = pair.send(
        given=Given(
            prev_events=end,
            auth_events=[
                hole.event_id,
                pair.theirs.current["m.room.create", ""].event_id,
                pair.theirs.current["m.room.member", BOB.user_id].event_id,
            ],
        )
    )
    assert pair.transact(last) == {last.event_id: {}}
    assert pair.calls.made == ["event_auth"]
    assert pair.ours.entries[hole.event_id].outcome is Outcome.OUTLIER
    # When it arrives itself, it is judged by the state before it.
    pair.transact(hole)
    assert pair.ours.entries[hole.event_id].outcome is Outcome.ACCEPTED
    agree(pair)


def test_redaction() -> None:
    """A redaction of theirs applies to what we serve."""
    pair = Pair("11")
    secret = pair.send("m.room.message", text("secret"))
    redaction = pair.send("m.room.redaction", {"x": 1}, redacts=secret.event_id)
    pair.transact(secret, redaction)
    assert pair.ours.entries[secret.event_id].redacted_by == redaction.event_id


def test_acl() -> None:
    """A server that the room denies sends nothing into it, typing neither."""
    pair = Pair("10")
    acl: Json = {"allow": ["us.example", "them.example"]}
    allowed = pair.send("m.room.server_acl", acl, "")
    pair.transact(allowed)
    event = pair.send()
    typing: Json = {
        "edu_type": "m.typing",
        "content": {
            "room_id": pair.theirs.room_id,
            "user_id": f"@x:{OTHERS.server_name}",
            "typing": True,
        },
    }
    receipt: Json = {
        "edu_type": "m.receipt",
        "content": {
            pair.theirs.room_id: {
                "m.read": {
                    f"@x:{OTHERS.server_name}": {
                        "event_ids": [event.event_id],
                        "data": {"ts": 1},
                    }
                }
            }
        },
    }
    reply = pair.transact(event, edus=[typing, receipt], peer=OTHERS)
    assert "ACL" in reply[event.event_id]["error"]
    assert event.event_id not in pair.ours.entries
    [*_, last] = pair.side.received
    assert str(last["problems"]).count("server ACL") == 2
    assert pair.transact(event) == {event.event_id: {}}


def test_of_other_rooms() -> None:
    """Events of rooms that we are not in are recorded as before."""
    pair = Pair("10")
    other = Pair("10", seed=2)
    event = other.send()
    assert pair.transact(event) == {event.event_id: {}}
    assert event.event_id not in pair.ours.entries


def test_without_a_past() -> None:
    """An event without a past is judged by an empty state."""
    pair = Pair("10")
    event = pair.send()
    rootless: Event = changed(event, THEM, prev_events=[])
    reply = pair.transact(rootless)
    assert "rule" in reply[rootless.event_id]["error"]
    assert pair.transact(event) == {event.event_id: {}}
