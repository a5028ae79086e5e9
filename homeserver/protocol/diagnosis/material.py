"""What an author gives to be explained: a raw request, an event, or a key document.

Rules: what is given is recognised by its content. Reading is lenient about what the
diagnosis is to find, and strict about what it needs.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from homeserver.protocol.canonical_json import Json, as_object, parse
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.diagnosis.events import Keys
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError, quote
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.signing import VerifyKey

MAX_BYTES = 16 * 1024 * 1024  # more than the largest request that is accepted

_REQUEST_LINE = re.compile(rb"([A-Z]+) (\S+) HTTP/[0-9.]+\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


class RawRequest(Struct, frozen=True):
    """A request as it was on the wire."""

    method: str
    uri: str
    authorizations: Sequence[str]
    """The values of its Authorization headers."""

    host: str | None
    body: bytes


class GivenEvent(Struct, frozen=True):
    """A PDU."""

    pdu: Json


class GivenDocument(Struct, frozen=True):
    """A key document."""

    data: bytes
    server_name: str | None
    """As it says; None if it does not."""

    has_certificate: bool
    """Whether it is of version 1."""


Material = RawRequest | GivenEvent | GivenDocument


def read_material(data: bytes) -> Material:
    """What is given; raises `ProtocolError` if it is nothing of the three."""
    if len(data) > MAX_BYTES:
        raise BadJson(f"more than {MAX_BYTES} bytes")
    head = _REQUEST_LINE.match(data)
    if head is not None:
        return _read_request(head, data)
    try:
        value = as_object(parse(data), "it")
    except NotJson as problem:
        raise NotJson(f"neither a raw HTTP request nor JSON: {problem}") from None
    if "verify_keys" in value or "tls_certificate" in value:
        name = value.get("server_name")
        return GivenDocument(
            data, name if isinstance(name, str) else None, "tls_certificate" in value
        )
    if "type" in value or "sender" in value:
        return GivenEvent(value)
    raise BadJson("a JSON object that is neither an event nor a key document")


def _read_request(line: re.Match[bytes], data: bytes) -> RawRequest:
    end = _END_OF_HEAD.search(data, line.end() - 2)
    if end is None:
        raise BadJson("a request whose head does not end with an empty line")
    headers = list(_headers(data[line.end() : end.start()]))
    hosts = [value for name, value in headers if name == "host"]
    return RawRequest(
        line[1].decode("ascii"),
        line[2].decode("utf-8", "replace"),
        [value for name, value in headers if name == "authorization"],
        hosts[0] if hosts else None,
        data[end.end() :],
    )


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    for line in data.decode("utf-8", "replace").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip().lower(), value.strip()


def read_keys(data: bytes) -> Keys:
    """The keys in a key document, or in a list of them, unverified.

    Raises `ProtocolError` where a document names no server or no keys. Keys that are
    not ed25519 are left out.
    """
    value = parse(data)
    found: dict[ServerName, list[CandidateKey]] = {}
    for document in value if isinstance(value, list) else [value]:
        members = as_object(document, "a key document")
        name = members.get("server_name")
        if not isinstance(name, str):
            raise BadJson("a key document without `server_name`")
        keys = found.setdefault(ServerName.parse(name), [])
        keys += _keys_of(members, "verify_keys")
        keys += _keys_of(members, "old_verify_keys")
    return found


def _keys_of(document: Json, member: str) -> Iterator[CandidateKey]:
    for text, entry in as_object(document.get(member, {}), f"`{member}`").items():
        try:
            key_id: KeyId = parse_key_id(text)
        except ProtocolError:
            continue
        members = entry if isinstance(entry, dict) else {"key": entry}
        key = members.get("key")
        if not isinstance(key, str):
            raise BadJson(f"{quote(text)} of `{member}` has no key")
        parsed = VerifyKey.parse(key_id, key)
        if member == "verify_keys":
            yield CandidateKey(parsed)
        else:
            expired_ts = members.get("expired_ts")
            until = expired_ts if isinstance(expired_ts, int) else None
            yield CandidateKey(parsed, "old", until)
