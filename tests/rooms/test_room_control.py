"""The control API about rooms and their events, asked over HTTP."""

from typing import Any
from urllib.parse import quote

import pytest
from twisted.internet.defer import Deferred

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import RoomId, UserId
from homeserver.protocol.rooms.building import NewEvent
from tests.support.control_side import Panel
from tests.support.our_rooms import text
from tests.support.room_desk import ANN, BOB, Desk
from tests.support.signed_requests import US


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_created(version: str) -> None:
    """A room has what its creator decides, and is listed."""
    desk = Desk(
        room_version=version,
        alias=f"#a:{US}",
        name="N",
        initial_state=[{"type": "x.y", "state_key": "k", "content": {"z": 1}}],
    )
    assert desk.made["room_version"] == version
    assert desk.made["servers"] == [str(US)]
    assert desk.ask("GET", "")["rooms"] == [{"room_id": desk.room_id}]
    assert desk.get("")["room_id"] == desk.room_id
    state = {(x["type"], x["state_key"]): x for x in desk.get("state")["state"]}
    assert state["x.y", "k"]["content"] == {"z": 1}
    assert state["m.room.name", ""]["content"] == {"name": "N"}
    assert state["m.room.canonical_alias", ""]["content"] == {"alias": f"#a:{US}"}
    assert state["m.room.join_rules", ""]["content"] == {"join_rule": "public"}
    assert state["m.room.create", ""]["sender"] == ANN
    again = desk.ask("POST", "", {"alias": f"#a:{US}"}, 400)
    assert "leads to another room" in again["error"]
    assert len(desk.ask("GET", "")["rooms"]) == 1


def test_pages_of_rooms() -> None:
    """Rooms are listed in pages."""
    desk = Desk()
    others = [desk.ask("POST", "", {})["room_id"] for _ in range(2)]
    page = desk.ask("GET", "?limit=2")
    rest = desk.ask("GET", f"?after={quote(page['next'], '')}")
    assert rest["next"] is None
    found = [each["room_id"] for each in [*page["rooms"], *rest["rooms"]]]
    assert found == sorted([desk.room_id, *others])


def test_forked_by_one_call() -> None:
    """With `prev_events` the room forks; the state at each event can be asked for."""
    desk = Desk()
    root = desk.topic("root")["event_id"]
    left = desk.topic("left", prev_events=[root], depth=77)
    right = desk.topic("right", prev_events=[root])
    ends = sorted([left["event_id"], right["event_id"]])
    assert sorted(desk.get("")["extremities"]) == ends
    assert left["event"]["depth"] == 77
    at = quote(right["event_id"], "")
    assert desk.topic_at(f"?at={at}") == ["right"]
    assert desk.topic_at(f"?at={at}&before=true") == ["root"]
    assert desk.topic_at()[0] in {"left", "right"}
    graph = desk.get("graph")
    assert sorted(graph["extremities"]) == ends
    nodes = {each["event_id"]: each for each in graph["events"]}
    assert nodes[right["event_id"]]["prev_events"] == [root]
    for form, begin in (("svg", "<svg "), ("dot", "digraph room {")):
        drawn = desk.get(f"graph?format={form}")["drawing"]
        assert drawn.startswith(begin)
        assert right["event_id"] in drawn
    assert "drawing" not in graph
    pages = desk.get("graph?limit=3")
    assert pages["next"] == 3
    rest = desk.get("graph?after=3")
    assert [*pages["events"], *rest["events"]] == graph["events"]
    assert rest["next"] is None


def test_events_as_they_arrive() -> None:
    """Events come in pages in the order of arrival; a request waits for the next."""
    desk = Desk()
    page = desk.get("events?limit=3")
    assert [len(page["events"]), page["next"]] == [3, 3]
    rest = desk.get("events?after=3")
    graph = desk.get("graph")["events"]
    found = [each["event_id"] for each in [*page["events"], *rest["events"]]]
    assert found == [each["event_id"] for each in graph]
    assert rest["events"][0]["event"]["type"] == graph[3]["type"]
    end = rest["next"]
    path = f"/v1/rooms{desk.room}/events?after={end}&wait=20"
    waiting = desk.panel.begin("GET", path)
    assert waiting.answers() == []
    topic = desk.topic("now")
    [answer] = waiting.answers()
    shown: Any = answer.json
    [event] = shown["events"]
    assert event["event_id"] == topic["event_id"]
    assert answer.json["next"] == end + 1
    # Without one, the answer comes when the time is over.
    late = desk.panel.begin("GET", f"/v1/rooms{desk.room}/events?after=99&wait=20")
    desk.panel.clock.pump([1] * 21)
    [answer] = late.answers()
    assert answer.json["events"] == []
    assert answer.json["next"] == 99


def test_events_that_are_not_stored_yet() -> None:
    """An event is shown once it is stored, and not passed over before that."""
    desk = Desk()
    rooms, gate = desk.panel.rooms, Deferred[None]()
    end = desk.get("events?limit=1000")["next"]

    async def say() -> None:
        async with rooms.turn(RoomId(desk.room_id)) as turn:
            for number in "12":
                new = NewEvent("m.room.message", UserId.parse(ANN), text(number))
                await turn.take(await rooms.author.make(turn.room, new))
            await gate

    saying = Deferred.fromCoroutine(say())
    page = desk.get(f"events?after={end}")
    assert (page["events"], page["next"]) == ([], end)
    path = f"/v1/rooms{desk.room}/events?after={end}&wait=20"
    waiting = desk.panel.begin("GET", path)
    assert waiting.answers() == []
    gate.callback(None)
    assert saying.called
    [answer] = waiting.answers()
    assert answer.json["next"] == end + 2


