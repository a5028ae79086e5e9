"""The faults that a rule can have, and what each does to the answer of a request.

Rules: a fault changes the answer of one request and nothing else. Its argument is
checked when the rule is made.

To write one: add a `Fault` to `FAULTS`, under `layer.name`, with what its argument may
be and what it does; its sentence is in the description of the control API.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from homeserver.http.reply import Reply, error_reply
from homeserver.protocol.errors import BadJson

Continue = Callable[[], Awaitable[Reply]]
"""What answers the request where no fault does: the next fault, or the server."""

MAX_DELAY_SECONDS = 600.0  # as long as the control API waits for anything


class Fault(Struct, frozen=True):
    """One kind of fault."""

    summary: str
    check: Callable[[object], object]
    """Returns the argument, or raises `BadJson`."""

    act: Callable[[object, Continue, IReactorTime], Awaitable[Reply]]


def _status(value: object) -> int:
    if not isinstance(value, int) or not 200 <= value <= 599:
        raise BadJson("`http.status` is a status from 200 to 599")
    return value


def _seconds(name: str) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadJson(f"`{name}` is a number of seconds")
        if not 0 <= value <= MAX_DELAY_SECONDS:
            raise BadJson(f"`{name}` is 0 to {MAX_DELAY_SECONDS:g} seconds")
        return float(value)

    return check


async def _answer_status(value: object, _: Continue, __: IReactorTime) -> Reply:
    status = int(str(value))
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "a status without a name"
    return error_reply(status, "M_UNKNOWN", f"{phrase}: a rule of the lab says so")


async def _delay(value: object, go_on: Continue, clock: IReactorTime) -> Reply:
    await deferLater(clock, float(str(value)))
    return await go_on()


def _retry_after(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadJson("`http.retry-after` is a whole number of seconds")
    return value


async def _add_retry_after(value: object, go_on: Continue, _: IReactorTime) -> Reply:
    reply = await go_on()
    headers = {**reply.headers, "Retry-After": str(value)}
    return Reply(reply.body, reply.status, headers)


FAULTS: Mapping[str, Fault] = {
    "http.delay": Fault(
        "The answer waits for so many seconds.", _seconds("http.delay"), _delay
    ),
    "http.retry-after": Fault(
        "The answer says `Retry-After`, in seconds.", _retry_after, _add_retry_after
    ),
    "http.status": Fault(
        "The answer is an error with this status, and no work is done.",
        _status,
        _answer_status,
    ),
}
"""By the names that rules use, in the order in which they act."""
