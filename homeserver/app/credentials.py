"""Who one of our servers is at this moment.

Rules: signing keys and certificate are taken up together, so that no key document names
a certificate that is not presented. Parts that use them ask for them anew each time.
They are made when they are needed first, as most of many servers are never reached.
"""

from collections.abc import Callable

from homeserver.identity.identity import Identity


class Credentials:
    """The identity that is used, until it is replaced."""

    def __init__(self, make: Callable[[], Identity]) -> None:
        """`make` is called once, for the first use."""
        self._make = make
        self._identity: Identity | None = None

    def identity(self) -> Identity:
        """What the server is called, what it signs with, and what it presents."""
        if self._identity is None:
            self._identity = self._make()
        return self._identity

    def replace(self, identity: Identity) -> None:
        """Use another identity from now on."""
        self._identity = identity
