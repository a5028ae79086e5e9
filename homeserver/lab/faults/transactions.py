"""Faults of the answers to transactions.

Rules: those of `fault`. The transaction is taken as always.

Specification: Server-server API, "Transactions".
"""

from collections.abc import Mapping
from typing import cast

from homeserver.lab.faults.bodies import changed
from homeserver.lab.faults.fault import Act, Case, Fault, flag, text
from homeserver.protocol.canonical_json import Json

_ROUTES = ("/_matrix/federation/v1/send/",)

_DONE = "It takes the transaction as delivered, and sends the next one."


def _pdus(answer: Json) -> Json:
    return cast("Json", answer["pdus"])


def _refuse(answer: Json, value: object, _: Case) -> Json:
    return {"pdus": {event_id: {"error": value} for event_id in _pdus(answer)}}


def _forget(_: Json, __: object, ___: Case) -> Json:
    return {"pdus": {}}


def _rename(answer: Json, _: object, __: Case) -> Json:
    return {"pdus": {f"{event_id}x": each for event_id, each in _pdus(answer).items()}}


def _extend(answer: Json, _: object, __: Case) -> Json:
    return {**answer, "org.example.unknown": {"more": [1, None]}}


FEDERATION_FAULTS: Mapping[str, Fault[Act]] = {
    "federation.pdu-error": Fault(
        "Each PDU of the transaction has this error.",
        _DONE,
        text("federation.pdu-error"),
        changed(_refuse),
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
                changed(_extend),
            ),
            "wrong-event-id": (
                "The answer names events that were not sent.",
                changed(_rename),
            ),
            "no-pdus": ("The answer says nothing of any PDU.", changed(_forget)),
        }.items()
    },
}
"""In the order in which they act."""
