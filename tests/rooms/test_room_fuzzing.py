"""Whatever another server sends about rooms, it gets an answer that is no 500."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from tests.support.our_rooms import BOB
from tests.support.room_pair import Pair
from tests.support.room_side import RoomSide, changed, signed
from tests.support.signed_requests import THEM

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**54), 2**54)
    | st.text(max_size=8)
    | st.sampled_from(["m.room.member", "join", "$x", "!x:us.example", BOB.user_id]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)

MEMBERS = st.sampled_from(
    [
        *("type", "room_id", "sender", "state_key", "content", "prev_events"),
        *("auth_events", "depth", "origin_server_ts", "hashes", "signatures"),
        *("unsigned", "redacts", "event_id", "x"),
    ]
)

CHANGES = st.dictionaries(MEMBERS, VALUES, min_size=1, max_size=3)

BODIES = st.dictionaries(
    st.sampled_from(
        [
            *("event", "room_version", "invite_room_state", "filter", "limit"),
            *("since", "earliest_events", "latest_events", "min_depth"),
        ]
    ),
    VALUES | st.just({"generic_search_term": 1, "room_types": [1]}),
    max_size=4,
)

FUZZ = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

ROUTES = [
    ("PUT", "send_join", ["$x"], True),
    ("PUT", "send_join", ["$x"], False),
    ("PUT", "send_leave", ["$x"], True),
    ("PUT", "send_knock", ["$x"], False),
    ("PUT", "invite", ["$x"], True),
    ("PUT", "invite", ["$x"], False),
    ("POST", "get_missing_events", [], False),
    ("POST", "publicRooms", None, False),
]


@pytest.fixture(scope="module")
def side() -> RoomSide:
    """A server with a room."""
    return RoomSide()


@pytest.mark.parametrize(("method", "route", "steps", "v2"), ROUTES)
@FUZZ
@given(content=BODIES | CHANGES)
def test_bodies(
    side: RoomSide,
    method: str,
    route: str,
    steps: list[str] | None,
    content: Json,
    *,
    v2: bool,
) -> None:
    """Any JSON in place of a body."""
    rooms = side.ours.rooms._rooms
    room = next(iter(rooms.values()), None) or side.ours.create("10")
    if BOB.server_name not in room.residents:
        side.ours.send(room, "m.room.join_rules", {"join_rule": "public"}, "")
        side.join(room)
    path = [] if steps is None else [room.room_id, *steps]
    answer = side.ask(method, route, *path, content=content, v2=v2)
    assert answer.status < 500, answer.json


@pytest.mark.parametrize("version", ["1", "10", "12"])
@FUZZ
@given(changes=CHANGES, is_signed=st.booleans())
def test_events(version: str, changes: dict[str, Any], *, is_signed: bool) -> None:
    """A message with other members, signed again or not."""
    pair = _pair(version)
    event = pair.send()
    if version == "1":
        # Under the same ID it would stand for the event, of which the first copy stays.
        changes = {"event_id": f"$other{pair._count}:them.example", **changes}
    pdu: Json = {**event.pdu, **changes}
    if is_signed:
        try:
            pdu = changed(event, THEM, **changes).pdu
        except Exception:  # noqa: BLE001 - it has no form
            pdu = {**event.pdu, **changes}
    content: Json = {"origin": "them.example", "origin_server_ts": 1, "pdus": [pdu]}
    pair._count += 1
    answer = pair.side.ask("PUT", "send", f"f{pair._count}", content=content)
    assert answer.status == 200, answer.json
    # The room goes on.
    assert pair.transact(event) == {event.event_id: {}}


_PAIRS: dict[str, Pair] = {}


def _pair(version: str) -> Pair:
    if version not in _PAIRS:
        _PAIRS[version] = Pair(version)
    return _PAIRS[version]


STEPS = st.text(max_size=12) | st.sampled_from(
    ["!x:us.example", "$x", "%00", "é", "@a:them.example", "!" + "x" * 43]
)

GETS = [
    *("make_join", "make_leave", "make_knock", "state", "state_ids", "event"),
    *("event_auth", "backfill", "timestamp_to_event", "hierarchy", "publicRooms"),
    "query/directory",
]


@pytest.mark.parametrize("route", GETS)
@FUZZ
@given(
    steps=st.lists(STEPS, max_size=2),
    query=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    *("ver", "event_id", "v", "limit", "ts", "dir", "since"),
                    *("suggested_only", "room_alias"),
                ]
            ),
            STEPS | st.sampled_from(["1", "f", "b", "true"]),
        ),
        max_size=4,
    ),
)
def test_questions(
    side: RoomSide, route: str, steps: list[str], query: list[tuple[str, str]]
) -> None:
    """Any path and any query."""
    name, *more = route.split("/")
    answer = side.ask("GET", name, *more, *steps, query=query)
    assert answer.status < 500, answer.json


def test_the_examples_reach_the_rooms() -> None:
    """What the fuzzing changes is taken in where it is left as it is."""
    pair = _pair("10")
    event: Event = pair.send()
    again = signed({**event.pdu, "signatures": {}}, "10")
    assert again.event_id == event.event_id
    assert pair.transact(event) == {event.event_id: {}}
