"""How much may be spent on diagnoses of what strangers send.

Rules: a diagnosis takes up to forty milliseconds, and each wrong signature causes one.
All together take a bounded number a second and a bounded part of a core;
each client has a share. Trusted clients are not limited.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from homeserver.http.rate_limit import TokenBuckets
from homeserver.protocol.errors import LimitExceeded

_PER_SECOND = 5.0  # of all clients
_OF_A_CLIENT = 3  # at once; a person looks at one at a time
_OF_A_CLIENT_PER_SECOND = 1.0

_CPU_SHARE = 0.05  # of a core
_CPU_SECONDS = 0.25  # at once: ten of the largest diagnoses


class DiagnosisBudget:
    """The diagnoses that may be made now."""

    def __init__(
        self,
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
        workers: int = 1,
    ) -> None:
        """`trusts` names the addresses of clients that are not limited.

        Each of so many `workers` has its part of what a client may cause.
        """
        self._clock = clock
        self._trusts = trusts
        size, rate = max(1, _OF_A_CLIENT // workers), _OF_A_CLIENT_PER_SECOND / workers
        self._clients = TokenBuckets(size, rate, clock, "diagnoses", trusts)
        self._left = _PER_SECOND
        self._cpu_seconds = _CPU_SECONDS
        self._filled = clock.seconds()
        self.bound = self._clients.bound

    def take(self, address: str | None) -> bool:
        """Take one diagnosis for the client at `address`; whether there was one.

        None stands for this server itself, which has the part of all clients.
        """
        if address is not None and self._trusts(address):
            return True
        self._fill()
        if self._cpu_seconds <= 0 or self._left < 1:
            return False
        try:
            if address is not None:
                self._clients.take(address, 1)
        except LimitExceeded:
            return False
        self._left -= 1
        return True

    def spend(self, seconds: float) -> None:
        """Count the time that a diagnosis took."""
        self._fill()
        self._cpu_seconds -= seconds

    def _fill(self) -> None:
        now = self._clock.seconds()
        seconds = now - self._filled
        self._left = min(self._left + seconds * _PER_SECOND, _PER_SECOND)
        earned = seconds * _CPU_SHARE
        self._cpu_seconds = min(self._cpu_seconds + earned, _CPU_SECONDS)
        self._filled = now
