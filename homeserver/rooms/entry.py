"""What a room keeps in memory of each of its events: its place, and its outcome.

Rules: an entry is a value. The event itself is in memory only if it is a state event or
a forward extremity.
"""

from collections.abc import Sequence
from sys import intern
from typing import Self

import msgspec
from msgspec import Struct

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.authorization import Allowed, NotAllowed
from homeserver.protocol.rooms.receipt import Outcome, Receipt
from homeserver.storage.room_rows import StoredEvent


class Entry(Struct, frozen=True):
    """An event of a room."""

    event_id: EventId
    position: int
    """In the order of arrival, from 0."""

    type: str
    depth: int
    origin_server_ts: int
    prev: Sequence[EventId]
    outcome: Outcome
    check: int
    """The number of the check on receipt that decided, 4 to 7."""

    rule: str
    """The number of the authorization rule that decided."""

    why: str
    before: int | None
    """The number of the state before it; None if that is not known."""

    after: int | None
    """The number of the state after it; None if that is not known."""

    redacted_by: EventId | None = None
    """The redaction that applies to it."""

    @classmethod
    def of(
        cls,
        event: Event,
        position: int,
        receipt: Receipt,
        states: tuple[int | None, int | None],
    ) -> Self:
        """The entry of an event; `states` are `before` and `after`."""
        verdict: Allowed | NotAllowed = receipt.verdict
        return cls(
            event.event_id,
            position,
            intern(event.type),
            event.depth,
            event.origin_server_ts,
            event.prev_event_ids,
            receipt.outcome,
            receipt.check,
            verdict.rule,
            verdict.why,
            *states,
        )

    def stored(self, event: Event) -> StoredEvent:
        """Its row in the store."""
        return StoredEvent(
            self.position,
            self.event_id,
            self.outcome.value,
            self.check,
            self.rule,
            self.why,
            self.before,
            self.after,
            event.encoded,
            self.redacted_by,
        )


class Head(Struct):
    """The members of a stored event that an entry needs."""

    type: str
    depth: int
    origin_server_ts: int
    prev_events: list[object]
    state_key: str | None = None

    @classmethod
    def of(cls, text: bytes) -> "Head":
        """That of an event in JSON."""
        return _HEADS.decode(text)

    def entry(self, row: StoredEvent) -> Entry:
        """The entry of a stored event."""
        # In room versions 1 and 2 a reference is a pair of an ID and hashes.
        prev = [
            each[0] if isinstance(each, list) else each for each in self.prev_events
        ]
        return Entry(
            row.event_id,
            row.position,
            intern(self.type),
            self.depth,
            self.origin_server_ts,
            tuple(EventId(str(each)) for each in prev),
            Outcome(row.outcome),
            row.check,
            intern(row.rule),
            intern(row.why),
            row.before,
            row.after,
            row.redacted_by,
        )


_HEADS = msgspec.json.Decoder(Head)


class Sent(Struct, frozen=True):
    """An event of ours in its room."""

    event: Event
    entry: Entry
