"""The description of a server of the lab, as the control API has it.

Rules: shapes, and what can be said of them without a lab. An unknown member is refused
where they are read. Durations are seconds, times in `_ts` milliseconds since 1970.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from homeserver.lab.authority.faults import CERTIFICATE_FAULTS
from homeserver.lab.dns_server.records import Record
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.shapes import not_one_of

MAX_SERVERS = 10_000  # of a lab; they take about 200 MB

_MAX_KEYS = 10  # that sign: each request has a header for each of them

# A document with less validity is refetched before it is used.
_MAX_VALID_SECONDS = 315_360_000

CERTIFICATES = ("valid", *CERTIFICATE_FAULTS)


class OldKeyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A key that signs no more."""

    id: Annotated[str, Meta(description="As in `ed25519:old`.")]
    expired_ts: Annotated[int, Meta(ge=0)]


class KeysBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The signing keys of a server."""

    ids: Annotated[
        list[str],
        Meta(
            max_length=_MAX_KEYS,
            description="Those that sign; without one, a single key with an ID of the "
            "lab's choice.",
        ),
    ] = []
    valid_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=_MAX_VALID_SECONDS,
            description="For how long the key document says that it is valid.",
        ),
    ] = 86_400
    old: Annotated[list[OldKeyBody], Meta(max_length=_MAX_KEYS)] = []


class TlsBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The certificate of a server."""

    certificate: Annotated[
        str, Meta(extra_json_schema={"enum": list(CERTIFICATES)})
    ] = "valid"
    chain: Annotated[
        Literal["root", "intermediate"],
        Meta(description="What issues a valid certificate."),
    ] = "root"

    def check(self) -> None:
        """Raise `InvalidParam` for a certificate that is unknown."""
        if self.certificate not in CERTIFICATES:
            raise InvalidParam(
                "`tls.certificate` is " + not_one_of(self.certificate, CERTIFICATES)
            )


class WellKnownBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The document at `/.well-known/matrix/server`."""

    m_server: Annotated[str, Meta(description="The name that it delegates to.")] = (
        field(name="m.server")
    )


class Description(Struct, frozen=True, forbid_unknown_fields=True):
    """What can be changed while a server runs."""

    keys: KeysBody | UnsetType = UNSET
    tls: TlsBody | UnsetType = UNSET
    dns: Annotated[
        list[Record] | UnsetType,
        Meta(description="In place of the records that lead to its listener."),
    ] = UNSET
    well_known: Annotated[
        WellKnownBody | UnsetType | None, Meta(description="Null: there is none.")
    ] = UNSET


class NewServers(Description, frozen=True, forbid_unknown_fields=True):
    """One server, or several."""

    name: Annotated[
        str | None,
        Meta(
            description="By default below the zone, or with an own listener the "
            "address. Port 0 is a free one: `localhost:0`."
        ),
    ] = None
    count: Annotated[int, Meta(ge=1, le=MAX_SERVERS)] = 1
    listen: Annotated[
        Literal["shared", "own"],
        Meta(description="Whether it has a port of its own."),
    ] = "shared"
    seed: Annotated[
        str | None,
        Meta(description="What its keys follow from, in place of the lab's seed."),
    ] = None

    @property
    def takes_any_name(self) -> bool:
        """Whether it gets a name below the zone."""
        return self.name is None and self.listen == "shared"

    @property
    def takes_any_port(self) -> bool:
        """Whether it gets a port of its own that is free."""
        return self.listen == "own" and (self.name is None or self.name.endswith(":0"))


class Change(Description, frozen=True, forbid_unknown_fields=True):
    """What to change of a server."""

    rotate: Annotated[
        bool, Meta(description="Sign with a new key, and publish the others as old.")
    ] = False
    expire: Annotated[
        str | None,
        Meta(description="The ID of a key that signs no more and becomes an old one."),
    ] = None


class ServerView(Struct, frozen=True):
    """A server of the lab."""

    server_name: str
    key_id: Annotated[str, Meta(description="Of the first key that signs.")]
    verify_key: Annotated[str, Meta(description="In unpadded base64.")]
    listen: Annotated[str, Meta(description="HOST:PORT.")]
    certificate_sha256: Annotated[str, Meta(description="In hexadecimal.")]
    dns: list[Record]
    note: Annotated[
        str | UnsetType,
        Meta(description="Who finds it, where not everyone does."),
    ] = UNSET


class Keys(Struct, frozen=True):
    """The keys of a server by ID."""

    signing: Sequence[KeyId]
    old: Sequence[tuple[KeyId, int]] = ()
    """Each with when it expired, in milliseconds since 1970."""

    valid_seconds: int = 86_400

    @classmethod
    def of(cls, body: KeysBody, default: KeyId) -> "Keys":
        """What a body says; raises `InvalidParam`."""
        signing = [parse_key_id(each) for each in body.ids] or [default]
        old = [(parse_key_id(each.id), each.expired_ts) for each in body.old]
        ids = [*signing, *(key_id for key_id, _ in old)]
        if len(set(ids)) != len(ids):
            raise InvalidParam("`keys`: each ID stands for one key")
        return cls(signing, old, body.valid_seconds)

    def rotated(self, new: KeyId, now_ts: int) -> "Keys":
        """With one new key that signs; those that signed are old."""
        old = [*self.old, *((key_id, now_ts) for key_id in self.signing)]
        return Keys([new], old[-_MAX_KEYS:], self.valid_seconds)

    def expired(self, text: str, now_ts: int) -> "Keys":
        """Without one that signs, which is old; raises `InvalidParam`."""
        if text not in self.signing:
            raise InvalidParam("`expire` is " + not_one_of(text, self.signing))
        if len(self.signing) == 1:
            raise InvalidParam(
                f"{quote(text)} is the only key that signs; `rotate` it in place"
            )
        key_id = parse_key_id(text)
        left = [each for each in self.signing if each != key_id]
        return Keys(
            left, [*self.old, (key_id, now_ts)][-_MAX_KEYS:], self.valid_seconds
        )


def parse_server_name(text: str) -> ServerName:
    """As `ServerName.parse`, in small letters: others may compare names by bytes."""
    name = ServerName.parse(text)
    if name.name != name.name.lower():
        raise InvalidParam(
            f"`name`: {quote(text)} has capitals; write {quote(text.lower())}"
        )
    return name
