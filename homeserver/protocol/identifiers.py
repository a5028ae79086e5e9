"""Names and IDs: strict grammars, parsed into values.

Rules: a name is an identity. It is compared byte for byte and never normalised; only
DNS and certificate matching ignore case. A parsed name is not checked again elsewhere.
Patterns list their digits, as Python's digit class includes those of all scripts, and
must match the whole text.

Specification: Appendices, "Server Name" and "Identifier Grammar".
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NewType

from msgspec import Struct

from homeserver.protocol.errors import InvalidParam, quote

KeyId = NewType("KeyId", str)
"""The ID of a signing key: `ed25519:` and a version, for example `ed25519:a_1`."""

EventId = NewType("EventId", str)
RoomId = NewType("RoomId", str)

MAX_ID_BYTES = 255  # of user, room and event IDs, with sigil and domain

DEFAULT_PORT = 8448  # Server-server API, "Resolving server names"

_PORT = re.compile(r"[0-9]{1,5}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?P<host>[^/?#]*)")
_LABEL = re.compile(r"[0-9A-Za-z-]{1,63}")  # 63: a DNS label's limit, RFC 1035
# The specification has no limit; common versions have about ten characters.
_KEY_ID = re.compile(r"ed25519:[a-zA-Z0-9_]{1,100}")
_FINGERPRINT = re.compile(r"(?:[0-9a-fA-F]{2}:){31}[0-9a-fA-F]{2}|[0-9a-fA-F]{64}")
_VERSION_12_ROOM_ID = re.compile(r"![A-Za-z0-9_-]{43}")

# "Any valid Unicode scalar" but NUL and the colon; a lone surrogate is not a scalar.
_NOT_IN_ID = re.compile("[\0\ud800-\udfff]")

# What inet_aton of the C library reads as a number: a name with such a last label would
# be connected to as an address ("127.1", "0x7f.1").
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


class ServerName(Struct, frozen=True, cache_hash=True):
    """A server's name: a DNS name or an IP address, and an optional port.

    Two names are the same server only if they are equal byte for byte: `a.org`,
    `A.ORG` and `a.org:8448` are three servers.
    """

    name: str
    """The whole name, as it is signed and compared."""

    host: str
    """The DNS name, or the IP address without brackets."""

    port: int | None
    """The port in the name, if any."""

    is_ip: bool
    """Whether `host` is an IP address."""

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def parse(text: str) -> "ServerName":
        """Parse a server name; raises `InvalidParam` with the rule it breaks."""
        return _parse_server_name(text)


# Most messages of a server repeat the same few names and IDs. Valid ones alone are
# kept, here and below, and those are short.
@lru_cache(maxsize=4096)
def _parse_server_name(text: str) -> ServerName:
    if url := _URL.match(text):
        raise InvalidParam(
            f"not a server name: {quote(text)} is a URL; did you mean its host, "
            f"{quote(url['host'])}?"
        )
    if len(text) > MAX_ID_BYTES or not text.isascii():
        raise InvalidParam(
            f"not a server name: {quote(text)} is longer than {MAX_ID_BYTES} "
            "characters or not ASCII"
        )
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise InvalidParam(
                f"not a server name: {quote(text)} has no `]`, or something "
                "other than a port after it"
            )
        port = _parse_port(text, rest[1:]) if rest else None
        return ServerName(text, _parse_ipv6(text, literal), port, is_ip=True)
    host, colon, digits = text.partition(":")
    port = _parse_port(text, digits) if colon else None
    return ServerName(text, host, port, is_ip=_check_host(text, host))


def _parse_port(name: str, digits: str) -> int:
    if not _PORT.fullmatch(digits) or not 1 <= int(digits) <= 65535:
        raise InvalidParam(
            f"not a server name: the port of {quote(name)} is not 1 to 65535 "
            "in up to five digits (an IPv6 address needs brackets)"
        )
    return int(digits)


def _parse_ipv6(name: str, literal: str) -> str:
    try:
        address = IPv6Address(literal)
    except ValueError:
        address = None
    if address is None or address.scope_id is not None:
        raise InvalidParam(
            f"not a server name: {quote(name)} has no IPv6 address in its brackets"
        )
    return address.compressed


def _check_host(name: str, host: str) -> bool:
    """Whether `host` is an IPv4 address; `InvalidParam` if it is not a host."""
    labels = host.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        try:
            IPv4Address(host)
        except ValueError:
            raise InvalidParam(
                f"not a server name: {quote(name)} ends in a number but is not an "
                "IPv4 address of four decimal parts"
            ) from None
        return True
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidParam(
            f"not a server name: each label of {quote(name)} must be 1 to 63 "
            "letters, digits and hyphens"
        )
    return False


@lru_cache(maxsize=4096)
def parse_key_id(text: str) -> KeyId:
    """Parse the ID of an ed25519 key; `InvalidParam` for any other text."""
    if not _KEY_ID.fullmatch(text):
        raise InvalidParam(
            f"not a key ID: {quote(text)} is not `ed25519:` followed by letters, "
            "digits and underscores"
        )
    return KeyId(text)


def parse_fingerprint(text: str) -> str:
    """Parse the SHA-256 of a certificate; `InvalidParam` for any other text.

    It has 64 hexadecimal digits, in pairs separated by colons as OpenSSL writes them,
    or without colons. The result is in lower case without colons.
    """
    if not _FINGERPRINT.fullmatch(text):
        raise InvalidParam(
            f"not the SHA-256 of a certificate: {quote(text)} is not 64 hexadecimal "
            "digits"
        )
    return text.replace(":", "").lower()


class UserId(Struct, frozen=True):
    """A user's ID, `@localpart:server`."""

    user_id: str
    server_name: ServerName

    def __str__(self) -> str:
        return self.user_id

    @staticmethod
    def parse(text: str) -> "UserId":
        """Parse a user ID; a historical localpart is any text without a colon.

        Raises `InvalidParam`.
        """
        return _parse_user_id(text)


