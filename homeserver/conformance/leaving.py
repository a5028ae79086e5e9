"""The end of a run: our users leave the rooms of the target.

Rules: invites are declined and knocks taken back as well. A target that does not let
one leave, or answers no more, keeps no other one. It takes a bounded time.

Specification: Server-server API, "Leaving Rooms (Rejecting Invites)".
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.conformance.membership_requests import make, put, sign
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import NoAnswer, NotTestable
from homeserver.conformance.target import Target
from homeserver.net.time_limit import within

_log = Logger()

_AT_ONCE = 4
_SECONDS = 20.0  # for all of them, beside the pauses between two requests
_REQUESTS = 2  # of each


async def leave_all(t: Target) -> None:
    """Leave all rooms that a run has joined."""
    members = t.ground.members.take_all()
    pauses = len(members) * _REQUESTS * t.ground.seconds_between
    left = iter(members)
    # Those that are cancelled when the time is over end as failures of the list.
    working: Deferred[Any] = DeferredList(
        [Deferred.fromCoroutine(_leave(t, left)) for _ in range(_AT_ONCE)],
        consumeErrors=True,
    )
    ended: Sequence[tuple[bool, object]] = ()
    with suppress(defer.TimeoutError):
        ended = await within(_SECONDS + pauses, t.ground.clock, working)
    for _, found in ended:
        if isinstance(found, Failure) and not found.check(defer.CancelledError):
            _log.failure("a room was not left", found)


async def _leave(t: Target, members: Iterator[tuple[Ours, str]]) -> None:
    for ours, room_id in members:
        with suppress(NoAnswer, NotTestable):
            template = await make(t, ours, "leave", room_id)
            if template.is_ok:
                event = sign(t, ours, template)
                await put(t, "leave", event, room_id=room_id)
