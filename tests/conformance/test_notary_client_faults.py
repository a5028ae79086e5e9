"""W: each check has a fault that turns it red.

Our endpoint asks no notary. So the target is one that asks ours first, with a client
that is made here, whole or with one fault.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from homeserver.keys.key_fetches import KeyFetches
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.wall_clock import wall_seconds
from homeserver.outbound.client import KeysAnswer
from homeserver.outbound.transport.connector import Unreachable
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import KeyDocument, parse_v2
from tests.conformance.faulty import Row, patched
from tests.support.conformance_stage import Fault, stage
from tests.support.waiting import reactor

_NOTARY = ServerName.parse("notary.lab.test")
_fetch_directly = KeyFetches._ask

Read = Callable[[dict[str, Any], ServerName], KeyDocument]
"""Checks a document of a name; raises `ProtocolError`."""


def _strict(document: dict[str, Any], name: ServerName) -> KeyDocument:
    return parse_v2(msgspec.json.encode(document), name)


def _by_notary(read: Read = _strict, broken: str | None = None) -> Fault:
    """A target that asks our notary first, and the server itself if that fails.

    `broken` is what the notary's reply may not have in it.
    """

    async def ask(fetches: KeyFetches, name: ServerName, cause: Cause) -> object:
        if name == _NOTARY:
            return await _fetch_directly(fetches, name, cause)
        target = f"/_matrix/key/v2/query/{name}"
        try:
            status, data, _ = await fetches._client.ask(_NOTARY, target, OURSELVES)
        except Unreachable:
            return await _fetch_directly(fetches, name, cause)
        if broken is not None and broken in f"{status} {data.decode()}":
            raise ProtocolError("the notary is broken")
        for document in _documents(status, data):
            try:
                found = read(document, name)
            except ProtocolError:
                continue
            peer = VerifiedPeer(name, "certificate", b"", verified_ts=found_ts())
            return KeysAnswer(found, None, peer)
        return await _fetch_directly(fetches, name, cause)

    return patched({"homeserver.keys.key_fetches.KeyFetches._ask": ask})


def found_ts() -> int:
    """The time, in milliseconds since 1970."""
    return int(wall_seconds(reactor) * 1000)


def _documents(status: int, data: bytes) -> list[dict[str, Any]]:
    try:
        content = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return []
    found = content.get("server_keys") if status == 200 else None
    return found if isinstance(found, list) else []


def _without(*unchecked: str) -> Read:
    """A reader that leaves some of its checks out."""

    def read(document: dict[str, Any], name: ServerName) -> KeyDocument:
        with patched(
            {
                f"homeserver.protocol.key_documents.{each}": _UNCHECKED[each]
                for each in unchecked
            }
        ).patched():
            return _strict(document, name)

    return read


_UNCHECKED: dict[str, object] = {
    "_check_signatures": lambda *_: {},
    "_parse": lambda data, _: msgspec.json.decode(data),
}


def _never_over(document: dict[str, Any], name: ServerName) -> KeyDocument:
    found = _strict(document, name)
    if found.valid_until_ts is not None and found.valid_until_ts < found_ts():
        later = {**document, "valid_until_ts": found_ts() + 3_600_000}
        return _without("_check_signatures")(later, name)
    return found


def _none(document: dict[str, Any], name: ServerName) -> KeyDocument:
    raise ProtocolError("no notary is trusted")


ROWS: list[Row] = [
    ("no fault", _by_notary(), set()),
    ("no document of a notary", _by_notary(_none), {"W01"}),
    (
        "no look at signatures",
        _by_notary(_without("_check_signatures")),
        {"W04", "W05"},
    ),
    ("no look at times", _by_notary(_never_over), {"W06"}),
    ("no look at names", _by_notary(_without("_parse")), {"W07"}),
    ("fails by 500", _by_notary(broken="500 "), {"W08"}),
    ("fails by no JSON", _by_notary(broken="no JSON"), {"W09"}),
    ("fails by a number", _by_notary(broken='"server_keys":3'), {"W11"}),
    ("fails by no list", _by_notary(broken="200 {}"), {"W12"}),
    ("fails by a text", _by_notary(broken='"soon"'), {"W13"}),
]


@pytest.mark.parametrize(("name", "fault", "expected"), ROWS)
def test_a_fault_turns_its_checks_red(
    name: str, fault: Fault, expected: set[str]
) -> None:
    """It turns them red, and no others of this area; and nothing is not testable."""
    # The notary has the same name in each run.
    with stage() as running:
        results = running.run(["W"], fault)
    assert {e.id for e in results.values() if e.result == "not-testable"} == set()
    assert {e.id for e in results.values() if e.result in {"fail", "warn"}} == expected
