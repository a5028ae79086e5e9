"""Q: queries about users, their devices and keys, and about media.

Rules: as in `queries`. Nothing is claimed that a user of the target would miss.
"""

from homeserver.conformance.check import (
    MEDIA,
    TRUSTED_NAME,
    USER,
    Check,
    check,
    info,
    must,
)
from homeserver.conformance.checks.queries import get, not_found
from homeserver.conformance.outcome import NotTestable, Outcome, expect, reported
from homeserver.conformance.reply import (
    Reply,
    not_authenticated,
    present,
    refused,
)
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.federation_paths import V1

_OPENID = "Server-server API, GET /_matrix/federation/v1/openid/userinfo"
_KEYS = "Server-server API, POST /_matrix/federation/v1/user/keys/query"
_CLAIM = "Server-server API, POST /_matrix/federation/v1/user/keys/claim"
_DEVICES = "Server-server API, GET /_matrix/federation/v1/user/devices/{userId}"
_MEDIA = "Server-server API, GET /_matrix/federation/v1/media/download/{mediaId}"

_ELSEWHERE = "@user:elsewhere.invalid"


@check("Q14", must, _OPENID)
async def unknown_token(t: Target) -> Outcome:
    """An OpenID token that was not issued is refused with 401 M_UNKNOWN_TOKEN."""
    path = f"{V1}/openid/userinfo?access_token={t.fresh('none')}"
    reply = present(await t.plain("GET", path))
    return expect(
        (reply.status, reply.errcode) == (401, "M_UNKNOWN_TOKEN"),
        reply,
        wanted="status 401 M_UNKNOWN_TOKEN",
    )


@check("Q15", info, _OPENID)
async def no_token(t: Target) -> Outcome:
    """A question without an OpenID token is refused, by a status of its choice."""
    return reported(present(await t.plain("GET", f"{V1}/openid/userinfo")))


async def _post(t: Target, path: str, content: Json) -> Reply:
    return present(await t.request(t.server(), "POST", V1 + path, content=content))


def _members(reply: Reply, name: str) -> Json | None:
    found = reply.json.get(name)
    return found if isinstance(found, dict) else None


@check("Q16", must, _KEYS, needs=[TRUSTED_NAME, USER])
async def device_keys(t: Target) -> Outcome:
    """The keys of a user of the target are in an object `device_keys`."""
    content: Json = {"device_keys": {t.facts.users[0]: []}}
    reply = await _post(t, "/user/keys/query", content)
    return expect(
        reply.is_ok and _members(reply, "device_keys") is not None,
        reply,
        wanted="status 200 with device_keys",
    )


@check("Q17", must, _KEYS, needs=[TRUSTED_NAME])
async def foreign_device_keys(t: Target) -> Outcome:
    """The keys of another server's user are not answered."""
    reply = await _post(t, "/user/keys/query", {"device_keys": {_ELSEWHERE: []}})
    found = _members(reply, "device_keys") or {}
    is_sound = reply.is_object if reply.is_ok else not reply.is_failure
    return expect(
        is_sound and _ELSEWHERE not in found,
        reply,
        wanted=f"no keys of {_ELSEWHERE}",
    )


@check("Q18", must, _CLAIM, needs=[TRUSTED_NAME, USER])
async def nothing_to_claim(t: Target) -> Outcome:
    """A claim of a key of a device that there is not is answered by 200."""
    device = {"NONE": "signed_curve25519"}
    content: Json = {"one_time_keys": {t.facts.users[0]: device}}
    reply = await _post(t, "/user/keys/claim", content)
    return expect(
        reply.is_ok and _members(reply, "one_time_keys") is not None,
        reply,
        wanted="status 200 with one_time_keys",
    )


@check("Q19", must, _DEVICES, needs=[TRUSTED_NAME, USER])
async def devices(t: Target) -> Outcome:
    """The devices of a user of the target come with the user and the stream ID."""
    user = t.facts.users[0]
    reply = await get(t, f"/user/devices/{user}")
    told = reply.json
    return expect(
        reply.is_ok
        and told.get("user_id") == user
        and type(told.get("stream_id")) is int
        and isinstance(told.get("devices"), list),
        reply,
        f"members {sorted(told)}",
        wanted="user_id, stream_id and devices",
    )


@check("Q20", must, _DEVICES, needs=[TRUSTED_NAME])
async def foreign_devices(t: Target) -> Outcome:
    """The devices of another server's user are refused."""
    return refused(await get(t, f"/user/devices/{_ELSEWHERE}"))


@check("Q21", info, _KEYS, needs=[TRUSTED_NAME])
async def no_device_keys(t: Target) -> Outcome:
    """A question for keys without `device_keys` is answered, or refused."""
    return reported(await _post(t, "/user/keys/query", {}))


@check("Q22", must, _MEDIA, needs=[TRUSTED_NAME])
async def unknown_media(t: Target) -> Outcome:
    """Media that there is not is answered by 404 M_NOT_FOUND."""
    return not_found(await get(t, f"/media/download/{t.fresh('none')}"))


@check("Q23", must, _MEDIA)
async def unsigned_media(t: Target) -> Outcome:
    """Media is refused to a request without a signature, with 401 or 403."""
    path = f"{V1}/media/download/{t.fresh('none')}"
    return not_authenticated(present(await t.plain("GET", path)))


def _known_media(check_id: str, kind: str, query: str) -> Check:
    async def run(t: Target) -> Outcome:
        if not t.facts.media:
            raise NotTestable("no media ID of the target is known")
        reply = await get(t, f"/media/{kind}/{t.facts.media}", query)
        parts = _parts(reply)
        first = parts[0].partition(b"\r\n\r\n")[0].lower() if parts else b""
        return expect(
            reply.is_ok and len(parts) == 2 and b"application/json" in first,
            f"{reply}, {reply.content_type}, {len(parts)} parts",
            wanted="status 200, multipart/mixed with two parts, JSON first",
        )

    rule = f"A {kind} of media has two parts, the first of which is JSON."
    needs = [TRUSTED_NAME, MEDIA]
    return check(check_id, must, _MEDIA, needs=needs, rule=rule)(run)


def _parts(reply: Reply) -> list[bytes]:
    header = reply.header("Content-Type") or ""
    if reply.content_type != "multipart/mixed" or "boundary=" not in header:
        return []
    boundary = header.partition("boundary=")[2].partition(";")[0].strip('" ')
    _, *parts = reply.body.split(b"--" + boundary.encode("latin-1", "replace"))
    return [each for each in parts if not each.startswith(b"--")]


MEDIA_CHECKS = [
    _known_media("Q29", "download", ""),
    _known_media("Q29.thumbnail", "thumbnail", "width=32&height=32"),
]
