"""The reader of `homeserver.toml`, which reports every mistake in it.

Rules: every mistake is reported at once, before anything starts; an unknown key is a
mistake. Paths are resolved against the file's folder. A file has either the keys of one
server at the top, or tables `[[servers]]`; a key that such a table lacks is taken from
the top, or has its default.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from homeserver.config.key_lines import find_lines, with_line
from homeserver.config.tables import TableReader
from homeserver.config.values import (
    DEFAULT_LISTEN,
    Config,
    ConfigError,
    Delegation,
    Discovery,
    ProcessConfig,
    Profile,
    ServerConfig,
    Signing,
    Tls,
)
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName, UserId


def load(path: Path, *, reads_files: bool = True) -> Config:
    """Read the configuration at `path`.

    Raises `ConfigError` with every mistake in it: unknown keys, values of another
    type or out of range, and, with `reads_files`, files that it names and that cannot
    be read.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        table = tomllib.loads(text)
    except FileNotFoundError as error:
        why = (
            f"cannot be read: {error.strerror}; `homeserver init` makes one, and so "
            "does `homeserver run` where HOMESERVER_SERVER_NAME is set; commands that "
            "ask a lab take `--lab URL`"
        )
        raise ConfigError(path, [why]) from None
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        why = f"is not TOML: line {line} is not text in UTF-8"
        raise ConfigError(path, [why]) from None
    except (ValueError, RecursionError) as error:
        # Not only tomllib's own: an integer of 5000 digits, tables without end.
        raise ConfigError(path, [f"is not TOML: {error}"]) from None
    problems: list[str] = []
    reader = TableReader(path.absolute().parent, problems)
    top, servers = _read_forms(reader, table)
    problems.extend(_unreadable_files(top, servers) if reads_files else [])
    # Two values are compared only if each of them is valid.
    problems.extend([] if problems else _contradictions(top, servers))
    if problems:
        lines = find_lines(text)
        raise ConfigError(path, [with_line(lines, each) for each in problems])
    shared = {f: getattr(top, f) for f in ProcessConfig.__struct_fields__}
    return Config(servers=tuple(servers), **shared)


class _FileDiscovery(Discovery, frozen=True):
    """The table `[discovery]`."""

    delegate_to: ServerName | None = None


class _Top(ProcessConfig, frozen=True, kw_only=True):
    """The keys at the top in both forms of a file."""

    listen: SocketAddress = DEFAULT_LISTEN
    tls: Tls = Tls()
    signing: Signing = Signing()
    discovery: _FileDiscovery = _FileDiscovery()


class _OneServer(_Top, frozen=True, kw_only=True):
    """A file with one server."""

    server_name: ServerName
    profiles: Mapping[str, Profile] = {}


class _SeveralServers(_Top, frozen=True, kw_only=True):
    """A file with tables `[[servers]]`."""

    servers: list[dict[str, object]] = []  # noqa: RUF012 - msgspec copies it


_BOTH_FORMS = (
    "{}: a file has one server at the top, or tables [[servers]], not both; move it "
    "into the table of its server"
)


def _read_forms(
    reader: TableReader, table: dict[str, object]
) -> tuple[_Top, list[ServerConfig]]:
    """The top of the file, and each server."""
    if "servers" not in table:
        one = reader.read(_OneServer, table, "")
        return one, [_server(one.server_name, one, one.profiles)]
    for key in ("server_name", "profiles"):
        if table.pop(key, None) is not None:
            reader.problems.append(_BOTH_FORMS.format(key))
    top = reader.read(_SeveralServers, table, "")
    if table["servers"] == []:
        reader.problems.append("servers: there is no server in it")
    inherited = _server(None, top, {})
    return top, [
        reader.read(ServerConfig, each, f"{_label(number, each)}: ", inherited)
        for number, each in enumerate(top.servers, 1)
    ]


def _server(
    name: ServerName | None, top: _Top, profiles: Mapping[str, Profile]
) -> ServerConfig:
    """A server with the values of the top; without a name for others to inherit."""
    return ServerConfig(
        server_name=name,  # type: ignore[arg-type]  # reported as a mistake
        listen=top.listen,
        tls=top.tls,
        signing=top.signing,
        discovery=Delegation(top.discovery.delegate_to),
        profiles=profiles,
    )


def _label(number: int, table: Mapping[str, object]) -> str:
    """The name of a table `[[servers]]` in messages."""
    name = table.get("server_name")
    return f"[[servers]] {name if isinstance(name, str) else f'number {number}'}"


def _contradictions(top: _Top, servers: list[ServerConfig]) -> Iterator[str]:
    """The mistakes between values that are right one by one."""
    if top.sending.max_retry_seconds < top.sending.first_retry_seconds:
        yield "sending.max_retry_seconds: is less than first_retry_seconds"
    if top.lab.rules and top.run.workers > 1:
        yield "lab.rules: needs one worker, as rules are those of a process"
    known: dict[ServerName, ServerConfig] = {}
    by_key: dict[Path, ServerName] = {}
    for server in servers:
        name, where = server.server_name, _where(servers, server)
        if name in known:
            yield f"[[servers]] {name}: is there twice"
            continue
        known[name] = server
        owner = by_key.setdefault(server.signing.key.resolve(), name)
        if owner != name:
            yield (
                f"{where}signing.key: {server.signing.key} is the key of {owner}; each "
                f'server needs one of its own, as in signing = {{key = "{name}.key"}}'
            )
        yield from _foreign_profiles(server, where)


def _foreign_profiles(server: ServerConfig, where: str) -> Iterator[str]:
    for user_id in server.profiles:
        try:
            server_name = UserId.parse(user_id).server_name
        except ProtocolError as error:
            yield f"{where}profiles: {error}"
            continue
        if server_name != server.server_name:
            yield f"{where}profiles: {user_id} is not a user of {server.server_name}"


def _unreadable_files(top: _Top, servers: list[ServerConfig]) -> Iterator[str]:
    files = {
        f"{_where(servers, server)}{key}": path
        for server in servers
        for key, path in {
            "tls.certificate": server.tls.certificate,
            "tls.private_key": server.tls.private_key,
            "signing.key": server.signing.key,
        }.items()
    }
    if top.verification.ca_file is not None:
        files["verification.ca_file"] = top.verification.ca_file
    if top.control.listen is not None:
        files["control.token_file"] = top.control.token_file
    for key, path in files.items():
        try:
            path.open("rb").close()
        except OSError as error:
            yield f"{key}: {path} cannot be read: {error.strerror}"


def _where(servers: list[ServerConfig], server: ServerConfig) -> str:
    """The prefix of a server's keys in messages: empty for a single server."""
    return f"[[servers]] {server.server_name}: " if len(servers) > 1 else ""
