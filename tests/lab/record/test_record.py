"""The record: its numbers, its bounds, and how a reader waits for what is to come."""

import pytest

from homeserver.lab.record.match import Match
from tests.support.exchanges import exchange
from tests.support.lab_records import Waiting, recorded


def test_exchanges_are_numbered_and_paged() -> None:
    """IDs grow by one; `after` and `before` are exclusive."""
    record = recorded(*(exchange(txn_id=str(n)) for n in range(5)))
    assert [entry.id for entry in record.find()] == [1, 2, 3, 4, 5]
    assert [entry.id for entry in record.find(after=1, before=4)] == [2, 3]
    assert [entry.id for entry in record.find(Match(txn_id="3"))] == [4]
    assert record.last_id == 5
    third, sixth = record.entry(3), record.entry(6)
    assert third is not None
    assert third.exchange.txn_id == "2"
    assert sixth is None


def test_the_oldest_make_room() -> None:
    """A full record forgets the oldest exchange, and its IDs go on."""
    record = recorded(*(exchange() for _ in range(5)), max_entries=3)
    assert [entry.id for entry in record.find()] == [3, 4, 5]
    assert record.entry(2) is None
    count, _ = record.bounds
    assert (count.use(), count.limit, count.refusals) == (3, 3, 2)


def test_bytes_are_bounded() -> None:
    """Bodies and headers count; the newest exchange stays, however large it is."""
    body = b"x" * 10_000
    record = recorded(*(exchange(body, body) for _ in range(10)), max_bytes=50_000)
    assert [entry.id for entry in record.find()] == [9, 10]
    _, size = record.bounds
    assert size.use() <= size.limit
    record.add(exchange(b"x" * 100_000))
    assert [entry.id for entry in record.find()] == [11]


def test_what_is_forgotten_is_gone() -> None:
    """Exchanges that match are forgotten, with their bytes."""
    record = recorded(exchange(server="a.test"), exchange(server="b.test"))
    assert record.forget(Match(server="a.test")) == 1
    assert [entry.exchange.server for entry in record.find()] == ["b.test"]
    assert record.forget() == 1
    assert [bound.use() for bound in record.bounds] == [0, 0]
    record.add(exchange())
    assert record.last_id == 3


def test_the_control_api_is_not_recorded() -> None:
    """Whoever looks at the record does not see that it is looked at."""
    assert list(recorded(exchange(listener="control")).find()) == []


def test_a_reader_waits_for_the_next_exchange() -> None:
    """A wait ends with the first exchange that matches, and leaves nothing behind."""
    waiting = Waiting()
    waiting.record.add(exchange())
    waiting.start(waiting.record.wait_for(Match(server="b.test"), 0, 10))
    waiting.record.add(exchange())
    assert waiting.results == []
    waiting.record.add(exchange(server="b.test"))
    assert waiting.results == [None]
    assert waiting.watches == 0


@pytest.mark.parametrize(("after", "seconds"), [(0, 10), (1, 0)])
def test_a_reader_does_not_wait_for_what_is_there(after: int, seconds: float) -> None:
    """What is in the record ends a wait at once, as no time does."""
    waiting = Waiting()
    waiting.record.add(exchange())
    waiting.start(waiting.record.wait_for(Match(), after, seconds))
    assert waiting.results == [None]


def test_waits_end_with_the_process() -> None:
    """Whoever waits gets what there is, and nobody begins to wait."""
    waiting = Waiting()
    waiting.start(waiting.record.wait_for(Match(), 0, 10))
    waiting.record.end_waits()
    waiting.start(waiting.record.wait_for(Match(), 0, 10))
    assert waiting.results == [None, None]
    assert waiting.watches == 0


def test_a_wait_ends_with_its_time() -> None:
    """After its seconds a reader gets what there is."""
    waiting = Waiting()
    waiting.start(waiting.record.wait_for(Match(), 0, 10))
    waiting.clock.advance(9.9)
    assert waiting.results == []
    waiting.clock.advance(0.2)
    assert waiting.results == [None]
    assert waiting.watches == 0
