"""X: PDUs and EDUs of the wrong form, and numbers that canonical JSON does not have.

Rules: one bad item costs a right server that item. A status of 5xx makes a sender
repeat the whole transaction for ever, with all that is right in it.
"""

from homeserver.conformance.check import (
    TRUSTED_NAME,
    Check,
    check,
    info,
    must,
    robustness,
)
from homeserver.conformance.checks.transactions import (
    pdus_of,
    put,
    row,
    with_members,
)
from homeserver.conformance.events import id_of, message, unknown_room
from homeserver.conformance.outcome import Outcome, expect, reported
from homeserver.conformance.reply import no_failure, refused
from homeserver.conformance.target import Target

_CHECKS = "Server-server API, Checks performed on receipt of a PDU"

ITEMS = [
    row(
        "X12",
        robustness,
        "",
        "A transaction whose `pdus` is an object is refused.",
        with_members(pdus={"event": {}}),
        refused,
    ),
    row(
        "X13",
        robustness,
        "",
        "A PDU that is a number does not make the transaction fail.",
        with_members(pdus=[5]),
        no_failure,
    ),
    row(
        "X14",
        robustness,
        "",
        "An EDU that is a number does not make the transaction fail.",
        with_members(edus=[5]),
        no_failure,
    ),
    row(
        "X15",
        robustness,
        "",
        "An EDU without `edu_type` does not make the transaction fail.",
        with_members(edus=[{"content": {}}]),
        no_failure,
    ),
]


@check("X16", must, _CHECKS, needs=[TRUSTED_NAME])
async def unknown_room_of_ours(t: Target) -> Outcome:
    """A PDU of a room that the target does not know costs that PDU alone."""
    ours = t.server()
    pdu = message(ours, unknown_room(ours, t.fresh("room")))
    reply = await put(t, ours, t.transaction(ours, [pdu]))
    verdicts = pdus_of(reply)
    known = {} if verdicts is None else verdicts
    return expect(
        reply.is_ok and verdicts is not None and known.keys() <= {id_of(pdu)},
        reply,
        f"pdus {reply.json.get('pdus')!r}",
        wanted="status 200, and in pdus that event or none",
    )


@check("X17", must, _CHECKS, needs=[TRUSTED_NAME])
async def no_room(t: Target) -> Outcome:
    """A PDU without `room_id` is dropped: it has an error, or no entry."""
    ours = t.server()
    reply = await put(t, ours, t.transaction(ours, [message(ours, None)]))
    verdicts = pdus_of(reply) or {}
    taken = [key for key, each in verdicts.items() if each == {}]
    return expect(
        reply.is_ok and not taken,
        reply,
        f"pdus {reply.json.get('pdus')!r}",
        wanted="status 200, and no event without an error",
    )


def _number(check_id: str, rule: str, mistake: str) -> Check:
    """A number in the envelope that canonical JSON does not have."""

    async def run(t: Target) -> Outcome:
        return reported(await t.ask(t.server(), spoil=[mistake]))

    section = "Appendices, Canonical JSON"
    return check(check_id, info, section, needs=[TRUSTED_NAME], rule=rule)(run)


NUMBERS = [
    _number(
        "X23",
        "An integer over 2^53 beside the PDUs is taken, or refused.",
        "big-integer",
    ),
    _number("X24", "A float beside the PDUs is taken, or refused.", "float"),
]
