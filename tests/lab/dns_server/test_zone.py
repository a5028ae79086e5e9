"""The right answer to each DNS question."""

from ipaddress import ip_address
from typing import Any

import pytest
from twisted.names import dns

from homeserver.lab.dns_server.records import Record
from homeserver.lab.dns_server.zone import Question, Zone
from homeserver.protocol.errors import InvalidParam

RECORDS = [
    Record("a.lab.test", "A", "127.0.0.1"),
    Record("a.lab.test", "AAAA", "::1", ttl=60),
    Record("_matrix._tcp.a.lab.test", "SRV", "10 5 8448 a.lab.test"),
    Record("none.lab.test", "SRV", "0 0 0 ."),
    Record("alias.lab.test", "CNAME", "a.lab.test"),
    Record("far.lab.test", "CNAME", "Alias.lab.test."),
    Record("lost.lab.test", "CNAME", "nowhere.test"),
    Record("one.lab.test", "CNAME", "two.lab.test"),
    Record("two.lab.test", "CNAME", "one.lab.test"),
    Record("matrix.org", "A", "127.0.0.2"),
]


def zone() -> Zone:
    """A zone with all of them."""
    made = Zone("lab.test")
    made.add(RECORDS)
    return made


def ask(asked: Zone, name: str, kind: str) -> tuple[int, list[str], list[str]]:
    """The code of an answer, its records as `TYPE VALUE`, and the SOA's owners."""
    codes = {**dns.REV_TYPES, "ANY": 255}
    question = Question(name.lower(), name.encode(), codes[kind], "", by_tcp=False)
    reply = asked.answer(question)
    return (
        reply.code,
        [_shown(record) for record in reply.records],
        [str(record.name) for record in reply.authority],
    )


def _shown(record: dns.RRHeader) -> str:
    payload: Any = record.payload
    kind = dns.QUERY_TYPES[record.type]
    if kind in {"A", "AAAA"}:
        value = str(ip_address(payload.address))
    elif kind == "SRV":
        value = f"{payload.priority} {payload.weight} {payload.port} {payload.target}"
    else:
        value = str(payload.name)
    return f"{record.name} {record.ttl} {kind} {value}"


NO_NAME, NO_RECORD = dns.ENAME, dns.OK

CASES: list[tuple[str, str, int, list[str], list[str]]] = [
    ("a.lab.test", "A", dns.OK, ["a.lab.test 0 A 127.0.0.1"], []),
    ("A.Lab.Test", "A", dns.OK, ["A.Lab.Test 0 A 127.0.0.1"], []),
    ("matrix.org", "A", dns.OK, ["matrix.org 0 A 127.0.0.2"], []),
    (
        "_matrix._tcp.a.lab.test",
        "SRV",
        dns.OK,
        ["_matrix._tcp.a.lab.test 0 SRV 10 5 8448 a.lab.test"],
        [],
    ),
    ("none.lab.test", "SRV", dns.OK, ["none.lab.test 0 SRV 0 0 0 "], []),
    (
        "far.lab.test",
        "A",
        dns.OK,
        [
            "far.lab.test 0 CNAME alias.lab.test",
            "alias.lab.test 0 CNAME a.lab.test",
            "a.lab.test 0 A 127.0.0.1",
        ],
        [],
    ),
    ("far.lab.test", "CNAME", dns.OK, ["far.lab.test 0 CNAME alias.lab.test"], []),
    ("a.lab.test", "SRV", NO_RECORD, [], ["lab.test"]),
    ("a.lab.test", "CNAME", NO_RECORD, [], ["lab.test"]),
    ("_tcp.a.lab.test", "SRV", NO_RECORD, [], ["lab.test"]),
    ("lab.test", "A", NO_RECORD, [], ["lab.test"]),
    ("org", "A", NO_RECORD, [], [""]),
    ("", "NS", NO_RECORD, [], [""]),
    ("b.lab.test", "A", NO_NAME, [], ["lab.test"]),
    ("_matrix-fed._tcp.a.lab.test", "SRV", NO_NAME, [], ["lab.test"]),
    ("below.a.lab.test", "A", NO_NAME, [], ["lab.test"]),
    ("otherlab.test", "A", NO_NAME, [], [""]),
    ("example.org", "AAAA", NO_NAME, [], [""]),
    (
        "lost.lab.test",
        "A",
        NO_NAME,
        ["lost.lab.test 0 CNAME nowhere.test"],
        [""],
    ),
    (
        "alias.lab.test",
        "SRV",
        NO_RECORD,
        ["alias.lab.test 0 CNAME a.lab.test"],
        ["lab.test"],
    ),
]