def test_backfill() -> None:
    """Where nothing is missing, nothing is asked; limits and servers are checked."""
    desk = Desk()
    done = desk.post("backfill")
    assert done == {
        "room_id": desk.room_id,
        "through": None,
        "events": [],
        "is_complete": True,
        "failures": [],
    }
    assert "`limit`" in desk.post("backfill", 400, limit=0)["error"]
    assert "`limit`" in desk.post("backfill", 400, limit=1001)["error"]
    assert "has no event" in desk.post("backfill", 404, **{"from": "$no"})["error"]
    assert "server name" in desk.post("backfill", 400, via=["a b"])["error"]


def test_after_an_unknown_event() -> None:
    """An event after one that is not known is kept apart, and its state is unknown."""
    desk = Desk()
    ends = desk.get("")["extremities"]
    sent = desk.topic("x", prev_events=["$unknown"])
    assert sent["verdict"] == "outlier"
    assert desk.get("")["extremities"] == ends
    assert desk.topic_at() == []
    at = quote(sent["event_id"], "")
    assert "not known" in desk.get(f"state?at={at}", 404)["error"]


@pytest.mark.parametrize("version", ["1", "11"])
def test_redacted(version: str) -> None:
    """An event shows the redaction that applies to it."""
    desk = Desk(room_version=version)
    sent = desk.post("events", type="m.room.message", content={"body": "secret"})
    gone = desk.post("redact", event_id=sent["event_id"], reason="spam")
    event = desk.get(f"events/{quote(sent['event_id'], '')}")
    assert event["redacted_by"] == gone["event_id"]
    assert event["event"]["content"] == {"body": "secret"}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, {"type": "m.room.message", "sender": BOB}, "rule"),
        (400, {"type": "m.room.message", "sender": "@b:b.org"}, "not of ours"),
        (400, {"type": "m.room.message", "sender": "bob"}, "not a user ID"),
        (400, {"type": "m.room.message", "depth": -1}, "`depth`"),
        (400, {"type": "m.room.message", "depth": 2**70}, "beyond 64 bits"),
        (
            400,
            {"type": "m.room.message", "origin_server_ts": -(2**70)},
            "beyond 64 bits",
        ),
        (400, {"type": "m.room.message", "auth_events": ["$no"]}, "`auth_events`"),
        (400, {"type": "m.room.message", "content": {"x": 1.5}}, "no floats"),
        (
            400,
            {"type": "m.room.message", "content": {"x": 2**60}},
            "no integers beyond 2^53-1",
        ),
        (400, {"type": "m.room.message", "content": []}, "`content`"),
        (400, {"type": "m.room.message", "prev_events": [1]}, "`prev_events"),
        (400, {"type": "x" * 300}, "`type`"),
        (400, {"type": "x", "state_key": "x" * 300}, "`state_key`"),
        (400, {"content": {}}, "`type`"),
        (400, {"type": "x", "who": 1}, "'who'"),
    ],
)
def test_bad_events(status: int, body: Json, error: str) -> None:
    """What cannot be an event of the room is refused, and changes nothing."""
    desk = Desk()
    before = desk.get("")
    assert error in desk.post("events", status, **body)["error"]
    assert desk.get("") == before


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"room_version": "99"}, "99"),
        ({"preset": "open"}, "`preset`"),
        ({"creator": "@a:b.org"}, "not of ours"),
        ({"creator": "a"}, "not a user ID"),
        ({"alias": "a"}, "not a room alias"),
        ({"alias": "#a:b.org"}, "`alias`"),
        ({"version": "1"}, "'version'"),
        ({"initial_state": [{"content": {}}]}, "`initial_state[0]`"),
        ({"power_levels": {"ban": "x"}, "room_version": "10"}, "power level"),
        ({"creation_content": {"x": 1.5}}, "no floats"),
    ],
)
def test_bad_rooms(body: Json, error: str) -> None:
    """A room that cannot be is refused with the member, and none is made."""
    panel = Panel()
    answer = panel.ask("POST", "/v1/rooms", body)
    assert answer.status == 400, answer.json
    assert error in str(answer.json["error"])
    assert panel.ask("GET", "/v1/rooms").json["rooms"] == []


def test_unknown() -> None:
    """A room and an event that are not known are 404."""
    desk = Desk()
    for path in ("events/$no", "state?at=$no"):
        assert "has no event" in desk.get(path, 404)["error"]
    assert "`at`" in desk.get("state?before=true", 400)["error"]
    desk.room = "/!no:us.example"
    for what in ("", "state", "members", "graph", "events/$no"):
        assert "not known" in desk.get(what, 404)["error"]
    assert "not known" in desk.post("ban", 404, user_id=BOB)["error"]
    assert "not known" in desk.post("events", 404, type="x")["error"]
    for bad in ("no", "%00", "!no%00:us.example", "%ff", "!" + "x" * 300):
        desk.room = f"/{bad}"
        assert "not a room ID" in desk.get("state", 400)["error"]
