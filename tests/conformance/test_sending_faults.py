"""O: each check has a fault that turns it red."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.conformance.audience import Audience
from homeserver.outbound.client import Delivery, FederationClient
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.targets import federation_target
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.protocol.identifiers import EventId
from homeserver.rooms.receiving import RoomReceiver
from homeserver.storage.judged_pdus import JudgedPdu
from tests.conformance.faulty import Row, fault_test, patched
from tests.support.conformance_stage import Fault
from tests.support.logged_errors import PlantedError

_send = FederationClient.send_transaction
_check = RoomReceiver.check
_told = Audience.told

_ELSEWHERE = ["O10", "O14", "O15"]  # of `test_sending_elsewhere_faults`

_CLIENT = "homeserver.outbound.client.FederationClient.send_transaction"
_TAKEN: dict[str, object] = {"pdus": {}}

Send = Callable[..., Awaitable[Delivery]]


async def _told_soon(
    audience: Audience, event_id: EventId, seconds: float = 4.0
) -> object:
    # These targets never tell of it.
    return await _told(audience, event_id, seconds)


def _sends(send: Send) -> Fault:
    # What these targets never send again needs no long wait.
    again = "homeserver.conformance.checks.sending._AGAIN_SECONDS"
    return patched({_CLIENT: send, again: 8.0})


def _under_another_id() -> Fault:
    numbers = count()

    async def send(
        client: Any, destination: Any, txn_id: str, body: bytes, **more: Any
    ) -> Delivery:
        other = f"{txn_id}x{next(numbers)}"
        return await _send(client, destination, other, body, **more)

    return _sends(send)


def _takes_for_delivered(kind: type[Exception]) -> Fault:
    """Failures of one kind that count as deliveries."""

    async def send(client: Any, *what: Any, connected: Any, **more: Any) -> Delivery:
        made: list[VerifiedConnection] = []

        def note(connection: VerifiedConnection) -> None:
            made.append(connection)
            connected(connection)

        try:
            return await _send(client, *what, connected=note, **more)
        except kind:
            if not made:
                raise
            return Delivery(dict(_TAKEN), made[-1])

    return _sends(send)


async def _without_waiting(
    client: Any, *what: Any, connected: Any, **more: Any
) -> Delivery:
    made: Deferred[VerifiedConnection] = Deferred()

    def note(connection: VerifiedConnection) -> None:
        connected(connection)
        if not made.called:
            made.callback(connection)

    def failed(problem: Failure) -> None:
        if not made.called:
            made.errback(problem)

    running = Deferred.fromCoroutine(_send(client, *what, connected=note, **more))
    running.addErrback(failed)
    return Delivery(dict(_TAKEN), await made)


async def _repeats_what_was_refused(
    client: Any, destination: Any, txn_id: str, body: bytes, **more: Any
) -> Delivery:
    delivery = await _send(client, destination, txn_id, body, **more)
    if delivery.reply is not None and b"error" in str(delivery.reply).encode():
        await _send(client, destination, f"{txn_id}x", body, **more)
    return delivery


def _escaped_twice(*steps: str, **more: Any) -> str:
    return federation_target(*steps, **more).replace("!", "%2521")


def _breaks_on_no_json() -> Fault:
    broken: list[str] = []

    async def send(client: Any, *what: Any, **more: Any) -> Delivery:
        try:
            delivery = await _send(client, *what, **more)
        except (Refused, Unreachable) as problem:
            if "JSON" in str(problem):
                broken.append(str(problem))
            raise
        if delivery.reply is None:
            broken.append("no reply")
        return delivery

    async def check(receiver: RoomReceiver, *what: Any) -> list[JudgedPdu]:
        if broken:
            raise PlantedError("broken")
        return await _check(receiver, *what)

    return patched(
        {_CLIENT: send, "homeserver.rooms.receiving.RoomReceiver.check": check}
    )


ROWS: list[Row] = [
    (
        "joins are not passed on",
        patched(
            {
                "homeserver.rooms.memberships.destinations": lambda *_: frozenset(),
                "homeserver.conformance.audience.Audience.told": _told_soon,
            }
        ),
        {"O01"},
    ),
    ("another ID each time", _under_another_id(), {"O02", "O07"}),
    ("500 is taken for 200", _takes_for_delivered(Refused), {"O02"}),
    ("without waiting", _sends(_without_waiting), {"O02", "O03", "O07"}),
    ("repeats what was refused", _sends(_repeats_what_was_refused), {"O04"}),
    ("a cut answer is one", _takes_for_delivered(Unreachable), {"O07"}),
    (
        "paths escaped twice",
        patched({"homeserver.rooms.source.federation_target": _escaped_twice}),
        {"O09"},
    ),
    ("breaks on no JSON", _breaks_on_no_json(), {"O13"}),
]


test_a_fault_turns_its_checks_red = fault_test(ROWS, ["O"], _ELSEWHERE)
