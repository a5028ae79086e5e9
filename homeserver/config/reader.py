"""`homeserver.toml`: read, with every mistake in it told.

Rules: every mistake is reported at once, before anything starts; an
unknown key is a mistake. Paths are resolved against the file's folder.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar, get_args, get_origin

import msgspec

from homeserver.config.key_lines import find_lines, with_line
from homeserver.config.values import Config, ConfigError, StoreUrl
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.errors import ProtocolError, quote
from homeserver.protocol.events.room_versions import RoomVersion, parse_room_version
from homeserver.protocol.identifiers import DEFAULT_PORT, ServerName, UserId
from homeserver.protocol.shapes import convert, did_you_mean, explain


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
            "does `homeserver run` where HOMESERVER_SERVER_NAME is set"
        )
        raise ConfigError(path, [why]) from None
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:
        # Not only tomllib's own: an integer of 5000 digits, tables without end.
        raise ConfigError(path, [f"is not TOML: {error}"]) from None
    problems: list[str] = []
    config = _Reader(path.absolute().parent, problems).read(Config, table, "")
    problems.extend(_unreadable_files(config) if reads_files else [])
    # Two values are compared only where each of them is what it must be.
    problems.extend([] if problems else _contradictions(config))
    if problems:
        lines = find_lines(text)
        raise ConfigError(path, [with_line(lines, each) for each in problems])
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
                f"{', '.join(sorted(fields))}{did_you_mean(key, fields)}"
            )
        for name, field in fields.items():
            if field.required:
                values[name] = None
            elif isinstance(field.default, Path):
                values[name] = self._folder / field.default
            if name in table:
                self._read_key(values, field, table[name], where)
            elif field.required and not _is_meant(name, table, fields):
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
            port = _USUAL_PORTS.get(f"{where}{name}", DEFAULT_PORT)
            values[name] = self._convert(field.type, value, port)
        except msgspec.ValidationError as error:
            self._problems.append(f"{where}{name}: {explain(error, 'the value')}")
        except (ValueError, ProtocolError) as error:
            self._problems.append(f"{where}{name}: {error}")

    def _convert(self, kind: object, value: object, port: int) -> object:
        """`value` as `kind`, which may be a type that is written as text.

        `port` is the usual one of an address, to name it where it is left out.

        Raises `ValueError` (msgspec's errors are some) or `ProtocolError`.
        """
        members = [member for member in get_args(kind) if member in _WRITTEN_AS_TEXT]
        if kind in _WRITTEN_AS_TEXT:
            text = msgspec.convert(value, str)
            if kind is SocketAddress:
                return SocketAddress.parse(text, port)
            return _WRITTEN_AS_TEXT[kind](text, self._folder)
        if members and get_origin(kind) is tuple:
            texts = msgspec.convert(value, list[str])
            return tuple(self._convert(members[0], text, port) for text in texts)
        if members:
            # An optional one: an empty string is how TOML says "none".
            return None if value == "" else self._convert(members[0], value, port)
        return convert(kind, value, "the value")


_USUAL_PORTS = {"dns.servers": 53, "control.listen": 8008}


def _is_meant(name: str, table: Mapping[str, object], known: Iterable[str]) -> bool:
    """Whether an unknown key of a table was probably meant to be `name`."""
    unknown = table.keys() - set(known)
    return any(repr(name) in did_you_mean(each, known) for each in unknown)


def _parse_store_url(text: str) -> str:
    """The URL of a store; raises `ValueError`."""
    if re.fullmatch(r"(sqlite:|postgresql://)[^\0]+", text):
        return text
    why = f"{quote(text)} is neither `sqlite:FILE` nor `postgresql://...`"
    if re.fullmatch(r"[^:\0]+", text):
        why += f"; did you mean 'sqlite:{text}'?"
    raise ValueError(why)


def _parse_path(text: str, folder: Path) -> Path:
    if "\0" in text:
        raise ValueError("has a NUL in it, which no file's name has")
    return folder / text


_WRITTEN_AS_TEXT: Mapping[object, Callable[[str, Path], object]] = {
    ServerName: lambda text, _: ServerName.parse(text),
    RoomVersion: lambda text, _: parse_room_version(text),
    SocketAddress: lambda text, _: SocketAddress.parse(text),
    AddressRange: lambda text, _: AddressRange.parse(text),
    Path: _parse_path,
    StoreUrl: lambda text, _: _parse_store_url(text),
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
