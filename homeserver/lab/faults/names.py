"""Faults of the DNS: of any question about a name of a server.

Rules: those of `fault`. They act on the look-ups of our own servers as on questions
that come by the network; `direction` tells them apart.

Specification: RFC 1034, RFC 1035; RFC 2782 for SRV.
"""

from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from ipaddress import IPv4Address
from typing import Any, cast

from msgspec import Struct, ValidationError, convert
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.names import dns

from homeserver.lab.dns_server.records import MAX_TTL, Record, parse_name
from homeserver.lab.dns_server.zone import Question, Reply
from homeserver.lab.faults.fault import Fault, flag, seconds, whole
from homeserver.protocol.errors import BadJson, ProtocolError
from homeserver.protocol.shapes import explain

_MAX_RECORDS = 100  # as many as a name of the zone has

Answers = Callable[[Question], Awaitable[Reply | None]]
"""Answers a question; None is silence."""


class NameCase(Struct, frozen=True):
    """A question that a fault acts on."""

    question: Question
    clock: IReactorTime
    look_up: Answers
    """Answers any question, without a fault."""


ContinueName = Callable[[], Awaitable[Reply | None]]
"""What answers the question where no fault does: the next fault, or the zone."""

NameAct = Callable[[object, ContinueName, NameCase], Awaitable[Reply | None]]
"""Answers a question: with its argument, what answers otherwise, and the question."""


class _Given(Struct, frozen=True, forbid_unknown_fields=True):
    """A record of whatever name is asked for."""

    type: str
    value: str
    ttl: int = 0


def _answered(reply: Reply | None) -> NameAct:
    async def act(_: object, __: ContinueName, ___: NameCase) -> Reply | None:
        return reply

    return act


async def _delay(value: object, go_on: ContinueName, case: NameCase) -> Reply | None:
    await deferLater(case.clock, cast("float", value))
    return await go_on()


async def _truncate(_: object, go_on: ContinueName, case: NameCase) -> Reply | None:
    return await go_on() if case.question.by_tcp else Reply(is_truncated=True)


async def _cname(value: object, _: ContinueName, case: NameCase) -> Reply | None:
    question, target = case.question, cast("str", value)
    alias = Record(question.name, "CNAME", target).header(question.written)
    if question.code == dns.CNAME or target == question.name:
        return Reply([alias])
    asked = replace(question, name=target, written=target.encode("ascii"))
    reply = await case.look_up(asked) or Reply()
    return replace(reply, records=[alias, *reply.records])


async def _loop(_: object, go_on: ContinueName, case: NameCase) -> Reply | None:
    return await _cname(case.question.name, go_on, case)


async def _answer(value: object, go_on: ContinueName, case: NameCase) -> Reply | None:
    question = case.question
    records = [
        Record(question.name, each.type, each.value, each.ttl)
        for each in cast("list[_Given]", value)
    ]
    wanted = {question.code, dns.CNAME}
    found = [each.header(question.written) for each in records if each.code in wanted]
    return Reply(found) if found else await go_on()


async def _ipv6_only(_: object, go_on: ContinueName, case: NameCase) -> Reply | None:
    question = case.question
    if question.code == dns.A:
        return Reply()
    reply = await go_on()
    if question.code != dns.AAAA or reply is None or reply.records:
        return reply
    found = await case.look_up(replace(question, code=dns.A)) or Reply()
    payloads: list[Any] = [e.payload for e in found.records if e.type == dns.A]
    mapped = [
        Record(question.name, "AAAA", f"::ffff:{IPv4Address(each.address)}")
        for each in payloads
    ]
    return Reply([each.header(question.written) for each in mapped])


async def _ttl(value: object, go_on: ContinueName, _: NameCase) -> Reply | None:
    reply = await go_on()
    if reply is None:
        return None
    records = [copy(each) for each in reply.records]
    for each in records:
        each.ttl = cast("int", value)
    return replace(reply, records=records)


def _check_name(value: object) -> object:
    if not isinstance(value, str):
        raise BadJson("`dns.cname` is a DNS name")
    return parse_name(value, member="dns.cname")


def _check_records(value: object) -> object:
    try:
        records = convert(value, list[_Given])
    except ValidationError as problem:
        why = explain(problem, "`dns.answer`")
        raise BadJson(f"`dns.answer` is a list of records: {why}") from None
    if not 1 <= len(records) <= _MAX_RECORDS:
        raise BadJson(f"`dns.answer` has 1 to {_MAX_RECORDS} records")
    for each in records:
        try:
            Record("name", each.type, each.value, each.ttl).check()
        except ProtocolError as problem:
            raise BadJson(f"`dns.answer`: {problem}") from None
    return records


_NO_RECORD = "It takes the name as one without such records, and goes on."
_NO_ANSWER = "It takes no missing answer for a missing record, and tries again later."


_PLAIN: Mapping[str, tuple[str, NameAct, str]] = {
    "silence": ("There is no answer.", _answered(None), _NO_ANSWER),
    "nxdomain": (
        "The answer is that there is no such name.",
        _answered(Reply(code=dns.ENAME)),
        _NO_RECORD,
    ),
    "servfail": (
        "The answer is that the name server has failed.",
        _answered(Reply(code=dns.ESERVER)),
        _NO_ANSWER,
    ),
    "refused": (
        "The answer is that the name server refuses the question.",
        _answered(Reply(code=dns.EREFUSED)),
        _NO_ANSWER,
    ),
    "empty": ("The answer has no record.", _answered(Reply()), _NO_RECORD),
    "truncate": (
        "An answer over UDP has no record and says that it is truncated.",
        _truncate,
        "It asks again over TCP.",
    ),
    "loop": (
        "The name is an alias of itself.",
        _loop,
        "It follows some aliases, and then takes the name as one without records.",
    ),
}


def _fault(
    summary: str,
    right: str,
    check: Callable[[object], object],
    act: NameAct,
    argument: str = "true",
) -> Fault[NameAct]:
    return Fault(
        summary, right, check, act, argument, kind="dns", directions=("in", "out")
    )


NAME_FAULTS: Mapping[str, Fault[NameAct]] = {
    "dns.delay": _fault(
        "The answer is delayed by this number of seconds.",
        "It waits up to its time-out, and serves others meanwhile.",
        seconds("dns.delay"),
        _delay,
        "seconds",
    ),
    "dns.ttl": _fault(
        "The records of the answer are valid for this number of seconds.",
        "It keeps them for so long at most, and not for ever.",
        whole("dns.ttl", 0, MAX_TTL),
        _ttl,
        "seconds",
    ),
    **{
        f"dns.{name}": _fault(summary, right, flag(f"dns.{name}"), act)
        for name, (summary, act, right) in _PLAIN.items()
    },
    "dns.cname": _fault(
        "The name is an alias of this one, whose records follow.",
        "It follows the alias of a host, and expects none at the target of SRV.",
        _check_name,
        _cname,
        "DNS name",
    ),
    "vary.ipv6-only": _fault(
        "The name has no A record; without an AAAA record of its own, it has one of "
        "its IPv4 address (`::ffff:127.0.0.1`).",
        "It connects by IPv6.",
        flag("vary.ipv6-only"),
        _ipv6_only,
    ),
    "dns.answer": _fault(
        "The answer has these records, of the types that are asked for.",
        "It goes by the priorities and weights of SRV records, and takes a target `.` "
        "as no service.",
        _check_records,
        _answer,
        'a list of records: `{"type", "value", "ttl"}`',
    ),
}
"""In the order in which they act."""
