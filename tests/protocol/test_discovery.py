"""Which look-ups lead to a server, in which order, and what stops them.

Rules: a literal or a port needs no look-up; the first service with records is the
last one that is asked; each step is recorded.
"""

import pytest

from homeserver.protocol.discovery import (
    Algorithm,
    NotResolvable,
    Route,
    SrvRecord,
    Step,
)
from homeserver.protocol.identifiers import ServerName
from tests.support.discovery_zones import (
    BY_SRV,
    FED,
    NO_HOST,
    NOT_HERE,
    OF_2014,
    OLD,
    S_NET,
    T_NET,
    TODAY,
    Records,
    Zone,
    resolved,
)
from tests.support.tables import cases

EVERYWHERE = {
    f"{service}.{host}": [S_NET]
    for service in TODAY.services
    for host in ("a.org", "1.2.3.4", "2001:db8::1", "[2001:db8::1]", "a.org:443")
}

# Server name, what it is connected to, what its certificate must be valid for.
DIRECT: list[tuple[str, str, str]] = [
    ("1.2.3.4", "1.2.3.4:8448", "1.2.3.4"),
    ("1.2.3.4:99", "1.2.3.4:99", "1.2.3.4"),
    ("[2001:db8::1]", "[2001:db8::1]:8448", "2001:db8::1"),
    ("[2001:db8::1]:99", "[2001:db8::1]:99", "2001:db8::1"),
    ("[2001:DB8:0::1]", "[2001:db8::1]:8448", "2001:db8::1"),
    ("a.org:443", "a.org:443", "a.org"),
    ("a.org:8448", "a.org:8448", "a.org"),
]


@pytest.mark.parametrize(("name", "target", "certificate_name"), DIRECT)
def test_a_literal_or_a_port_needs_no_look_up(
    name: str, target: str, certificate_name: str
) -> None:
    """An IP literal or a port is connected to, and no SRV record is asked for."""
    zone = Zone(EVERYWHERE)
    (route,) = resolved(name, zone, TODAY).routes
    assert zone.asked == []
    assert zone.well_knowns == []
    assert str(route) == target
    assert route.host_header == name
    assert route.certificate_name == certificate_name
    assert (route.srv_priority, route.srv_weight) == (None, None)


# What there is, services, SRV records, what is connected to, what is asked for.
BY_NAME: list[tuple[str, Algorithm, Records, list[str], list[str]]] = [
    ("both", BY_SRV, {FED: [S_NET], OLD: [T_NET]}, ["s.net:9"], [FED]),
    ("only the first", BY_SRV, {FED: [S_NET]}, ["s.net:9"], [FED]),
    ("only the second", BY_SRV, {OLD: [S_NET]}, ["s.net:9"], [FED, OLD]),
    ("neither", BY_SRV, {}, ["a.org:8448"], [FED, OLD]),
    ("empty answers", BY_SRV, {FED: [], OLD: []}, ["a.org:8448"], [FED, OLD]),
    ("two targets", BY_SRV, {FED: [T_NET, S_NET]}, ["s.net:9", "t.net:7"], [FED]),
    (
        "2014: x then y",
        OF_2014,
        {OLD: [SrvRecord(20, 0, 2, "y.net"), SrvRecord(10, 0, 1, "x.net")]},
        ["x.net:1", "y.net:2"],
        [OLD],
    ),
    ("2014: no record", OF_2014, {FED: [S_NET]}, ["a.org:8448"], [OLD]),
    (
        "no service",
        Algorithm(well_known=False, services=[]),
        {FED: [S_NET], OLD: [S_NET]},
        ["a.org:8448"],
        [],
    ),
]


@cases("algorithm records targets asked", BY_NAME)
def test_srv_services_are_asked_for_in_order(
    algorithm: Algorithm, records: Records, targets: list[str], asked: list[str]
) -> None:
    """The first service that has records leads to the server; others are not asked."""
    zone = Zone(records)
    resolution = resolved("a.org", zone, algorithm)
    assert [str(route) for route in resolution.routes] == targets
    assert zone.asked == asked


@pytest.mark.parametrize("records", [{}, {FED: [S_NET, T_NET]}, {OLD: [S_NET]}])
def test_every_route_is_for_the_name_of_the_server(records: Records) -> None:
    """The Host header and the certificate's name are the server's, not a target's."""
    for route in resolved("a.org", Zone(records)).routes:
        assert (route.host_header, route.certificate_name) == ("a.org", "a.org")


