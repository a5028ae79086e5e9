"""What the target makes of an event of ours in a room of its own.

Rules: an event is judged by what can be asked afterwards, never by the reply to its
transaction alone. Only one event in question is under way in a room at a time.

| fate | an end of the room | `event` answers with it |
|---|---|---|
| accepted | yes | yes |
| rejected, soft-failed | no | in some servers |
| dropped | no | no |

Specification: Server-server API, "Checks performed on receipt of a PDU".
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from homeserver.conformance.check import TRUSTED_NAME, Check, Severity, check, room
from homeserver.conformance.documents import as_json
from homeserver.conformance.joined_room import JoinedRoom, Place
from homeserver.conformance.joining import enter
from homeserver.conformance.outcome import Outcome, expect, reported
from homeserver.conformance.reply import Reply
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json

VERSIONS = ("1", "6", "10", "12")
"""The room versions that differ in what becomes of an event."""

STRICT = ("6", "10", "12")
"""Those of them in which canonical JSON is demanded, and the times of keys count."""

_SECONDS = 120.0  # checks of one room wait for each other

RECEIPT = "Server-server API, Checks performed on receipt of a PDU"


class Fate(Struct, frozen=True):
    """What became of one event."""

    reply: Reply
    """To its transaction."""

    event_id: str
    is_end: bool
    event: Reply
    """To the question for it."""

    @property
    def verdict(self) -> object:
        """What the reply to its transaction has about it."""
        return as_json(self.reply.json.get("pdus")).get(self.event_id)

    @property
    def served(self) -> Json:
        """The event as it is served; empty where it is not."""
        pdus = self.event.json.get("pdus")
        return as_json(pdus[0]) if isinstance(pdus, list) and pdus else {}

    def __str__(self) -> str:
        place = "an end of the room" if self.is_end else "no end of the room"
        return (
            f"transaction: {self.reply}, {self.verdict!r}; {place}; event: {self.event}"
        )


async def fate_of(joined: JoinedRoom, pdu: Json, at: Place) -> Fate:
    """Send an event, and a sound one beside it, and see what becomes of it.

    `at` is where it stands. The caller has the turn. Raises `NoAnswer`, and
    `NotTestable` if the sound one is not accepted.
    """
    marker = await joined.message("marker", at=at)
    reply = await joined.put(pdu)
    _, ends = await joined.settle(marker)
    event_id = joined.id_of(pdu)
    event = await joined.event(event_id)
    return Fate(reply, event_id, is_end=event_id in ends, event=event)


def accepted(fate: Fate) -> Outcome:
    """Whether it was accepted."""
    is_met = fate.reply.is_ok and fate.is_end and fate.event.is_ok
    return expect(is_met, fate, wanted="an end of the room")


def rejected(fate: Fate) -> Outcome:
    """Whether it was not accepted, in one way or the other."""
    is_met = not fate.is_end and not fate.reply.is_failure
    return expect(is_met, fate, wanted="no end of the room, and no status 5xx")


def dropped(fate: Fate) -> Outcome:
    """Whether nothing is left of it."""
    is_met = not (fate.is_end or fate.reply.is_failure or fate.event.is_ok)
    return expect(is_met, fate, wanted="not kept, and no status 5xx")


def redacted(fate: Fate) -> Outcome:
    """Whether it was accepted without its content."""
    content = fate.served.get("content")
    is_met = fate.is_end and content == {}
    wanted = "an end of the room, with an empty content"
    return expect(is_met, fate, f"content {content!r}", wanted=wanted)


def told(fate: Fate) -> Outcome:
    """A choice that is reported."""
    return reported("accepted" if fate.is_end else "not accepted", fate)


@asynccontextmanager
async def shared_room(t: Target, version: str) -> AsyncIterator[JoinedRoom]:
    """The turn in a room that checks share, with a server of ours that they share.

    They leave its state alone. Raises `NoAnswer` and `NotTestable`.
    """
    members = t.ground.members
    async with members.lock(f"shared {version}"):
        member = members.shared.get(version)
        if member is None:
            member = members.shared[version] = (await enter(t, version)).member
    joined = JoinedRoom(t, member)
    async with joined.turn():
        t.share(member.ours)
        yield joined


Make = Callable[[JoinedRoom, Place], Awaitable[Json]]
"""Makes an event that stands at a place."""

Judge = Callable[[Fate], Outcome]
Run = Callable[[Target, str], Awaitable[Outcome]]
"""Makes the stimulus in a room version, and judges the result."""


class Row(Struct, frozen=True, kw_only=True):
    """What the checks of one rule have in common."""

    id: str
    severity: Severity
    section: str
    """`{}` in it is the room version."""

    rule: str
    versions: Sequence[str] = VERSIONS
    after: str = "P01"
    """The check that it comes after, of the same version."""

    def checks(self, run: Run) -> list[Check]:
        """One check for each version."""
        return [self._check(version, run) for version in self.versions]

    def judged(self, make: Make, judge: Judge) -> list[Check]:
        """The same for the fate of one event in the shared room."""

        async def run(t: Target, version: str) -> Outcome:
            async with shared_room(t, version) as joined:
                place = await joined.place()
                pdu = await make(joined, place)
                return judge(await fate_of(joined, pdu, place))

        return self.checks(run)

    def _check(self, version: str, run: Run) -> Check:
        async def run_one(t: Target) -> Outcome:
            return await run(t, version)

        return check(
            f"{self.id}.v{version}",
            self.severity,
            self.section.format(version),
            needs=[TRUSTED_NAME, room(version)],
            after=[f"{self.after}.v{version}"],
            rule=f"{self.rule.removesuffix('.')} (room version {version}).",
            seconds=_SECONDS,
        )(run_one)
