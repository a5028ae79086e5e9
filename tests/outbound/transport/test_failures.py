"""Reason codes: each failed check has its own, and one list has all of them."""

from collections.abc import Callable, Sequence
from typing import cast, get_args

import pytest
from nacl.signing import SigningKey as NaclSigningKey
from twisted.trial.unittest import SynchronousTestCase

from homeserver.config.values import VerificationMethod
from homeserver.net.addresses import RefusedAddress
from homeserver.net.cause import OURSELVES
from homeserver.outbound.transport.budget import OverBudget
from homeserver.outbound.transport.connector import Unreachable
from homeserver.outbound.transport.failures import (
    REASONS,
    AttemptReason,
    UnreachableReason,
)
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.discovery import Resolution
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.key_documents import build_v1, build_v2
from homeserver.protocol.signing import SigningKey
from tests.support.certificates import Issued
from tests.support.memory_tls_servers import Wire, ok, start
from tests.support.outbound_stack import (
    GOOD,
    PEER,
    SELF_SIGNED,
    Stack,
    key_document,
    route,
)

BOTH: Sequence[VerificationMethod] = ("certificate", "key-document")
DOCUMENT: Sequence[VerificationMethod] = ("key-document",)

NO_ROUTE = ok(b'{"errcode":"M_UNRECOGNIZED"}', status="404 Not Found")


def key(key_id: str, seed: bytes) -> SigningKey:
    """A signing key."""
    return SigningKey(KeyId(key_id), NaclSigningKey(seed * 32))


def version_1(signing_key: SigningKey) -> bytes:
    """The response with a document that another key signs than at first."""
    return ok(encode(build_v1(PEER, SELF_SIGNED.value.leaf, [signing_key])))


def version_2(until: int, *certificates: Issued) -> bytes:
    """The response with a version 2 document, valid until a time."""
    leaves = [each.value.leaf for each in certificates]
    keys = [key("ed25519:k_3131", b"1")]
    return ok(encode(build_v2(PEER, keys, [], until, leaves)))


def answers(*responses: bytes) -> Callable[[Wire], None]:
    """A peer that answers so, one request after the other."""

    def play(wire: Wire) -> None:
        for each in responses:
            wire.say(each)

    return play


GOOD_DOCUMENT = ok(key_document(SELF_SIGNED))

# What the peer does, by the name of the check that it fails.
FAILURES: dict[str, Callable[[Wire], None]] = {
    "document_no_answer": Wire.hang_up,
    "document_not_served": answers(ok(b"{}", status="500 Internal Server Error")),
    "document_invalid": answers(ok(b"{}")),
    "document_expired": answers(NO_ROUTE, version_2(9_999, SELF_SIGNED)),
    "document_without_certificate": answers(NO_ROUTE, version_2(99_999)),
    "document_of_other_certificate": answers(ok(key_document(GOOD))),
    "closed_after_document": answers(
        ok(key_document(SELF_SIGNED), "Connection: close\r\n")
    ),
    "key_conflict": answers(version_1(key("ed25519:k_3131", b"2"))),
    "pinned_key_missing": answers(version_1(key("ed25519:new", b"2"))),
}


def connect(stack: Stack, issued: Issued, play: Callable[[Wire], None]) -> list[str]:
    """The codes of the checks that a peer failed; none if it was verified."""
    resolution = Resolution(PEER, [], [route("192.0.2.1")])
    connecting = start(stack.connector.connect(resolution, OURSELVES))
    play(stack.net.accept(issued))
    outcome: list[str] = []
    connecting.addErrback(
        lambda failure: outcome.extend(cast("Unreachable", failure.value).reasons)
    )
    SynchronousTestCase().successResultOf(connecting)
    return outcome


@pytest.mark.parametrize("code", FAILURES)
def test_each_check_of_a_key_document_has_a_code(code: str) -> None:
    """A peer that was verified once fails one check, and is reported by its code."""
    stack = Stack(DOCUMENT)
    stack.net.clock.advance(10)
    assert connect(stack, SELF_SIGNED, answers(GOOD_DOCUMENT)) == []
    assert connect(stack, SELF_SIGNED, FAILURES[code]) == [code]


def test_each_method_has_a_code() -> None:
    """A peer that no method verifies fails a check of each, in their order."""
    assert connect(Stack(BOTH), SELF_SIGNED, FAILURES["document_invalid"]) == [
        *["certificate_rejected", "document_invalid"]
    ]


def test_a_key_document_in_place_of_a_certificate_has_a_code() -> None:
    """A peer that was verified by certificate fails without one."""
    stack = Stack(BOTH)
    assert connect(stack, GOOD, answers()) == []
    assert connect(stack, SELF_SIGNED, answers(GOOD_DOCUMENT)) == [
        *["certificate_rejected", "certificate_required"]
    ]


def _codes(union: object) -> set[str]:
    """The words of a union of literals."""
    parts = get_args(union)
    words = {part for part in parts if isinstance(part, str)}
    return words.union(*(_codes(part) for part in parts if part not in words))


def test_one_list_has_every_code() -> None:
    """The list has the codes of every kind of failure, and no other."""
    codes = _codes(AttemptReason | UnreachableReason)
    assert {RefusedAddress.reason, OverBudget.reason} <= codes
    assert codes.issuperset(FAILURES)
    assert set(REASONS) == codes


@pytest.mark.parametrize("meaning", REASONS.values())
def test_each_meaning_is_a_phrase_of_its_own(meaning: str) -> None:
    """A meaning stands behind its code in a table."""
    assert meaning[0].islower()
    assert not meaning.endswith(".")
    assert list(REASONS.values()).count(meaning) == 1
