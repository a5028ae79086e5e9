"""A third-party identifier is bound to a user of ours, and the invites that follow."""

from typing import Any

import pytest

from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.calls import Call
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.state import membership
from homeserver.protocol.signing import sign
from homeserver.users.users import User, Users
from tests.support.coroutines import result_of
from tests.support.http_connection import Answer, Connection, ask, chunked, request
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import ALICE, BOB
from tests.support.room_side import RoomSide
from tests.support.signed_requests import THEM, signing_key

ANN = f"@ann:{OUR_NAME}"
MAIL = signing_key("0", b"9")
PATH = "/_matrix/federation/v1/3pid/onbind"


class Senders:
    """The servers of those who invited."""

    def __init__(self) -> None:
        self.asked: list[tuple[ServerName, Call, Cause]] = []
        self.failure: Exception | None = None

    async def ask(
        self, destination: ServerName, call: Call, cause: Cause = OURSELVES
    ) -> Json:
        """As `FederationCalls`."""
        self.asked.append((destination, call, cause))
        if self.failure is not None:
            raise self.failure
        return {}


class Scene:
    """A server with a user who has been invited by mail."""

    def __init__(self) -> None:
        self.senders = Senders()
        self.side = RoomSide(self.senders)
        users = self.side.server.users = Users(OUR_NAME)
        users.put(User(user_id=ANN, stream_id=1))

    def bind(self, *invites: object, **changes: object) -> Answer:
        """The answer to an identity server."""
        body = {
            "medium": "email",
            "address": "ann@us.example",
            "mxid": ANN,
            "invites": [*invites],
            **changes,
        }
        body = {k: v for k, v in body.items() if v is not None}
        return ask(self.side.site, "PUT", PATH, [], encode(body))


def invite(sender: str = BOB.user_id, room_id: str = "!r:them.example") -> Any:
    """One invite by mail."""
    signed = sign(
        {"mxid": ANN, "token": "token"}, ServerName.parse("mail.example"), [MAIL]
    )
    return {
        "medium": "email",
        "address": "ann@us.example",
        "mxid": ANN,
        "room_id": room_id,
        "sender": sender,
        "signed": signed,
    }


@pytest.fixture
def scene() -> Scene:
    """The server."""
    return Scene()


def test_the_sender_s_server_is_asked(scene: Scene) -> None:
    """With what is signed, at the client's expense."""
    answer = scene.bind(invite())
    assert (answer.status, answer.json) == (200, {})
    [(name, call, cause)] = scene.senders.asked
    assert name == THEM.server_name
    assert call.path.endswith("/exchange_third_party_invite/!r:them.example")
    assert not cause.is_ours
    content: Any = call.content
    assert content["state_key"] == ANN
    third_party = content["content"]["third_party_invite"]
    assert third_party["signed"] == invite()["signed"]


def test_an_invite_to_a_room_of_ours_is_made_here(scene: Scene) -> None:
    """No other server is asked where the sender is a user of ours."""
    content: Json = {
        "display_name": "a...",
        "key_validity_url": "https://mail.example/",
        "public_key": encode_base64(MAIL.verify_key.key),
    }
    state = [NewEvent("m.room.third_party_invite", ALICE, content, "token")]
    room = scene.side.ours.create("11", initial_state=state)
    assert scene.bind(invite(ALICE.user_id, room.room_id)).status == 200
    known = result_of(scene.side.ours.rooms.known(room.room_id))
    assert membership(known.current, ANN) == "invite"
    assert scene.senders.asked == []


@pytest.mark.parametrize(
    "failure",
    [
        Refused(THEM.server_name, 403, "M_FORBIDDEN", "no"),
        Unreachable(THEM.server_name, ["no route"]),
    ],
    ids=repr,
)
def test_what_a_server_refuses_is_passed_over(scene: Scene, failure: Exception) -> None:
    """The others are asked all the same."""
    scene.senders.failure = failure
    assert scene.bind(invite(), invite(ALICE.user_id), invite()).status == 200
    assert len(scene.senders.asked) == 2


WRONG: list[tuple[list[Any], dict[str, object], int, str]] = [
    ([], {"medium": None}, 400, "M_MISSING_PARAM"),
    ([], {"address": None}, 400, "M_MISSING_PARAM"),
    ([], {"mxid": None}, 400, "M_MISSING_PARAM"),
    ([], {"invites": None}, 400, "M_MISSING_PARAM"),
    ([], {"mxid": "x"}, 400, "M_INVALID_PARAM"),
    ([], {"mxid": BOB.user_id}, 404, "M_NOT_FOUND"),
    ([], {"invites": {}}, 400, "M_BAD_JSON"),
    ([invite()] * 11, {}, 400, "M_INVALID_PARAM"),
    ([invite(), 1], {}, 400, "M_BAD_JSON"),
    ([{**invite(), "mxid": BOB.user_id}], {}, 400, "M_INVALID_PARAM"),
    ([{**invite(), "signed": {"mxid": BOB.user_id}}], {}, 400, "M_INVALID_PARAM"),
    ([{**invite(), "sender": "x"}], {}, 400, "M_INVALID_PARAM"),
    ([{**invite(), "room_id": "x"}], {}, 400, "M_INVALID_PARAM"),
]


@pytest.mark.parametrize(("invites", "changes", "status", "errcode"), WRONG)
def test_what_is_wrong_causes_nothing(
    scene: Scene,
    invites: list[Any],
    changes: dict[str, object],
    status: int,
    errcode: str,
) -> None:
    """It is refused as a whole, before a server is asked."""
    answer = scene.bind(*invites, **changes)
    assert (answer.status, answer.json["errcode"]) == (status, errcode)
    assert scene.senders.asked == []


def test_large_bodies_are_not_read(scene: Scene) -> None:
    """They are refused before they have come."""
    answer = scene.bind(padding="x" * 70_000)
    assert (answer.status, answer.json["errcode"]) == (413, "M_TOO_LARGE")


@pytest.mark.parametrize("in_chunks", [False, True])
def test_the_largest_body(scene: Scene, *, in_chunks: bool) -> None:
    """64 KiB are read, however they come, and not a byte more."""
    body: Json = {
        "medium": "email",
        "address": "ann@us.example",
        "mxid": ANN,
        "invites": [],
        "padding": "",
    }
    statuses = []
    for length in (65_536, 65_537):
        data = encode(body | {"padding": "x" * (length - len(encode(body)))})
        assert len(data) == length
        connection = Connection(scene.side.site)
        whole = request("PUT", PATH, [], data)
        connection.send(chunked(PATH, data, b"") if in_chunks else whole)
        [answer] = connection.answers()
        statuses.append(answer.status)
    assert statuses == [200, 413]


def test_large_bodies_in_chunks(scene: Scene) -> None:
    """What does not say its length is bounded as well, and sent to nobody."""
    invited = invite()
    invited["signed"]["padding"] = "x" * 70_000
    body: Json = {
        "medium": "email",
        "address": "ann@us.example",
        "mxid": ANN,
        "invites": [invited],
    }
    connection = Connection(scene.side.site)
    connection.send(chunked(PATH, encode(body), b""))
    [answer] = connection.answers()
    assert (answer.status, answer.json["errcode"]) == (413, "M_TOO_LARGE")
    assert scene.senders.asked == []
