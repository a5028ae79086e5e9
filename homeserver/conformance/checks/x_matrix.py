"""A: the form of the X-Matrix header: those it may have, and some that it may not.

Rules: each request is right but for what its check is about. The header is written
here from the parameters of a signed draft, so that its form is chosen by a check.
"""

from collections.abc import Callable, Sequence

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
from homeserver.conformance.target import Target
from homeserver.lab.spoil.draft import Draft

_AUTHENTICATION = "Server-server API, Request Authentication"
_OTHER = "elsewhere.invalid"

LATE_SECONDS = 20.0  # for an answer to a header that is too long

Parameters = dict[str, str]
"""The parameters of a header, in their order."""

Write = Callable[[Parameters], str]
"""Writes the value of a header."""


def _pairs(parameters: Parameters) -> list[str]:
    return [f'{name}="{value}"' for name, value in parameters.items()]


def _usual(parameters: Parameters) -> str:
    return "X-Matrix " + ",".join(_pairs(parameters))


def changed(**changes: str | None) -> Write:
    """The usual header with some parameters changed, or left out where None."""

    def write(parameters: Parameters) -> str:
        merged = {**parameters, **changes}
        return _usual({name: value for name, value in merged.items() if value})

    return write


def written(write: Write) -> Callable[[Draft], Sequence[str]]:
    """The headers of a draft, each written so."""
    return lambda draft: [write(each) for each in draft.parameters]


async def _ask(t: Target, write: Write, ours: Ours | None = None) -> Reply:
    """The default probe with another header."""
    return await t.ask(ours or t.server(), authorization=written(write))


@check("A02", must, _AUTHENTICATION)
async def no_header(t: Target) -> Outcome:
    """A request without an X-Matrix header is refused with 401 or 403."""
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


def _row(check_id: str, rule: str, write: Write, *, is_must: bool = True) -> Check:
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
        changed(destination=None),
        is_must=False,
    ),
    _row(
        "A36",
        "Commas and names inside a quoted value separate nothing.",
        lambda p: _usual({"colour": "red,sig=AAAA,key=x", **p}),
    ),
]


def _malformed(check_id: str, rule: str, *writes: Write) -> Check:
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
        "A25", "A signature that is no base64 is refused.", changed(sig="!" * 86)
    ),
    _malformed(
        "A26",
        "A signature of 63 bytes is refused.",
        lambda p: _usual({**p, "sig": p["sig"][:84]}),
    ),
    _malformed(
        "A28",
        "A header without sig, without key, or without origin is refused.",
        *(changed(**{name: None}) for name in ("sig", "key", "origin")),
    ),
    _malformed(
        "A29",
        "A key of an unknown algorithm proves nothing.",
        changed(key="rsa:a_key"),
    ),
    _malformed(
        "A33",
        "An origin that is no server name is refused.",
        changed(origin="not a name"),
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


@check("A35", robustness, "", needs=[TRUSTED_NAME])
async def long_header(t: Target) -> Outcome:
    """A header of 20 kB is answered within 20 s, or its connection is closed."""
    write = changed(colour="r" * 20_000)
    return await ended(
        t.ask(t.server(), authorization=written(write), seconds=LATE_SECONDS)
    )


def _choice(check_id: str, rule: str, section: str, *writes: Write) -> Check:
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
        changed(sig="A" * 86),
        _usual,
    ),
    _choice(
        "A37",
        "Of two origins in a header, one counts, or the header is refused.",
        _AUTHENTICATION,
        lambda p: f'X-Matrix origin="{_OTHER}",' + ",".join(_pairs(p)),
    ),
]
