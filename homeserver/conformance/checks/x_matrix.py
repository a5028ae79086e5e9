"""A: the X-Matrix header, in each form that it may have, and in some that it may not.

Rules: each request is right but for what its check is about. The header is written
here from the parameters of a signed draft, so that its form is chosen by a check.
"""

from collections.abc import Callable, Sequence
from typing import Unpack

from homeserver.conformance.check import (
    TRUSTED_NAME,
    Check,
    check,
    info,
    must,
    robustness,
    should,
)
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import Outcome, each_of, expect, reported
from homeserver.conformance.reply import (
    Reply,
    accepted,
    ended,
    not_authenticated,
    refused,
)
from homeserver.conformance.target import Changes, Target
from homeserver.control.signed_parts import SignBody
from homeserver.lab.spoil.draft import Draft

_AUTHENTICATION = "Server-server API, Request Authentication"
_OTHER = "elsewhere.invalid"

LATE_SECONDS = 20.0  # for an answer to a header that is too long

_Parameters = dict[str, str]
_Write = Callable[[_Parameters], str]


def _pairs(parameters: _Parameters) -> list[str]:
    return [f'{name}="{value}"' for name, value in parameters.items()]


def _usual(parameters: _Parameters) -> str:
    return "X-Matrix " + ",".join(_pairs(parameters))


def _changed(**changes: str | None) -> _Write:
    """The usual header with some parameters changed, or left out where None."""

    def write(parameters: _Parameters) -> str:
        merged = {**parameters, **changes}
        return _usual({name: value for name, value in merged.items() if value})

    return write


def _written(write: _Write) -> Callable[[Draft], Sequence[str]]:
    return lambda draft: [write(each) for each in draft.parameters]


async def _ask(t: Target, write: _Write, ours: Ours | None = None) -> Reply:
    """The default probe with another header."""
    return await t.ask(ours or t.server(), authorization=_written(write))


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
    return _believed(await _unknown_user(t))


@check("A02", must, _AUTHENTICATION)
async def no_header(t: Target) -> Outcome:
    """A request without an X-Matrix header is refused with 401."""
    path = f"/_matrix/federation/v1/send/{t.fresh('t')}"
    reply = await t.plain("PUT", path, b"{}", [("Content-Type", "application/json")])
    return not_authenticated(reply)


