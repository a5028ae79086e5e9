"""What a right server does with a request that is wrong on purpose.

Rules: this judges the status of a server that was reached, and of a transaction whether
the reply accepts its wrong PDU.
"""

from collections.abc import Collection, Container, Sequence

from msgspec import Struct

ANY_ANSWER = range(200, 500)
"""Whatever is no error of the server."""


class Right(Struct, frozen=True):
    """What is right."""

    text: str
    """A sentence about the server."""

    statuses: Container[int] | None
    """Those that are right; None where it depends on more than the mistake."""

    is_refusal: bool = True
    """Whether it holds beside mistakes that a server may let pass."""

    refuses_pdu: bool = False
    """Whether the reply must not accept the wrong PDU."""


def unsigned(*why: str) -> Right:
    """That of a server to which the request proves no origin."""
    text = " ".join(["A right server answers 401 or 403:", *why])
    return Right(text, (401, 403))


def malformed(why: str, *statuses: int) -> Right:
    """That of a server to which the request has no valid body."""
    return Right(f"A right server refuses the request: {why}", statuses)


def tolerated(why: str) -> Right:
    """That of a server that has to answer, whatever it answers."""
    text = f"A right server answers with a status below 500: {why}"
    return Right(text, ANY_ANSWER, is_refusal=False)


def of_one_item(why: str, *statuses: int, refuses_pdu: bool = False) -> Right:
    """That of a server that goes on with the rest of the transaction."""
    return Right(
        f"A right server answers 200 and {why}",
        (200, *statuses),
        is_refusal=False,
        refuses_pdu=refuses_pdu,
    )


def same_as_before(status: int | None) -> Right:
    """That of a server to which a request comes a second time."""
    shown = "no answer" if status is None else str(status)
    return Right(
        f"A right server answers as it did the first time, with {shown}.",
        () if status is None else (status,),
        is_refusal=False,
    )


def accepts(reply: object, wrong_ids: Collection[str]) -> bool:
    """Whether a reply has a result without an error under one of these IDs."""
    pdus = reply.get("pdus") if isinstance(reply, dict) else None
    if not isinstance(pdus, dict):
        return False
    return any(
        isinstance(result, dict) and result.get("error") is None
        for name, result in pdus.items()
        if name in wrong_ids
    )


def is_met(
    rights: Sequence[Right], status: int, *, accepts_pdu: bool = False
) -> bool | None:
    """Whether a status is right; None where that depends on more than the mistakes.

    `accepts_pdu`: whether the reply accepts the wrong PDU. Of several mistakes, those
    that are refused decide: any of them may be the one that the server found.
    """
    refusals = [right for right in rights if right.is_refusal]
    if any(right.statuses is None for right in rights):
        return None
    matches = (
        right.statuses is not None
        and status in right.statuses
        and not (right.refuses_pdu and accepts_pdu)
        for right in refusals or rights
    )
    return any(matches) if refusals else all(matches)
