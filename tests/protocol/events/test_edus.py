"""What EDUs of each type have to hold, and whose users they may speak for."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import BadJson, ProtocolError, TooLarge
from homeserver.protocol.events import edus
from homeserver.protocol.identifiers import ServerName, UserId

A = ServerName.parse("a.example")
OWN, FOREIGN = "@u:a.example", "@u:b.example"


def edu(kind: str, content: Json) -> Json:
    """An EDU."""
    return {"edu_type": kind, "content": content}


PUSH: Json = {"user_id": OWN, "presence": "online", "last_active_ago": 5}
RECEIPT: Json = {"event_ids": ["$e"], "data": {"ts": 1}}
TO_DEVICE: Json = {
    "sender": OWN,
    "type": "m.x",
    "message_id": "1",
    "messages": {FOREIGN: {"*": {}}},
}
DEVICE: Json = {"user_id": OWN, "device_id": "D", "stream_id": 1}

GOOD: Sequence[tuple[str, Json]] = [
    ("m.presence", {"push": [PUSH]}),
    ("m.presence", {"push": [PUSH | {"status_msg": "x", "currently_active": True}]}),
    ("m.presence", {"push": [PUSH | {"presence": "free_for_chat"}]}),
    ("m.presence", {"push": [PUSH | {"status_msg": None}]}),
    ("m.presence", {"push": [{"user_id": OWN, "presence": "offline"}]}),
    ("m.presence", {"push": [], "poll": [FOREIGN], "unpoll": [OWN]}),
    ("m.presence", {"poll": []}),
    ("m.presence_invite", {"observer_user": OWN, "observed_user": FOREIGN}),
    ("m.presence_accept", {"observer_user": FOREIGN, "observed_user": OWN}),
    ("m.presence_deny", {"observer_user": FOREIGN, "observed_user": OWN}),
    ("m.typing", {"room_id": "!r:b.example", "user_id": OWN, "typing": False}),
    ("m.receipt", {"!r:b.example": {"m.read": {OWN: RECEIPT}}}),
    (
        "m.receipt",
        {"!r": {"m.read": {OWN: RECEIPT | {"data": {"ts": 1, "thread_id": "$e"}}}}},
    ),
    ("m.receipt", {}),
    ("m.direct_to_device", TO_DEVICE),
    ("m.direct_to_device", TO_DEVICE | {"message_id": "x" * 32}),
    ("m.device_list_update", DEVICE),
    (
        "m.device_list_update",
        DEVICE
        | {"prev_id": [1], "deleted": True, "keys": {}, "device_display_name": "x"},
    ),
    ("m.signing_key_update", {"user_id": OWN, "master_key": {}}),
    ("x.unknown", {"anything": [1.5]}),
]

BAD: Sequence[tuple[str, Json, str]] = [
    ("m.presence", {}, "it has none of `push`, `poll` and `unpoll`"),
    ("m.presence", {"push": {}}, "`push` is not a list"),
    ("m.presence", {"push": [5]}, "an entry of `push` is not a JSON object"),
    (
        "m.presence",
        {"push": [PUSH | {"user_id": FOREIGN}]},
        "which is not a user of a.example",
    ),
    ("m.presence", {"push": [PUSH | {"user_id": 5}]}, "`user_id` is not a string"),
    ("m.presence", {"push": [PUSH | {"presence": "away"}]}, "`presence` is 'away'"),
    ("m.presence", {"push": [PUSH | {"last_active_ago": "x"}]}, "is not an integer"),
    ("m.presence", {"push": [PUSH | {"status_msg": 5}]}, "`status_msg` is not a str"),
    ("m.presence", {"push": [PUSH | {"currently_active": 1}]}, "is not a boolean"),
    ("m.presence", {"poll": ["u"]}, "not a user ID"),
    ("m.presence", {"unpoll": [5]}, "an entry of `unpoll` is not a string"),
    (
        "m.presence_invite",
        {"observer_user": FOREIGN, "observed_user": OWN},
        "`observer_user` is '@u:b.example', which is not a user of a.example",
    ),
    ("m.presence_invite", {"observer_user": OWN}, "`observed_user` is missing"),
    (
        "m.presence_accept",
        {"observer_user": OWN, "observed_user": FOREIGN},
        "`observed_user` is '@u:b.example'",
    ),
    ("m.presence_deny", {"observed_user": OWN}, "`observer_user` is missing"),
    ("m.typing", {"user_id": OWN, "typing": True}, "`room_id` is missing"),
    (
        "m.typing",
        {"room_id": "!r:a.example", "user_id": FOREIGN, "typing": True},
        "`user_id` is '@u:b.example'",
    ),
    (
        "m.typing",
        {"room_id": "!r:a.example", "user_id": OWN, "typing": 1},
        "`typing` is not a boolean",
    ),
    ("m.receipt", {"!r": 5}, "the room '!r' is not a JSON object"),
    ("m.receipt", {"!r": {"m.read": 5}}, "'m.read' is not a JSON object"),
    ("m.receipt", {"!r": {"m.read": {FOREIGN: RECEIPT}}}, "the reader is"),
    ("m.receipt", {"!r": {"m.read": {OWN: 5}}}, "a receipt is not a JSON object"),
    ("m.receipt", {"!r": {"m.read": {OWN: {"data": {}}}}}, "`event_ids` is missing"),
    (
        "m.receipt",
        {"!r": {"m.read": {OWN: {"event_ids": [5], "data": {}}}}},
        "an entry of `event_ids` is not a string",
    ),
    (
        "m.receipt",
        {"!r": {"m.read": {OWN: {"event_ids": []}}}},
        "`data` is missing",
    ),
    (
        "m.receipt",
        {"!r": {"m.read": {OWN: RECEIPT | {"data": {}}}}},
        "`ts` is missing",
    ),
    (
        "m.receipt",
        {"!r": {"m.read": {OWN: RECEIPT | {"data": {"ts": 1, "thread_id": 5}}}}},
        "`thread_id` is not a string",
    ),
    ("m.direct_to_device", TO_DEVICE | {"sender": FOREIGN}, "`sender` is"),
    ("m.direct_to_device", TO_DEVICE | {"type": 5}, "`type` is not a string"),
    ("m.direct_to_device", TO_DEVICE | {"message_id": "x" * 33}, "more than 32"),
    ("m.direct_to_device", TO_DEVICE | {"messages": []}, "`messages` is not a JSON"),
    ("m.direct_to_device", TO_DEVICE | {"messages": {"u": {}}}, "not a user ID"),
    (
        "m.direct_to_device",
        TO_DEVICE | {"messages": {OWN: 5}},
        "devices of a recipient",
    ),
    (
        "m.direct_to_device",
        TO_DEVICE | {"messages": {OWN: {"D": 5}}},
        "a message is not",
    ),
    ("m.device_list_update", DEVICE | {"user_id": FOREIGN}, "`user_id` is"),
    ("m.device_list_update", DEVICE | {"device_id": 5}, "`device_id` is not a string"),
    ("m.device_list_update", DEVICE | {"stream_id": "1"}, "`stream_id` is not an int"),
    ("m.device_list_update", DEVICE | {"prev_id": ["1"]}, "an entry of `prev_id`"),
    ("m.device_list_update", DEVICE | {"deleted": 1}, "`deleted` is not a boolean"),
    ("m.device_list_update", DEVICE | {"keys": []}, "`keys` is not a JSON object"),
    ("m.signing_key_update", {"user_id": FOREIGN}, "`user_id` is '@u:b.example'"),
    ("m.signing_key_update", {"user_id": OWN, "master_key": 5}, "`master_key` is not"),
]


@pytest.mark.parametrize(("kind", "content"), GOOD)
def test_good(kind: str, content: Json) -> None:
    """An EDU of a known type has its type's form; of others nothing is demanded."""
    edus.check(edu(kind, content), A)


