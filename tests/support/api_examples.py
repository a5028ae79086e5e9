"""Real requests to the control API with their answers, the same at each run."""

from collections.abc import Callable, Mapping
from random import Random
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json, as_list, as_object, as_text, encode
from homeserver.protocol.device_lists import DeviceList, ListedDevice
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.discovery import Resolution, Route, Step
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.events.version_inference import VersionSource
from homeserver.protocol.identifiers import RoomId, ServerName, UserId
from homeserver.protocol.key_documents import build_v1, build_v2
from homeserver.storage.device_lists import DeviceListStore, KnownDevices
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.pending_memberships import PendingMembership, PendingStore
from homeserver.storage.received import ReceivedTransaction
from homeserver.storage.refusals import Refusal, RefusalStore
from homeserver.users.made_keys import KeyMaker
from tests.support.control_side import NOW, Panel
from tests.support.coroutines import result_of
from tests.support.http_connection import Answer
from tests.support.manual_sender import US
from tests.support.pdus import message
from tests.support.scripted_servers import LEAF
from tests.support.signed_requests import THEM

_EDU: Json = {
    "edu_type": "m.typing",
    "content": {"room_id": "!r:us.example", "user_id": "@a:us.example"},
}
_TARGET = "/v1/send/them.example"


class Example(Struct, frozen=True):
    """A request and its answer."""

    target: str
    body: Json | None
    answer: Answer


Examples = Mapping[tuple[str, str], Example]
"""By method and template."""


def collect() -> Examples:
    """An example for each route that answers in JSON."""
    panel = Panel()
    found: dict[tuple[str, str], Example] = {}

    def ask(method: str, template: str, target: str, body: Json | None = None) -> None:
        answer = panel.ask(method, target, body)
        found[method, template] = Example(target, body, answer)

    entries, entry = "/v1/send/{destination}", "/v1/send/{destination}/{id}"
    peer, name = "/v1/peers/{name}", "/v1/peers/them.example"
    _receive(panel)
    _refuse(panel)
    _answer_look_ups(panel)
    ask("GET", "/health", "/health")
    ask("GET", "/v1/bounds", "/v1/bounds")
    ask("POST", entries, _TARGET, {"edus": [_EDU]})
    panel.start()
    panel.clock.advance(0)
    panel.carrier.lose(Unreachable(THEM.server_name, ["a.org:8448: timed out"]))
    ask("GET", entry, f"{_TARGET}/1")
    ask("GET", "/v1/peers", "/v1/peers")
    ask("GET", peer, name)
    ask("GET", f"{peer}/report", f"{name}/report")
    ask("GET", "/v1/report/{name}", "/v1/report/them.example")
    ask("DELETE", entry, f"{_TARGET}/1")
    ask("DELETE", entries, _TARGET)
    ask("POST", f"{peer}/retry", f"{name}/retry")
    ask("PUT", f"{peer}/pin", f"{name}/pin", {"certificate_sha256": "0a" * 32})
    ask("DELETE", f"{peer}/pin", f"{name}/pin")
    ask("GET", "/v1/received", "/v1/received?origin=them.example&limit=1")
    ask("GET", "/v1/refused", "/v1/refused?after=0")
    ask("GET", "/v1/caches", "/v1/caches?limit=10")
    ask("DELETE", "/v1/caches", "/v1/caches")
    ask("GET", "/v1/resolve/{name}", "/v1/resolve/them.example")
    ask("GET", "/v1/keys/{name}", "/v1/keys/them.example")
    _ask_about_rooms(panel, ask)
    _ask_about_users(panel, ask)
    for method in ("POST", "GET", "DELETE"):
        ask(method, "/v1/policy", "/v1/policy")
    state = "/v1/state?of=received,refused"
    forgetting = panel.begin("DELETE", state)
    panel.clock.pump([0] * 10)
    [answer] = forgetting.answers()
    found["DELETE", "/v1/state"] = Example(state, None, answer)
    return found


def _ask_about_rooms(panel: Panel, ask: Callable[..., None]) -> None:
    own = panel.identity.server_name
    every, one = "/v1/rooms", "/v1/rooms/{room_id}"
    bob: Json = {"user_id": f"@bob:{own}"}
    new: Json = {"room_version": "11", "preset": "public_chat", "alias": f"#a:{own}"}
    ask("POST", every, every, new)
    ask("GET", every, every)
    [listed] = as_list(panel.ask("GET", every).json["rooms"], "rooms")
    room_id = as_text(as_object(listed, "a room")["room_id"], "room_id")
    room = f"{every}/{quote(room_id, '')}"
    ask("GET", one, room)
    message: Json = {"type": "m.room.message", "content": {"body": "hello"}}
    ask("POST", f"{one}/events", f"{room}/events", message)
    [end] = as_list(panel.ask("GET", room).json["extremities"], "the ends")
    sent = as_text(end, "an end")
    event = f"{room}/events/{quote(sent, '')}"
    ask("POST", f"{one}/redact", f"{room}/redact", {"event_id": sent})
    ask("GET", f"{one}/events/{{event_id}}", event)
    ask("POST", f"{one}/join", f"{room}/join", bob)
    _ask_to_knock(panel, ask)
    _ask_for_invites(panel, ask)
    ask("POST", f"{one}/leave", f"{room}/leave", bob)
    ask("POST", f"{one}/invite", f"{room}/invite", bob)
    ask("POST", f"{one}/leave", f"{room}/leave", bob)
    ask("POST", f"{one}/ban", f"{room}/ban", bob | {"reason": "spam"})
    ask("GET", f"{one}/members", f"{room}/members?membership=ban")
    ask("GET", f"{one}/graph", f"{room}/graph?after=6&limit=2")
    ask("GET", f"{one}/events", f"{room}/events?after=6&limit=2&wait=20")
    ask("POST", f"{one}/backfill", f"{room}/backfill", {"limit": 50})
    ask("GET", f"{one}/state", f"{room}/state?at={quote(sent, '')}")


