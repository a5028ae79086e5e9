"""For whom another server is looked up and connected to: a client, or we ourselves.

Rules: a value, and an argument of each call that may end in a connection. What clients
cause is bounded; what we want for ourselves is not.
"""

from msgspec import Struct


class Cause(Struct, frozen=True):
    """Why something is asked of another server."""

    client: str | None = None
    """The IP address of the client whose request needs it; None for ourselves."""


OURSELVES = Cause()
"""Our own queue, and what an operator asks for."""