@pytest.mark.parametrize(
    ("name", "kind", "code", "records", "soa"),
    CASES,
    ids=[f"{case[1]} {case[0]}" for case in CASES],
)
def test_each_question_has_its_answer(
    name: str, kind: str, code: int, records: list[str], soa: list[str]
) -> None:
    """A name has its records, no such record, or does not exist."""
    assert ask(zone(), name, kind) == (code, records, soa)


def test_any_asks_for_all_records() -> None:
    """A question of type ANY gets every record, each with its time to live."""
    code, records, _ = ask(zone(), "a.lab.test", "ANY")
    assert code == dns.OK
    assert records == ["a.lab.test 0 A 127.0.0.1", "a.lab.test 60 AAAA ::1"]


def test_a_loop_of_aliases_ends() -> None:
    """Names that are aliases of one another are followed sixteen times."""
    code, records, _ = ask(zone(), "one.lab.test", "A")
    assert (code, len(records)) == (dns.OK, 16)


def test_what_is_removed_is_not_found_any_more() -> None:
    """A name ends with its last record, and so do the names above it."""
    made = zone()
    size = len(made)
    made.remove(RECORDS[2:3])
    assert ask(made, "_matrix._tcp.a.lab.test", "SRV")[0] == dns.ENAME
    assert ask(made, "_tcp.a.lab.test", "SRV")[0] == dns.ENAME
    assert ask(made, "a.lab.test", "A")[0] == dns.OK
    made.remove(RECORDS[:1])
    assert ask(made, "a.lab.test", "A") == (dns.OK, [], ["lab.test"])
    made.remove(RECORDS[:1])  # not there any more
    assert len(made) == size - 1


BAD: list[tuple[Record, str]] = [
    (Record("a.test", "MX", "a"), "`type` of a DNS record is one of A, AAAA, SRV, CN"),
    (Record("a.test", "A", "::1"), "`value` of an A record is an IPv4 address"),
    (Record("a.test", "AAAA", "127.0.0.1"), "an AAAA record is an IPv6 address"),
    (Record("a.test", "A", "127.0.0.1", ttl=-1), "`ttl` of a DNS record is 0 to"),
    (Record("a.test", "A", "127.0.0.1", ttl=2**31), "`ttl` of a DNS record is 0 to"),
    (Record("a..test", "A", "127.0.0.1"), "`name` is not a DNS name"),
    (Record("a" * 64, "A", "127.0.0.1"), "`name` is not a DNS name"),
    (Record(".".join(["a" * 63] * 4), "A", "127.0.0.1"), "`name` is not a DNS name"),
    (Record("ä.test", "A", "127.0.0.1"), "`name` is not a DNS name"),
    (Record("a.test", "CNAME", "b c"), "`value` is not a DNS name"),
    (Record("a.test", "SRV", "0 0 b.test"), "`PRIORITY WEIGHT PORT TARGET`"),
    (Record("a.test", "SRV", "0 0 65536 b.test"), "numbers of 0 to 65535"),
    (Record("a.test", "SRV", "0 -1 80 b.test"), "numbers of 0 to 65535"),
    (Record("a.test", "SRV", "0 0 80 b..test"), "`value` is not a DNS name"),
]


@pytest.mark.parametrize(("record", "problem"), BAD)
def test_a_bad_record_is_refused(record: Record, problem: str) -> None:
    """The error names the member; nothing that came with the record is served."""
    made = Zone("lab.test")
    with pytest.raises(InvalidParam, match=problem):
        made.add([Record("good.test", "A", "127.0.0.1"), record])
    assert len(made) == 0


def test_a_name_has_so_many_records_that_they_fit_into_a_message() -> None:
    """The hundred and first record of a name is refused."""
    made = Zone("lab.test")
    made.add(Record("a.test", "A", f"127.0.0.{n}") for n in range(100))
    with pytest.raises(InvalidParam, match=r"a\.test has more than 100"):
        made.add([Record("a.test", "A", "127.0.1.1")])
