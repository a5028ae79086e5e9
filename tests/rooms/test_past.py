"""The past of a room, as the servers in it ask for it."""

from collections.abc import Sequence

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms import past
from homeserver.rooms.author import Given
from homeserver.rooms.room import Room
from tests.support.http_connection import Answer
from tests.support.our_rooms import ALICE, BOB, text
from tests.support.room_side import RoomSide, ids_of
from tests.support.signed_requests import OTHERS

ALL = tuple(ROOM_VERSIONS)


class Scene:
    """A room with Bob of another server in it, and messages after his join."""

    def __init__(
        self, version: str = "10", visibility: str = "shared", count: int = 5
    ) -> None:
        self.side = RoomSide()
        content: Json = {"history_visibility": visibility}
        self.room = self.side.ours.create(
            version,
            preset="public_chat",
            initial_state=[NewEvent("m.room.history_visibility", ALICE, content, "")],
        )
        self.version = version
        self.early = self.message("early")
        self.join = self.side.join(self.room)
        self.sent = [self.message(str(number)) for number in range(count)]

    def message(self, body: str, given: Given | None = None) -> Event:
        """One more message of Alice's."""
        new = NewEvent("m.room.message", ALICE, text(body))
        sent = self.side.ours.send(
            self.room, new.type, new.content, None, given or Given()
        )
        return sent.event

    def get(
        self, route: str, *more: str, query: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """The answer to a question about the room."""
        return self.side.ask("GET", route, self.room.room_id, *more, query=query)

    def ids(self, events: object) -> list[str]:
        """The IDs of the events in a reply."""
        return ids_of(events, self.version)

    @property
    def known(self) -> Room:
        """The room as it is now."""
        return self.side.known(self.room)


@pytest.mark.parametrize("version", ALL)
def test_state(version: str) -> None:
    """The state is that before the event, with its auth chain; by IDs the same."""
    scene = Scene(version)
    query = [("event_id", scene.join.event_id)]
    whole = scene.get("state", query=query).json
    by_id = scene.get("state_ids", query=query).json
    before = scene.known.state_before(scene.join.event_id)
    assert before is not None
    expected = sorted(event.event_id for event in before.values())
    assert ("m.room.member", BOB.user_id) not in before
    assert sorted(scene.ids(whole["pdus"])) == expected
    assert sorted(by_id["pdu_ids"]) == expected  # type: ignore[call-overload]
    chain = scene.ids(whole["auth_chain"])
    assert by_id["auth_chain_ids"] == chain
    assert {x for e in before.values() for x in e.auth_event_ids} <= set(chain)
    after = [("event_id", scene.sent[0].event_id)]
    now = scene.get("state_ids", query=after).json["pdu_ids"]
    assert scene.join.event_id in now  # type: ignore[operator]


@pytest.mark.parametrize("version", ALL)
def test_event(version: str) -> None:
    """An event is served by its ID alone, and its auth chain with the room's."""
    scene = Scene(version)
    event = scene.sent[2]
    answer = scene.side.ask("GET", "event", event.event_id).json
    assert answer["origin"] == "us.example"
    assert scene.ids(answer["pdus"]) == [event.event_id]
    chain = scene.ids(scene.get("event_auth", event.event_id).json["auth_chain"])
    assert set(event.auth_event_ids) <= set(chain)
    assert event.event_id not in chain


STRANGERS: list[tuple[str, list[tuple[str, str]]]] = [
    ("state", [("event_id", "$x")]),
    ("state_ids", [("event_id", "$x")]),
    ("event_auth/$x", []),
    ("backfill", [("v", "$x"), ("limit", "1")]),
    ("timestamp_to_event", [("ts", "1"), ("dir", "f")]),
]


@pytest.mark.parametrize(("route", "query"), STRANGERS)
def test_strangers(route: str, query: list[tuple[str, str]]) -> None:
    """A server that is not in the room learns nothing, nor one that the ACL denies."""
    scene = Scene()
    name, _, more = route.partition("/")
    steps = [scene.room.room_id, *([more] if more else [])]
    for peer, room, error in (
        (OTHERS, steps[0], (403, "M_FORBIDDEN")),
        (OTHERS, "!no:us.example", (404, "M_NOT_FOUND")),
    ):
        answer = scene.side.ask("GET", name, room, *steps[1:], query=query, peer=peer)
        assert answer.error == error
    known = scene.sent[0].event_id
    hidden = scene.side.ask("GET", "event", known, peer=OTHERS)
    assert hidden.error == (404, "M_NOT_FOUND")
    acl: Json = {"allow": ["*"], "deny": ["THEM.example"]}
    scene.side.ours.send(scene.room, "m.room.server_acl", acl, "")
    answer = scene.get(name, *steps[1:], query=query)
    assert answer.error == (403, "M_FORBIDDEN")
    assert scene.side.ask("GET", "event", known).error == (403, "M_FORBIDDEN")


BAD: list[tuple[str, str, list[tuple[str, str]], tuple[int, str]]] = [
    ("GET", "state", [], (400, "M_MISSING_PARAM")),
    ("GET", "state", [("event_id", "$x")], (404, "M_NOT_FOUND")),
    ("GET", "state_ids", [("event_id", "$x")] * 2, (400, "M_INVALID_PARAM")),
    ("GET", "backfill", [("limit", "5")], (400, "M_MISSING_PARAM")),
    ("GET", "backfill", [("v", "$x")], (400, "M_MISSING_PARAM")),
    ("GET", "backfill", [("v", "$x"), ("limit", "-1")], (400, "M_INVALID_PARAM")),
    ("GET", "backfill", [("v", "$x"), ("limit", "9" * 40)], (400, "M_INVALID_PARAM")),
    ("GET", "timestamp_to_event", [("ts", "1")], (400, "M_MISSING_PARAM")),
    (
        "GET",
        "timestamp_to_event",
        [("ts", "1"), ("dir", "x")],
        (400, "M_INVALID_PARAM"),
    ),
    (
        "GET",
        "timestamp_to_event",
        [("ts", "1"), ("dir", "b")],
        (404, "M_NOT_FOUND"),
    ),
]


@pytest.mark.parametrize(("method", "route", "query", "error"), BAD)
def test_bad_questions(
    method: str, route: str, query: list[tuple[str, str]], error: tuple[int, str]
) -> None:
    """A parameter that is missing or malformed is named."""
    scene = Scene()
    answer = scene.side.ask(method, route, scene.room.room_id, query=query)
    assert answer.error == error


@pytest.mark.parametrize("version", ["1", "4", "12"])
def test_backfill(version: str) -> None:
    """Backfill goes from the given events back, newest first, them included."""
    scene = Scene(version)
    [*_, last] = scene.sent
    query = [("v", last.event_id), ("limit", "4")]
    pdus = scene.get("backfill", query=query).json["pdus"]
    expected = [each.event_id for each in reversed(scene.sent)][:4]
    assert scene.ids(pdus) == expected
    everything = scene.get(
        "backfill", query=[("v", last.event_id), ("limit", "100000")]
    )
    ids = scene.ids(everything.json["pdus"])
    assert ids == list(reversed(scene.known.entries))
    none = scene.get("backfill", query=[("v", "$x"), ("limit", "3")])
    assert none.json["pdus"] == []


def test_backfill_is_bounded() -> None:
    """No more events come than the bound has, whatever the limit."""
    scene = Scene(count=past.MAX_BACKFILL + 5)
    query = [("v", scene.sent[-1].event_id), ("limit", "9999")]
    pdus = scene.get("backfill", query=query).json["pdus"]
    assert len(scene.ids(pdus)) == past.MAX_BACKFILL


def missing(scene: Scene, **content: object) -> list[str]:
    """The events of a reply to get_missing_events."""
    answer = scene.side.ask(
        "POST", "get_missing_events", scene.room.room_id, content=content
    )
    assert answer.status == 200, answer.json
    return scene.ids(answer.json["events"])


@pytest.mark.parametrize("version", ["2", "10", "12"])
def test_missing_events(version: str) -> None:
    """The events between are sent, oldest first, without the ends."""
    scene = Scene(version, count=30)
    sent = [each.event_id for each in scene.sent]
    ends = {"earliest_events": [sent[3]], "latest_events": [sent[9]]}
    assert missing(scene, **ends) == sent[4:9]
    assert missing(scene, **ends, limit=2) == sent[7:9]
    assert missing(scene, **ends, limit=0) == []
    depth = scene.sent[6].depth
    assert missing(scene, **ends, min_depth=depth) == sent[6:9]
    far = {"earliest_events": [], "latest_events": [sent[-1]]}
    assert len(missing(scene, **far)) == 10
    assert len(missing(scene, **far, limit=10**9)) == past.MAX_MISSING
    assert missing(scene, latest_events=["$x"]) == []


@pytest.mark.parametrize(
    "content",
    [
        {"latest_events": "x"},
        {"latest_events": [1]},
        {"limit": "5"},
        {"limit": True},
        {"min_depth": 1.5},
    ],
)
def test_malformed_missing_events(content: Json) -> None:
    """A member of another type is named."""
    scene = Scene()
    answer = scene.side.ask(
        "POST", "get_missing_events", scene.room.room_id, content=content
    )
    assert answer.error == (400, "M_BAD_JSON")


@pytest.mark.parametrize(
    ("visibility", "is_shown"),
    [("shared", True), ("world_readable", True), ("joined", False), ("invited", False)],
)
def test_visibility(visibility: str, *, is_shown: bool) -> None:
    """What was sent before a server came is redacted where the room says so."""
    scene = Scene("10", visibility)
    ids = [scene.early.event_id, scene.sent[0].event_id]
    query = [("v", scene.sent[-1].event_id), ("limit", "50")]
    pdus = scene.get("backfill", query=query).json["pdus"]
    assert isinstance(pdus, list)
    found = {Event.parse(x, ROOM_VERSIONS["10"]).event_id: x["content"] for x in pdus}
    expected = text("early") if is_shown else {}
    assert [found[EventId(each)] for each in ids] == [expected, text("0")]
    one = scene.side.ask("GET", "event", ids[0]).json["pdus"]
    assert one[0]["content"] == expected  # type: ignore[index]


def test_outcomes() -> None:
    """Rejected events are served by ID alone, soft-failed ones where others lead."""
    scene = Scene()
    create = scene.known.current["m.room.create", ""].event_id
    bad = scene.message("bad", Given(auth_events=[create], is_checked=False))
    assert scene.side.ask("GET", "event", bad.event_id).status == 200
    query = [("event_id", bad.event_id)]
    assert scene.get("state_ids", query=query).error == (404, "M_NOT_FOUND")
    after = scene.message("after", Given(prev_events=[bad.event_id]))
    walk = [("v", after.event_id), ("limit", "2")]
    pdus = scene.ids(scene.get("backfill", query=walk).json["pdus"])
    assert pdus == [after.event_id, scene.sent[-1].event_id]
    none = scene.get("backfill", query=[("v", bad.event_id), ("limit", "2")])
    assert none.json["pdus"] == []


def test_timestamp() -> None:
    """The nearest event on the wanted side of a time."""
    scene = Scene(count=0)
    sent = [
        scene.message(str(ts), Given(origin_server_ts=ts)) for ts in (100, 300, 200)
    ]

    def at(ts: int, direction: str) -> object:
        query = [("ts", str(ts)), ("dir", direction)]
        return scene.get("timestamp_to_event", query=query).json

    assert at(150, "f") == {"event_id": sent[2].event_id, "origin_server_ts": 200}
    assert at(150, "b") == {"event_id": sent[0].event_id, "origin_server_ts": 100}
    assert at(300, "b") == {"event_id": sent[1].event_id, "origin_server_ts": 300}
