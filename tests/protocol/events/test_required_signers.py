"""The servers that must sign an event: the sender's, and those its version names."""

from collections.abc import Iterable

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from tests.support.event_forms import VERSIONS, pdu_of, versions

INVITE: Json = {"membership": "invite", "third_party_invite": {"signed": {}}}
VIA: Json = {"membership": "join", "join_authorised_via_users_server": "@v:via.example"}
NO_VIA: Json = {"membership": "join", "join_authorised_via_users_server": 5}
FOREIGN_ID = "$0:id.example"

# What is special, room versions, changes, servers that must have signed.
SIGNERS: list[tuple[str, list[str], Json, str]] = [
    ("plain", VERSIONS, {}, "a.example"),
    ("port", versions(3, 12), {"sender": "@u:b.example:1"}, "b.example:1"),
    ("foreign ID", versions(1, 2), {"event_id": FOREIGN_ID}, "a.example id.example"),
    ("foreign ID", versions(3, 12), {"event_id": FOREIGN_ID}, "a.example"),
    ("third-party invite", versions(1, 2), {"content": INVITE}, "a.example"),
    (
        "third-party invite by another server",
        versions(1, 2),
        {"content": INVITE, "event_id": FOREIGN_ID},
        "id.example",
    ),
    ("third-party invite", versions(3, 12), {"content": INVITE}, ""),
    (
        "third-party invite of another type",
        VERSIONS,
        {"content": INVITE, "type": "m.room.message"},
        "a.example",
    ),
    (
        "join that says to be a third-party invite",
        VERSIONS,
        {"content": INVITE | {"membership": "join"}},
        "a.example",
    ),
    (
        "third-party invite without a membership",
        VERSIONS,
        {"content": {"third_party_invite": {}}},
        "a.example",
    ),
    ("restricted join", versions(1, 7), {"content": VIA}, "a.example"),
    ("restricted join", versions(8, 12), {"content": VIA}, "a.example via.example"),
    ("restricted join by a number", VERSIONS, {"content": NO_VIA}, "a.example"),
    (
        "restricted join of another type",
        VERSIONS,
        {"content": VIA, "type": "m.room.message"},
        "a.example",
    ),
]


def names(texts: Iterable[str]) -> frozenset[ServerName]:
    """The server names in some texts."""
    return frozenset(map(ServerName.parse, texts))


@pytest.mark.parametrize(
    ("version", "changes", "servers"),
    [row[1:] for row in ((n, v, c, s) for n, vs, c, s in SIGNERS for v in vs)],
    ids=[f"{name} in {version}" for name, those, _, _ in SIGNERS for version in those],
)
def test_required_signers(version: str, changes: Json, servers: str) -> None:
    """An event must be signed by the servers that its room version names."""
    event = Event.parse(pdu_of(version, changes), ROOM_VERSIONS[version])
    assert event.required_signers == names(servers.split())


def test_required_signers_refuses_a_restricted_join_by_nobody() -> None:
    """A restricted join authorised by what is no user has no list of signers."""
    content: Json = {"membership": "join", "join_authorised_via_users_server": "v"}
    event = Event.parse(pdu_of("12", {"content": content}), ROOM_VERSIONS["12"])
    with pytest.raises(InvalidParam, match="not a user ID"):
        assert event.required_signers


@pytest.mark.parametrize("version", VERSIONS)
def test_a_third_party_invite_is_no_restricted_join(version: str) -> None:
    """A third-party invite has no authorising user, whatever else it has."""
    content: Json = INVITE | {"join_authorised_via_users_server": "@x:forger.example"}
    event = Event.parse(pdu_of(version, {"content": content}), ROOM_VERSIONS[version])
    assert event.is_third_party_invite
    expected = "a.example" if version in versions(1, 2) else ""
    assert event.required_signers == names(expected.split())
