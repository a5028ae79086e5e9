"""How much of the bodies that arrive is kept, and whose gives way."""

import tempfile
from functools import partial
from pathlib import Path

import pytest

from homeserver.http.arriving import ArrivingBodies, Body
from homeserver.protocol.errors import Overloaded

US, THEM, OTHERS = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class Bodies:
    """Bodies of a hundred bytes in all, and what gave way."""

    def __init__(self, limit: int = 100, trusted: str = "") -> None:
        self.all = ArrivingBodies("federation", limit, lambda each: each == trusted)
        self.gave_way: list[Body] = []

    def open(self, address: str) -> Body:
        """A body that is closed when it gives way, as its request does."""

        def give_way(problem: Overloaded) -> None:
            assert (problem.status, problem.retry_after) == (503, 5)
            self.gave_way.append(body)
            body.close()

        body = self.all.open(address, give_way)
        return body

    def hold(self, address: str, length: int) -> Body:
        """A body of which so many bytes have arrived."""
        body = self.open(address)
        body.write(b"x" * length)
        return body

    @property
    def used(self) -> int:
        """The bytes that are held."""
        return self.all.bound.use()


def test_what_is_written_is_read() -> None:
    """A body is what arrived, in memory or in a file, and is read more than once."""
    for length in (10, 40_000, 70_000):
        pieces = [b"a" * length, b"b", b"c" * length]
        body = Bodies(10**6).open(US)
        for piece in pieces:
            body.write(piece)
        assert body.tell() == body.length == 2 * length + 1
        body.flush()
        for _ in range(2):
            body.seek(0)
            assert body.read() == b"".join(pieces)
        body.close()


def test_up_to_the_limit() -> None:
    """There is room for so many bytes, and no more."""
    bodies = Bodies()
    body = bodies.hold(US, 99)
    body.write(b"x")
    with pytest.raises(Overloaded, match="no room") as caught:
        body.write(b"x")
    assert (caught.value.status, caught.value.errcode) == (503, "M_LIMIT_EXCEEDED")
    assert (bodies.used, body.length, bodies.all.bound.refusals) == (100, 100, 1)


def test_what_is_closed_makes_room() -> None:
    """A body counts until its request is answered, and once."""
    bodies = Bodies()
    first, _ = bodies.hold(US, 60), bodies.hold(US, 40)
    first.close()
    first.close()
    assert bodies.used == 40
    bodies.hold(US, 60)
    assert bodies.gave_way == []


def test_the_largest_client_gives_way() -> None:
    """The newest body of the client that holds the most goes, as often as need be."""
    bodies = Bodies()
    held = [bodies.hold(US, 20) for _ in range(4)]
    other = bodies.hold(THEM, 10)
    honest = bodies.hold(OTHERS, 30)
    assert bodies.gave_way == [held[3]]
    honest.write(b"x" * 10)
    assert bodies.gave_way == [held[3], held[2]]
    assert (honest.closed, other.closed, bodies.used) == (False, False, 90)


def test_the_largest_client_keeps_nobody_out_by_more() -> None:
    """It is its own body that gives way to none where it asks for more itself."""
    bodies = Bodies()
    other, own = bodies.hold(THEM, 40), bodies.hold(US, 60)
    with pytest.raises(Overloaded):
        own.write(b"x")
    with pytest.raises(Overloaded):  # it would hold as much
        other.write(b"x" * 20)
    assert bodies.gave_way == []


def test_what_is_worked_on_does_not_give_way() -> None:
    """A body that was read is being worked on; one that waits to be read is not."""
    bodies = Bodies()
    read, whole = bodies.hold(US, 50), bodies.hold(US, 50)
    for body in (read, whole):
        body.flush()
    read.read()
    bodies.hold(THEM, 10)
    assert bodies.gave_way == [whole]
    with pytest.raises(Overloaded):
        bodies.hold(OTHERS, 45)
    assert not read.closed


@pytest.mark.parametrize(
    ("addresses", "count"),
    [
        (["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:9::"], 3),
        (["192.0.2.1", "::ffff:192.0.2.1"], 2),
    ],
)
def test_who_counts_as_one(addresses: list[str], count: int) -> None:
    """Addresses of one /64 hold together, and so does IPv4 in either form."""
    bodies = Bodies()
    held = [bodies.hold(address, 30) for address in addresses]
    assert len(held) == count
    bodies.hold("2001:db8:0:1::", 100 - 30 * count)  # another /64
    bodies.hold(THEM, 5)
    assert bodies.gave_way == [held[-1]]


def test_trusted_clients_do_not_count() -> None:
    """Their bodies take no room, and never give way."""
    bodies = Bodies(trusted=US)
    bodies.hold(US, 1000)
    assert bodies.used == 0
    bodies.hold(THEM, 100)
    bodies.hold(US, 1000)
    assert bodies.gave_way == []


def test_so_much_in_memory() -> None:
    """Small bodies are in memory, all of them up to 16 MiB, and in files beyond it."""
    bodies = Bodies(2**30)
    held = [bodies.hold(f"192.0.{n // 200}.{n % 200}", 60_000) for n in range(300)]
    assert bodies.all.in_memory == 2**24 // 60_000 * 60_000
    held[-1].seek(0)
    assert held[-1].read() == b"x" * 60_000
    assert bodies.used == 300 * 60_000
    held[0].close()
    held[0].close()
    bodies.hold(US, 40_000)  # there is room again
    assert bodies.all.in_memory == 2**24 // 60_000 * 60_000 - 20_000
    for body in held[1:]:
        body.close()
    assert bodies.all.in_memory == 40_000


def test_a_large_body_is_not_in_memory() -> None:
    """What was moved to a file makes room for others in memory."""
    bodies = Bodies(2**20)
    body = bodies.hold(US, 60_000)
    assert bodies.all.in_memory == 60_000
    body.write(b"x" * 10_000)
    assert bodies.all.in_memory == 0
    body.close()
    assert bodies.all.in_memory == 0


def test_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file can be made, there is no room for what is large."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    bodies = Bodies(10**6)
    body = bodies.hold(US, 65536)
    with pytest.raises(Overloaded, match="No such file") as caught:
        body.write(b"x")
    assert caught.value.status == 503
    body.close()
    assert bodies.used == 0


def test_full_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full, there is no room for more, sooner or later."""
    monkeypatch.setattr(
        tempfile, "TemporaryFile", partial(Path("/dev/full").open, "wb", 10**6)
    )
    bodies = Bodies(10**6)
    body = bodies.hold(US, 100_000)  # in the buffer of the file
    with pytest.raises(Overloaded, match="No space left"):
        body.flush()
    body.close()
    monkeypatch.setattr(
        tempfile, "TemporaryFile", partial(Path("/dev/full").open, "wb", 0)
    )
    for length in (10, 60_000):
        other = bodies.hold(US, length)
        with pytest.raises(Overloaded, match="No space left"):
            other.write(b"x" * 65536)
        other.close()
    assert bodies.used == 0
