"""Slots: how many destinations are sent to at once.

Rules: a destination that does not answer takes a slot from others only for a short
time. All our servers share the slots. Nothing is sent or waited for here.

| class | at most | contains | when it is full |
|---|---|---|---|
| first | 100 | attempts that began a moment ago | the oldest go to the second class |
| second | 2000 | attempts without an answer for longer | one is aborted |

The aborted attempt is the oldest of the domain or network with the most attempts, of
our server with the most.
Destinations whose last attempt failed have half of the first class, and a number of
attempts a second.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounds import Bound
from homeserver.net.networks import domain_of, network_of
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.queue_id import QueueId

MAX_FIRST = 100  # each may cost the CPU time of a handshake

MAX_FAILING = 50  # of these, destinations whose last attempt failed

MAX_SECOND = 2000  # each costs a connection and the bytes of a transaction

# Attempts at failing destinations in a second. Each takes two to five milliseconds of
# CPU time, so a crowd of them takes a tenth of a processor at most. They begin several
# at a time, in one commit.
_FAILING_A_SECOND = 20.0
_FAILING_TOGETHER = 10

# Of the first class, for one domain or network.
_SHARE = 20

# A delivery to a healthy server takes a few round trips. A slower server is served in
# the second class, without any disadvantage.
_PATIENCE_SECONDS = 1.0

_ABORTED = "no answer, like too many other attempts"


@dataclass
class _Slot:
    """A queue that is being sent."""

    queue: QueueId
    is_failing: bool
    since: float
    """When the present attempt began."""

    groups: tuple[str, ...]
    """Its domain, and the network of its address once that is known."""


class Slots:
    """The queues that are being sent, in two classes."""

    def __init__(
        self, clock: IReactorTime, abort: Callable[[QueueId, str], object]
    ) -> None:
        """`abort` aborts the attempt of a queue that is under way."""
        self._clock = clock
        self._abort = abort
        self._first: OrderedDict[QueueId, _Slot] = OrderedDict()
        self._second: OrderedDict[QueueId, _Slot] = OrderedDict()
        self._credit = float(MAX_FAILING)  # attempts at failing destinations
        self._credited_at = clock.seconds()
        first = "destinations being sent to"
        second = "destinations that do not answer"
        self.bounds = [
            Bound("sending_slots", first, MAX_FIRST, lambda: len(self._first)),
            Bound("hanging_deliveries", second, MAX_SECOND, lambda: len(self._second)),
        ]

    def quota(self) -> Quota:
        """How many more queues may be sent."""
        total = max(0, MAX_FIRST - len(self._first))
        failing = MAX_FAILING - sum(slot.is_failing for slot in self._first.values())
        credit = self._refill()
        if credit < _FAILING_TOGETHER:
            failing = 0
        crowded: frozenset[str] = frozenset()
        if len(self._first) >= _SHARE:
            groups = _sizes(self._first.values())
            crowded = frozenset(name for name, size in groups.items() if size >= _SHARE)
        return Quota(total, min(total, max(0, failing), int(credit)), crowded)

    def begin(self, queue: QueueId, *, is_failing: bool) -> None:
        """Give a queue a slot for its first attempt."""
        if is_failing:
            self._credit -= 1
        groups = (domain_of(queue.destination),)
        self._first[queue] = _Slot(queue, is_failing, self._clock.seconds(), groups)

    def reach(self, queue: QueueId, address: str) -> None:
        """Record the IP address of a queue's destination."""
        slot = self._first.get(queue)
        if slot is None:
            return
        network = network_of(address)
        slot.groups = (domain_of(queue.destination), network)
        if _sizes(self._first.values())[network] > _SHARE:
            self._demote(next(s for s in self._first.values() if network in s.groups))

    def go_on(self, queue: QueueId) -> None:
        """Begin the next attempt of a queue, after an answer to the last one."""
        slot = self._first.pop(queue, None) or self._second.pop(queue, None)
        if slot is None or len(self._first) < MAX_FIRST:
            self.begin(queue, is_failing=False)
        else:
            self._second[queue] = slot
            slot.since = self._clock.seconds()

    def end(self, queue: QueueId) -> None:
        """Free the slot of a queue."""
        self._first.pop(queue, None)
        self._second.pop(queue, None)

    def relieve(self) -> float | None:
        """Make room in the first class by demoting slow attempts.

        Returns in how many seconds to try again, or failing destinations may be tried;
        None if that is not needed.
        """
        missing = _FAILING_TOGETHER - self._refill()
        pause = missing / _FAILING_A_SECOND if missing > 0 else None
        if len(self._first) < min(MAX_FIRST, MAX_FAILING):
            return pause
        waits = [
            pause,
            self._relieve(len(self._first) - MAX_FIRST, self._first.values()),
        ]
        failing = [slot for slot in self._first.values() if slot.is_failing]
        waits.append(self._relieve(len(failing) - MAX_FAILING, failing))
        return min((wait for wait in waits if wait is not None), default=None)

    def _refill(self) -> float:
        """How many attempts at failing destinations may begin."""
        now = self._clock.seconds()
        added = max(0.0, now - self._credited_at) * _FAILING_A_SECOND
        self._credit = min(float(MAX_FAILING), self._credit + added)
        self._credited_at = now
        return self._credit

    def _relieve(self, excess: int, slots: Iterable[_Slot]) -> float | None:
        if excess < 0:
            return None
        oldest = list(slots)
        now = self._clock.seconds()
        late = [s for s in oldest if now - s.since >= _PATIENCE_SECONDS]
        if not late:
            return max(0.0, oldest[0].since + _PATIENCE_SECONDS - now)
        for slot in late:
            self._demote(slot)
        return None

    def _demote(self, slot: _Slot) -> None:
        """Move a slot to the second class."""
        del self._first[slot.queue]
        self._second[slot.queue] = slot
        if len(self._second) > MAX_SECOND:
            victim = _most_crowded(self._second.values())
            del self._second[victim.queue]
            self.bounds[1].refuse()
            self._abort(victim.queue, _ABORTED)


def _sizes(slots: Iterable[_Slot]) -> Counter[str]:
    """The number of slots of each domain and network."""
    return Counter(group for slot in slots for group in slot.groups)


def _most_crowded(slots: Collection[_Slot]) -> _Slot:
    """The oldest slot of the largest domain or network, of our server with the most."""
    by_server = Counter(slot.queue.server_name for slot in slots)
    most = max(by_server.values())
    found = [slot for slot in slots if by_server[slot.queue.server_name] == most]
    sizes = _sizes(found)
    return max(found, key=lambda slot: max(sizes[group] for group in slot.groups))
