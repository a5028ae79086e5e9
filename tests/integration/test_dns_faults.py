"""Faults of the DNS, met by `dig` and by our own look-ups."""

import time
from dataclasses import replace

import pytest

from homeserver.testing import Lab, Server
from tests.support.foreign_clients import Dug, curl, dig
from tests.support.lab_rules import acted, asked, put, rule


def ask(lab: Lab, server: Server, kind: str = "A", *options: str) -> Dug:
    """Ask for the host of a server, or for its service."""
    name = f"_matrix-fed._tcp.{server.name}" if kind == "SRV" else server.name
    return dig(lab.dns, name, kind, *options)


def test_a_late_answer_is_recorded_from_its_question(lab: Lab) -> None:
    """The record has when the question came, not when it was answered."""
    server = lab.server()
    put(lab, server, {"dns.delay": 0.5}, match={"method": "A"})
    ask(lab, server)
    answered_ts = time.time_ns() / 10**6
    [asked] = server.expect(kind="dns", direction="in", method="A")
    assert asked.json["started_ts"] <= answered_ts - 499


CODES = [
    ("dns.nxdomain", "NXDOMAIN"),
    ("dns.servfail", "SERVFAIL"),
    ("dns.refused", "REFUSED"),
    ("dns.empty", "NOERROR"),
]


@pytest.mark.parametrize(("name", "status"), CODES)
def test_an_answer_without_a_record(lab: Lab, name: str, status: str) -> None:
    """`dig` reads the code; names of other servers, and later questions, are right."""
    faulty, other = lab.servers(2)
    right = ask(lab, faulty)
    assert (right.status, len(right.records)) == ("NOERROR", 1)
    put(lab, faulty, {name: True}, times=2)
    for kind in ("A", "SRV"):
        got = ask(lab, faulty, kind)
        assert (got.status, got.records) == (status, [])
    assert ask(lab, other).records
    assert ask(lab, faulty) == right


def test_silence(lab: Lab) -> None:
    """`dig` gives up."""
    [server] = lab.servers(1)
    with rule(lab, server, {"dns.silence": True}):
        got = ask(lab, server, "A", "+time=1")
        assert (got.status, got.records) == ("", [])
        assert "timed out" in got.err or "no servers could be reached" in got.err
    assert ask(lab, server).records


def test_a_truncated_answer(lab: Lab) -> None:
    """It says so over UDP; `dig` asks again over TCP, and has the record."""
    [server] = lab.servers(1)
    put(lab, server, {"dns.truncate": True})
    cut = ask(lab, server, "A", "+ignore")
    assert ("tc" in cut.flags, cut.records) == (True, [])
    assert len(ask(lab, server).records) == 1


def test_aliases(lab: Lab) -> None:
    """The records of the other name follow; a loop has none."""
    server, other = lab.servers(2)
    with rule(lab, server, {"dns.cname": other.name}):
        first, second = ask(lab, server).records
        assert first == f"{server.name}. 0 IN CNAME {other.name}."
        assert second.startswith(f"{other.name}. 0 IN A ")
        assert ask(lab, server, "CNAME").records == [first]
    with rule(lab, server, {"dns.loop": True}):
        loop = f"{server.name}. 0 IN CNAME {server.name}."
        assert ask(lab, server).records == [loop]


SERVICES = ["10 5 8448 a.test", "20 0 0 b.test", "0 0 0 ."]


def test_other_records(lab: Lab) -> None:
    """SRV with priorities, weights, port 0 and the target `.`; A stays as it is."""
    [server] = lab.servers(1)
    right = ask(lab, server)
    answer = [{"type": "SRV", "value": value, "ttl": 7} for value in SERVICES]
    put(lab, server, {"dns.answer": answer})
    found = [line.split(" ", 4) for line in ask(lab, server, "SRV").records]
    assert {each[1] for each in found} == {"7"}
    assert sorted(each[4] for each in found) == [
        "0 0 0 .",
        "10 5 8448 a.test.",
        "20 0 0 b.test.",
    ]
    assert ask(lab, server) == right


def test_ipv6_only(lab: Lab) -> None:
    """The host has an IPv6 address alone, by which it is reached."""
    [server] = lab.servers(1)
    put(lab, server, {"vary.ipv6-only": True})
    assert ask(lab, server).records == []
    [record] = ask(lab, server, "AAAA").records
    address = record.split()[-1]
    assert address == "::ffff:127.0.0.1"
    _, _, port = server.listen.rpartition(":")
    got = curl(replace(asked(lab, server), Address=f"[{address}]:{port}"))
    assert got.status == 200


def test_time_to_live_and_delay(lab: Lab) -> None:
    """Faults of one rule act together."""
    [server] = lab.servers(1)
    put(lab, server, {"dns.ttl": 3600, "dns.delay": 0.5}, match={"method": "A"})
    began = time.monotonic()
    [record] = ask(lab, server).records
    assert time.monotonic() - began >= 0.5
    assert record.split()[1] == "3600"
    assert acted(lab, server) == [(1, 1)]
    [service] = ask(lab, server, "SRV").records
    assert service.split()[1] == "0"
    assert acted(lab, server) == [(1, 1)]


def test_our_own_servers_meet_them(lab: Lab) -> None:
    """A request to a name that fails says so; `direction` spares it."""
    ours, theirs = lab.servers(2)
    version = "/_matrix/federation/v1/version"
    with rule(lab, theirs, {"dns.servfail": True}, match={"direction": "in"}):
        assert ours.request(theirs.name, version).status == 200
        assert ask(lab, theirs).status == "SERVFAIL"
    put(lab, theirs, {"dns.servfail": True}, match={"direction": "out"})
    assert ask(lab, theirs).status == "NOERROR"
    lab.link.call("DELETE", "v1", "caches")
    third = lab.server()
    failed = third.request(theirs.name, version)
    assert (failed.status, failed.reason) == (None, "not_resolved")


def test_a_rule_of_all_servers(lab: Lab) -> None:
    """It acts on the questions about each of them, chosen by the seed."""
    with Lab("--seed", "tests") as seeded:
        content = {"do": {"dns.refused": True}, "chance": 0.5}
        seeded.link.call("POST", "v1", "rules", content=content)
        [server] = seeded.servers(1)
        seen = [ask(seeded, server).status for _ in range(12)]
        assert set(seen) == {"NOERROR", "REFUSED"}
    with Lab("--seed", "tests") as again:
        again.link.call("POST", "v1", "rules", content=content)
        [server] = again.servers(1)
        assert [ask(again, server).status for _ in range(12)] == seen
