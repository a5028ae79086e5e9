"""Faults of a server whose user is invited: of its answer to the inviting server.

Rules: those of `fault`. The work is done: the server has recorded the invite.

Specification: Server-server API, "Inviting to a room".
"""

from collections.abc import Callable, Mapping

from homeserver.lab.faults.fault import Act, Case, Fault, switches
from homeserver.lab.faults.forger import Forger, changed_events, flipped
from homeserver.protocol.canonical_json import Json, as_object

_ROUTES = ("/_matrix/federation/v1/invite/", "/_matrix/federation/v2/invite/")

_RIGHT = "It tells its user that the invite failed, and sends nothing to the room."


def _event(change: Callable[[Json, Case], Json]) -> Act:
    """Another event in the answer."""

    def act(answer: Json, _: object, case: Case) -> Json:
        event = as_object(answer.get("event", {}), "`event`")
        return {**answer, "event": change(event, case)}

    return changed_events(act)


def _none(answer: Json, _: object, __: Case) -> Json:
    return {k: v for k, v in answer.items() if k != "event"}


def _unsigned(event: Json, case: Case) -> Json:
    signatures = as_object(event.get("signatures", {}), "`signatures`")
    kept = {k: v for k, v in signatures.items() if k != case.server}
    return {**event, "signatures": kept}


def _bad_signature(event: Json, case: Case) -> Json:
    signatures = as_object(event.get("signatures", {}), "`signatures`")
    own = flipped({"signatures": {case.server: signatures.get(case.server, {})}})
    return {
        **event,
        "signatures": {**signatures, **as_object(own["signatures"], "ours")},
    }


def _other(event: Json, case: Case) -> Json:
    content = as_object(event.get("content", {}), "`content`")
    forger = Forger(case, [event])
    return forger.signed({**event, "content": {**content, "membership": "join"}})


def _changed(event: Json, _: Case) -> Json:
    content = as_object(event.get("content", {}), "`content`")
    return {**event, "content": {**content, "spoiled": True}}


INVITE_FAULTS: Mapping[str, Fault[Act]] = switches(
    "invite",
    {
        "no-event": (
            "There is no event in the answer.",
            changed_events(_none),
            _RIGHT,
        ),
        "unsigned": (
            "The event lacks the signature of the invited user's server.",
            _event(_unsigned),
            _RIGHT,
        ),
        "bad-signature": (
            "The signature of the invited user's server is wrong.",
            _event(_bad_signature),
            _RIGHT,
        ),
        "other-event": (
            "The event is a join of the invited user.",
            _event(_other),
            _RIGHT,
        ),
        "changed": (
            "The event has more content than was hashed.",
            _event(_changed),
            "It sends the event that it has made, or tells its user of the failure.",
        ),
    },
    _ROUTES,
)
"""In the order in which they act."""
