"""Records of a lab: filled with exchanges, and on a clock that a test moves."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.lab.record.record import Record
from homeserver.net.exchange import Exchange

PDUS = b'{"pdus":[{"room_id":"!a:x"},{"room_id":"!b:x"},{"room_id":3},{}]}'


def recorded(*exchanges: Exchange, **limits: int) -> Record:
    """A record of some exchanges."""
    record = Record(Clock(), **limits)
    for each in exchanges:
        record.add(each)
    return record


class Waiting:
    """A record on a clock that the test moves, and a wait on it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.record = Record(self.clock)
        self.results: list[Any] = []

    def start(self, coroutine: Any) -> None:
        """Begin to wait."""
        Deferred.fromCoroutine(coroutine).addBoth(self.results.append)

    @property
    def watches(self) -> int:
        """How many look at the record."""
        return len(self.record._watches)
