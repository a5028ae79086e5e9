"""M: key documents of ours, as the target judges them by the default probe.

Rules: a document that is wrong in one way proves no request, and makes none fail by a
status of 5xx. How often the target comes for it is in `key_fetches`.
"""

from collections.abc import Callable

import msgspec

from homeserver.conformance.check import (
    TRUSTED_NAME,
    Check,
    Severity,
    check,
    info,
    must,
    robustness,
)
from homeserver.conformance.ours import KeyAnswer, Ours, entries, old_entries
from homeserver.conformance.outcome import Outcome, expect, reported
from homeserver.conformance.reply import (
    UNPROVEN,
    accepted,
    not_authenticated,
    status,
)
from homeserver.conformance.reply import Reply as Answered
from homeserver.conformance.target import Target
from homeserver.http.reply import Reply
from homeserver.protocol.canonical_json import Json

_AUTHENTICATION = "Server-server API, Request Authentication"
_PUBLISHING = "Server-server API, Publishing Keys"
_ROUTE = "Server-server API, GET /_matrix/key/v2/server"
_STANDARDS = "Server-server API, API standards"
_BASE64 = "Appendices, Unpadded Base64"

_TEN_YEARS_MS = 3650 * 24 * 3600 * 1000
_TEN_MEGABYTES = 10_000_000

LARGE_SECONDS = 10.0
"""Within which a request is answered whose key document is large."""


