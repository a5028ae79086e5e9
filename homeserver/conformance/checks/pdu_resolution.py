"""P: what the target makes of two branches of a room.

Rules: both branches are of one member of ours, who says nothing else there. Its two
events differ in their times alone, so that the later one holds.
"""

from collections.abc import Sequence

from homeserver.conformance.check import must
from homeserver.conformance.fates import Row
from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.joining import enter
from homeserver.conformance.outcome import Outcome, each_of, expect
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json

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


async def _resolved(joined: JoinedRoom, *, is_later_first: bool) -> Outcome:
    """Which of two names holds after both branches."""
    earlier, later = await _names(joined)
    sent = [later, earlier] if is_later_first else [earlier, later]
    for each in sent:
        await joined.send(each)
    both = await joined.message("both", at=joined.after(earlier, later))
    await joined.send(both)
    state = await joined.state_at(both)
    found = [
        name
        for name, pdu in (("the earlier", earlier), ("the later", later))
        if joined.id_of(pdu) in state
    ]
    return expect(
        found == ["the later"],
        f"the state has {' and '.join(found) or 'neither'} of two names",
        wanted="the later one",
    )


async def _two_branches(t: Target, version: str) -> Outcome:
    joined = await enter(t, version)
    outcomes = []
    for is_later_first in (False, True):
        async with joined.turn():
            outcome = await _resolved(joined, is_later_first=is_later_first)
        order = "later one first" if is_later_first else "earlier one first"
        outcomes.append((order, outcome))
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
