"""The cause of an outbound request: the request of a client, or this server itself.

Rules: a value, and an argument of each call that may end in a connection. Connections
for clients are bounded; connections for this server itself are not.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct


class Cause(Struct, frozen=True):
    """Why another server is looked up or connected to."""

    client: str | None = None
    """The IP address of the client; None for this server itself."""

    aims_at: Callable[[Sequence[str]], object] | None = None
    """Called with the IP addresses that are about to be connected to."""

    @property
    def is_ours(self) -> bool:
        """Whether no client caused it."""
        return self.client is None

    def aim(self, addresses: Sequence[str]) -> None:
        """Report the addresses that are about to be connected to."""
        if self.aims_at is not None:
            self.aims_at(addresses)


OURSELVES = Cause()
"""The outbound queue, and requests of the operator."""
