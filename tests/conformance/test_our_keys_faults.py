"""M: each check has a fault that turns it red."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.web.iweb import UNKNOWN_LENGTH

from homeserver.keys.key_fetches import Failed, FetchOutcome, KeyFetches
from homeserver.keys.keyring import Keyring
from homeserver.net.cause import Cause
from homeserver.outbound.transport.response import read_body
from homeserver.protocol.canonical_json import parse_object
from homeserver.protocol.errors import BadJson, Unauthorized
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import KeyDocument, parse_v2
from homeserver.protocol.signing import VerifyKey
from tests.conformance.faulty import Row, answers_with, fault_test, patched
from tests.support.conformance_stage import Fault
from tests.support.logged_errors import PlantedError

_Json = dict[str, Any]

_request_key = Keyring.request_key
_fetch = KeyFetches.fetch
_YEAR_MS = 365 * 24 * 3600 * 1000


def _parses(parse: Callable[[bytes, ServerName], KeyDocument]) -> Fault:
    return patched({"homeserver.outbound.client.parse_v2": parse})


def _refuses(is_meant: Callable[[_Json], object]) -> Fault:
    """A reader that refuses some documents."""

    def parse(data: bytes, name: ServerName) -> KeyDocument:
        if is_meant(_read(data)):
            raise BadJson("unknown form")
        return parse_v2(data, name)

    return _parses(parse)


def _breaks(is_meant: Callable[[_Json], object]) -> Fault:
    """A reader that falls over some documents."""

    def parse(data: bytes, name: ServerName) -> KeyDocument:
        if is_meant(_read(data)):
            raise PlantedError("broken")
        return parse_v2(data, name)

    return _parses(parse)


def _read(data: bytes) -> _Json:
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return {"not": "JSON"}
    return found if isinstance(found, dict) else {}


def _any_time(data: bytes, name: ServerName) -> KeyDocument:
    found = parse_v2(data, name)
    return _changed(found, valid_until_ts=_YEAR_MS * 1000)


def _changed(found: KeyDocument, **changes: Any) -> KeyDocument:
    members = {name: getattr(found, name) for name in KeyDocument.__slots__}
    return KeyDocument(**{**members, **changes})


def _unverified(*_: object) -> None:
    """A document whose signatures are not looked at."""


def _any_name(data: bytes, _: ServerName) -> _Json:
    return parse_object(data)


def _old_as_current(data: bytes, name: ServerName) -> KeyDocument:
    found = parse_v2(data, name)
    old = {key_id: old.verify_key for key_id, old in found.old_verify_keys.items()}
    return _changed(found, verify_keys={**old, **found.verify_keys}, old_verify_keys={})


def _is_short(document: _Json) -> bool:
    keys = document.get("verify_keys", {}).values()
    return any(len(each["key"]) == 42 for each in keys)


def _has_no_date(document: _Json) -> bool:
    return isinstance(document.get("valid_until_ts"), str)


def _lasts_long(document: _Json) -> bool:
    until = document.get("valid_until_ts")
    return isinstance(until, int) and until > 60 * _YEAR_MS


async def _once(
    keyring: Keyring, name: ServerName, key_id: KeyId, cause: Cause
) -> VerifyKey:
    """A look-up of keys that keeps nothing."""
    try:
        return await _request_key(keyring, name, key_id, cause)
    finally:
        keyring.forget(name)


_served: dict[tuple[str, str], VerifyKey] = {}


async def _for_ever(
    keyring: Keyring, name: ServerName, key_id: KeyId, cause: Cause
) -> VerifyKey:
    """A look-up of keys that keeps them for ever."""
    where = name.name, key_id
    if where not in _served:
        _served[where] = await _request_key(keyring, name, key_id, cause)
    return _served[where]


async def _first_alone(
    keyring: Keyring, name: ServerName, key_id: KeyId, cause: Cause
) -> VerifyKey:
    """A look-up of keys that comes once."""
    known = await keyring.candidates(name)
    if known and key_id not in {each.verify_key.key_id for each in known}:
        raise Unauthorized("no such key")
    return await _request_key(keyring, name, key_id, cause)


async def _each_alone(
    fetches: KeyFetches, name: ServerName, cause: Cause, *, is_known: bool = False
) -> FetchOutcome:
    """A fetch for each request that needs one."""
    return await fetches._fetch(name, cause)


def _fails_on(text: str) -> Fault:
    """A fetch that falls over one kind of failure."""

    async def fetch(
        fetches: KeyFetches, name: ServerName, cause: Cause, *, is_known: bool = False
    ) -> FetchOutcome:
        came = await _fetch(fetches, name, cause, is_known=is_known)
        if isinstance(came, Failed) and re.search(text, came.why.in_full):
            raise PlantedError(text)
        return came

    return patched({"homeserver.keys.key_fetches.KeyFetches.fetch": fetch})


def _cannot_read(minor: int) -> Fault:
    """A client that does not read HTTP/1.0, or chunks in HTTP/1.1."""

    async def read(response: Any, limit: int, *rest: object) -> bytes:
        is_whole = minor and response.length is not UNKNOWN_LENGTH
        if response.version[2] == minor and not is_whole:
            raise BadJson("unknown form of a body")
        return await read_body(response, limit, *rest)

    return patched({"homeserver.outbound.client.read_body": read})


_KEYRING = "homeserver.keys.keyring.Keyring.request_key"

ROWS: list[Row] = [
    (
        "no transaction is taken",
        answers_with("/_matrix/federation/v1/send", 401),
        {"M01"},
    ),
    ("valid for ever", _parses(_any_time), {"M02", "M23"}),
    (
        "signatures not verified",
        patched({"homeserver.protocol.key_documents._verify": _unverified}),
        {"M03", "M04"},
    ),
    (
        "name not compared",
        patched({"homeserver.protocol.key_documents._parse": _any_name}),
        {"M05"},
    ),
    ("old keys needed", _refuses(lambda d: "old_verify_keys" not in d), {"M06"}),
    ("old keys are current", _parses(_old_as_current), {"M07", "M23"}),
    ("breaks on what is no JSON", _breaks(lambda d: d.get("not")), {"M10"}),
    ("breaks on a status", _fails_on(r"\b500\b"), {"M11"}),
    ("breaks on a short key", _breaks(_is_short), {"M12"}),
    ("breaks on a text", _breaks(_has_no_date), {"M15"}),
    ("refuses a far date", _refuses(_lasts_long), {"M16"}),
    ("breaks on a large one", _fails_on(r"over \d+ bytes"), {"M17"}),
    ("no chunks", _cannot_read(1), {"M19"}),
    ("no HTTP/1.0", _cannot_read(0), {"M20"}),
    ("nothing kept", patched({_KEYRING: _once}), {"M21", "M26"}),
    ("fetched once", patched({_KEYRING: _first_alone}), {"M22"}),
    ("kept for ever", patched({_KEYRING: _for_ever}), {"M23"}),
    (
        "a fetch for each",
        patched({"homeserver.keys.key_fetches.KeyFetches.fetch": _each_alone}),
        {"M26"},
    ),
]

test_a_fault_turns_its_checks_red = fault_test(ROWS, ["M"])
