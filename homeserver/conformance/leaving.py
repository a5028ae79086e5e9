"""The end of a run: our users leave the rooms of the target.

Rules: invites are declined and knocks taken back as well. A target that does not let
one leave, or answers no more, keeps no other one. It takes a bounded time.

Specification: Server-server API, "Leaving Rooms (Rejecting Invites)".
"""

from collections.abc import Iterator
from contextlib import suppress

from twisted.internet import defer
from twisted.internet.defer import Deferred, gatherResults

from homeserver.conformance.membership_requests import make, put, sign
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import NoAnswer
from homeserver.conformance.target import Target
from homeserver.net.time_limit import within

_AT_ONCE = 4
_SECONDS = 20.0  # for all of them, beside the pauses between two requests
_REQUESTS = 2  # of each


async def leave_all(t: Target) -> None:
    """Leave all rooms that a run has joined."""
    members = t.ground.members.take_all()
    pauses = len(members) * _REQUESTS * t.ground.seconds_between
    left = iter(members)
    working = gatherResults(
        [Deferred.fromCoroutine(_leave(t, left)) for _ in range(_AT_ONCE)]
    )
    with suppress(defer.TimeoutError):
        await within(_SECONDS + pauses, t.ground.clock, _all(working))


async def _all(working: "Deferred[list[None]]") -> None:
    await working


async def _leave(t: Target, members: Iterator[tuple[Ours, str]]) -> None:
    for ours, room_id in members:
        with suppress(NoAnswer):
            template = await make(t, ours, "leave", room_id)
            if template.is_ok:
                event = sign(t, ours, template)
                await put(t, "leave", event, room_id=room_id)
