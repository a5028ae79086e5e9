"""Faults of a policy server, which a server of the lab is after `POST /v1/policy`.

Rules: those of `fault`. One that is slow or busy has faults of `http`.

Specification: Server-server API, "Policy Servers".
"""

from collections.abc import Mapping

from homeserver.http.reply import Reply, error_reply
from homeserver.lab.faults.bodies import changed
from homeserver.lab.faults.fault import Act, Case, Continue, Fault, flag
from homeserver.protocol.canonical_json import Json, encode_base64, parse_object
from homeserver.protocol.events.event import redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.signing import POLICY_KEY_ID, SigningKey, signed_bytes

_ROUTES = ("/_matrix/policy/v1/sign",)

_NOT_SENT = (
    "It sends no event of its own without the signature, and says why; one that it "
    "received is soft-failed."
)


async def _refuse(_: object, __: Continue, ___: Case) -> Reply:
    return error_reply(400, "M_FORBIDDEN", "a rule of the lab says so")


def _unsigned(_: Json, __: object, ___: Case) -> Json:
    return {}


def _wrong_key(answer: Json, _: object, case: Case) -> Json:
    return _signature(answer, case.keys.spare(case.server, POLICY_KEY_ID), case)


def _other_event(answer: Json, _: object, case: Case) -> Json:
    key = case.keys.policy(case.server)
    return _signature(answer, key, case, origin_server_ts=0)


def _signature(
    answer: Json, key: SigningKey | None, case: Case, **changes: object
) -> Json:
    """The signature of the event that was sent, or of one that differs from it."""
    content = case.request.content
    if key is None or content is None:
        return answer
    content.seek(0)
    event = {**parse_object(content.read()), **changes}
    message = signed_bytes(redact(event, ROOM_VERSIONS["11"]))
    return {case.server: {POLICY_KEY_ID: encode_base64(key.sign(message))}}


def _other_server(answer: Json, _: object, case: Case) -> Json:
    return {"spoiled.invalid": answer.get(case.server)}


POLICY_FAULTS: Mapping[str, Fault[Act]] = {
    f"policy.{name}": Fault(
        summary, _NOT_SENT, flag(f"policy.{name}"), act, "true", _ROUTES
    )
    for name, (summary, act) in {
        "refuse": ("The answer is 400 `M_FORBIDDEN`, and no work is done.", _refuse),
        "unsigned": ("The answer has no signature.", changed(_unsigned)),
        "wrong-key": (
            "The signature is that of another key than the room names.",
            changed(_wrong_key),
        ),
        "other-event": (
            "The signature is that of another event.",
            changed(_other_event),
        ),
        "other-server": (
            "The signature is one of another server.",
            changed(_other_server),
        ),
    }.items()
}
"""In the order in which they act."""