@check("M01", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def sound(t: Target) -> Outcome:
    """A signed request is accepted once the key of its origin was fetched."""
    ours = t.server()
    reply = await t.ask(ours)
    return expect(reply.is_ok, reply, t.seen(ours), wanted="status 200")


def _expired(ours: Ours) -> Json:
    # The request may have come long before: a target that is slow judges by that.
    return ours.document(valid_until_ts=ours.now_ts - 3600 * 1000)


def _unsigned(ours: Ours) -> Json:
    return ours.document(signed_by=[])


def _signed_by_another(ours: Ours) -> Json:
    return ours.document(signed_by=[ours.spare_key("ed25519:other")])


def _of_another(ours: Ours) -> Json:
    return ours.document(server_name="other.invalid")


def _without_old_keys(ours: Ours) -> Json:
    return ours.document(without=["old_verify_keys"])


def _old_alone(ours: Ours) -> Json:
    current = ours.spare_key("ed25519:current")
    return ours.document(
        verify_keys=entries(current),
        old_verify_keys=old_entries(ours.now_ts - 1000, ours.key),
        signed_by=[current, ours.key],
    )


def _with_key(ours: Ours, text: str) -> Json:
    return ours.document(verify_keys={ours.key.key_id: {"key": text}})


def _key_of(ours: Ours) -> str:
    found = entries(ours.key)[ours.key.key_id]
    return str(found["key"]) if isinstance(found, dict) else ""


def _short_key(ours: Ours) -> Json:
    return _with_key(ours, _key_of(ours)[:42])


def _padded(ours: Ours) -> Json:
    return _with_key(ours, _key_of(ours) + "=")


def _beside_malformed(ours: Ours) -> Json:
    malformed = {"ed25519:malformed": {"key": "AAAA"}}
    return ours.document(verify_keys={**entries(ours.key), **malformed})


def _as(media_type: str) -> KeyAnswer:
    def answer(ours: Ours) -> Reply:
        headers = {"Content-Type": media_type}
        return Reply(msgspec.json.encode(ours.document()), 200, headers)

    return answer


def _text_in_time(ours: Ours) -> Json:
    return ours.document(valid_until_ts=str(ours.now_ts + 3600 * 1000))


def _ten_years(ours: Ours) -> Json:
    return ours.document(valid_until_ts=ours.now_ts + _TEN_YEARS_MS)


def _redirected(_: Ours) -> Reply:
    return Reply(b"{}", 302, {"Location": "/_matrix/key/v2/elsewhere"})


_Judge = Callable[[Answered], Outcome]


def _row(
    check_id: str,
    severity: Severity,
    section: str,
    document: KeyAnswer,
    rule: str,
    judge: _Judge = not_authenticated,
) -> Check:
    """A document, and what becomes of a request that it should prove."""

    async def run(t: Target) -> Outcome:
        return judge(await t.ask(t.server(keys=document)))

    return check(check_id, severity, section, needs=[TRUSTED_NAME], rule=rule)(run)


DOCUMENTS = [
    _row(
        "M02",
        must,
        _ROUTE,
        _expired,
        "A key document whose valid_until_ts has passed proves no request.",
    ),
    _row(
        "M03",
        must,
        _PUBLISHING,
        _unsigned,
        "A key document that its server has not signed proves no request.",
    ),
    _row(
        "M04",
        must,
        _PUBLISHING,
        _signed_by_another,
        "A key document that an unlisted key has signed proves no request.",
    ),
    _row(
        "M05",
        must,
        _PUBLISHING,
        _of_another,
        "A key document of another server proves no request.",
    ),
    _row(
        "M06",
        must,
        _ROUTE,
        _without_old_keys,
        "A key document may be without old_verify_keys.",
        accepted,
    ),
    _row(
        "M07",
        must,
        _PUBLISHING,
        _old_alone,
        "A key that is listed as an old one alone proves no request.",
    ),
    _row(
        "M08",
        info,
        _STANDARDS,
        _as("text/plain"),
        "A key document as text/plain is read, or not.",
        reported,
    ),
    _row(
        "M09",
        info,
        _STANDARDS,
        _as(""),
        "A key document without a media type is read, or not.",
        reported,
    ),
    _row(
        "M10",
        must,
        _AUTHENTICATION,
        lambda _: Reply(b"<html>"),
        "A key document that is no JSON proves no request.",
    ),
    _row(
        "M11",
        must,
        _AUTHENTICATION,
        lambda _: Reply(b"{}", 500),
        "A request whose key document cannot be had is refused with 401 or 403.",
    ),
    _row(
        "M12",
        must,
        _BASE64,
        _short_key,
        "A key of 31 bytes proves no request.",
    ),
    _row(
        "M13",
        info,
        _BASE64,
        _beside_malformed,
        "A key beside a malformed one proves requests, or not.",
        reported,
    ),
    _row(
        "M14",
        info,
        _BASE64,
        _padded,
        "A key with padding proves requests, or not.",
        reported,
    ),
    _row(
        "M15",
        robustness,
        "",
        _text_in_time,
        "A valid_until_ts that is a text does not make the request fail.",
    ),
    _row(
        "M16",
        must,
        _ROUTE,
        _ten_years,
        "A valid_until_ts ten years ahead is taken for seven days.",
        accepted,
    ),
    _row(
        "M18",
        info,
        _ROUTE,
        _redirected,
        "A redirect of the key document is followed, or not.",
        reported,
    ),
]


@check("M17", robustness, "", needs=[TRUSTED_NAME])
async def large(t: Target) -> Outcome:
    """With a key document of 10 MB, the request is taken or refused within 10 s."""
    text = "x" * _TEN_MEGABYTES
    ours = t.server(keys=lambda o: o.document(also={"org.example.large": text}))
    return status(await t.ask(ours, seconds=LARGE_SECONDS), 200, *UNPROVEN)


def _sent(check_id: str, fault: str, rule: str) -> Check:
    """A document that is sent in an unusual way."""

    async def run(t: Target) -> Outcome:
        return accepted(await t.ask(t.server(do={fault: True})))

    section = "RFC 9112, 6"
    return check(check_id, must, section, needs=[TRUSTED_NAME], rule=rule)(run)


SENT = [
    _sent("M19", "vary.chunked", "A key document may be sent in chunks."),
    _sent("M20", "vary.http-1.0", "A key document may be sent by HTTP/1.0."),
]
