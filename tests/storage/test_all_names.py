"""What all our names have received, refused and know, listed together."""

import pytest
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.all_names import AllNames
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.peer_memory import PeerMemory
from tests.support.coroutines import result_of
from tests.support.named_stores import DOWN, PEER, House

A, B, FOREIGN = map(ServerName.parse, ["a.test", "b.test", "aa.foreign.test"])
NOBODY = ServerName.parse("nobody.example")


@pytest.fixture
def everyone(database: ImmediateDatabase) -> AllNames:
    """Two names of ours, and one of another process, which comes between them."""
    memory = PeerMemory(Clock())
    for name in (A, FOREIGN, B):
        House(database, name, memory).fill()
    return AllNames(database, {A, B}.__contains__)


@pytest.mark.parametrize("origin", [None, PEER])
@pytest.mark.parametrize("what", ["received", "refused"])
def test_lists(everyone: AllNames, what: str, origin: ServerName | None) -> None:
    """One order of IDs has the rows of all our names, and of no others."""

    def page(after: int, limit: int) -> tuple[list[ServerName], int]:
        rows, last = result_of(getattr(everyone, what)(after, origin, limit))
        assert all(owner in {A, B} for owner, _ in rows)
        assert [row.id for _, row in rows] == sorted(row.id for _, row in rows)
        return [owner for owner, _ in rows], last

    assert page(0, 9) == ([A, B], 3)
    assert page(0, 1) == ([A], 1)
    assert page(1, 1) == ([B], 3)  # past the one of the other process
    assert page(3, 9) == ([], 3)
    assert page(0, 0) == ([], 0)


@pytest.mark.parametrize("what", ["received", "refused"])
def test_of_an_origin(everyone: AllNames, what: str) -> None:
    """Only what names that origin is listed."""
    assert result_of(getattr(everyone, what)(0, NOBODY, 9)) == ([], 0)


def test_known(everyone: AllNames) -> None:
    """Known peers are in the order of our names, then of theirs."""
    pairs = [(A, DOWN), (A, PEER), (B, DOWN), (B, PEER)]
    assert result_of(everyone.known(("", ""), 9)) == pairs
    found = []
    after = ("", "")
    while page := result_of(everyone.known(after, 1)):
        found += page
        after = (page[0][0].name, page[0][1].name)
    assert found == pairs
    assert result_of(everyone.known(("", ""), 3)) == pairs[:3]
    assert result_of(everyone.known(("", ""), 0)) == []


def test_knowing(everyone: AllNames) -> None:
    """Each of our names that knows a peer is found, and no other."""
    assert result_of(everyone.knowing(PEER)) == [A, B]
    assert result_of(everyone.knowing(DOWN)) == [A, B]
    assert result_of(everyone.knowing(NOBODY)) == []
