"""P: sound events in a room: alone, beside a bad one, and again.

Rules: one that is accepted is what the next event of the room comes after.
"""

from homeserver.conformance.check import must
from homeserver.conformance.checks.transactions import pdus_of
from homeserver.conformance.fates import (
    RECEIPT,
    Row,
    accepted,
    fate_of,
    shared_room,
)
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.target import Target

_TRANSACTIONS = "Server-server API, PUT /_matrix/federation/v1/send/{{txnId}}"


async def _sound(t: Target, version: str) -> Outcome:
    async with shared_room(t, version) as joined:
        place = await joined.place()
        fate = await fate_of(joined, await joined.message(at=place), place)
        outcome = accepted(fate)
        return expect(
            bool(outcome.is_met and fate.verdict == {}),
            fate,
            wanted="no error, and an end of the room",
        )


SOUND = Row(
    id="P01",
    severity=must,
    section=RECEIPT,
    rule="A sound message is accepted, and served.",
    after="J20",
).checks(_sound)


async def _next(t: Target, version: str) -> Outcome:
    async with shared_room(t, version) as joined:
        pdu = await joined.message()
        _, ends = await joined.settle(pdu)
        return expect(
            list(ends) == [joined.id_of(pdu)],
            f"{len(ends)} ends after it",
            wanted="the message is the only end",
        )


NEXT = Row(
    id="P36",
    severity=must,
    section=RECEIPT,
    rule="A message that comes after all ends of the room is its only one.",
).checks(_next)


async def _beside_a_bad_one(t: Target, version: str) -> Outcome:
    async with shared_room(t, version) as joined:
        place = await joined.place()
        bad = {**await joined.message("bad", at=place), "signatures": {}}
        good = await joined.message("good", at=place)
        reply = await joined.put(bad, good)
        _, ends = await joined.settle(await joined.message("marker", at=place))
        is_end = joined.id_of(good) in ends
        return expect(
            reply.is_ok and is_end,
            reply,
            f"pdus {pdus_of(reply)}",
            f"the good one is {'an' if is_end else 'no'} end",
            wanted="status 200, and the good one accepted",
        )


BESIDE = Row(
    id="P32",
    severity=must,
    section=_TRANSACTIONS,
    rule="A bad event costs no other event of its transaction.",
).checks(_beside_a_bad_one)


async def _again(t: Target, version: str) -> Outcome:
    async with shared_room(t, version) as joined:
        pdu = await joined.message()
        event_id = joined.id_of(pdu)
        replies = [await joined.send(pdu) for _ in range(2)]
        verdicts = [(pdus_of(each) or {}).get(event_id) for each in replies]
        return expect(
            verdicts == [{}, {}],
            *replies,
            f"pdus {verdicts}",
            wanted="no error either time",
        )


AGAIN = Row(
    id="P33",
    severity=must,
    section=_TRANSACTIONS,
    rule="An event that comes in a second transaction has no error there.",
).checks(_again)