@check("A04", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def bearer(t: Target) -> Outcome:
    """A header of another scheme is refused, in JSON."""
    reply = await _ask(t, lambda _: "Bearer something")
    return expect(
        reply.is_refusal and bool(reply.errcode),
        reply,
        wanted="a status 4xx, and an errcode",
    )


def _row(check_id: str, rule: str, write: _Write, *, is_must: bool = True) -> Check:
    """A form that a header may have."""

    async def run(t: Target) -> Outcome:
        return accepted(await _ask(t, write))

    return check(
        check_id,
        must if is_must else should,
        _AUTHENTICATION if check_id not in _BY_HTTP else "RFC 9110, 11.2",
        needs=[TRUSTED_NAME],
        rule=rule,
    )(run)


_BY_HTTP = {"A05", "A06", "A07", "A08", "A12", "A36"}

FORMS = [
    _row(
        "A05",
        "The name of the scheme may be in small letters.",
        lambda p: _usual(p).replace("X-Matrix", "x-matrix"),
        is_must=False,
    ),
    _row(
        "A06",
        "Several spaces may follow the scheme.",
        lambda p: _usual(p).replace("X-Matrix ", "X-Matrix   "),
    ),
    _row(
        "A07",
        "Spaces and tabs may stand around the commas.",
        lambda p: "X-Matrix " + " ,\t ".join(_pairs(p)),
    ),
    _row(
        "A08",
        "The names of parameters may be in capitals.",
        lambda p: _usual({name.upper(): value for name, value in p.items()}),
    ),
    _row(
        "A09",
        "The parameters may be in any order.",
        lambda p: _usual(dict(reversed(p.items()))),
    ),
    _row(
        "A10",
        "Values may be unquoted, also those with colons.",
        lambda p: (
            "X-Matrix "
            + ",".join(
                # A signature may have characters that only quotes can hold.
                f'{name}="{value}"' if name == "sig" else f"{name}={value}"
                for name, value in p.items()
            )
        ),
    ),
    _row(
        "A11",
        "A parameter that the target does not know is ignored.",
        lambda p: _usual({**p, "colour": "red"}),
    ),
    _row(
        "A12",
        "In a quoted value, a backslash stands before the character that is meant.",
        lambda p: _usual({**p, "key": p["key"].replace(":", "\\:")}),
    ),
    _row(
        "A13",
        "The destination may be absent, as from servers older than v1.3.",
        _changed(destination=None),
        is_must=False,
    ),
    _row(
        "A36",
        "Commas and names inside a quoted value separate nothing.",
        lambda p: _usual({"colour": "red,sig=AAAA,key=x", **p}),
    ),
]


def _unproven(check_id: str, rule: str, **changes: Unpack[Changes]) -> Check:
    """A request that its signature does not prove."""

    async def run(t: Target) -> Outcome:
        return not_authenticated(await t.ask(t.server(), **changes))

    return check(check_id, must, _AUTHENTICATION, needs=[TRUSTED_NAME], rule=rule)(run)


_SIGNED = "/_matrix/federation/v1/send/other"

UNPROVEN = [
    _unproven(
        "A14",
        "A header that names another destination is refused with 401.",
        authorization=_written(_changed(destination=_OTHER)),
    ),
    _unproven(
        "A16",
        "What is signed for another destination is refused, also without the name.",
        sign=SignBody(destination=_OTHER),
        authorization=_written(_changed(destination=None)),
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
        authorization=_written(_changed(key="ed25519:never")),
    ),
    _unproven(
        "A31",
        "An origin that cannot be found proves nothing.",
        sign=SignBody(origin=_OTHER),
    ),
]


@check("A15", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def signed_for_another(t: Target) -> Outcome:
    """What is signed for another destination is refused, also under the right name."""
    write = _changed(destination=t.name.name)
    signed = SignBody(destination=_OTHER)
    reply = await t.ask(t.server(), sign=signed, authorization=_written(write))
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
    return not_authenticated(await _unknown_user(t, sign=SignBody(content={})))


def _malformed(check_id: str, rule: str, *writes: _Write) -> Check:
    """Headers that are refused by any 4xx, each in a request of its own."""

    async def run(t: Target) -> Outcome:
        outcomes = []
        for number, write in enumerate(writes, 1):
            reply = await _ask(t, write)
            outcomes.append((f"header {number}", refused(reply)))
        return each_of(outcomes) if len(outcomes) > 1 else outcomes[0][1]

    return check(check_id, must, _AUTHENTICATION, needs=[TRUSTED_NAME], rule=rule)(run)


MALFORMED = [
    _malformed(
        "A25", "A signature that is no base64 is refused.", _changed(sig="!" * 86)
    ),
    _malformed(
        "A26",
        "A signature of 63 bytes is refused.",
        lambda p: _usual({**p, "sig": p["sig"][:84]}),
    ),
    _malformed(
        "A28",
        "A header without sig, without key, or without origin is refused.",
        *(_changed(**{name: None}) for name in ("sig", "key", "origin")),
    ),
    _malformed(
        "A29",
        "A key of an unknown algorithm proves nothing.",
        _changed(key="rsa:a_key"),
    ),
    _malformed(
        "A33",
        "An origin that is no server name is refused.",
        _changed(origin="not a name"),
    ),
    _malformed(
        "A38",
        "A header with nothing after the scheme is refused.",
        lambda _: "X-Matrix",
    ),
    _malformed(
        "A39",
        "A header with characters outside ASCII is refused.",
        lambda p: _usual({**p, "origin": "m\xe4trix.invalid"}),
    ),
]


@check("A32", must, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def origin_of_the_target(t: Target) -> Outcome:
    """A request in the target's own name that its key has not signed is refused."""
    signed = SignBody(origin=t.name.name)
    return not_authenticated(await t.ask(t.server(), sign=signed))


@check("A35", robustness, "", needs=[TRUSTED_NAME])
async def long_header(t: Target) -> Outcome:
    """A header of 20 kB is answered within 20 s, or its connection is closed."""
    write = _changed(colour="r" * 20_000)
    return await ended(
        t.ask(t.server(), authorization=_written(write), seconds=LATE_SECONDS)
    )


def _choice(check_id: str, rule: str, section: str, *writes: _Write) -> Check:
    """What the text leaves open: one or more headers on one request."""

    async def run(t: Target) -> Outcome:
        ours = t.server()
        reply = await t.ask(
            ours,
            authorization=lambda draft: [each(draft.parameters[0]) for each in writes],
        )
        return reported(reply)

    return check(check_id, info, section, needs=[TRUSTED_NAME], rule=rule)(run)


CHOICES = [
    _choice(
        "A27",
        "A signature with padding is accepted, or refused.",
        "Appendices, Unpadded Base64",
        lambda p: _usual({**p, "sig": p["sig"] + "=="}),
    ),
    _choice(
        "A34",
        "Of two headers, the first of which proves nothing, one is enough, or not.",
        _AUTHENTICATION,
        _changed(sig="A" * 86),
        _usual,
    ),
    _choice(
        "A37",
        "Of two origins in a header, one counts, or the header is refused.",
        _AUTHENTICATION,
        lambda p: f'X-Matrix origin="{_OTHER}",' + ",".join(_pairs(p)),
    ),
]


@check("A40", info, _AUTHENTICATION, needs=[TRUSTED_NAME])
async def repeated(t: Target) -> Outcome:
    """The same signed request may be sent again: no rule forbids it."""
    ours, query = t.server(), f"user_id=@nobody:{t.name.name}"
    path = "/_matrix/federation/v1/query/profile"
    replies = [await t.request(ours, "GET", path, query=query) for _ in range(2)]
    return reported(*replies)
