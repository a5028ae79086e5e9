"""EDUs by type: required members, and the server of the users that they speak for.

Rules: an EDU of an unknown type is not an error. An invalid EDU of a known type is
reported and recorded; it does not invalidate its transaction.

Specification: Server-server API, "EDUs"; the November 2014 text, "Protocol URLs" and
"EDUs", for presence with `poll`.
"""

from collections.abc import Callable, Iterable, Mapping

from homeserver.protocol.canonical_json import (
    Json,
    as_integer,
    as_list,
    as_object,
    as_text,
    encode,
    not_a,
)
from homeserver.protocol.errors import MISSING, BadJson, TooLarge, quote
from homeserver.protocol.identifiers import ServerName, UserId

# The specification has no limit; this is the limit of PDUs, and Synapse keeps its own
# EDUs below it.
MAX_EDU_BYTES = 65536

# Types that are useless when late; all others must be delivered.
EPHEMERAL = frozenset({"m.typing", "m.presence"})

_MAX_MESSAGE_ID = 32  # code points; Server-server API, "m.direct_to_device"

# Those of today, and "free_for_chat" of 2014.
_PRESENCES = frozenset({"offline", "unavailable", "online", "free_for_chat"})


def check(edu: Json, origin: ServerName) -> None:
    """Check an EDU of `origin`: its members, and that its users are of `origin`.

    Raises `ProtocolError`.
    """
    size = len(encode(edu))
    if size > MAX_EDU_BYTES:
        raise TooLarge(f"it has {size} bytes; the limit is {MAX_EDU_BYTES}")
    kind = as_text(edu.get("edu_type", MISSING), "`edu_type`")
    content = as_object(edu.get("content", MISSING), "`content`")
    rule = _CHECKS.get(kind)
    if rule is not None:
        rule(content, origin)


def polled_users(edu: Json) -> list[UserId]:
    """The users whose presence a checked EDU asks for, as servers of 2014 do."""
    content = as_object(edu["content"], "`content`")
    if edu["edu_type"] != "m.presence":
        return []
    return _users(content.get("poll", []), "`poll`")


def build_presence(users: Iterable[tuple[UserId, bool]]) -> Json:
    """The answer to a poll, from pairs of a user and whether they are online."""
    return {
        "edu_type": "m.presence",
        "content": {
            "push": [
                {
                    "user_id": str(user_id),
                    "presence": "online" if is_online else "offline",
                    "last_active_ago": 0,
                }
                for user_id, is_online in users
            ]
        },
    }


def _check_presence(content: Json, origin: ServerName) -> None:
    if not content.keys() & {"push", "poll", "unpoll"}:
        raise BadJson("it has none of `push`, `poll` and `unpoll`")
    for value in as_list(content.get("push", []), "`push`"):
        entry = as_object(value, "an entry of `push`")
        _check_own(entry.get("user_id", MISSING), "`user_id`", origin)
        presence = as_text(entry.get("presence", MISSING), "`presence`")
        if presence not in _PRESENCES:
            raise BadJson(
                f"`presence` is {quote(presence)}, which is not a presence state"
            )
        # Required by the specification; Synapse omits it for users never active.
        _optional(entry, "last_active_ago", as_integer)
        _optional(entry, "status_msg", as_text)
        _optional(entry, "currently_active", _as_boolean)
    _users(content.get("poll", []), "`poll`")
    _users(content.get("unpoll", []), "`unpoll`")


def _check_invite(content: Json, origin: ServerName) -> None:
    """The observer asks, so the observer must be of `origin`."""
    _check_own(content.get("observer_user", MISSING), "`observer_user`", origin)
    _user(content.get("observed_user", MISSING), "`observed_user`")


def _check_invite_answer(content: Json, origin: ServerName) -> None:
    _check_own(content.get("observed_user", MISSING), "`observed_user`", origin)
    _user(content.get("observer_user", MISSING), "`observer_user`")


def _check_typing(content: Json, origin: ServerName) -> None:
    as_text(content.get("room_id", MISSING), "`room_id`")
    _check_own(content.get("user_id", MISSING), "`user_id`", origin)
    _as_boolean(content.get("typing", MISSING), "`typing`")


def _check_receipt(content: Json, origin: ServerName) -> None:
    for room_id, kinds in content.items():
        for kind, users in as_object(kinds, f"the room {quote(room_id)}").items():
            for user_id, value in as_object(users, quote(kind)).items():
                _check_own(user_id, "the reader", origin)
                receipt = as_object(value, "a receipt")
                for event_id in as_list(
                    receipt.get("event_ids", MISSING), "`event_ids`"
                ):
                    as_text(event_id, "an entry of `event_ids`")
                data = as_object(receipt.get("data", MISSING), "`data`")
                as_integer(data.get("ts", MISSING), "`ts`")
                _optional(data, "thread_id", as_text)


def _check_to_device(content: Json, origin: ServerName) -> None:
    _check_own(content.get("sender", MISSING), "`sender`", origin)
    as_text(content.get("type", MISSING), "`type`")
    message_id = as_text(content.get("message_id", MISSING), "`message_id`")
    if len(message_id) > _MAX_MESSAGE_ID:
        raise BadJson(f"`message_id` has more than {_MAX_MESSAGE_ID} characters")
    messages = as_object(content.get("messages", MISSING), "`messages`")
    for user_id, devices in messages.items():
        _user(user_id, "a recipient")
        for message in as_object(devices, "the devices of a recipient").values():
            as_object(message, "a message")


def _check_device_list(content: Json, origin: ServerName) -> None:
    _check_own(content.get("user_id", MISSING), "`user_id`", origin)
    as_text(content.get("device_id", MISSING), "`device_id`")
    as_integer(content.get("stream_id", MISSING), "`stream_id`")
    for each in as_list(content.get("prev_id", []), "`prev_id`"):
        as_integer(each, "an entry of `prev_id`")
    _optional(content, "device_display_name", as_text)
    _optional(content, "deleted", _as_boolean)
    _optional(content, "keys", as_object)


def _check_signing_keys(content: Json, origin: ServerName) -> None:
    _check_own(content.get("user_id", MISSING), "`user_id`", origin)
    _optional(content, "master_key", as_object)
    _optional(content, "self_signing_key", as_object)


_CHECKS: Mapping[str, Callable[[Json, ServerName], None]] = {
    "m.presence": _check_presence,
    "m.presence_invite": _check_invite,
    "m.presence_accept": _check_invite_answer,
    "m.presence_deny": _check_invite_answer,
    "m.typing": _check_typing,
    "m.receipt": _check_receipt,
    "m.direct_to_device": _check_to_device,
    "m.device_list_update": _check_device_list,
    "m.signing_key_update": _check_signing_keys,
}

TYPES = frozenset(_CHECKS)
"""The known types."""


def _check_own(value: object, what: str, origin: ServerName) -> None:
    """Raise `BadJson` for a user of a server other than `origin`."""
    user_id = _user(value, what)
    if user_id.server_name != origin:
        raise BadJson(
            f"{what} is {quote(str(user_id))}, which is not a user of {origin}"
        )


def _user(value: object, what: str) -> UserId:
    return UserId.parse(as_text(value, what))


def _users(value: object, what: str) -> list[UserId]:
    return [_user(each, f"an entry of {what}") for each in as_list(value, what)]


def _as_boolean(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise not_a("a boolean", value, what)
    return value


def _optional(
    content: Json, member: str, check_value: Callable[[object, str], object]
) -> None:
    """Check a member that may be missing or null."""
    value = content.get(member)
    if value is not None:
        check_value(value, f"`{member}`")
