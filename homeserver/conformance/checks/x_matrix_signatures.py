"""A: what the signature of a request covers, and whose it is.

Rules: each request is right but for what its check is about: what is signed differs
from what is sent in one part.
"""

from typing import Unpack

from homeserver.conformance.changes import Changes
from homeserver.conformance.check import TRUSTED_NAME, Check, check, info, must
from homeserver.conformance.checks.x_matrix import changed, written
from homeserver.conformance.outcome import (
    NotTestable,
    Outcome,
    each_of,
    expect,
    reported,
)
from homeserver.conformance.reply import (
    Reply,
    accepted,
    not_authenticated,
    status,
)
from homeserver.conformance.target import Target
from homeserver.control.signed_parts import SignBody

_AUTHENTICATION = "Server-server API, Request Authentication"
_OTHER = "elsewhere.invalid"
# The status where profiles are closed to all, and perhaps of unproven requests.
_CLOSED = 403


async def _unknown_user(t: Target, **changes: Unpack[Changes]) -> Reply:
    """A request without a body, which says nothing of the target's users."""
    changes.setdefault("query", f"user_id=@nobody:{t.name.name}")
    path = "/_matrix/federation/v1/query/profile"
    return await t.request(t.server(), "GET", path, **changes)


def _believed(reply: Reply) -> Outcome:
    """Whether a request was authenticated, whatever the target has to say then."""
    return expect(
        reply.status != 401 and not reply.is_failure,
        reply,
        wanted="any status but 401 and 5xx",
    )


@check("A01", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def without_body(t: Target) -> Outcome:
    """A request without a body is signed without content, and is believed so."""
    reply = await _unknown_user(t)
    if reply.status == _CLOSED:
        _tell_apart(reply, await _unknown_user(t, sign=SignBody(content={})))
    return _believed(reply)


def _unproven(check_id: str, rule: str, **changes: Unpack[Changes]) -> Check:
    """A request that its signature does not prove."""

    async def run(t: Target) -> Outcome:
        return not_authenticated(await t.ask(t.server(), **changes))

    return check(check_id, must, _AUTHENTICATION, needs=[TRUSTED_NAME], rule=rule)(run)


_SIGNED = "/_matrix/federation/v1/send/other"

UNPROVEN = [
    _unproven(
        "A16",
        "What is signed for another destination is refused, also without the name.",
        sign=SignBody(destination=_OTHER),
        authorization=written(changed(destination=None)),
    ),
    _unproven(
        "A18",
        "A body that is not the signed one is refused.",
        sign=SignBody(content={"pdus": []}),
    ),
    _unproven(
        "A19",
        "A path that is not the signed one is refused.",
        sign=SignBody(uri=_SIGNED),
    ),
    _unproven(
        "A20",
        "A method that is not the signed one is refused.",
        sign=SignBody(method="POST"),
    ),
    _unproven(
        "A30",
        "A key that the origin does not publish proves nothing.",
        authorization=written(changed(key="ed25519:never")),
    ),
    _unproven(
        "A31",
        "An origin that cannot be found proves nothing.",
        sign=SignBody(origin=_OTHER),
    ),
]


@check("A14", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def for_another(t: Target) -> Outcome:
    """A header that names another destination is refused with 401."""
    header = written(changed(destination=_OTHER))
    named = await t.ask(t.server(), authorization=header)
    # As another server would pass on what it was sent.
    whole = SignBody(destination=_OTHER)
    passed_on = await t.ask(t.server(), sign=whole, authorization=header)
    return each_of(
        [
            ("signed for the target", status(named, 401)),
            ("signed for the other", status(passed_on, 401)),
        ]
    )


@check("A15", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def signed_for_another(t: Target) -> Outcome:
    """What is signed for another destination is refused, also under the right name."""
    write = changed(destination=t.name.name)
    signed = SignBody(destination=_OTHER)
    reply = await t.ask(t.server(), sign=signed, authorization=written(write))
    return not_authenticated(reply)


@check("A17", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def other_key(t: Target) -> Outcome:
    """Another key under the ID of a known one proves nothing."""
    ours = t.server()
    first = await t.ask(ours)
    reply = await t.ask(ours, spoil=["other-key-same-id"])
    return each_of(
        [("the known key", accepted(first)), ("another", not_authenticated(reply))]
    )


@check("A21", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def query_added(t: Target) -> Outcome:
    """A query that is not the signed one is refused."""
    path = f"/_matrix/federation/v1/send/{t.fresh('t')}"
    ours = t.server()
    reply = await t.request(
        ours,
        "PUT",
        path,
        content=t.transaction(ours),
        query="added=1",
        sign=SignBody(uri=path),
    )
    return not_authenticated(reply)


@check("A22", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def escapes(t: Target) -> Outcome:
    """The request target is signed as it is sent, with its percent-escapes."""
    return accepted(await _ask_escaped(t, is_decoded=False))


@check("A23", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def escapes_decoded(t: Target) -> Outcome:
    """A request target that was decoded before it was signed proves nothing."""
    return not_authenticated(await _ask_escaped(t, is_decoded=True))


async def _ask_escaped(t: Target, *, is_decoded: bool) -> Reply:
    ours, path = t.server(), f"/_matrix/federation/v1/send/{t.fresh('t')}"
    signed = f"{path}:1" if is_decoded else f"{path}%3A1"
    return await t.request(
        ours,
        "PUT",
        f"{path}%3A1",
        content=t.transaction(ours),
        sign=SignBody(uri=signed),
    )


@check("A24", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def empty_content(t: Target) -> Outcome:
    """A request without a body that is signed with the content {} proves nothing."""
    reply = await _unknown_user(t, sign=SignBody(content={}))
    if reply.status == _CLOSED:
        _tell_apart(await _unknown_user(t), reply)
    return not_authenticated(reply)


def _tell_apart(sound: Reply, unproven: Reply) -> None:
    """Raise `NotTestable` where a target forbids both, proven or not."""
    if sound.status == unproven.status:
        raise NotTestable(f"profiles are forbidden to all: {sound}")


@check("A32", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def origin_of_the_target(t: Target) -> Outcome:
    """A request in the target's own name that its key has not signed is refused."""
    signed = SignBody(origin=t.name.name)
    return not_authenticated(await t.ask(t.server(), sign=signed))


@check("A40", info, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def repeated(t: Target) -> Outcome:
    """The same signed request may be sent again: no rule forbids it."""
    ours, query = t.server(), f"user_id=@nobody:{t.name.name}"
    path = "/_matrix/federation/v1/query/profile"
    replies = [await t.request(ours, "GET", path, query=query) for _ in range(2)]
    return reported(*replies)
