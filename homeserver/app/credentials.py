"""The present identity of one of our servers.

Rules: signing keys and certificate are replaced together, so that no key document names
a certificate that is not presented. Each component reads the present ones for each use,
and keeps none. They are made at their first use, as most of many servers are never
reached.
"""

from collections.abc import Callable

from homeserver.identity.identity import Identity


class Credentials:
    """The identity in use, until it is replaced."""

    def __init__(self, make: Callable[[], Identity]) -> None:
        """`make` is called once, for the first use."""
        self._make = make
        self._identity: Identity | None = None

    def identity(self) -> Identity:
        """The name, the signing keys and the certificate of the server."""
        if self._identity is None:
            self._identity = self._make()
        return self._identity

    def replace(self, identity: Identity) -> None:
        """Use another identity from now on."""
        self._identity = identity
