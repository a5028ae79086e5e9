"""P: gaps before an event of a room, and how the target fills them.

Rules: a server of ours sends an event whose past the target lacks. What it answers is
all that there is: no other server has it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from homeserver.conformance.check import must, should
from homeserver.conformance.fates import Fate, Row, fate_of, rejected, shared_room
from homeserver.conformance.gap_answers import MISSING, STATE, GapAnswers
from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.outcome import NotTestable, Outcome, expect, unmet
from homeserver.conformance.target import Target
from homeserver.conformance.their_events import keys_of_target
from homeserver.conformance.their_requests import content_of, problem_in
from homeserver.net.exchange import Exchange
from homeserver.protocol.canonical_json import Json

_FILLING = "Server-server API, Backfilling and retrieving missing events"
_RETRIEVING = "Server-server API, Retrieving events"

_SECONDS = 20.0  # until it asks for what it lacks


class _Gap(Struct, frozen=True):
    """A gap of one message, and the message after it."""

    joined: JoinedRoom
    missing: Json
    last: Json


@asynccontextmanager
async def _gap(t: Target, version: str) -> AsyncIterator[_Gap]:
    """A gap in the shared room; our server answers as usual afterwards."""
    async with shared_room(t, version) as joined:
        missing = await joined.message("missing")
        last = await joined.message("last", at=joined.after(missing))
        try:
            yield _Gap(joined, missing, last)
        finally:
            t.instruct(joined.ours)


async def _sent(t: Target, gap: _Gap, answers: GapAnswers) -> Fate:
    """The fate of the last event, beside a sound one at the ends of the room."""
    joined = gap.joined
    t.instruct(joined.ours, answers=answers.answers)
    return await fate_of(joined, gap.last, await joined.place())


async def _questions(t: Target, joined: JoinedRoom) -> list[Exchange]:
    """The questions of the target for missing events, when there is one."""
    ours = joined.ours
    return list(await t.until(lambda: t.seen(ours).at(MISSING, "POST"), _SECONDS))


async def _asks(t: Target, version: str) -> Outcome:
    async with _gap(t, version) as gap:
        answers = GapAnswers(gap.joined, [gap.missing])
        t.instruct(gap.joined.ours, answers=answers.answers)
        await gap.joined.put(gap.last)
        asked = await _questions(t, gap.joined)
        return expect(
            bool(asked),
            f"{len(asked)} questions for missing events",
            t.seen(gap.joined.ours),
            wanted="get_missing_events",
        )


ASKS = Row(
    id="P23",
    severity=should,
    section=_FILLING,
    rule="Events that are missing before an event are asked for.",
).checks(_asks)


async def _fills(t: Target, version: str) -> Outcome:
    async with _gap(t, version) as gap:
        fate = await _sent(t, gap, GapAnswers(gap.joined, [gap.missing]))
        found = await gap.joined.event(gap.joined.id_of(gap.missing))
        return expect(
            fate.is_end and found.is_ok,
            fate,
            f"the missing event: {found}",
            wanted="both events accepted",
        )


FILLS = Row(
    id="P40",
    severity=must,
    section=_FILLING,
    rule="An event is accepted when the one before it was fetched.",
    after="P23",
).checks(_fills)


async def _asks_rightly(t: Target, version: str) -> Outcome:
    keys = await keys_of_target(t)
    async with _gap(t, version) as gap:
        await _sent(t, gap, GapAnswers(gap.joined, [gap.missing]))
        asked = await _questions(t, gap.joined)
        if not asked:
            raise NotTestable("it does not ask for the missing event")
        problem = problem_in(asked[0], t.name, keys)
        if problem is not None:
            return unmet(problem, wanted="a request that verifies")
        latest = content_of(asked[0]).get("latest_events")
        return expect(
            latest == [gap.joined.id_of(gap.last)],
            f"latest_events {latest!r}",
            wanted="the event that it has got",
        )


ASKS_RIGHTLY = Row(
    id="P41",
    severity=must,
    section=_FILLING,
    rule="The question for missing events is signed, and names the one after them.",
    after="P23",
).checks(_asks_rightly)


async def _not_filled(t: Target, version: str) -> Outcome:
    async with _gap(t, version) as gap:
        return rejected(await _sent(t, gap, GapAnswers(gap.joined)))


NOT_FILLED = Row(
    id="P42a",
    severity=should,
    section=_FILLING,
    rule="An event is no end of the room while what it comes after is missing.",
    after="P23",
).checks(_not_filled)


async def _state_of(t: Target, version: str) -> Outcome:
    async with _gap(t, version) as gap:
        joined = gap.joined
        third = await joined.message("third", at=joined.after(gap.last))
        newest = await joined.message("newest", at=joined.after(third))
        # The one before the third can be had, and the one before that cannot.
        answers = GapAnswers(joined, [third], [gap.last], has_state=True)
        fate = await _sent(t, _Gap(joined, gap.missing, newest), answers)
        seen = t.seen(joined.ours)
        asked = [each.path for start in STATE for each in seen.at(start, "GET")]
        return expect(
            fate.is_end and bool(asked),
            fate,
            f"{len(asked)} questions for a state",
            seen,
            wanted="state_ids or state, and then an end of the room",
        )


STATE_OF_GAP = Row(
    id="P42b",
    severity=should,
    section=_RETRIEVING,
    rule="For an event whose past stays missing, the state before it is asked for.",
    after="P23",
).checks(_state_of)
