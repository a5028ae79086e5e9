"""One of our servers as a policy server, as long as a test lets it be one.

Rules: it signs each event that it is asked about, unless a rule of a lab decides
otherwise. Its key is its own, not one that signs requests, and is in memory: it ends
with the process.

Specification: Server-server API, "Policy Servers".
"""

from random import Random

import nacl.signing

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.errors import ProtocolError, Unrecognized
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.policy import needs_policy
from homeserver.protocol.signing import POLICY_KEY_ID, SigningKey

_SEED_BYTES = 32  # RFC 8032


class NotSigned(ProtocolError):
    """A policy server refuses to sign an event."""

    errcode = "M_FORBIDDEN"


class PolicyDesk:
    """Signs events as a policy server."""

    def __init__(self, server_name: ServerName, random: Random) -> None:
        """`random` makes keys."""
        self.server_name = server_name
        self._random = random
        self.key: SigningKey | None = None
        """None for a server that is no policy server."""

    @property
    def public_key(self) -> str | None:
        """The key of `m.room.policy`; None for a server that is no policy server."""
        return None if self.key is None else encode_base64(self.key.verify_key.key)

    def open(self) -> str:
        """Be a policy server from now on, with a new key; returns the public one."""
        seed = self._random.randbytes(_SEED_BYTES)
        self.key = SigningKey(POLICY_KEY_ID, nacl.signing.SigningKey(seed))
        return encode_base64(self.key.verify_key.key)

    def close(self) -> None:
        """Be no policy server any more."""
        self.key = None

    def check_open(self) -> None:
        """Raise `Unrecognized` for a server that is no policy server."""
        self._opened()

    def sign(self, event: Event) -> Json:
        """The reply with the signature; raises `Unrecognized` and `NotSigned`."""
        key = self._opened()
        if not needs_policy(event):
            raise NotSigned("a policy server does not sign the event that names it")
        signature = encode_base64(key.sign(event.signed))
        return {self.server_name.name: {POLICY_KEY_ID: signature}}

    def _opened(self) -> SigningKey:
        if self.key is None:
            raise Unrecognized(f"{self.server_name} is no policy server")
        return self.key
