"""Which exchanges a `Match` means, and how the others differ from it."""

import pytest

from homeserver.lab.record.match import Match
from tests.support.exchanges import SEND, exchange
from tests.support.lab_records import PDUS, recorded

MATCHES: list[tuple[Match, bool]] = [
    (Match(), True),
    (Match(server="a.test"), True),
    (Match(server="b.test"), False),
    (Match(server="*.test", peer="peer.*"), True),
    (Match(server="*.test", peer="other.*"), False),
    (Match(direction="in", kind="request", method="PUT"), True),
    (Match(direction="out"), False),
    (Match(kind="dns"), False),
    (Match(method="P*"), True),
    (Match(method="put"), False),
    (Match(route=SEND), True),
    (Match(path="/_matrix/*/send/*"), True),
    (Match(path="*send"), False),
    (Match(path="*/send/1"), True),
    (Match(path="/*/*/*/*"), True),
    (Match(path="*1*1*"), True),
    (Match(path="*1*1*1*"), False),
    (Match(path="/_matrix/federation/v1/send/1*1"), False),
    (Match(status=200), True),
    (Match(status="200"), True),
    (Match(status="2*"), True),
    (Match(status=401), False),
    (Match(reason="*"), False),
    (Match(txn_id="1"), True),
    (Match(txn_id="1*"), True),
    (Match(txn_id="*11"), False),
    (Match(room_id="!b:x"), True),
    (Match(room_id="!*:x"), True),
    (Match(room_id="!c:x"), False),
]


@pytest.mark.parametrize(("match", "is_meant"), MATCHES)
def test_members_decide_which_exchanges_are_meant(
    match: Match, *, is_meant: bool
) -> None:
    """Every member must match, `*` is any text, and what is absent is not matched."""
    record = recorded(exchange(PDUS))
    [entry] = record.find()
    assert match.matches(entry) is is_meant
    assert (match.differences(entry) == {}) is is_meant


def test_rooms_that_are_not_the_wanted_one_are_all_shown() -> None:
    """Where an exchange has several rooms, the difference lists them."""
    [entry] = recorded(exchange(PDUS)).find()
    [difference] = Match(room_id="!c:x").differences(entry).values()
    assert difference.seen == ["!a:x", "!b:x"]
