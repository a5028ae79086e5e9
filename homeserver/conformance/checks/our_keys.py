"""M: key documents of ours, as the target judges them by the default probe."""

from homeserver.conformance.check import TRUSTED_NAME, check, must
from homeserver.conformance.ours import KeyAnswer, Ours
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.reply import not_authenticated
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json

_AUTHENTICATION = "Server-server API, Request Authentication"
_PUBLISHING = "Server-server API, Publishing Keys"
_ROUTE = "Server-server API, GET /_matrix/key/v2/server"


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


_REFUSED: list[tuple[str, str, KeyAnswer, str]] = [
    ("M02", _ROUTE, _expired, "whose valid_until_ts has passed"),
    ("M03", _PUBLISHING, _unsigned, "that its server has not signed"),
    ("M04", _PUBLISHING, _signed_by_another, "that an unlisted key has signed"),
    ("M05", _PUBLISHING, _of_another, "of another server"),
]

REFUSED_DOCUMENTS = [
    check(
        check_id,
        must,
        section,
        needs=[TRUSTED_NAME],
        rule=f"A key document {which} proves no request.",
    )(lambda t, document=document: _is_refused(t, document))  # type: ignore[misc]
    for check_id, section, document, which in _REFUSED
]


async def _is_refused(t: Target, document: KeyAnswer) -> Outcome:
    return not_authenticated(await t.ask(t.server(keys=document)))
