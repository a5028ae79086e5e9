"""Waiting for what a test expects, and for silence.

Rules: what is in the record already counts, so that a test may ask late. An expectation
that is not met names the exchanges that were nearest to it, and in what they differ. A
wait that ends with the process is neither met nor missed.
"""

from collections.abc import Sequence

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.lab.record.entry import Entry
from homeserver.lab.record.match import Difference, Match
from homeserver.lab.record.record import CutShort, Record

_MAX_NEAREST = 5  # a reader compares no more

# Of the record, newest first: an older exchange is rarely what a test just missed.
_MAX_COMPARED = 2000


class NearMiss(Struct, frozen=True):
    """An exchange that is almost what was expected."""

    entry: Entry
    differs: dict[str, Difference]


class Outcome(Struct, frozen=True):
    """What came of an expectation."""

    is_met: bool
    matched: Sequence[Entry]
    nearest: Sequence[NearMiss] = ()
    """Those with the fewest differences first; none if the expectation is met."""


class Expectation(Struct, frozen=True):
    """So many exchanges that match, or none."""

    match: Match
    count: int = 1
    within: float = 10.0
    """Seconds."""

    never: bool = False
    """Whether no exchange may match for all of `within`."""

    after: int = 0
    """The ID of the exchange after which they count."""


async def expect(record: Record, wanted: Expectation) -> Outcome:
    """Wait until an expectation is met, or cannot be met any more.

    Raises `CutShort`.
    """
    matched = list(record.find(wanted.match, wanted.after))
    enough = 1 if wanted.never else wanted.count
    if len(matched) < enough and wanted.within > 0:
        seen: Deferred[None] = Deferred()

        def look(entry: Entry) -> None:
            if wanted.match.matches(entry):
                matched.append(entry)
                if len(matched) >= enough and not seen.called:
                    seen.callback(None)

        await record.wait(seen, look, wanted.within)
        if record.is_over and len(matched) < enough:
            raise CutShort
    is_met = not matched if wanted.never else len(matched) >= enough
    if is_met or wanted.never:
        return Outcome(is_met, matched)
    return Outcome(is_met, matched, _nearest(record, wanted, matched))


def _nearest(
    record: Record, wanted: Expectation, matched: Sequence[Entry]
) -> list[NearMiss]:
    matching = {entry.id for entry in matched}
    others = [
        entry for entry in record.find(after=wanted.after) if entry.id not in matching
    ]
    # Those of the wanted server are compared, however busy others were since.
    at_server = Match(server=wanted.match.server)
    others.sort(key=at_server.matches)
    misses = [
        NearMiss(entry, wanted.match.differences(entry))
        for entry in others[-_MAX_COMPARED:]
    ]
    misses.sort(key=lambda miss: (len(miss.differs), -miss.entry.id))
    return misses[:_MAX_NEAREST]


async def quiet(
    record: Record,
    clock: IReactorTime,
    seconds: float,
    within: float,
    servers: Sequence[str] = (),
) -> float | None:
    """Wait until nothing has arrived for so many seconds.

    `servers` are the names of ours that count, all of them if there are none. Returns
    how long that took, and None if it did not happen `within` so many seconds.
    Raises `CutShort`.
    """
    began = last = clock.seconds()

    def look(entry: Entry) -> None:
        nonlocal last
        if entry.is_at(servers):
            last = clock.seconds()

    while (left := last + seconds - clock.seconds()) > 0:
        if clock.seconds() + left > began + within:
            return None
        await record.wait(Deferred(), look, left)
        if record.is_over:
            raise CutShort
    return clock.seconds() - began
