"""Events of other implementations in our eyes, and ours in theirs.

Synapse's are made and judged by its own functions, in `synapse_events.py`; those of
gomatrixserverlib (Dendrite, Complement) by `gomatrixserverlib/main.go`, which is built
where Go is installed and left out elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.events.event import event_id, hash_and_sign
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from tests.support.inbox import Inbox
from tests.support.json_lines import JsonLines, running
from tests.support.signed_requests import KnownKeys, Peer, signing_key

_FOLDER = Path(__file__).parent

THEM = Peer(ServerName.parse("them.example"), signing_key("g_1", b"7"))
GUEST = Peer(ServerName.parse("guest.example"), signing_key("h_1", b"8"))
PEERS = (THEM, GUEST)

VERSIONS = list(ROOM_VERSIONS)
WITH_IDS = {"1", "2"}


@dataclass
class Library:
    """Another implementation's program, running."""

    name: str
    program: JsonLines

    def ask(self, **asked: object) -> Any:
        """The answer to one question."""
        return self.program.ask(asked)

    def build(self, version: str, event: Json) -> tuple[Json, str]:
        """An event with its hash and signature, and its ID."""
        answer = self.ask(
            do="build",
            version=version,
            server=str(THEM.server_name),
            key_id=THEM.key.key_id,
            seed=encode_base64(bytes(THEM.key.key)),
            event=event,
        )
        assert "error" not in answer, answer
        return answer["event"], answer["event_id"]

    def judge(self, version: str, event: Json, *signers: Peer) -> Any:
        """What it says of an event that these servers have to have signed."""
        keys = {
            str(peer.server_name): {
                peer.key.key_id: encode_base64(peer.key.verify_key.key)
            }
            for peer in PEERS
        }
        names = [str(peer.server_name) for peer in signers]
        return self.ask(
            do="judge", version=version, keys=keys, event=event, signers=names
        )


@pytest.fixture(scope="session")
def synapse_events(installed: None) -> list[str]:
    """How the program is started that asks Synapse."""
    python = _FOLDER.parent.parent / ".venv-synapse" / "bin" / "python"
    return [str(python), str(_FOLDER / "synapse_events.py")]


@pytest.fixture(scope="module", params=["Synapse", "gomatrixserverlib"])
def library(request: pytest.FixtureRequest) -> Iterator[Library]:
    """Each of them in turn."""
    if request.param == "Synapse":
        command = request.getfixturevalue("synapse_events")
    else:
        command = [request.getfixturevalue("gomatrixserverlib")]
    with running(command) as program:
        yield Library(request.param, program)


ALICE = f"@alice:{THEM.server_name}"
GUEST_ID = f"@guest:{GUEST.server_name}"
SIGNED_INVITE: Json = {
    "display_name": "g...",
    "signed": {"mxid": GUEST_ID, "token": "t", "signatures": {}},
}

# Events of a room: the type, the state key, the content.
KINDS: dict[str, tuple[str, str | None, Json]] = {
    "message": ("m.room.message", None, {"body": "hello", "msgtype": "m.text"}),
    "join": ("m.room.member", ALICE, {"membership": "join", "displayname": "A"}),
    "levels": (
        "m.room.power_levels",
        "",
        {"users": {ALICE: 100}, "invite": 50, "notifications": {"room": 50}},
    ),
    "rules": (
        "m.room.join_rules",
        "",
        {"join_rule": "restricted", "allow": [{"type": "m.room_membership"}]},
    ),
    "visibility": ("m.room.history_visibility", "", {"history_visibility": "shared"}),
    "aliases": ("m.room.aliases", str(THEM.server_name), {"aliases": ["#a:b.org"]}),
    "redaction": ("m.room.redaction", None, {"redacts": "$x", "reason": "spam"}),
}


def event(version: str, kind: tuple[str, str | None, Json], room_id: str) -> Json:
    """An event as a server makes it before it is hashed and signed."""
    ids = ["$one:them.example"] if version in WITH_IDS else ["$" + "a" * 43]
    type_, state_key, content = kind
    made: Json = {
        "type": type_,
        "sender": ALICE,
        "room_id": room_id,
        "content": content,
        "depth": 7,
        "prev_events": ids,
        "auth_events": ids,
        "origin_server_ts": 1_700_000_000_000,
    }
    return made if state_key is None else made | {"state_key": state_key}


def create_event(version: str) -> Json:
    """The create event of a room."""
    content: Json = {"room_version": version, "creator": ALICE}
    made = event(version, ("m.room.create", "", content), "!r:them.example")
    made |= {"prev_events": [], "auth_events": [], "depth": 1}
    if version == "12":
        del made["room_id"]
        content.pop("creator")
    return made


def room_of(version: str, own_id: str) -> str:
    """The ID of the room that a create event makes."""
    return "!" + own_id[1:] if version == "12" else "!r:them.example"


def inbox() -> Inbox:
    """A server of ours that knows the keys."""
    return Inbox(KnownKeys(*PEERS))