@pytest.mark.parametrize(("kind", "content", "why"), BAD)
def test_bad(kind: str, content: Json, why: str) -> None:
    """An EDU that has not its type's form, or speaks for others, is told why."""
    with pytest.raises(ProtocolError) as caught:
        edus.check(edu(kind, content), A)
    assert why in str(caught.value)


def test_users_of_the_very_server() -> None:
    """A server of another port is another server."""
    with pytest.raises(ProtocolError, match="which is not a user of"):
        edus.check(edu("m.presence", {"push": [PUSH]}), ServerName.parse("a.example:1"))


def test_size() -> None:
    """An EDU of 64 KiB is looked at, and a larger one is not."""
    empty = len('{"content":{"x":""},"edu_type":"x"}')
    edus.check(edu("x", {"x": "a" * (edus.MAX_EDU_BYTES - empty)}), A)
    with pytest.raises(TooLarge, match="it has 65537 bytes"):
        edus.check(edu("x", {"x": "a" * (edus.MAX_EDU_BYTES - empty + 1)}), A)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from([OWN, FOREIGN, ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "push",
                    "poll",
                    "user_id",
                    "presence",
                    "messages",
                    OWN,
                    "m.read",
                    "keys",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(
    st.sampled_from([kind for kind, _ in GOOD]),
    st.dictionaries(st.sampled_from(["push", "poll", "!r", "messages"]), _JSON),
)
def test_any_content_is_good_or_refused(kind: str, content: Json) -> None:
    """Whatever an EDU holds, the check passes or raises a `ProtocolError`."""
    try:
        edus.check(edu(kind, content), A)
    except ProtocolError:
        return
    for user_id in edus.polled_users(edu(kind, content)):
        assert isinstance(user_id, UserId)


def test_polled_users() -> None:
    """A presence EDU may ask for users; no other EDU asks for any."""
    content: Json = {"poll": [OWN, FOREIGN]}
    polled = edus.polled_users(edu("m.presence", content))
    assert [str(user_id) for user_id in polled] == [OWN, FOREIGN]
    assert edus.polled_users(edu("m.presence", {"push": []})) == []
    assert edus.polled_users(edu("m.typing", content)) == []


def test_answer_to_a_poll() -> None:
    """A poll is answered by a push that is a good EDU of its server."""
    users = [(UserId.parse(OWN), True), (UserId.parse("@v:a.example"), False)]
    answer = edus.build_presence(users)
    edus.check(answer, A)
    assert answer["content"] == {
        "push": [
            {"user_id": OWN, "presence": "online", "last_active_ago": 0},
            {"user_id": "@v:a.example", "presence": "offline", "last_active_ago": 0},
        ]
    }
    assert edus.polled_users(answer) == []


@pytest.mark.parametrize(
    "malformed", [{}, {"edu_type": "m.x"}, {"edu_type": 5, "content": {}}]
)
def test_what_is_no_edu(malformed: Json) -> None:
    """What has not the form of every EDU is refused as such."""
    with pytest.raises(BadJson, match=r"^`(edu_type|content)` is (missing|not a )"):
        edus.check(malformed, ServerName.parse("a.example"))