@lru_cache(maxsize=4096)
def _parse_user_id(text: str) -> UserId:
    return UserId(text, _parse_domain("a user ID", "@", text))


@lru_cache(maxsize=4096)
def parse_room_id(text: str) -> RoomId:
    """Parse a room ID: `!opaque:server`, or `!` and 43 characters (version 12).

    Raises `InvalidParam`.
    """
    return RoomId(text) if is_hash_room_id(text) else parse_named_room_id(text)


@lru_cache(maxsize=4096)
def parse_named_room_id(text: str) -> RoomId:
    """Parse a room ID of versions 1 to 11, which names a server.

    Raises `InvalidParam`.
    """
    _parse_domain("a room ID", "!", text)
    return RoomId(text)


def is_hash_room_id(text: str) -> bool:
    """Whether a room ID has the format of room version 12: `!` and a hash."""
    return _VERSION_12_ROOM_ID.fullmatch(text) is not None


def parse_event_domain(text: str) -> ServerName:
    """Parse an event ID of room versions 1 and 2; returns the server that it names.

    Raises `InvalidParam`.
    """
    return _parse_domain("an event ID", "$", text)


def parse_alias(text: str) -> ServerName:
    """Parse a room alias; returns the server that it names.

    Raises `InvalidParam`.
    """
    return _parse_domain("a room alias", "#", text)


def _parse_domain(kind: str, sigil: str, text: str) -> ServerName:
    if _NOT_IN_ID.search(text):
        raise InvalidParam(
            f"not {kind}: {quote(text)} has a NUL or a lone surrogate in it"
        )
    # The first colon ends the local part; a domain may have more.
    local, colon, domain = text.partition(":")
    length = len(text.encode())
    if not local.startswith(sigil) or not colon or length > MAX_ID_BYTES:
        raise InvalidParam(
            f"not {kind}: {quote(text)} is not `{sigil}`, a local part, `:` and a "
            f"server name in at most {MAX_ID_BYTES} bytes"
        )
    return ServerName.parse(domain)
