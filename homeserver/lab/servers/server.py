"""One server of the lab: its description, and what follows from that.

Rules: its keys and its certificate follow from a seed and its description, and are
made when they are needed, so that a server that nothing reaches costs little. Two
servers of one name in two labs have key IDs of their own unless a description names
any: others remember keys by ID.
"""

from collections.abc import Sequence
from hashlib import sha256
from ipaddress import ip_address

from msgspec import Struct, UnsetType
from msgspec.structs import replace

from homeserver.config.values import Delegation, ServerConfig, Signing
from homeserver.identity.identity import Identity
from homeserver.lab.authority.authority import Authority
from homeserver.lab.authority.faults import CERTIFICATE_FAULTS
from homeserver.lab.dns_server.records import Record
from homeserver.lab.seed import Seed
from homeserver.lab.servers.description import (
    Change,
    Description,
    Keys,
    KeysBody,
    ServerView,
    TlsBody,
    WellKnownBody,
)
from homeserver.net.addresses import SocketAddress
from homeserver.net.tls.certificate import Certificate
from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import OldVerifyKey
from homeserver.protocol.signing import SigningKey

SERVICES = ("_matrix-fed._tcp", "_matrix._tcp")


POLITE = frozenset(
    {
        "/.well-known/matrix/server",  # a name that delegates is found by it
        "/_matrix/key/v1",
        "/_matrix/key/v2/server",
        "/_matrix/key/v2/server/{keyId}",
        "/_matrix/key/v2/query",
        "/_matrix/key/v2/query/{serverName}",
        "/_matrix/key/v2/query/{serverName}/{keyId}",
        "/_matrix/federation/v1/send/{txnId}",
    }
)
"""The routes that a deleted server still answers."""


class Place(Struct, frozen=True):
    """Where a server is found."""

    listen: SocketAddress
    """Of its listener."""

    address: str
    """The IP address that others connect to."""

    is_own: bool = False
    """Whether the listener is for this server alone."""


class LabServer(Struct, frozen=True):
    """One server as its descriptions say."""

    name: ServerName
    seed: Seed
    place: Place
    keys: Keys
    tls: TlsBody
    dns: Sequence[Record]
    delegate_to: ServerName | None
    records_since: float = 0.0
    """When `dns` was last changed, by the reactor's clock; 0 if it never was."""

    @classmethod
    def build(
        cls, name: ServerName, seed: Seed, place: Place, wanted: Description
    ) -> "LabServer":
        """A server as it is described; raises `InvalidParam`."""
        keys = Keys.of(KeysBody(), _key_id(seed, name, 0))
        dns = default_records(name, place)
        return cls(name, seed, place, keys, TlsBody(), dns, None).changed(wanted)

    def changed(self, wanted: Description, now_ts: int = 0) -> "LabServer":
        """The server after a change at `now_ts`; raises `InvalidParam`."""
        server = self
        if not isinstance(wanted.keys, UnsetType):
            keys = Keys.of(wanted.keys, _key_id(self.seed, self.name, 0))
            server = replace(server, keys=keys)
        if isinstance(wanted, Change):
            server = replace(server, keys=server.keys_after(wanted, now_ts))
        if not isinstance(wanted.tls, UnsetType):
            wanted.tls.check()
            server = replace(server, tls=wanted.tls)
        if not isinstance(wanted.dns, UnsetType):
            _check_records(wanted.dns)
            server = replace(server, dns=wanted.dns)
        if not isinstance(wanted.well_known, UnsetType):
            server = replace(server, delegate_to=_delegation(wanted.well_known))
        return server

    def keys_after(self, wanted: Change, now_ts: int) -> Keys:
        """Its keys after some were rotated or expired; raises `InvalidParam`."""
        keys = self.keys
        if wanted.rotate:
            count = len(keys.signing) + len(keys.old)
            keys = keys.rotated(_key_id(self.seed, self.name, count), now_ts)
        if wanted.expire is not None:
            keys = keys.expired(wanted.expire, now_ts)
        return keys

    @property
    def config(self) -> ServerConfig:
        """As the parts of a server know it."""
        return ServerConfig(
            server_name=self.name,
            listen=self.place.listen,
            signing=Signing(key_validity_seconds=self.keys.valid_seconds),
            discovery=Delegation(self.delegate_to),
        )

    @property
    def hosts(self) -> Sequence[str]:
        """What a good certificate is for: its host, and the one it delegates to."""
        hosts = [self.name.host]
        if self.delegate_to is not None and self.delegate_to.host != hosts[0]:
            hosts.append(self.delegate_to.host)
        return hosts

    def identity(self, authority: Authority) -> Identity:
        """Its keys and its certificate; raises `InvalidParam`."""
        return Identity(
            self.name,
            [self.key(each) for each in self.keys.signing],
            [
                OldVerifyKey(self.key(each).verify_key, expired_ts)
                for each, expired_ts in self.keys.old
            ],
            self.certificate(authority),
        )

    def key(self, key_id: KeyId) -> SigningKey:
        """The key that it has under any ID, whether or not it signs with it."""
        return self.seed.signing_key(key_id, self.name.name)

    def certificate(self, authority: Authority) -> Certificate:
        """What it presents; raises `InvalidParam` where there is no such one."""
        fault = CERTIFICATE_FAULTS.get(self.tls.certificate)
        if fault is not None:
            try:
                return fault.build(authority, self.name.host)
            except ValueError as problem:
                raise InvalidParam(f"`tls.certificate`: {problem}") from None
        if self.tls.chain == "intermediate":
            return authority.issue_below(*self.hosts)
        return authority.issue(*self.hosts)

    def view(self, authority: Authority) -> ServerView:
        """As the control API shows it."""
        first = self.key(self.keys.signing[0]).verify_key
        return ServerView(
            self.name.name,
            first.key_id,
            encode_base64(first.key),
            str(SocketAddress(self.place.address, self.place.listen.port)),
            sha256(self.certificate(authority).leaf).hexdigest(),
            list(self.dns),
        )


def default_records(name: ServerName, place: Place) -> list[Record]:
    """The DNS records that lead to a server; none for one that needs no DNS."""
    if name.is_ip or name.host == "localhost":
        return []
    kind = "AAAA" if ip_address(place.address).version == 6 else "A"
    records = [Record(name.host, kind, place.address)]
    if name.port is None:
        value = f"10 0 {place.listen.port} {name.host}"
        records += [Record(f"{each}.{name.host}", "SRV", value) for each in SERVICES]
    return records


def _key_id(seed: Seed, name: ServerName, number: int) -> KeyId:
    labels = ("key ID", name.name, str(number))
    return KeyId(f"ed25519:a_{seed.bytes(3, *labels).hex()}")


def _check_records(records: Sequence[Record]) -> None:
    for index, record in enumerate(records):
        try:
            record.check()
        except InvalidParam as problem:
            raise InvalidParam(f"`dns[{index}]`: {problem}") from None


def _delegation(wanted: WellKnownBody | None) -> ServerName | None:
    return None if wanted is None else ServerName.parse(wanted.m_server)
