"""Requests of a target, as they are in the record."""

from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.task import Clock

from homeserver.conformance.their_requests import content_of, is_signed, problem_in
from homeserver.net.exchange import Details, Exchange
from homeserver.net.http_message import Message
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix import Authorization, FederationRequest
from tests.support.our_names import OTHER_NAME, OUR_NAME
from tests.support.signed_requests import THEM, signing_key

_TARGET = THEM.server_name
_KEYS = {THEM.key.key_id: THEM.key.verify_key}
_PATH = "/_matrix/federation/v1/send/1"


@dataclass(frozen=True)
class Sent:
    """A request of the target, signed and recorded."""

    path: str = _PATH
    content: Json | None = None
    body: bytes | None = None
    """In place of the signed one."""

    origin: ServerName = _TARGET
    signed_for: ServerName = OUR_NAME
    names: ServerName | None = OUR_NAME
    """The destination in the header."""

    key: Any = THEM.key
    is_recorded: bool = True

    @property
    def exchange(self) -> Exchange:
        """The request as it is in the record."""
        request = FederationRequest(
            "PUT", self.path, self.origin, self.signed_for, self.content
        )
        [made] = request.sign([self.key])
        header = Authorization(self.origin, self.names, made.key_id, made.signature)
        body = b"" if self.content is None else encode(self.content)
        found = Exchange(method="PUT", path=self.path, server=OUR_NAME.name)
        if self.is_recorded:
            found.details = Details(Clock(), 0, 0.0, target=self.path)
            found.details.request = Message.of(
                [("Authorization", str(header))],
                body if self.body is None else self.body,
            )
        return found


CASES: list[tuple[str, Sent, str | None]] = [
    ("sound", Sent(content={"a": 1}), None),
    ("without a body", Sent(), None),
    ("another key", Sent(key=signing_key()), "signature does not verify"),
    ("another body", Sent(content={"a": 1}, body=b'{"a":2}'), "does not verify"),
    ("no JSON", Sent(content={"a": 1}, body=b"{"), "JSON"),
    ("signed for another", Sent(signed_for=OTHER_NAME), "does not verify"),
    ("no destination", Sent(names=None), "its destination is not"),
    ("another destination", Sent(names=OTHER_NAME), "its destination is not"),
    ("another origin", Sent(origin=OTHER_NAME), "does not verify"),
    ("escaped twice", Sent(path=_PATH + "%2521"), "escaped twice"),
    ("not recorded", Sent(is_recorded=False), "not recorded"),
]


@pytest.mark.parametrize(
    ("sent", "problem"), [x[1:] for x in CASES], ids=[x[0] for x in CASES]
)
def test_what_is_wrong_with_a_request(sent: Sent, problem: str | None) -> None:
    """It is named; a sound request has no problem."""
    found = problem_in(sent.exchange, _TARGET, _KEYS)
    assert found == problem if problem is None else problem in (found or "")


def test_another_origin_in_the_header_alone() -> None:
    """A signature of the target under another name is none of that name."""
    exchange = Sent().exchange
    assert exchange.details is not None
    [(name, value)] = exchange.details.request.headers
    changed = value.replace(_TARGET.name, OTHER_NAME.name)
    exchange.details.request = Message.of([(name, changed)])
    assert "its origin" in (problem_in(exchange, _TARGET, _KEYS) or "")


def test_what_a_request_has() -> None:
    """Its object, if there is one, and whether it claims to be signed."""
    assert content_of(Sent(content={"a": 1}).exchange) == {"a": 1}
    assert content_of(Sent().exchange) == {}
    assert content_of(Sent(is_recorded=False).exchange) == {}
    assert is_signed(Sent().exchange)
    assert not is_signed(Sent(is_recorded=False).exchange)
