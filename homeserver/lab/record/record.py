"""The exchanges of the recent past, in memory.

Rules: the record is bounded by number and by bytes, and the oldest exchanges make room.
IDs grow by one and are never given twice, so that a reader sees what it has missed.
Requests to the control API are not in the record.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.lab.record.entry import Entry
from homeserver.lab.record.match import Match
from homeserver.net.bounds import Bound
from homeserver.net.exchange import Exchange
from homeserver.net.time_limit import within
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName

MAX_ENTRIES = 20_000  # twice of what the page has to show without a pause
MAX_BYTES = 64 * 2**20  # of headers and bodies; a transaction can have a megabyte

_EVERYTHING = Match()

Watch = Callable[[Entry], object]
"""Sees each exchange as it is recorded."""


class CutShort(ProtocolError):
    """The process ends before what is waited for is decided."""

    status = 503

    def __init__(self) -> None:
        super().__init__("the process ends before what you wait for is decided")


class Record:
    """A bounded record of exchanges."""

    def __init__(
        self,
        clock: IReactorTime,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._last_id = 0
        self.bounds = [
            Bound(
                "recorded_exchanges",
                "exchanges in the record",
                max_entries,
                lambda: len(self._entries),
            ),
            Bound(
                "recorded_bytes",
                "bytes of the exchanges in the record",
                max_bytes,
                lambda: self._bytes,
            ),
        ]
        self._watches: dict[object, Watch] = {}
        self._waiting: dict[Deferred[None], None] = {}
        self._is_over = False

    @property
    def last_id(self) -> int:
        """The ID of the newest exchange; 0 before the first one."""
        return self._last_id

    def add(self, exchange: Exchange) -> None:
        """Record an exchange that is over."""
        if exchange.listener == "control":
            return
        self._last_id += 1
        entry = Entry(self._last_id, exchange)
        self._entries.append(entry)
        self._bytes += entry.size
        for bound in self.bounds:
            # The newest one stays, however large it is.
            while bound.use() > bound.limit and len(self._entries) > 1:
                self._bytes -= self._entries.popleft().size
                bound.refuse()
        if self._watches:
            for watch in list(self._watches.values()):
                watch(entry)

    def watch(self, watch: Watch) -> Callable[[], object]:
        """Let `watch` see each exchange from now on; returns what ends that."""
        key = object()
        self._watches[key] = watch
        return lambda: self._watches.pop(key, None)

    def entry(self, entry_id: int) -> Entry | None:
        """The exchange with that ID; None if it is not in the record."""
        for entry in reversed(self._entries):
            if entry.id <= entry_id:
                return entry if entry.id == entry_id else None
        return None

    def id_of(self, exchange: Exchange) -> int | None:
        """The ID of an exchange that was just recorded; None if it is not there."""
        for entry in reversed(self._entries):
            if entry.exchange is exchange:
                return entry.id
        return None

    def find(
        self, match: Match = _EVERYTHING, after: int = 0, before: int | None = None
    ) -> Iterator[Entry]:
        """The exchanges with IDs between two others that match, oldest first."""
        for entry in self._entries:
            if before is not None and entry.id >= before:
                return
            if entry.id > after and match.matches(entry):
                yield entry

    async def wait_for(self, match: Match, after: int, seconds: float) -> None:
        """Wait until an exchange after that ID matches, for so long at most."""
        if seconds <= 0 or next(self.find(match, after), None):
            return
        seen: Deferred[None] = Deferred()

        def look(entry: Entry) -> None:
            if match.matches(entry) and not seen.called:
                seen.callback(None)

        await self.wait(seen, look, seconds)

    @property
    def is_over(self) -> bool:
        """Whether the process is ending. Each wait returns at once then."""
        return self._is_over

    async def wait(self, seen: Deferred[None], watch: Watch, seconds: float) -> bool:
        """Wait until `watch` fires `seen`, for so long at most; whether it did.

        It ends with the process (`is_over`), too.
        """
        if self._is_over:
            return False
        end_watch = self.watch(watch)
        self._waiting[seen] = None
        try:
            await within(seconds, self._clock, seen)
        except defer.TimeoutError:
            return False
        finally:
            end_watch()
            del self._waiting[seen]
        return not self._is_over

    def end_waits(self) -> None:
        """End all waits, now and from now on: the process ends."""
        self._is_over = True
        for seen in list(self._waiting):
            if not seen.called:
                seen.callback(None)

    def latest(self, servers: Collection[str]) -> list[Entry]:
        """The last five arrivals at some servers of ours, or at all; newest last."""
        arrivals = (each for each in reversed(self._entries) if each.is_at(servers))
        return list(islice(arrivals, 5))[::-1]

    async def forget_of(self, server: ServerName | None) -> int:
        """Remove the exchanges of a server of ours, or all; returns how many."""
        return self.forget(Match(server=None if server is None else server.name))

    def forget(
        self, match: Match = _EVERYTHING, after: int = 0, before: int | None = None
    ) -> int:
        """Remove the exchanges that `find` would find; returns how many."""
        found = {entry.id for entry in self.find(match, after, before)}
        self._entries = deque(each for each in self._entries if each.id not in found)
        self._bytes = sum(each.size for each in self._entries)
        return len(found)
