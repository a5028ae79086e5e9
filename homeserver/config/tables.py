"""A table of a TOML file as a struct, with a report of every mistake.

Rules: a mistake in one key hides no mistake in another one; an unknown key is a
mistake. Paths are resolved against the file's folder.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar, get_args, get_origin

import msgspec

from homeserver.config.values import StoreUrl
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.errors import ProtocolError, quote
from homeserver.protocol.events.room_versions import RoomVersion, parse_room_version
from homeserver.protocol.identifiers import DEFAULT_PORT, ServerName
from homeserver.protocol.shapes import convert, did_you_mean, explain

_T = TypeVar("_T", bound=msgspec.Struct)


class TableReader:
    """Converts tables key by key, so that one mistake does not hide the next."""

    def __init__(self, folder: Path, problems: list[str]) -> None:
        self._folder = folder
        self.problems = problems

    def read(
        self,
        kind: type[_T],
        table: Mapping[str, object],
        where: str,
        inherited: _T | None = None,
    ) -> _T:
        """The struct of `kind` in `table`, with defaults in place of mistakes.

        A key that `table` lacks has its value in `inherited`, if there is such a
        struct.
        """
        values: dict[str, object] = {}
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for key in sorted(table.keys() - fields.keys()):
            self.problems.append(
                f"{where}{key}: there is no such key; known are "
                f"{', '.join(sorted(fields))}{did_you_mean(key, fields)}"
            )
        for name, field in fields.items():
            values |= self._default(field, inherited)
            if name in table:
                self._read_key(values, field, table[name], where)
            elif field.required and not _is_meant(name, table, fields):
                self.problems.append(f"{where}{name}: is missing")
            elif isinstance(field.default, msgspec.Struct) and name not in values:
                values[name] = self.read(type(field.default), {}, f"{where}{name}.")
        return kind(**values)

    def _default(
        self, field: msgspec.structs.FieldInfo, inherited: object
    ) -> dict[str, object]:
        """The inherited value of a missing key; empty if the struct has a default."""
        of_all = getattr(inherited, field.name, None)
        if field.required or of_all is not None:
            return {field.name: of_all}
        if isinstance(field.default, Path):
            return {field.name: self._folder / field.default}
        return {}

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
                self.problems.append(f"{where}{name}: is not a table, [{name}]")
                value = {}
            of_all = values.get(name)
            values[name] = self.read(
                type(field.default),
                value,
                f"{where}{name}.",
                of_all if isinstance(of_all, msgspec.Struct) else None,
            )
            return
        try:
            port = _USUAL_PORTS.get(f"{where}{name}", DEFAULT_PORT)
            values[name] = self._convert(field.type, value, port)
        except msgspec.ValidationError as error:
            self.problems.append(f"{where}{name}: {explain(error, 'the value')}")
        except (ValueError, ProtocolError) as error:
            self.problems.append(f"{where}{name}: {error}")

    def _convert(self, kind: object, value: object, port: int) -> object:
        """`value` as `kind`, which may be a type that is written as a string.

        `port` is the usual one of an address, for messages about a missing port.

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
            # An optional value: in TOML, an empty string stands for None.
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
