"""The configuration as one frozen value: its tables, their defaults and bounds.

Rules: a setting's type says what it may be; `config.reader` reads one from
`homeserver.toml`. No setting is used here. A file has one server,
with its keys at the top, or several, each with a table of its own; both become the same
value.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NewType

import msgspec

from homeserver.net.addresses import (
    REFUSED_RANGES,
    AddressRange,
    SocketAddress,
    is_within,
)
from homeserver.protocol.canonical_json import MAX_INTEGER
from homeserver.protocol.events.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.protocol.identifiers import ServerName

# Ten years, so that a sum with a time stays a time.
Positive = Annotated[float, msgspec.Meta(gt=0, le=315_360_000)]
Count = Annotated[int, msgspec.Meta(ge=1)]


StoreUrl = NewType("StoreUrl", str)
"""`sqlite:FILE` or `postgresql://...`."""

HostName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[A-Za-z0-9._-]{1,253}\Z", description="a host name without a port"
    ),
]


class ConfigError(Exception):
    """The configuration cannot be used; `problems` has one line for each mistake."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))
        self.path = path
        self.problems = problems


class OptionError(ConfigError):
    """An option of the command line cannot be used."""

    def __init__(self, option: str, why: str) -> None:
        super().__init__(Path(option), [why])


class OldKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A former signing key; `key` is its public key, in base64."""

    id: str
    key: str
    expired_ts: Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]


class Tls(msgspec.Struct, frozen=True):
    """The table `[tls]`."""

    certificate: Path = Path("tls.crt")
    private_key: Path = Path("tls.key")
    present_client_certificate: bool = True
    client_certificates: Literal["ignore", "if-presented", "required"] = "if-presented"


class Signing(msgspec.Struct, frozen=True):
    """The table `[signing]`."""

    key: Path = Path("signing.key")
    old_keys: tuple[OldKey, ...] = ()
    # Two hours at least: a document is never handed out with under one left.
    key_validity_seconds: Annotated[int, msgspec.Meta(ge=7200, le=315_360_000)] = 86400


VerificationMethod = Literal["certificate", "key-document"]


class Verification(msgspec.Struct, frozen=True):
    """The table `[verification]`."""

    methods: Annotated[tuple[VerificationMethod, ...], msgspec.Meta(min_length=1)] = (
        "certificate",
        "key-document",
    )
    ca_file: Path | None = None
    system_roots: bool = True


class Discovery(msgspec.Struct, frozen=True):
    """The table `[discovery]`, but for `delegate_to`, which each server may have."""

    well_known: bool = True
    srv_services: tuple[
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"\A_[A-Za-z0-9-]+\._(tcp|udp)\Z",
                description="a service and its protocol, as in `_matrix._tcp`",
            ),
        ],
        ...,
    ] = ("_matrix-fed._tcp", "_matrix._tcp")


class Delegation(msgspec.Struct, frozen=True):
    """The keys of the table `[discovery]` for one server."""

    delegate_to: ServerName | None = None


class Dns(msgspec.Struct, frozen=True):
    """The table `[dns]`."""

    servers: tuple[SocketAddress, ...] = ()


class Network(msgspec.Struct, frozen=True):
    """The table `[network]`."""

    refuse: tuple[AddressRange, ...] = REFUSED_RANGES
    allow: tuple[AddressRange, ...] = ()


class Storage(msgspec.Struct, frozen=True):
    """The table `[storage]`."""

    url: StoreUrl = StoreUrl("sqlite:homeserver.db")


class Sending(msgspec.Struct, frozen=True):
    """The table `[sending]`."""

    first_retry_seconds: Positive = 2.0
    max_retry_seconds: Positive = 3600.0


class Events(msgspec.Struct, frozen=True):
    """The table `[events]`."""

    # The newest version without a mark in its events; room IDs show version 12.
    default_room_version: RoomVersion = ROOM_VERSIONS["11"]
    unsigned_2014: bool = True


class Limits(msgspec.Struct, frozen=True):
    """The table `[limits]`."""

    max_body_bytes: Count = 13107200
    max_connections: Count = 10000
    max_connections_per_address: Count = 1000
    request_seconds: Positive = 60.0
    max_arriving_megabytes: Count = 256
    trusted_clients: tuple[AddressRange, ...] = ()

    def trusts(self, address: str) -> bool:
        """Whether the client at an IP address has no shares and no budgets."""
        return is_within(address, self.trusted_clients)


class Notary(msgspec.Struct, frozen=True):
    """The table `[notary]`."""

    enabled: bool = True


class Control(msgspec.Struct, frozen=True):
    """The table `[control]`; `listen` is None where the control API is off."""

    listen: SocketAddress | None = SocketAddress("127.0.0.1", 8008)
    token_file: Path = Path("control.token")
    # Names of compose services may have underscores.
    hosts: tuple[HostName, ...] = ()
    # Each command and each `--follow` takes one.
    max_connections: Count = 100


class Retention(msgspec.Struct, frozen=True):
    """The table `[retention]`; None is without end."""

    received_days: Positive = 30.0
    sent_days: Positive = 30.0
    max_megabytes: Count | None = None


class Log(msgspec.Struct, frozen=True):
    """The table `[log]`."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Run(msgspec.Struct, frozen=True):
    """The table `[run]`."""

    # More than any machine has processors for.
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1


class LabTable(msgspec.Struct, frozen=True):
    """The table `[lab]`."""

    rules: bool = False


class Profile(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The answer of `query/profile` for one user."""

    displayname: str | None = None
    avatar_url: (
        Annotated[str, msgspec.Meta(pattern=r"\Amxc://", description="an `mxc://` URI")]
        | None
    ) = None


DEFAULT_LISTEN = SocketAddress("0.0.0.0", 8448)  # noqa: S104 - for other servers


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one of our servers."""

    server_name: ServerName
    listen: SocketAddress = DEFAULT_LISTEN
    tls: Tls = Tls()
    signing: Signing = Signing()
    discovery: Delegation = Delegation()
    profiles: Mapping[str, Profile] = {}


class ProcessConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that all servers of a process share."""

    shutdown_seconds: Positive = 10.0
    verification: Verification = Verification()
    discovery: Discovery = Discovery()
    dns: Dns = Dns()
    network: Network = Network()
    storage: Storage = Storage()
    sending: Sending = Sending()
    events: Events = Events()
    limits: Limits = Limits()
    notary: Notary = Notary()
    control: Control = Control()
    retention: Retention = Retention()
    log: Log = Log()
    run: Run = Run()
    lab: LabTable = LabTable()


class Config(ProcessConfig, frozen=True, kw_only=True):
    """The whole of `homeserver.toml`."""

    servers: tuple[ServerConfig, ...]
    """At least one; no two have the same name."""

    @property
    def first(self) -> ServerConfig:
        """The server of requests and commands that name none."""
        return self.servers[0]

    def find(self, name: ServerName) -> ServerConfig | None:
        """The server of that name; None if there is none."""
        return next((s for s in self.servers if s.server_name == name), None)
