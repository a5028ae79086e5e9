"""Faults of connections: of TCP, below TLS.

Rules: those of `fault`. A connection is one to the server whose port it came to, or on
a port that servers share, to the server that its ClientHello names (SNI). It meets the
faults that are in force when it comes; one that is open already meets none.
"""

from collections.abc import Callable, Mapping
from typing import Literal, cast

from msgspec import Struct

from homeserver.lab.faults.fault import Fault, flag, seconds, whole

_MAX_BYTES = 2**40

Ending = Literal["refuse", "reset", "hang", "alert"]


class Plan(Struct):
    """What is done to one connection."""

    ending: Ending | None = None
    """How it ends before TLS begins; None if it does not."""

    delay: float = 0.0
    """Seconds before anything else is done."""

    close_after: int | None = None
    """After so many bytes of ours it is closed."""

    slow: int | None = None
    """So many bytes of ours are sent in a second."""

    alert: int = 0
    """The number of the alert that ends it."""

    is_stalled: bool = False
    """Whether the handshake stops in the middle."""

    version: str | None = None
    """The one version of TLS that is spoken."""

    certificate: str | None = None
    """The fault of the certificate that is presented."""

    has_no_alpn: bool = False
    """Whether a client that offers protocols by ALPN is refused."""


ConnectionAct = Callable[[object, Plan], None]
"""Writes a fault, with its argument, into the plan of a connection."""


def connection_fault(
    summary: str,
    right: str,
    check: Callable[[object], object],
    act: ConnectionAct,
    argument: str = "true",
) -> Fault[ConnectionAct]:
    """A fault of connections that come in."""
    return Fault(summary, right, check, act, argument, kind="connection")


def _end(ending: Ending) -> ConnectionAct:
    def act(_: object, plan: Plan) -> None:
        plan.ending = ending

    return act


def _delay(value: object, plan: Plan) -> None:
    plan.delay = cast("float", value)


def _close_after(value: object, plan: Plan) -> None:
    plan.close_after = cast("int", value)


def _slow(value: object, plan: Plan) -> None:
    plan.slow = cast("int", value)


_UNREACHABLE = "It tries the next address, and retries later."
_WAITS = "It gives up after its time-out, serves others meanwhile, and retries later."

CONNECTION_FAULTS: Mapping[str, Fault[ConnectionAct]] = {
    "connection.delay": connection_fault(
        "TLS begins after this number of seconds.",
        "It waits up to its time-out, and serves others meanwhile.",
        seconds("connection.delay"),
        _delay,
        "seconds",
    ),
    "connection.hang": connection_fault(
        "The connection is accepted, and nothing is ever sent on it.",
        _WAITS,
        flag("connection.hang"),
        _end("hang"),
    ),
    "connection.refuse": connection_fault(
        "The connection is reset as soon as the server knows that it is its own: at "
        "once on a port of its own, else after the ClientHello.",
        _UNREACHABLE,
        flag("connection.refuse"),
        _end("refuse"),
    ),
    "connection.reset": connection_fault(
        "The connection is reset in the handshake, after the ClientHello.",
        _UNREACHABLE,
        flag("connection.reset"),
        _end("reset"),
    ),
    "connection.close-after": connection_fault(
        "The connection is closed after this number of bytes of the server, those of "
        "the handshake among them.",
        "It takes the request as failed, and retries later.",
        whole("connection.close-after", 0, _MAX_BYTES),
        _close_after,
        "bytes",
    ),
    "connection.slow": connection_fault(
        "The server sends this number of bytes a second.",
        _WAITS,
        whole("connection.slow", 1, _MAX_BYTES),
        _slow,
        "bytes in a second",
    ),
}
"""In the order in which they are listed; those of one rule act together."""