def test_a_route_says_which_record_it_is_from() -> None:
    """A route by an SRV record has that record's target, port, priority and weight."""
    (route,) = resolved("a.org", Zone({FED: [S_NET]})).routes
    assert route == Route("s.net", 9, "a.org", "a.org", srv_priority=10, srv_weight=5)


def test_names_are_asked_for_as_they_are_written() -> None:
    """A server name's capital letters are kept in the look-up and in the route."""
    zone = Zone({})
    (route,) = resolved("A.org", zone).routes
    assert zone.asked == ["_matrix-fed._tcp.A.org", "_matrix._tcp.A.org"]
    assert route == Route("A.org", 8448, "A.org", "A.org")


NO_FED, NO_OLD = (f"^SRV {service} has .* `.`" for service in (FED, OLD))
FED_FAILS, OLD_FAILS = (f"^SRV {service}: SERVFAIL$" for service in (FED, OLD))

# What stops it, SRV records, failing look-ups, what is asked for, why, and its code.
STOPPED: list[tuple[str, Records, list[str], list[str], str, str]] = [
    ("`.`", {FED: [NOT_HERE], OLD: [S_NET]}, [], [FED], NO_FED, "no_service"),
    ("second `.`", {OLD: [NOT_HERE]}, [], [FED, OLD], NO_OLD, "no_service"),
    ("failure", {OLD: [S_NET]}, [FED], [FED], FED_FAILS, "too_many_aliases"),
    ("second failure", {}, [OLD], [FED, OLD], OLD_FAILS, "too_many_aliases"),
]


@cases("records failing asked why reason", STOPPED)
def test_no_way_leads_on_after(
    records: Records, failing: list[str], asked: list[str], why: str, reason: str
) -> None:
    """Neither the next service nor port 8448 is tried after a refusal or a failure."""
    zone = Zone(records, failing)
    with pytest.raises(NotResolvable, match=why) as caught:
        resolved("a.org", zone)
    assert caught.value.reason == reason
    assert zone.asked == asked


STEPS: list[tuple[str, str, Records, list[Step]]] = [
    (
        "literal",
        "[2001:db8::1]",
        {},
        [Step("literal", "[2001:db8::1]", "connect to [2001:db8::1]:8448")],
    ),
    ("port", "a.org:443", {}, [Step("port", "a.org:443", "connect to a.org:443")]),
    (
        "first service",
        "a.org",
        {FED: [T_NET, S_NET]},
        [Step("srv", FED, "20 5 7 t.net, 10 5 9 s.net")],
    ),
    (
        "second service",
        "a.org",
        {OLD: [S_NET]},
        [Step("srv", FED, "no such record"), Step("srv", OLD, "10 5 9 s.net")],
    ),
    (
        "no service",
        "a.org",
        {},
        [
            Step("srv", FED, "no such record"),
            Step("srv", OLD, "no such record"),
            Step("fallback", "a.org", "connect to a.org:8448"),
        ],
    ),
]


@cases("name records steps", STEPS)
def test_steps_are_recorded(name: str, records: Records, steps: list[Step]) -> None:
    """A resolution tells what was looked up on the way, and what was found."""
    resolution = resolved(name, Zone(records))
    assert resolution.server_name == ServerName.parse(name)
    assert resolution.steps == steps


FAILED_STEPS: list[tuple[str, Records, list[str], list[Step]]] = [
    ("`.`", {FED: [NOT_HERE]}, [], [Step("srv", FED, f"0 0 0 . ({NO_HOST})")]),
    ("failure", {}, [FED], [Step("srv", FED, "no answer: SERVFAIL")]),
    (
        "failure of the second",
        {},
        [OLD],
        [Step("srv", FED, "no such record"), Step("srv", OLD, "no answer: SERVFAIL")],
    ),
]


@cases("records failing steps", FAILED_STEPS)
def test_steps_to_nowhere_are_recorded(
    records: Records, failing: list[str], steps: list[Step]
) -> None:
    """The error tells the steps up to the one that stopped it."""
    with pytest.raises(NotResolvable) as caught:
        resolved("a.org", Zone(records, failing))
    assert caught.value.steps == steps
