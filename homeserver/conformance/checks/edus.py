"""E: EDUs of each kind: as they should be, without members, and with the wrong ones.

Rules: only the status is visible. An EDU that is malformed or about another server's
user is ignored; a status other than 200 makes its sender repeat it for ever.
"""

from collections.abc import Mapping

from homeserver.conformance.check import (
    TRUSTED_NAME,
    Check,
    Severity,
    check,
    must,
    robustness,
)
from homeserver.conformance.outcome import Outcome
from homeserver.conformance.reply import accepted
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json

_ELSEWHERE = "@user:elsewhere.invalid"
_WRONG = 5  # in place of each member

_SECTIONS: Mapping[str, str] = {
    "m.typing": "Server-server API, Typing Notifications",
    "m.presence": "Server-server API, Presence",
    "m.receipt": "Server-server API, Receipts",
    "m.direct_to_device": "Server-server API, Send-to-device messaging",
    "m.device_list_update": "Server-server API, Device Management",
    "m.signing_key_update": "Server-server API, Device Management",
}


def content_of(t: Target, kind: str, user: str) -> Json:
    """The content of a sound EDU about `user`."""
    room_id = f"!{t.fresh('room')}:elsewhere.invalid"
    named = t.facts.users[0] if t.facts.users else f"@nobody:{t.name}"
    if kind == "m.typing":
        return {"room_id": room_id, "user_id": user, "typing": True}
    if kind == "m.presence":
        state = {"user_id": user, "presence": "online", "last_active_ago": 1000}
        return {"push": [state]}
    if kind == "m.receipt":
        read = {"event_ids": ["$event"], "data": {"ts": t.now_ts}}
        return {room_id: {"m.read": {user: read}}}
    if kind == "m.direct_to_device":
        return {
            "sender": user,
            "type": "org.example.unknown",
            "message_id": t.fresh("m"),
            "messages": {named: {"DEVICE": {"text": "hello"}}},
        }
    if kind == "m.device_list_update":
        return {
            "user_id": user,
            "device_id": "DEVICE",
            "stream_id": 1,
            "prev_id": [],
            "deleted": True,
        }
    key = {"user_id": user, "usage": ["master"], "keys": {"ed25519:A": "A" * 43}}
    return {"user_id": user, "master_key": key}


def _wrong(content: Json) -> Json:
    return dict.fromkeys(content, _WRONG)


def _check(check_id: str, severity: Severity, kind: str, form: str, rule: str) -> Check:
    async def run(t: Target) -> Outcome:
        ours = t.server()
        user = _ELSEWHERE if form == "foreign" else f"@user:{ours.name}"
        sound = content_of(t, kind, user)
        content = {"empty": {}, "wrong": _wrong(sound)}.get(form, sound)
        edu = {"edu_type": kind, "content": content}
        return accepted(await t.ask(ours, content=t.transaction(ours, edus=[edu])))

    section = _SECTIONS[kind] if severity is must else ""
    return check(check_id, severity, section, needs=[TRUSTED_NAME], rule=rule)(run)


EDUS = [
    _check(f"E{tens}{units}", severity, kind, form, rule.format(kind))
    for tens, severity, form, rule in (
        (0, must, "sound", "An EDU of {} is taken."),
        (
            1,
            robustness,
            "empty",
            "An EDU of {} without its members costs nothing else.",
        ),
        (2, must, "foreign", "An EDU of {} about another server's user is ignored."),
        (3, robustness, "wrong", "An EDU of {} with wrong types costs nothing else."),
    )
    for units, kind in enumerate(_SECTIONS, 1)
]
