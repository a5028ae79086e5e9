"""P: each check of an event's signatures and hash has a fault that turns it red."""

from collections.abc import Callable, Iterator
from typing import Any

from homeserver.conformance.fates import STRICT
from homeserver.inbound.version_attempt import VersionAttempt
from homeserver.protocol.canonical_json import Json
from homeserver.rooms.receiving import RoomReceiver
from homeserver.storage.judged_pdus import JudgedPdu
from tests.conformance.faulty import Row, patched
from tests.conformance.pdu_target import of, pdu_fault_test
from tests.support.conformance_stage import Fault

_check = RoomReceiver.check

_verify = VersionAttempt.verify

_EVENT = "homeserver.protocol.events.event."


def _own_events_alone() -> Fault:
    def sender_of(pdu: Json) -> str:
        return str(pdu.get("sender", "")).partition(":")[2]

    async def check(
        receiver: RoomReceiver, pdus: Any, origin: Any, cause: Any
    ) -> list[JudgedPdu]:
        changed = [
            each if sender_of(each) in {origin.name, ""} else {**each, "hashes": 5}
            for each in pdus
        ]
        return await _check(receiver, changed, origin, cause)

    return patched({"homeserver.rooms.receiving.RoomReceiver.check": check})


def _accepts_signatures(is_meant: Callable[[VersionAttempt], bool]) -> Fault:
    """Events whose signatures are not looked at."""

    def verify(attempt: VersionAttempt) -> Iterator[None]:
        return iter(()) if is_meant(attempt) else _verify(attempt)

    return patched({"homeserver.inbound.version_attempt.VersionAttempt.verify": verify})


def _has_a_signature(attempt: VersionAttempt) -> bool:
    return all(attempt.signatures.values())


def _has_none(attempt: VersionAttempt) -> bool:
    return not attempt.event.pdu["signatures"]


def _has_one_of_another(attempt: VersionAttempt) -> bool:
    return bool(attempt.event.pdu["signatures"]) and not _has_a_signature(attempt)


ROWS: list[Row] = [
    (
        "any signature",
        _accepts_signatures(_has_a_signature),
        of("P02") | of("P37", "P39", versions=STRICT),
    ),
    ("no signature", _accepts_signatures(_has_none), of("P03")),
    ("another's signature", _accepts_signatures(_has_one_of_another), of("P05")),
    (
        "any content",
        patched({f"{_EVENT}Event.content_hash_matches": True}),
        of("P04"),
    ),
    ("events of the origin alone", _own_events_alone(), of("P34")),
]

test_a_fault_turns_its_checks_red = pdu_fault_test(ROWS)