@pytest.mark.parametrize("version", VERSIONS)
def test_we_accept_its_events(library: Library, version: str) -> None:
    """Without their create event they are accepted, and with it by the IDs it gives."""
    create, own_id = library.build(version, create_event(version))
    room_id = room_of(version, own_id)
    for kind in KINDS.values():
        pdu, its_id = library.build(version, event(version, kind, room_id))
        alone = inbox()
        alone.take("1", pdu)
        assert [each["verdict"] for each in alone.pdus] == ["accepted"]
        together = inbox()
        together.take("1", pdu, create)
        assert [each["verdict"] for each in together.pdus] == ["accepted"] * 2
        assert [each["event_id"] for each in together.pdus] == [its_id, own_id]
        assert {each["room_version"] for each in together.pdus} == {version}


@pytest.mark.parametrize("version", VERSIONS)
def test_we_see_that_its_events_were_changed(library: Library, version: str) -> None:
    """What was changed is redacted or rejected, whatever version it may be of."""
    room_id = "!" + "b" * 43 if version == "12" else "!r:them.example"
    pdu, _ = library.build(version, event(version, KINDS["message"], room_id))
    changed = inbox()
    changed.take("1", pdu | {"content": {"body": "bye"}}, pdu | {"depth": 8})
    redacted, rejected = (str(each["verdict"]) for each in changed.pdus)
    assert redacted == "redacted: content hash"
    assert rejected.startswith("rejected: signature does not verify")


def sign(version: str, made: Json, *peers: Peer) -> Json:
    """An event as it leaves servers of ours."""
    room_version = ROOM_VERSIONS[version]
    if version in WITH_IDS:
        made |= {"event_id": "$ours:them.example"}
        for member in ("prev_events", "auth_events"):
            ids = made[member]
            assert isinstance(ids, list)
            made[member] = [[each, {"sha256": "AAAA"}] for each in ids]
    for peer in peers:
        made = hash_and_sign(made, room_version, peer.server_name, [peer.key])
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_it_accepts_our_events(library: Library, version: str) -> None:
    """It finds the same ID, the same hash, and the signature that it wants."""
    room_version = ROOM_VERSIONS[version]
    create = sign(version, create_event(version), THEM)
    room_id = room_of(version, event_id(create, room_version))
    made = [event(version, kind, room_id) for kind in KINDS.values()]
    signed = [(create, [THEM]), *((sign(version, each, THEM), [THEM]) for each in made)]
    via: Json = {"membership": "join", "join_authorised_via_users_server": GUEST_ID}
    restricted = event(version, ("m.room.member", ALICE, via), room_id)
    signed.append((sign(version, restricted, THEM, GUEST), [THEM, GUEST]))
    for pdu, signers in signed:
        answer = library.judge(version, pdu, *signers)
        assert "error" not in answer, answer
        assert answer["event_id"] == event_id(pdu, room_version)
        assert not answer["redacted"]


@pytest.mark.parametrize("version", VERSIONS)
def test_it_sees_that_our_events_were_changed(library: Library, version: str) -> None:
    """It redacts what was changed after it was hashed, and refuses what was signed."""
    room_id = "!" + "b" * 43 if version == "12" else "!r:them.example"
    pdu = sign(version, event(version, KINDS["message"], room_id), THEM)
    answer = library.judge(version, pdu | {"content": {"body": "bye"}}, THEM)
    assert answer["redacted"]
    assert "error" in library.judge(version, pdu | {"depth": 8}, THEM)


INVITES: list[object] = [SIGNED_INVITE, {"display_name": "g..."}, {}]


@pytest.mark.parametrize("invite", INVITES, ids=["signed", "without signed", "empty"])
@pytest.mark.parametrize("version", VERSIONS)
def test_third_party_invites(library: Library, version: str, invite: object) -> None:
    """Synapse's are as ours, and the others' as well up to version 10.

    Then gomatrixserverlib redacts all of `third_party_invite`: its event IDs and its
    signatures are others, and the verdict says why the signature does not count.
    """
    content: Json = {"membership": "invite", "third_party_invite": invite}
    create, own_id = library.build(version, create_event(version))
    room_id = room_of(version, own_id)
    made = event(version, ("m.room.member", GUEST_ID, content), room_id)
    its_pdu, its_id = library.build(version, made)
    ours = inbox()
    ours.take("1", create, its_pdu)
    judged = ours.pdus[1]
    answer = library.judge(version, sign(version, made, THEM, GUEST), THEM, GUEST)
    if library.name == "gomatrixserverlib" and version in {"11", "12"}:
        assert judged["event_id"] != its_id
        assert str(judged["verdict"]).startswith(
            "accepted: a third-party invite needs no signature; signature does not "
            "verify: ed25519:g_1 over event $"
        )
        assert "error" in answer
    else:
        assert (judged["verdict"], judged["event_id"]) == ("accepted", its_id)
        assert "error" not in answer, answer
