"""Answers to DNS questions, right and wrong, down to the bytes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from twisted.names import dns

from scripts.nameserver import parse_zone

_MAX_UDP_BYTES = 512  # RFC 1035: what is longer is cut off, and asked for over TCP


@dataclass(frozen=True)
class Question:
    """One that came."""

    message: dns.Message
    by_tcp: bool = False

    @property
    def name(self) -> str:
        """What it is about, in lower case; empty where it asks nothing."""
        return "".join(str(query.name).lower() for query in self.message.queries)

    def __str__(self) -> str:
        kinds = [dns.QUERY_TYPES[query.type] for query in self.message.queries]
        return " ".join([*kinds, self.name, *(["by TCP"] if self.by_tcp else [])])


Answer = Callable[[Question], bytes | None]
"""Makes the bytes of an answer; None for silence."""


def reply(
    question: Question,
    answers: Iterable[dns.RRHeader] = (),
    *,
    code: int = dns.OK,
    soa_seconds: int | None = None,
) -> bytes:
    """The bytes of an answer; truncated where they are too many.

    With `soa_seconds`, it says for how long it holds that there is no such record.
    """
    message = dns.Message(
        question.message.id,
        answer=1,
        recDes=1,
        recAv=1,
        rCode=code,
        maxSize=0 if question.by_tcp else _MAX_UDP_BYTES,
    )
    message.queries = question.message.queries
    message.answers = list(answers)
    if soa_seconds is not None:
        soa = dns.Record_SOA("ns.test", "root.test", minimum=soa_seconds)
        message.authority = [dns.RRHeader("test", dns.SOA, ttl=3600, payload=soa)]
    return message.toStr()


def code(number: int) -> Answer:
    """Answer with nothing but a response code."""
    return lambda question: reply(question, code=number)


def empty(soa_seconds: int | None = None) -> Answer:
    """Answer that there is no such record, of a name that exists."""
    return lambda question: reply(question, soa_seconds=soa_seconds)


def records(*lines: str, ttl: int = 1) -> Answer:
    """Answer with these records, whatever was asked."""
    answers = [each for found in parse_zone(lines).values() for each in found]
    for each in answers:
        each.ttl = ttl
    return lambda question: reply(question, answers)


def srv(*targets: tuple[int, bytes]) -> Answer:
    """Answer with an SRV record for each port and target, down to the bytes."""

    def answer(question: Question) -> bytes:
        owner = question.message.queries[0].name.name
        payloads = [dns.Record_SRV(0, 0, port, target) for port, target in targets]
        return reply(
            question, [dns.RRHeader(owner, dns.SRV, payload=p) for p in payloads]
        )

    return answer


def truncated(answer: Answer) -> Answer:
    """Answer over UDP that the answer is too long for it."""

    def cut_off(question: Question) -> bytes | None:
        return answer(question) if question.by_tcp else always_truncated(question)

    return cut_off


def always_truncated(question: Question) -> bytes:
    """Answer, also over TCP, that the answer is too long."""
    data = bytearray(reply(question))
    data[2] |= 0b10  # TC, RFC 1035 section 4.1.1
    return bytes(data)


def silence(question: Question) -> None:
    """Answer nothing."""


def other_id(question: Question) -> bytes:
    """Answer another question than was asked."""
    data = reply(question)
    return bytes([data[0] ^ 1]) + data[1:]


def other_question(name: str, kind: int = dns.SRV) -> Answer:
    """Answer that there is no such record, of another question than was asked."""

    def answer(question: Question) -> bytes:
        message = dns.Message(question.message.id, answer=1, recAv=1)
        message.queries = [dns.Query(name, kind)]
        return message.toStr()

    return answer


def times(number: int, answer: Answer) -> Answer:
    """Give an answer that repeats the question so many times."""

    def repeat(question: Question) -> bytes:
        message = dns.Message()
        message.fromStr(answer(question) or b"")
        message.queries *= number
        return message.toStr()

    return repeat


def hang_up(question: Question) -> bytes | None:
    """Answer nothing by TCP but the end of the connection, where that is its way."""
    return b"" if question.by_tcp else always_truncated(question)


def garbage(tail: bytes) -> Answer:
    """Answer with the right ID and then bytes that mean nothing."""
    return lambda question: question.message.id.to_bytes(2) + tail
