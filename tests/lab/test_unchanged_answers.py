"""Answers that a fault leaves as they are, because it is about others."""

from collections.abc import Coroutine
from ipaddress import IPv6Address
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names import dns

from homeserver.http.reply import Reply as HttpReply
from homeserver.lab.dns_server.records import Record
from homeserver.lab.dns_server.zone import Question, Reply
from homeserver.lab.faults.documents import KEY_FAULTS
from homeserver.lab.faults.fault import Case
from homeserver.lab.faults.names import NAME_FAULTS, NameCase
from tests.support.coroutines import result_of
from tests.support.signed_requests import signing_key

NAME = "a.lab.test"
ON: object = True

_T = TypeVar("_T")
_Coroutine = Coroutine[Deferred[Any], Any, _T]


def answer_of(kind: str, value: str) -> Reply:
    """An answer with one record."""
    return Reply([Record(NAME, kind, value).header(NAME.encode())])


FOUND = answer_of("AAAA", "::1")
ABSENT = Reply(code=dns.ENAME)
MAPPED = [str(IPv6Address("::ffff:127.0.0.1"))]

# (the type that is asked for, what the zone answers, the answer or its addresses)
QUESTIONS: list[tuple[int, Reply | None, Reply | list[str] | None]] = [
    (dns.A, FOUND, []),
    (dns.AAAA, Reply(), MAPPED),
    (dns.AAAA, ABSENT, MAPPED),
    (dns.AAAA, FOUND, FOUND),
    (dns.AAAA, None, None),
    (dns.SRV, ABSENT, ABSENT),
]


@pytest.mark.parametrize(("code", "reply", "expected"), QUESTIONS)
def test_names_of_ipv6_only(
    code: int, reply: Reply | None, expected: Reply | list[str] | None
) -> None:
    """An address is mapped where IPv6 is asked for and has none; silence stays."""

    async def go_on() -> Reply | None:
        return reply

    async def look_up(question: Question) -> Reply:
        return answer_of("A", "127.0.0.1") if question.code == dns.A else Reply()

    question = Question(NAME, NAME.encode(), code, "127.0.0.1:1", by_tcp=False)
    case = NameCase(question, Clock(), look_up)
    answer = NAME_FAULTS["vary.ipv6-only"].act(ON, go_on, case)
    found = result_of(cast("_Coroutine[Reply | None]", answer))
    if isinstance(expected, list):
        assert found is not None
        payloads = [cast("Any", each.payload) for each in found.records]
        assert [str(IPv6Address(each.address)) for each in payloads] == expected
    else:
        assert found is expected


class Keys:
    """The keys of the one server of a lab."""

    def signing(self, server: str) -> list[Any]:
        """As of a lab: none of a name that it does not have."""
        return [signing_key()] if server == NAME else []


def document(server: str, status: int = 200) -> tuple[HttpReply, HttpReply]:
    """A document of a server, and what is made of it by the fault of expiry."""
    reply = HttpReply(msgspec.json.encode({"valid_until_ts": 2**50}), status)

    async def go_on() -> HttpReply:
        return reply

    request = SimpleNamespace(exchange=SimpleNamespace(server=server))
    case = Case(cast("Any", request), Clock(), cast("Any", Keys()))
    answer = KEY_FAULTS["keys.expired"].act(ON, go_on, case)
    return reply, result_of(cast("_Coroutine[HttpReply]", answer))


def test_key_documents() -> None:
    """The document of a server of the lab is changed."""
    right, changed = document(NAME)
    assert changed.status == 200
    assert changed.body != right.body


@pytest.mark.parametrize(
    ("server", "status"), [(NAME, 404), ("b.lab.test", 200), ("b.lab.test", 404)]
)
def test_what_is_no_key_document(server: str, status: int) -> None:
    """An error stays as it is, and so does what no key of the lab has signed."""
    right, changed = document(server, status)
    assert changed is right
