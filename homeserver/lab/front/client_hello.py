"""The first message of a TLS handshake, read before a server takes part in it.

Rules: nothing is raised but `ValueError`, whatever the bytes are. A fault of a server
may be the version of TLS, and OpenSSL calls back with the name in the message only once
it has chosen a version.

Specification: RFC 8446, section 4.1.2; RFC 6066, section 3; RFC 7301.
"""

from collections.abc import Sequence

from msgspec import Struct

# Four times as much as clients with keys of quantum-safe groups send.
MAX_BYTES = 2**14

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN = 0, 16


class ClientHello(Struct, frozen=True):
    """What a client asks for."""

    server_name: str | None
    """In small letters."""

    protocols: Sequence[bytes]
    """Those that it offers by ALPN."""


class _Reader:
    """Reads from the beginning of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bool__(self) -> bool:
        return bool(self._data)

    def take(self, count: int) -> bytes:
        """The next bytes; raises `ValueError` if there are fewer."""
        if len(self._data) < count:
            raise ValueError("a ClientHello that is cut off")
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self, size: int) -> int:
        """The next bytes as an integer."""
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """Bytes after their length, which has `size` bytes."""
        return self.take(self.number(size))


def parse_client_hello(data: bytes) -> ClientHello | None:
    """Read what a client has sent so far; None if more is to come.

    Raises `ValueError` for what is no ClientHello.
    """
    message, records = b"", _Reader(data)
    while (record := _next_record(records)) is not None:
        message += record
        if message[:1] not in {b"", bytes([_CLIENT_HELLO])}:
            raise ValueError("the first message is no ClientHello")
        length = int.from_bytes(message[1:4])
        if len(message) >= 4 and len(message) - 4 >= length:
            return _parse(message[4 : 4 + length])
    if len(data) > MAX_BYTES:
        raise ValueError(f"a ClientHello of more than {MAX_BYTES} bytes")
    return None


def _next_record(records: _Reader) -> bytes | None:
    """The content of the next record of the handshake; None if it is not complete."""
    if not records:
        return None
    if records.number(1) != _HANDSHAKE:
        raise ValueError("the record is not of a handshake")
    try:
        records.take(2)
        return records.vector(2)
    except ValueError:
        return None


def _parse(message: bytes) -> ClientHello:
    reader = _Reader(message)
    reader.take(2 + 32)  # the version and the random bytes
    reader.vector(1)  # the session
    reader.vector(2)  # the ciphers
    reader.vector(1)  # the compressions
    extensions: dict[int, bytes] = {}
    inside = _Reader(reader.vector(2) if reader else b"")
    while inside:
        kind = inside.number(2)
        extensions[kind] = inside.vector(2)
    return ClientHello(
        _server_name(extensions.get(_SERVER_NAME, b"")),
        _protocols(extensions.get(_ALPN, b"")),
    )


def _server_name(extension: bytes) -> str | None:
    if not extension:
        return None
    names = _Reader(_Reader(extension).vector(2))
    if names.number(1) != 0:  # a name that is no host name
        return None
    return names.vector(2).decode("ascii", "replace").lower()


def _protocols(extension: bytes) -> list[bytes]:
    if not extension:
        return []
    found, names = [], _Reader(_Reader(extension).vector(2))
    while names:
        found.append(names.vector(1))
    return found
