"""K and V: the target's own key document, and its version.

Rules: each request is made without a signature, and nothing of ours is asked.
"""

import re

from homeserver.conformance.check import check, info, must, should
from homeserver.conformance.documents import (
    PATH,
    as_json,
    is_signed,
    key_of,
    listed_keys,
    own_document,
)
from homeserver.conformance.outcome import Outcome, expect, reported, unmet
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json, decode_base64
from homeserver.protocol.errors import ProtocolError

_PUBLISHING = "Server-server API, Publishing Keys"
_ROUTE = "Server-server API, GET /_matrix/key/v2/server"

_HOUR_MS = 3600 * 1000
_KEY_ID = re.compile(r"ed25519:[A-Za-z0-9_]+")


@check("K01", must, _ROUTE)
async def served(t: Target) -> Outcome:
    """The key document is served to everybody, as application/json."""
    reply = await t.plain("GET", PATH)
    return expect(
        reply.is_ok and reply.content_type == "application/json" and bool(reply.json),
        f"{reply}, {reply.content_type or 'no content type'}",
        wanted="status 200, a JSON object, application/json",
    )


@check("K02", must, _PUBLISHING, after=["K01"])
async def signed(t: Target) -> Outcome:
    """The key document names the server, and each listed ed25519 key has signed it."""
    document = await own_document(t)
    named = document.get("server_name")
    keys = listed_keys(document)
    wrong = [key_id for key_id in keys if not _verifies(document, key_id)]
    return expect(
        named == t.name.name and not wrong and bool(keys),
        f"server_name {named!r}",
        f"no right signature of {', '.join(wrong) or 'none'} among {len(keys)} keys",
        wanted=f"server_name {t.name.name!r}, and a right signature of each key",
    )


@check("K03", should, _ROUTE, after=["K01"])
async def valid(t: Target) -> Outcome:
    """The key document is valid for more than an hour."""
    until = (await own_document(t)).get("valid_until_ts")
    is_met = isinstance(until, int) and until > t.now_ts + _HOUR_MS
    return expect(is_met, f"valid_until_ts is {until!r}; it is now {t.now_ts}")


@check("K04", must, _ROUTE, after=["K01"])
async def old_keys(t: Target) -> Outcome:
    """Each entry of old_verify_keys has a key, and expired_ts as an integer."""
    entries = (await own_document(t)).get("old_verify_keys", {})
    if not isinstance(entries, dict):
        return unmet(f"old_verify_keys is {entries!r}", wanted="an object")
    wrong = [key_id for key_id, each in entries.items() if not _is_old_entry(each)]
    return expect(not wrong, f"{len(entries)} entries, wrong: {wrong}")


@check("K05", must, "Appendices, Unpadded Base64", after=["K01"])
async def key_form(t: Target) -> Outcome:
    """Keys are 32 bytes in unpadded base64, and their IDs ed25519:[A-Za-z0-9_]+."""
    document = await own_document(t)
    listed = document.get("verify_keys")
    if not isinstance(listed, dict) or not listed:
        return unmet(f"verify_keys is {listed!r}", wanted="at least one key")
    wrong = [
        key_id
        for key_id, each in listed.items()
        if key_id.startswith("ed25519") and not _is_entry(key_id, each)
    ]
    return expect(not wrong, f"keys {', '.join(listed)}; malformed: {wrong}")


@check("K06", info, "Server-server API, Resolving server names")
async def strange_host(t: Target) -> Outcome:
    """With the Host of a stranger, the target's own document comes, or a refusal."""
    reply = await t.plain("GET", PATH, headers=[("Host", "stranger.invalid")])
    return reported(reply, f"server_name {reply.json.get('server_name')!r}")


@check("K07", info, _ROUTE)
async def by_key_id(t: Target) -> Outcome:
    """The removed form with a key ID answers the document, or 404."""
    return reported(await t.plain("GET", f"{PATH}/ed25519:any"))


@check("K08", must, _ROUTE, after=["K01"])
async def nonsense_authorization(t: Target) -> Outcome:
    """The key document needs no authorization, so a wrong one changes nothing."""
    header = ("Authorization", "X-Matrix nonsense")
    reply = await t.plain("GET", PATH, headers=[header])
    return expect(reply.is_ok, reply, wanted="status 200")


@check("V01", must, "Server-server API, GET /_matrix/federation/v1/version")
async def version(t: Target) -> Outcome:
    """The version has server.name and server.version, and needs no authorization."""
    reply = await t.plain("GET", "/_matrix/federation/v1/version")
    server = reply.json.get("server")
    told = as_json(server)
    return expect(
        reply.is_ok and all(isinstance(told.get(n), str) for n in ("name", "version")),
        reply,
        f"server is {server!r}",
        wanted="status 200, server.name and server.version as texts",
    )


def _verifies(document: Json, key_id: str) -> bool:
    name = str(document.get("server_name"))
    return is_signed(document, name, key_of(document, key_id))


def _is_entry(key_id: str, entry: object) -> bool:
    text = entry.get("key") if isinstance(entry, dict) else None
    if not isinstance(text, str) or not _KEY_ID.fullmatch(key_id) or "=" in text:
        return False
    try:
        return len(decode_base64(text)) == 32
    except (ProtocolError, ValueError):
        return False


def _is_old_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    expired = entry.get("expired_ts")
    is_time = isinstance(expired, int) and not isinstance(expired, bool)
    return is_time and isinstance(entry.get("key"), str)
