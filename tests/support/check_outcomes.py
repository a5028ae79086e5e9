"""What checks make of replies that are given to them."""

from collections.abc import Callable, Coroutine
from typing import Any, cast

import msgspec
from twisted.internet.defer import Deferred

from homeserver.conformance.check import Check
from homeserver.conformance.outcome import NotTestable, Outcome
from homeserver.conformance.reply import Reply
from tests.support.coroutines import result_of


def outcome_of(check: Check, t: object) -> Outcome:
    """The outcome of a check with a target, as far as the check looks at it."""
    run = cast("Callable[[object], Coroutine[Deferred[Any], Any, Outcome]]", check.run)
    return result_of(run(t))


def said_of(check: Check, t: object) -> str:
    """What a check makes of a target."""
    try:
        outcome = outcome_of(check, t)
    except NotTestable:
        return "not testable"
    return "met" if outcome.is_met else "not met"


def reply(status: int, **members: object) -> Reply:
    """A reply of a target."""
    return Reply(status, [], msgspec.json.encode(members))


ABSENT = reply(404, errcode="M_UNRECOGNIZED", error="none")
"""That of a route that a target does not have."""

REFUSED = reply(401, errcode="M_UNAUTHORIZED", error="no")
UNKNOWN = reply(404, errcode="M_NOT_FOUND", error="none")


def returning(value: object) -> Callable[..., Any]:
    """A coroutine function with one result."""

    async def made(*_: object, **__: object) -> object:
        return value

    return made
