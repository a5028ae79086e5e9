"""What is still told of a server after a kind of state is forgotten."""

from collections.abc import Iterator
from typing import Any

import pytest

from homeserver.testing import Lab, Server
from tests.support.tables import cases

LISTED = "GET /_matrix/federation/v1/publicRooms"
SEEN = {"discovery", "TLS", "certificate"}
JUDGED = {"mistakes on purpose"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab."""
    with Lab() as running:
        yield running


def told(lab: Lab, peer: Server, own: Server | None = None) -> set[str]:
    """The checks in the report on a server: of all of ours, or of one."""
    steps = ("report",) if own is None else ("servers", own.name, "report")
    report: Any = lab.link.call("GET", "v1", *steps, peer.name)
    return {each["name"] for each in report["checks"]}


def forget(lab: Lab, of: str, own: Server | None = None) -> None:
    """Forget a kind of state."""
    query = {"of": of} | ({} if own is None else {"server": own.name})
    lab.link.call("DELETE", "v1", "state", query=query)


# (name, what is forgotten, what ours tells of theirs, and theirs of its guest)
FORGOTTEN: list[tuple[str, str, set[str], set[str]]] = [
    ("nothing", "caches", SEEN | JUDGED, SEEN | {LISTED}),
    ("pins", "pins,keys", JUDGED, {LISTED}),
    ("received", "pins,keys,received", JUDGED, set()),
    ("queue", "pins,keys,queue", set(), {LISTED}),
    ("all", "pins,keys,queue,received", set(), set()),
]


@cases("of about_theirs about_guest", FORGOTTEN)
def test_reports(
    lab: Lab, of: str, about_theirs: set[str], about_guest: set[str]
) -> None:
    """Each part of a report goes with its kind; all servers tell what one tells."""
    ours, theirs, guest = lab.servers(3)
    assert guest.request(theirs.name, LISTED.removeprefix("GET ")).status == 200
    ours.send(theirs.name, spoil=["signature"])
    looked_at = SEEN | JUDGED | {LISTED}
    for own in (guest, None):
        forget(lab, of, own)
        found = (
            told(lab, theirs, ours) & looked_at,
            told(lab, guest, theirs) & looked_at,
        )
        if own is None:
            assert found == (about_theirs, about_guest)
        else:
            assert found == (SEEN | JUDGED, SEEN | {LISTED})
        assert told(lab, guest) & looked_at == found[1]
    for each in (ours, theirs, guest):
        each.delete(gone=True)


def test_an_id_of_a_forgotten_mistake(lab: Lab) -> None:
    """A transaction that has the ID of a forgotten one does not make its mistakes."""
    ours, theirs = lab.servers(2)
    members: dict[str, Any] = {"txn_id": "once"}
    assert ours.send(theirs.name, spoil=["signature"], **members).state == "rejected"
    forget(lab, "queue", theirs)
    assert ours.send(theirs.name, spoil=["path"]).state == "rejected"
    forget(lab, "queue", ours)
    assert ours.send(theirs.name, **members).state == "delivered"


def test_a_peer_that_failed_for_now(lab: Lab) -> None:
    """All servers end the pauses for a peer, where nothing is stored of it."""
    ours, _ = lab.servers(2)
    name = "nothing.lab.test"
    assert ours.request(name, LISTED.removeprefix("GET ")).reason == "no_address"
    assert lab.link.call("POST", "v1", "peers", name, "retry", content={}) == {}
