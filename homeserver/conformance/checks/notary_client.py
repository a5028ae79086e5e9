"""W: the target as a client of a notary that is ours.

Rules: where the origin's own address refuses connections, only the notary can have
given the key. Where the target does not ask the notary about a name, nothing can be
told of it.
"""

from collections.abc import Callable, Sequence

from homeserver.conformance.check import (
    DEAD_ADDRESS,
    DNS_ZONE,
    NOTARY,
    TRUSTED_NAME,
    Severity,
    check,
    info,
    must,
    robustness,
    should,
)
from homeserver.conformance.notary_desk import Given
from homeserver.conformance.ours import Ours, entries
from homeserver.conformance.outcome import NotTestable, Outcome, expect, reported
from homeserver.conformance.reply import Reply, not_authenticated
from homeserver.conformance.target import Target
from homeserver.http.reply import Reply as OurReply
from homeserver.http.reply import error_reply, json_reply
from homeserver.protocol.canonical_json import Json, encode_base64

_QUERYING = "Server-server API, Querying Keys Through Another Server"
_PUBLISHING = "Server-server API, Publishing Keys"
_RETRIEVING = "Server-server API, Retrieving server keys"
_ROUTE = "Server-server API, GET /_matrix/key/v2/server"

_NEEDS = [TRUSTED_NAME, DNS_ZONE, DEAD_ADDRESS, NOTARY]

_WITH_WAITING = 300.0  # seconds: the checks take turns

_SECONDS = 60.0  # for a target that tries the notary, and then the origin
_HOUR_MS = 3600 * 1000

Make = Callable[[Ours], Given]
"""From an origin to what the notary gives about it."""


async def _ask(t: Target, ours: Ours, make: Make) -> Reply:
    """The default probe of an origin that the notary knows."""
    desk, name = t.ground.desk, ours.name.name
    desk.give(name, make(ours))
    await desk.turn.acquire()
    try:
        for notary in desk.notaries:
            # It ends a back-off after an earlier check.
            await t.ask(notary)
        reply = await t.ask(ours, seconds=_SECONDS)
    finally:
        desk.turn.release()
    if desk.asked(name) is None:
        raise NotTestable("the target did not ask the notary about this name")
    return reply


async def _ask_unreachable(t: Target, make: Make) -> Reply:
    return await _ask(t, t.unreachable_server(), make)


def _sound(ours: Ours) -> Given:
    return lambda notary: [notary.sign(ours.document())]


@check("W01", must, _QUERYING, needs=_NEEDS, seconds=_WITH_WAITING)
async def sound(t: Target) -> Outcome:
    """A key that only a trusted notary gives verifies requests of its origin."""
    reply = await _ask_unreachable(t, _sound)
    return expect(reply.is_ok, reply, wanted="status 200")


def _without_notary(ours: Ours) -> Given:
    return lambda _: [ours.document()]


def _with_false_notary(ours: Ours) -> Given:
    def given(notary: Ours) -> Sequence[Json]:
        document = ours.document()
        signatures = {
            **_signatures(document),
            notary.name.name: {notary.key.key_id: encode_base64(bytes(64))},
        }
        return [{**document, "signatures": signatures}]

    return given


def _signatures(document: Json) -> Json:
    found = document["signatures"]
    return found if isinstance(found, dict) else {}


def _without_origin(ours: Ours) -> Given:
    return lambda notary: [notary.sign(ours.document(signed_by=[]))]


def _by_another_key(ours: Ours) -> Given:
    other = ours.spare_key("ed25519:other")
    return lambda notary: [notary.sign(ours.document(signed_by=[other]))]


def _expired(ours: Ours) -> Given:
    return lambda notary: [
        notary.sign(ours.document(valid_until_ts=ours.now_ts - _HOUR_MS))
    ]


def _of_another(ours: Ours) -> Given:
    return lambda notary: [notary.sign(ours.document(server_name="other.invalid"))]


_CHOICES: list[tuple[str, str, Make]] = [
    ("W02", "that the notary has not signed", _without_notary),
    ("W03", "with a wrong signature of the notary", _with_false_notary),
]

CHOICES = [
    check(
        check_id,
        info,
        _QUERYING,
        needs=_NEEDS,
        seconds=_WITH_WAITING,
        rule=f"A document {which} is taken from a trusted notary, or not.",
    )(lambda t, make=make: _is_reported(t, make))  # type: ignore[misc]
    for check_id, which, make in _CHOICES
]


async def _is_reported(t: Target, make: Make) -> Outcome:
    return reported(await _ask_unreachable(t, make))


_WRONG: list[tuple[str, str, str, Make]] = [
    ("W04", _PUBLISHING, "that its origin has not signed", _without_origin),
    ("W05", _PUBLISHING, "that an unlisted key has signed", _by_another_key),
    ("W06", _ROUTE, "whose valid_until_ts has passed", _expired),
    ("W07", _PUBLISHING, "of another server", _of_another),
]

WRONG_DOCUMENTS = [
    check(
        check_id,
        must,
        section,
        needs=_NEEDS,
        seconds=_WITH_WAITING,
        rule=f"A document {which} proves no request, also if a notary gives it.",
    )(lambda t, make=make: _is_refused(t, make))  # type: ignore[misc]
    for check_id, section, which, make in _WRONG
]


async def _is_refused(t: Target, make: Make) -> Outcome:
    return not_authenticated(await _ask_unreachable(t, make))


def _replies(reply: OurReply) -> Make:
    return lambda _: lambda __: reply


def _text_as_time(ours: Ours) -> Given:
    return lambda notary: [notary.sign(ours.document(valid_until_ts="soon"))]


_BROKEN_RULE = "A notary that {what} costs no more than time: the origin is asked."

_FAILURE = error_reply(500, "M_UNKNOWN", "it is broken")
_NUMBER = json_reply({"server_keys": 3})

_BROKEN: list[tuple[str, Severity, str, str, Make]] = [
    ("W08", should, _RETRIEVING, "answers 500", _replies(_FAILURE)),
    ("W09", should, _RETRIEVING, "answers no JSON", _replies(OurReply(b"no JSON"))),
    ("W11", robustness, "", "answers a number", _replies(_NUMBER)),
    ("W12", robustness, "", "answers no list", _replies(json_reply({}))),
    ("W13", robustness, "", "gives a time that is a text", _text_as_time),
]

BROKEN_NOTARIES = [
    check(
        check_id,
        severity,
        section,
        needs=_NEEDS,
        seconds=_WITH_WAITING,
        rule=_BROKEN_RULE.format(what=what),
    )(lambda t, make=make: _is_asked_directly(t, make))  # type: ignore[misc]
    for check_id, severity, section, what, make in _BROKEN
]


async def _is_asked_directly(t: Target, make: Make) -> Outcome:
    ours = t.server()
    reply = await _ask(t, ours, make)
    return expect(
        reply.is_ok,
        reply,
        t.seen(ours),
        f"after {reply.seconds:.1f} s",
        wanted="status 200, by a request to the origin",
    )


@check("W10", info, _QUERYING, needs=_NEEDS, seconds=_WITH_WAITING)
async def other_key_same_id(t: Target) -> Outcome:
    """Another key under the ID of the right one is taken from the notary, or not."""
    ours = t.server()

    def given(ours: Ours) -> Given:
        other = ours.spare_key("ed25519:other")
        forged = type(other)(ours.key.key_id, other.key)
        return lambda notary: [
            notary.sign(ours.document(verify_keys=entries(forged), signed_by=[forged]))
        ]

    return reported(await _ask(t, ours, given))
