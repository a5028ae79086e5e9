"""P: what the target makes of two branches of a room.

Rules: both branches are of one member of ours, who says nothing else there. Its two
events differ in their names and times alone, so that the later one holds; version 1
knows no times, and goes by the hashes of event IDs.
"""

from collections.abc import Sequence

from homeserver.conformance.check import must
from homeserver.conformance.fates import Row
from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.joining import enter
from homeserver.conformance.outcome import NotTestable, Outcome, each_of, expect
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.state import member_key
from homeserver.protocol.rooms.state_resolution import resolve

_APART_MS = 1000


async def _names(joined: JoinedRoom) -> Sequence[Json]:
    """Two names of our user at one place of the room, the earlier one first."""
    place, now_ts = await joined.place(), joined.ours.now_ts
    return [
        await joined.build(
            "m.room.member",
            {"membership": "join", "displayname": name},
            joined.user_id,
            at=place,
            origin_server_ts=ts,
        )
        for name, ts in (("Earlier", now_ts - _APART_MS), ("Later", now_ts))
    ]


async def _resolved(
    joined: JoinedRoom, names: Sequence[Json], winner: EventId, *, is_later_first: bool
) -> Outcome:
    """Whether the right one of two names holds after both branches."""
    for each in reversed(names) if is_later_first else names:
        await joined.send(each)
    both = await joined.message("both", at=joined.after(*names))
    await joined.send(both)
    state = await joined.state_at(both)
    found = {joined.id_of(each) for each in names} & state
    return expect(
        found == {winner},
        f"the state has {', '.join(sorted(found)) or 'neither'} of two names",
        wanted=f"{winner} alone",
    )


async def _two_branches(t: Target, version: str) -> Outcome:
    joined = await enter(t, version)
    outcomes = []
    for is_later_first in (False, True):
        async with joined.turn():
            names = await _names(joined)
            outcome = await _resolved(
                joined,
                names,
                joined.id_of(names[1]),
                is_later_first=is_later_first,
            )
        order = "later one first" if is_later_first else "earlier one first"
        outcomes.append((order, outcome))
    return each_of(outcomes)


def _of_version_1(joined: JoinedRoom, names: Sequence[Json]) -> EventId:
    """Which of two names version 1 takes: by their depths, then by their IDs."""
    key = member_key(joined.user_id)
    events = [Event.parse(each, joined.version) for each in names]
    states = [{**joined.state, key: event} for event in events]
    return resolve(AuthGraph(joined.version, {}), states)[key].event_id


_TRIES = 50  # of two names, of which each is the right one as often


async def _names_of_version_1(joined: JoinedRoom, number: int) -> Sequence[Json]:
    """Two names, of which that one is to hold in version 1."""
    for _ in range(_TRIES):
        names = await _names(joined)
        if _of_version_1(joined, names) == joined.id_of(names[number]):
            return names
    raise NotTestable(f"of {_TRIES} pairs of names, none has the right hashes")


async def _by_hash(t: Target, version: str) -> Outcome:
    joined = await enter(t, version)
    outcomes = []
    for number, which in enumerate(("first", "second")):
        async with joined.turn():
            names = await _names_of_version_1(joined, number)
            winner = joined.id_of(names[number])
            outcome = await _resolved(joined, names, winner, is_later_first=False)
        outcomes.append((f"the {which} to hold", outcome))
    return each_of(outcomes)


RESOLUTION = [
    *Row(
        id="P43",
        severity=must,
        section="Room version 2, State resolution",
        rule="Of two names on two branches the later one holds, whichever came first.",
        versions=("6", "10", "11"),
        after="J20",
    ).checks(_two_branches),
    *Row(
        id="P43",
        severity=must,
        section="Room version 12, State resolution",
        rule="Of two names on two branches the later one holds, whichever came first.",
        versions=("12",),
        after="J20",
    ).checks(_two_branches),
]

OF_VERSION_1 = Row(
    id="P43b",
    severity=must,
    section="Room version 1, State resolution",
    rule="Of two names on two branches version 1 takes one by the hash of its ID.",
    versions=("1",),
    after="J20",
).checks(_by_hash)
