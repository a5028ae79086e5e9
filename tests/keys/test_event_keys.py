"""Which keys verify events, and when they are fetched."""

import pytest

from homeserver.keys.signed_event import SignedEvent
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.key_documents import KeyDocument
from tests.support.keyrings import (
    HOUR,
    K1,
    K2,
    K3,
    NOW,
    OWN,
    OWN_KEY,
    OWN_OLD_KEY,
    UNREACHABLE,
    KeyringCase,
    document,
    key,
)


class EventKeyTests(KeyringCase):
    """The keys of events."""

    def test_an_unsigned_event_asks_nobody(self) -> None:
        """Where no key could verify anything, none is fetched."""
        self.assertEqual(self.successResultOf(self.ask_for_event(at=0)), {})
        self.assertEqual(self.client.asked, [])

    def test_events_of_one_server_are_looked_up_together(self) -> None:
        """Each event gets the keys of its own signatures; one fetch serves all."""
        self.store(document(K1))
        version = ROOM_VERSIONS["12"]
        found = self.ask_for_events(
            SignedEvent([K1], NOW, version),
            SignedEvent([K2], NOW, version),
            SignedEvent([], NOW, version),
            SignedEvent([K1, K2, K3], NOW, version),
        )
        self.assertEqual(len(self.client.asked), 1)
        self.client.answer(document(K1, K2))
        first, second = {K1: key(K1)}, {K2: key(K2)}
        expected = [first, second, {}, first | second]
        self.assertEqual(self.successResultOf(found), expected)

    def test_our_own_events(self) -> None:
        """Our own keys verify our events, the old ones those of their time."""
        for at, expected in [
            (NOW - HOUR, {K1: OWN_KEY.verify_key, K2: OWN_OLD_KEY.verify_key}),
            (NOW, {K1: OWN_KEY.verify_key}),
        ]:
            event = SignedEvent([K1, K2, K3], at, ROOM_VERSIONS["12"])
            found = self.ask_for_events(event, server_name=OWN)
            self.assertEqual(self.successResultOf(found), [expected])
        self.assertEqual(self.client.asked, [])

    def test_only_what_was_asked_for(self) -> None:
        """Of an event, those of its keys are found that are known."""
        self.store(document(K1, K2))
        asked = self.ask_for_event(K2, K3)
        self.assertEqual(self.successResultOf(asked), {K2: key(K2)})

    def test_one_key_is_enough(self) -> None:
        """Where one key of an event is known and good, none is fetched."""
        self.store(document(K1))
        self.successResultOf(self.ask_for_event(K1, K2))
        self.assertEqual(self.client.asked, [])

    def test_keys_of_events_are_fetched(self) -> None:
        """Where no key of an event is known, they are fetched."""
        self.store(document(K3))
        asked = self.ask_for_event(K1, K2)
        self.client.answer(document(K1, K3))
        self.assertEqual(self.successResultOf(asked), {K1: key(K1)})

    def test_keys_of_events_cannot_be_fetched(self) -> None:
        """Where the keys of an event cannot be fetched, there are none."""
        asked = self.ask_for_event(K1)
        self.client.answer(UNREACHABLE)
        self.assertEqual(self.successResultOf(asked), {})

    def test_a_key_of_an_event_is_fetched_again(self) -> None:
        """An event that is newer than its key's validity has its key fetched again."""
        self.store(document(K1))
        asked = self.ask_for_event(K1, at=NOW + 2 * HOUR)
        self.assertNoResult(asked)
        self.client.answer(document(K1, until=NOW + 2 * HOUR))
        self.assertEqual(self.successResultOf(asked), {K1: key(K1)})


UNTIL, EXPIRED = NOW + HOUR, NOW - HOUR
CURRENT = document(K1, until=UNTIL)
OLD = document(K2, old=[(K1, EXPIRED)])
WITHOUT = document(K2)

# (what is known of the key, room versions, time of the event, is it good for that?)
# Room Versions 1 to 4 ignore the validity, 5 and later enforce it; an old key is good
# for the events of its time in all of them.
EVENT_KEYS: list[tuple[str, KeyDocument, str, int, bool]] = [
    ("current, long before", CURRENT, "1 2 3 4 5 6 7 8 9 10 11 12", 0, True),
    ("current, at its end", CURRENT, "1 2 3 4 5 6 7 8 9 10 11 12", UNTIL, True),
    ("current, after its end", CURRENT, "1 2 3 4", UNTIL + 1, True),
    ("current, after its end", CURRENT, "5 6 7 8 9 10 11 12", UNTIL + 1, False),
    ("old, before its end", OLD, "1 2 3 4 5 6 7 8 9 10 11 12", EXPIRED - 1, True),
    ("old, at its end", OLD, "1 2 3 4 5 6 7 8 9 10 11 12", EXPIRED, True),
    ("old, after its end", OLD, "1 2 3 4 5 6 7 8 9 10 11 12", EXPIRED + 1, False),
    ("not known", WITHOUT, "1 2 3 4 5 6 7 8 9 10 11 12", NOW, False),
]


@pytest.mark.parametrize(
    ("known", "version", "at", "is_good"),
    [
        pytest.param(known, version, at, is_good, id=f"{name}, version {version}")
        for name, known, versions, at, is_good in EVENT_KEYS
        for version in versions.split()
    ],
)
def test_event_key(known: KeyDocument, version: str, at: int, is_good: bool) -> None:  # noqa: FBT001
    """A key verifies an event by the rules of the event's room version."""
    case = EventKeyTests()
    case.setUp()
    case.store(known)
    asked = case.ask_for_event(K1, at=at, version=version)
    if not is_good:
        case.assertNoResult(asked)
        case.client.answer(known)
    assert case.successResultOf(asked) == ({K1: key(K1)} if is_good else {})
