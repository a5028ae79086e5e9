"""Faults of the answers to transactions.

Rules: those of `fault`. The transaction is taken as always.

Specification: Server-server API, "Transactions".
"""

from collections.abc import Callable, Mapping
from typing import cast

from homeserver.http.reply import Reply
from homeserver.lab.faults.fault import (
    Act,
    Case,
    Continue,
    Fault,
    flag,
    text,
    with_body,
)
from homeserver.protocol.canonical_json import Json, encode, parse_object

_ROUTES = ("/_matrix/federation/v1/send/",)

_DONE = "It takes the transaction as delivered, and sends the next one."

_Change = Callable[[Json, object], Json]


def _changed(change: _Change) -> Act:
    async def act(value: object, go_on: Continue, _: Case) -> Reply:
        reply = await go_on()
        if reply.status != 200:
            return reply
        return with_body(reply, encode(change(parse_object(reply.body), value)))

    return act


def _pdus(answer: Json) -> Json:
    return cast("Json", answer["pdus"])


def _refuse(answer: Json, value: object) -> Json:
    return {"pdus": {event_id: {"error": value} for event_id in _pdus(answer)}}


def _forget(_: Json, __: object) -> Json:
    return {"pdus": {}}


def _rename(answer: Json, _: object) -> Json:
    return {"pdus": {f"{event_id}x": each for event_id, each in _pdus(answer).items()}}


def _extend(answer: Json, _: object) -> Json:
    return {**answer, "org.example.unknown": {"more": [1, None]}}


FEDERATION_FAULTS: Mapping[str, Fault[Act]] = {
    "federation.pdu-error": Fault(
        "Each PDU of the transaction has this error.",
        _DONE,
        text("federation.pdu-error"),
        _changed(_refuse),
        "text",
        _ROUTES,
    ),
    **{
        f"federation.{name}": Fault(
            summary, _DONE, flag(f"federation.{name}"), act, "true", _ROUTES
        )
        for name, (summary, act) in {
            "unknown-members": (
                "The answer has a member that nothing knows.",
                _changed(_extend),
            ),
            "wrong-event-id": (
                "The answer names events that were not sent.",
                _changed(_rename),
            ),
            "no-pdus": ("The answer says nothing of any PDU.", _changed(_forget)),
        }.items()
    },
}
"""In the order in which they act."""