def _ask_about_users(panel: Panel, ask: Callable[..., None]) -> None:
    own = panel.identity.server_name
    every, one, media = "/v1/users", "/v1/users/{user_id}", "/v1/media"
    user = f"{every}/{quote(f'@alice:{own}', '')}"
    device: Json = {"device_id": "A", "display_name": "phone", "one_time_keys": 1}
    ask(
        "POST",
        every,
        every,
        {
            "user_id": f"@alice:{own}",
            "displayname": "Alice",
            "devices": [device],
            "cross_signing": True,
            "openid_tokens": ["secret"],
        },
    )
    ask("GET", every, every)
    ask("GET", one, user)
    ask("DELETE", one, user)
    _ask_about_devices(panel, ask)
    ask("POST", media, media, {"media_id": "cat", "content": "meow"})
    ask("GET", media, media)
    ask("DELETE", f"{media}/{{media_id}}", f"{media}/cat")


def _ask_about_devices(panel: Panel, ask: Callable[..., None]) -> None:
    bob = UserId.parse(f"@bob:{THEM.server_name}")
    made, _ = KeyMaker(bob.user_id, Random(1)).device("A")
    devices = DeviceList(7, {"A": ListedDevice("A", "phone", made)})
    known = KnownDevices(bob, devices)
    own = panel.identity.server_name
    result_of(DeviceListStore(panel.database, own).change(bob, lambda _: known))
    every = "/v1/device_lists"
    ask("GET", every, every)
    ask("GET", f"{every}/{{user_id}}", f"{every}/{quote(bob.user_id, '')}")


def _ask_for_invites(panel: Panel, ask: Callable[..., None]) -> None:
    event = encode(message())
    own, bob = panel.identity.server_name, f"@bob:{panel.identity.server_name}"
    invite = PendingMembership(
        RoomId("!r:them.example"),
        UserId.parse(bob),
        THEM.server_name,
        "11",
        event,
        b"[]",
    )
    result_of(PendingStore(panel.database, own).record(invite))
    ask("GET", "/v1/invites", "/v1/invites")
    knock = replace(invite, room_id=RoomId("!k:them.example"), membership="knock")
    result_of(PendingStore(panel.database, own).record(knock))
    ask("GET", "/v1/knocks", "/v1/knocks")


def _ask_to_knock(panel: Panel, ask: Callable[..., None]) -> None:
    rule: Json = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    made = panel.ask("POST", "/v1/rooms", {"initial_state": [rule]}).json
    room = quote(as_text(made["room_id"], "room_id"), "")
    bob: Json = {"user_id": f"@bob:{panel.identity.server_name}", "reason": "hello"}
    ask("POST", "/v1/rooms/{room_id}/knock", f"/v1/rooms/{room}/knock", bob)


def _receive(panel: Panel) -> None:
    """Let a transaction have come."""
    event = message()
    pdu = JudgedPdu(
        Event.parse(event, ROOM_VERSIONS["11"]).event_id,
        "11",
        "accepted",
        encode(event),
        VersionSource.DEFAULT,
    )
    transaction = ReceivedTransaction(
        origin=THEM.server_name,
        txn_id="1700000000-1",
        received_ts=int(NOW * 1000),
        key_id=THEM.key.key_id,
        client_certificate=None,
        pdus=[pdu],
        edus=[_EDU],
        problems=[],
        reply=b"{}",
    )
    result_of(panel.received.record(transaction))


def _refuse(panel: Panel) -> None:
    """Let a request have been refused."""
    refusal = Refusal(
        refused_ts=int(NOW * 1000),
        address="192.0.2.7",
        origin="them.example",
        proven=False,
        method="PUT",
        path="/_matrix/federation/v1/send/1",
        status=401,
        errcode="M_UNAUTHORIZED",
        error="signature does not verify: ed25519:t_1 of them.example",
        reason="bad_signature",
        hints=(
            Hint(
                "method",
                "another `method` was signed; sign that of the request line",
                "put",
                "PUT",
            ),
        ),
    )
    result_of(RefusalStore(panel.database, US).record([refusal]))


def _answer_look_ups(panel: Panel) -> None:
    """Let the other server be found, and have key documents."""
    name: ServerName = THEM.server_name
    steps = [Step("srv", "_matrix-fed._tcp.them.example", "10 5 8448 a.org")]
    route = Route("a.org", 8448, "them.example", "them.example", 10, 5)
    panel.routes.outcomes[name.name] = Resolution(name, steps, [route])
    later = int(NOW * 1000) + 86_400_000
    panel.carrier.documents = {
        "/_matrix/key/v1": (200, encode(build_v1(name, LEAF, [THEM.key]))),
        "/_matrix/key/v2/server": (200, encode(build_v2(name, [THEM.key], [], later))),
    }
