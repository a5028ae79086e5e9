"""The bytes of questions and answers: what is cut off, and what is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns

from homeserver.lab.dns_server.message import build_response, parse_query
from homeserver.lab.dns_server.records import Record
from homeserver.lab.dns_server.zone import Zone
from tests.support.lab_name_server import RECORDS, Lab, parse, query


# An A record of a name that is written once takes 16 bytes.
@pytest.mark.parametrize(
    ("edns", "by_tcp", "is_whole"),
    [
        (None, False, False),
        (512, False, False),
        (4096, False, False),
        (None, True, True),
    ],
)
def test_a_long_answer_is_asked_for_over_tcp(
    lab: Lab, edns: int | None, *, by_tcp: bool, is_whole: bool
) -> None:
    """An answer that is too long for UDP has no record, and is valid in itself."""
    data = lab.exchange(query("many.lab.test", dns.A, edns=edns), by_tcp=by_tcp)
    message = parse(data)
    assert bool(message.trunc) is not is_whole
    assert len(message.answers) == (100 if is_whole else 0)
    assert len(message.queries) == 1
    assert len(message.additional) == (edns is not None)
    assert by_tcp or len(data) <= 512


def test_a_client_with_edns_gets_more_over_udp() -> None:
    """With 1232 bytes, seventy records fit that do not fit into 512."""
    zone = Zone("lab.test")
    zone.add(Record("some.lab.test", "A", f"127.0.0.{n}") for n in range(1, 71))

    def answer(data: bytes) -> dns.Message:
        asked = parse_query(data)
        assert asked is not None
        reply = zone.answer(asked.asked("", by_tcp=False))
        return parse(build_response(asked, reply, by_tcp=False)[0])

    assert answer(query("some.lab.test", dns.A)).trunc
    assert answer(query("some.lab.test", dns.A, edns=600)).trunc
    assert len(answer(query("some.lab.test", dns.A, edns=4096)).answers) == 70


def test_the_case_of_a_name_is_kept(lab: Lab) -> None:
    """A client that varies the case of its letters finds its own question again."""
    data = lab.exchange(query("A.lAb.tEST", dns.A))
    assert b"\x01A\x03lAb\x04tEST\x00" in data
    message = parse(data)
    assert [str(record.name) for record in message.answers] == ["A.lAb.tEST"]


REFUSED = [
    ("notify", query("a.lab.test", dns.A, flags=4 << 11), dns.ENOTIMP),
    ("no question", struct.pack("!HHHHHH", 1, 0, 0, 0, 0, 0), dns.EFORMAT),
    ("two questions", struct.pack("!HHHHHH", 1, 0, 2, 0, 0, 0), dns.EFORMAT),
    ("an answer", struct.pack("!HHHHHH", 1, 0, 1, 1, 0, 0), dns.EFORMAT),
    ("cut off", query("a.lab.test", dns.A)[:-3], dns.EFORMAT),
    ("cut name", query("a.lab.test", dns.A)[:15], dns.EFORMAT),
    (
        "a pointer to itself",
        struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1" + b"\0\1" * 100,
        dns.EFORMAT,
    ),
    (
        "a name of 300 bytes",
        query(".".join(["a" * 59] * 5), dns.A),
        dns.EFORMAT,
    ),
    ("cut OPT", query("a.lab.test", dns.A, edns=512)[:-1], dns.EFORMAT),
    (
        "two OPT",
        query("a.lab.test", dns.A, edns=512)[:11]
        + b"\2"
        + query("a.lab.test", dns.A, edns=512)[12:]
        + query("", dns.A, edns=512)[17:],
        dns.EFORMAT,
    ),
    ("a transfer", query("lab.test", dns.AXFR), dns.EREFUSED),
    ("another class", query("a.lab.test", dns.A)[:-2] + b"\0\3", dns.EREFUSED),
]


@pytest.mark.parametrize("by_tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(
    ("data", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_is_no_question_gets_its_code(
    lab: Lab, data: bytes, code: int, *, by_tcp: bool
) -> None:
    """Malformed and unknown messages are answered with the code for them."""
    answer = lab.exchange(data, by_tcp=by_tcp)
    assert answer[:2] == data[:2]
    assert parse(answer).rCode == code


def test_a_later_version_of_edns_is_refused(lab: Lab) -> None:
    """The extended code BADVERS stands in the OPT record (RFC 6891)."""
    data = query("a.lab.test", dns.A, edns=4096)
    later = data[:-5] + b"\1" + data[-4:]
    message = parse(lab.exchange(later))
    assert message.rCode == 0
    [opt] = message.additional
    assert opt.ttl >> 24 == 1
    assert not message.answers


@given(st.binary(max_size=100), st.integers(0, 60), st.binary(max_size=4))
def test_no_bytes_raise_an_error(tail: bytes, cut: int, middle: bytes) -> None:
    """Every message gets an answer that can be read, or none."""
    zone = Zone("lab.test")
    zone.add(RECORDS)
    data = query("a.lab.test", dns.A, edns=512)[:cut] + middle + tail
    asked = parse_query(data)
    if asked is not None:
        reply = zone.answer(asked.asked("", by_tcp=False))
        assert parse(build_response(asked, reply, by_tcp=False)[0]).id == asked.id


def test_dots_inside_a_label_are_no_ends_of_it(lab: Lab) -> None:
    """A label with a dot in it is not mistaken for two, and comes back as it was."""
    odd = b"\x05a.lab\x04test\x00" + struct.pack("!HH", dns.A, dns.IN)
    data = struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0) + odd
    answer = lab.exchange(data)
    assert odd in answer
    assert answer[3] & 15 == dns.ENAME
