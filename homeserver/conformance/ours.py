"""One server of ours, which a check has made.

Rules: its key document is that of the lab unless the check has another one. What it
signs, it signs with a key that it publishes, unless the check says otherwise.

Specification: Server-server API, "Publishing Keys".
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime

from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.lab.servers.server import LabServer
from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey, sign

_VALID_MS = 24 * 3600 * 1000


class Ours(Struct, frozen=True):
    """A server of ours."""

    server: LabServer
    clock: IReactorTime

    @property
    def name(self) -> ServerName:
        """Its server name."""
        return self.server.name

    @property
    def key(self) -> SigningKey:
        """The first key that it signs with."""
        return self.server.key(self.server.keys.signing[0])

    def spare_key(self, key_id: str) -> SigningKey:
        """The key that it has under any ID, whether or not it publishes it."""
        return self.server.key(KeyId(key_id))

    @property
    def now_ts(self) -> int:
        """The time, in milliseconds since 1970."""
        return wall_ts(self.clock)

    def document(
        self,
        *,
        signed_by: Sequence[SigningKey] | None = None,
        without: Sequence[str] = (),
        also: Mapping[str, object] | None = None,
        **members: object,
    ) -> Json:
        """Its key document of version 2 with other members, then signed.

        `signed_by` are the keys that sign it, by default its own; `also` are members
        whose names are no Python.
        """
        document: Json = {
            "server_name": self.name.name,
            "verify_keys": entries(self.key),
            "old_verify_keys": {},
            "valid_until_ts": self.now_ts + _VALID_MS,
            **members,
            **(also or {}),
        }
        for member in without:
            document.pop(member, None)
        keys = [self.key] if signed_by is None else signed_by
        return self.sign(document, keys)

    def sign(self, value: Json, keys: Sequence[SigningKey] | None = None) -> Json:
        """A value with signatures of this server added."""
        return sign(value, self.name, [self.key] if keys is None else keys)


KeyAnswer = Callable[[Ours], Json | Reply]
"""Makes the answer to each request for a key document: its JSON, or a whole reply."""


def entries(*keys: SigningKey) -> Json:
    """`verify_keys` of a document, for some keys."""
    return {key.key_id: {"key": encode_base64(key.verify_key.key)} for key in keys}


def old_entries(expired_ts: int, *keys: SigningKey) -> Json:
    """`old_verify_keys` of a document, for some keys."""
    return {
        key.key_id: {"key": encode_base64(key.verify_key.key), "expired_ts": expired_ts}
        for key in keys
    }


def answer_with(make: KeyAnswer, ours: Ours) -> Callable[[Request], Reply]:
    """The answer of a route of key documents."""

    def answer(_: Request) -> Reply:
        made = make(ours)
        return made if isinstance(made, Reply) else json_reply(made)

    return answer
