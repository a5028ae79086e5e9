"""Faults that change the JSON of an answer.

Rules: those of `fault`. Answers that are errors stay as they are.
"""

from collections.abc import Callable

from homeserver.http.reply import Reply
from homeserver.lab.faults.fault import Act, Case, Continue, with_body
from homeserver.protocol.canonical_json import Json, encode, parse_object

Change = Callable[[Json, object, Case], Json]
"""Makes another answer of one, with the argument of the fault."""


def changed(change: Change) -> Act:
    """A fault that changes the JSON object in an answer."""

    async def act(value: object, go_on: Continue, case: Case) -> Reply:
        reply = await go_on()
        if reply.status != 200:
            return reply
        return with_body(reply, encode(change(parse_object(reply.body), value, case)))

    return act
