"""For whom another server is looked up and connected to: a client, or we ourselves.

Rules: a value, and an argument of each call that may end in a connection. What clients
cause is bounded; what we want for ourselves is not.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct


class Cause(Struct, frozen=True):
    """Why something is asked of another server."""

    client: str | None = None
    """The IP address of the client whose request needs it; None for ourselves."""

    aims_at: Callable[[Sequence[str]], object] | None = None
    """What is told the IP addresses that are about to be connected to."""

    @property
    def is_ours(self) -> bool:
        """Whether we want it for ourselves."""
        return self.client is None

    def aim(self, addresses: Sequence[str]) -> None:
        """Tell that these addresses are about to be connected to."""
        if self.aims_at is not None:
            self.aims_at(addresses)


OURSELVES = Cause()
"""Our own queue, and what an operator asks for."""
