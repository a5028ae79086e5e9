"""`homeserver.toml` as one frozen value.

Rules of the room: every mistake is reported at once, before anything starts; an
unknown key is a mistake. Paths are resolved against the file's folder. Nothing here
knows what a setting is used for.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args, get_origin

import msgspec

from homeserver.addresses import REFUSED_RANGES, AddressRange, SocketAddress
from homeserver.protocol.canonical import MAX_INTEGER
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.names import ServerName, UserId

# Up to ten years, which is for ever: what is added to a time must stay one.
Positive = Annotated[float, msgspec.Meta(gt=0, le=315_360_000)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class ConfigError(Exception):
    """The configuration cannot be used; `problems` has one line for each mistake."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))
        self.path = path
        self.problems = problems


class OldKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signing key of before; `key` is the public one, in base64."""

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
    """The table `[discovery]`."""

    well_known: bool = True
    srv_services: tuple[
        Annotated[str, msgspec.Meta(pattern=r"\A_[A-Za-z0-9-]+\._(tcp|udp)\Z")], ...
    ] = ("_matrix-fed._tcp", "_matrix._tcp")
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

    url: Annotated[str, msgspec.Meta(pattern=r"\Asqlite:.")] = "sqlite:homeserver.db"


class Sending(msgspec.Struct, frozen=True):
    """The table `[sending]`."""

    first_retry_seconds: Positive = 2.0
    max_retry_seconds: Positive = 3600.0


class Limits(msgspec.Struct, frozen=True):
    """The table `[limits]`."""

    max_body_bytes: Count = 13107200
    max_connections: Count = 10000
    max_connections_per_address: Count = 1000
    request_seconds: Positive = 60.0


class Notary(msgspec.Struct, frozen=True):
    """The table `[notary]`."""

    enabled: bool = True


class Control(msgspec.Struct, frozen=True):
    """The table `[control]`; `listen` is None where the control API is off."""

    listen: SocketAddress | None = SocketAddress("127.0.0.1", 8008)
    token_file: Path = Path("control.token")


class Log(msgspec.Struct, frozen=True):
    """The table `[log]`."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Profile(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What `query/profile` answers of one user."""

    displayname: str | None = None
    avatar_url: Annotated[str, msgspec.Meta(pattern=r"\Amxc://")] | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of `homeserver.toml`."""

    server_name: ServerName
    listen: SocketAddress = SocketAddress("0.0.0.0", 8448)  # noqa: S104
    shutdown_seconds: Positive = 10.0
    tls: Tls = Tls()
    signing: Signing = Signing()
    verification: Verification = Verification()
    discovery: Discovery = Discovery()
    dns: Dns = Dns()
    network: Network = Network()
    storage: Storage = Storage()
    sending: Sending = Sending()
    limits: Limits = Limits()
    notary: Notary = Notary()
    control: Control = Control()
    log: Log = Log()
    profiles: Mapping[str, Profile] = {}


def load(path: Path) -> Config:
    """Read the configuration at `path`.

    Raises `ConfigError` with every mistake in it: unknown keys, values of another
    type or out of range, and files that it names and that cannot be read.
    """
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:
        # Not only tomllib's own: an integer of 5000 digits, tables without end.
        raise ConfigError(path, [f"is not TOML: {error}"]) from None
    problems: list[str] = []
    config = _Reader(path.absolute().parent, problems).read(Config, table, "")
    problems.extend(_unreadable_files(config))
    # Two values are compared only where each of them is what it must be.
    problems.extend([] if problems else _contradictions(config))
    if problems:
        raise ConfigError(path, problems)
    return config


_T = TypeVar("_T", bound=msgspec.Struct)


class _Reader:
    """Converts tables key by key, so that one mistake does not hide the next."""

    def __init__(self, folder: Path, problems: list[str]) -> None:
        self._folder = folder
        self._problems = problems

    def read(self, kind: type[_T], table: Mapping[str, object], where: str) -> _T:
        """The struct of `kind` in `table`, with defaults in place of mistakes."""
        values: dict[str, object] = {}
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for key in sorted(table.keys() - fields.keys()):
            self._problems.append(
                f"{where}{key}: there is no such key; known are "
                f"{', '.join(sorted(fields))}"
            )
        for name, field in fields.items():
            if field.required:
                values[name] = None
            elif isinstance(field.default, Path):
                values[name] = self._folder / field.default
            if name in table:
                self._read_key(values, field, table[name], where)
            elif field.required:
                self._problems.append(f"{where}{name}: is missing")
            elif isinstance(field.default, msgspec.Struct):
                values[name] = self.read(type(field.default), {}, f"{where}{name}.")
        return kind(**values)

    def _read_key(
        self,
        values: dict[str, object],
        field: msgspec.structs.FieldInfo,
        value: object,
        where: str,
    ) -> None:
        name = field.name
        if isinstance(field.default, msgspec.Struct):
            if not isinstance(value, dict):
                self._problems.append(f"{where}{name}: is not a table, [{name}]")
                value = {}
            values[name] = self.read(type(field.default), value, f"{where}{name}.")
            return
        try:
            values[name] = self._convert(field.type, value)
        except (ValueError, ProtocolError) as error:
            self._problems.append(f"{where}{name}: {error}")

    def _convert(self, kind: object, value: object) -> object:
        """`value` as `kind`, which may be a type that is written as text.

        Raises `ValueError` (msgspec's errors are some) or `ProtocolError`.
        """
        members = [member for member in get_args(kind) if member in _WRITTEN_AS_TEXT]
        if kind in _WRITTEN_AS_TEXT:
            text = msgspec.convert(value, str)
            return _WRITTEN_AS_TEXT[kind](text, self._folder)
        if members and get_origin(kind) is tuple:
            texts = msgspec.convert(value, list[str])
            return tuple(self._convert(members[0], text) for text in texts)
        if members:
            # An optional one: an empty string is how TOML says "none".
            return None if value == "" else self._convert(members[0], value)
        converted: object = msgspec.convert(value, kind)
        return converted


_WRITTEN_AS_TEXT: Mapping[object, Callable[[str, Path], object]] = {
    ServerName: lambda text, _: ServerName.parse(text),
    SocketAddress: lambda text, _: SocketAddress.parse(text),
    AddressRange: lambda text, _: AddressRange.parse(text),
    Path: lambda text, folder: folder / text,
}


def _contradictions(config: Config) -> Iterator[str]:
    """What is wrong about values that are right one by one."""
    if config.sending.max_retry_seconds < config.sending.first_retry_seconds:
        yield "sending.max_retry_seconds: is less than first_retry_seconds"
    for user_id in config.profiles:
        try:
            server_name = UserId.parse(user_id).server_name
        except ProtocolError as error:
            yield f"profiles: {error}"
            continue
        if server_name != config.server_name:
            yield f"profiles: {user_id} is not a user of {config.server_name}"


def _unreadable_files(config: Config) -> Iterator[str]:
    files = {
        "tls.certificate": config.tls.certificate,
        "tls.private_key": config.tls.private_key,
        "signing.key": config.signing.key,
    }
    if config.verification.ca_file is not None:
        files["verification.ca_file"] = config.verification.ca_file
    if config.control.listen is not None:
        files["control.token_file"] = config.control.token_file
    for key, path in files.items():
        try:
            path.open("rb").close()
        except OSError as error:
            yield f"{key}: {path} cannot be read: {error.strerror}"
