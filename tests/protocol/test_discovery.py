"""Which routes lead to a server, and in which order its SRV targets are tried."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.protocol.discovery import (
    Algorithm,
    LookupFailed,
    NotResolvable,
    Resolution,
    Route,
    SrvRecord,
    Step,
    order,
    resolve,
)
from homeserver.protocol.names import ServerName

TODAY = Algorithm(well_known=True, services=["_matrix-fed._tcp", "_matrix._tcp"])
BY_SRV = Algorithm(well_known=False, services=TODAY.services)
OF_2014 = Algorithm(well_known=False, services=["_matrix._tcp"])

FED = "_matrix-fed._tcp.a.org"
OLD = "_matrix._tcp.a.org"

S_NET = SrvRecord(10, 5, 9, "s.net")
T_NET = SrvRecord(20, 5, 7, "t.net")
NOT_HERE = SrvRecord(0, 0, 0, ".")


class Zone:
    """SRV records by name, names whose look-up fails, and hosts that delegate."""

    def __init__(
        self,
        records: Mapping[str, Sequence[SrvRecord]],
        failing: Sequence[str] = (),
        delegating: Mapping[str, str] | None = None,
    ) -> None:
        self.records = records
        self.failing = failing
        self.delegating = delegating or {}
        self.asked: list[str] = []
        self.well_knowns: list[str] = []

    async def well_known(self, host: str) -> ServerName:
        """Whom `host`, which is noted in `well_knowns`, delegates to."""
        self.well_knowns.append(host)
        if host not in self.delegating:
            raise LookupFailed("status 404")
        return ServerName.parse(self.delegating[host])

    async def srv(self, name: str) -> Sequence[SrvRecord]:
        """The records at `name`, which is noted in `asked`."""
        self.asked.append(name)
        if name in self.failing:
            raise LookupFailed("SERVFAIL")
        return self.records.get(name, [])


def least(total: int) -> int:
    """Draw 0, whatever else could be drawn."""
    return 0


def most(total: int) -> int:
    """Draw the greatest number that can be drawn."""
    return total


def resolved(
    name: str,
    zone: Zone,
    algorithm: Algorithm = BY_SRV,
    draw: Callable[[int], int] = least,
) -> Resolution:
    """What `resolve` comes to over look-ups that answer at once."""
    results: list[Resolution] = []
    failures: list[Failure] = []
    coroutine = resolve(ServerName.parse(name), zone, algorithm, draw)
    Deferred.fromCoroutine(coroutine).addCallbacks(results.append, failures.append)
    for failure in failures:
        failure.raiseException()
    (result,) = results
    return result


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


Records = dict[str, list[SrvRecord]]

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


@pytest.mark.parametrize(
    ("algorithm", "records", "targets", "asked"),
    [row[1:] for row in BY_NAME],
    ids=[row[0] for row in BY_NAME],
)
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


# What stops it, SRV records, failing look-ups, what is asked for, why.
STOPPED: list[tuple[str, Records, list[str], list[str], str]] = [
    ("`.`", {FED: [NOT_HERE], OLD: [S_NET]}, [], [FED], f"^SRV {FED} has .* `.`"),
    ("`.` of the second", {OLD: [NOT_HERE]}, [], [FED, OLD], f"^SRV {OLD} has .* `.`"),
    ("failure", {OLD: [S_NET]}, [FED], [FED], f"^SRV {FED}: SERVFAIL$"),
    ("failure of the second", {}, [OLD], [FED, OLD], f"^SRV {OLD}: SERVFAIL$"),
]


@pytest.mark.parametrize(
    ("records", "failing", "asked", "why"),
    [row[1:] for row in STOPPED],
    ids=[row[0] for row in STOPPED],
)
def test_no_way_leads_on_after(
    records: Records, failing: list[str], asked: list[str], why: str
) -> None:
    """Neither the next service nor port 8448 is tried after a refusal or a failure."""
    zone = Zone(records, failing)
    with pytest.raises(NotResolvable, match=why):
        resolved("a.org", zone)
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


@pytest.mark.parametrize(
    ("name", "records", "steps"),
    [row[1:] for row in STEPS],
    ids=[row[0] for row in STEPS],
)
def test_steps_are_recorded(name: str, records: Records, steps: list[Step]) -> None:
    """A resolution tells what was looked up on the way, and what was found."""
    resolution = resolved(name, Zone(records))
    assert resolution.server_name == ServerName.parse(name)
    assert resolution.steps == steps


FAILED_STEPS: list[tuple[str, Records, list[str], list[Step]]] = [
    ("`.`", {FED: [NOT_HERE]}, [], [Step("srv", FED, "0 0 0 .")]),
    ("failure", {}, [FED], [Step("srv", FED, "no answer: SERVFAIL")]),
    (
        "failure of the second",
        {},
        [OLD],
        [Step("srv", FED, "no such record"), Step("srv", OLD, "no answer: SERVFAIL")],
    ),
]


@pytest.mark.parametrize(
    ("records", "failing", "steps"),
    [row[1:] for row in FAILED_STEPS],
    ids=[row[0] for row in FAILED_STEPS],
)
def test_steps_to_nowhere_are_recorded(
    records: Records, failing: list[str], steps: list[Step]
) -> None:
    """The error tells the steps up to the one that stopped it."""
    with pytest.raises(NotResolvable) as caught:
        resolved("a.org", Zone(records, failing))
    assert caught.value.steps == steps


@pytest.mark.parametrize(
    ("draw", "targets"), [(least, ["x.net", "y.net"]), (most, ["y.net", "x.net"])]
)
def test_chance_decides_among_equals(
    draw: Callable[[int], int], targets: list[str]
) -> None:
    """Routes by records of the same priority come in the order that is drawn."""
    equals = [SrvRecord(1, 1, 1, "x.net"), SrvRecord(1, 1, 1, "y.net")]
    resolution = resolved("a.org", Zone({FED: equals}), draw=draw)
    assert [route.host for route in resolution.routes] == targets


A = SrvRecord(10, 10, 1, "a")
B = SrvRecord(10, 30, 1, "b")
C = SrvRecord(10, 60, 1, "c")
ONE = SrvRecord(10, 1, 1, "i")
ZERO = SrvRecord(10, 0, 1, "z")
ZERO_2 = SrvRecord(10, 0, 1, "y")
LAST = SrvRecord(11, 100, 1, "l")

# The records, the numbers drawn and the totals that they are drawn of, the order.
DRAWS: list[tuple[list[SrvRecord], list[tuple[int, int]], str]] = [
    ([], [], ""),
    ([A], [(0, 10)], "a"),
    ([A], [(10, 10)], "a"),
    ([A, B, C], [(0, 100), (0, 90), (0, 60)], "abc"),
    ([A, B, C], [(10, 100), (30, 90), (60, 60)], "abc"),
    ([A, B, C], [(11, 100), (10, 70), (0, 60)], "bac"),
    ([A, B, C], [(40, 100), (11, 70), (10, 10)], "bca"),
    ([A, B, C], [(41, 100), (11, 40), (1, 10)], "cba"),
    ([A, B, C], [(100, 100), (40, 40), (10, 10)], "cba"),
    ([C, A], [(60, 70), (0, 10)], "ca"),
    ([A, ZERO], [(0, 10), (0, 10)], "za"),
    ([A, ZERO], [(1, 10), (0, 0)], "az"),
    ([ONE, ZERO], [(0, 1), (0, 1)], "zi"),
    ([A, ZERO, B], [(0, 40), (11, 40), (0, 10)], "zba"),
    ([ZERO, ZERO_2], [(0, 0), (0, 0)], "zy"),
    ([LAST, A], [(0, 10), (100, 100)], "al"),
    ([LAST, A, ZERO], [(10, 10), (0, 0), (0, 100)], "azl"),
    ([A, A], [(20, 20), (0, 10)], "aa"),
]


@pytest.mark.parametrize(("records", "draws", "expected"), DRAWS)
def test_order(
    records: list[SrvRecord], draws: list[tuple[int, int]], expected: str
) -> None:
    """The record whose running sum reaches the number drawn comes next."""
    left = iter(draws)

    def draw(total: int) -> int:
        number, expected_total = next(left)
        assert total == expected_total
        return number

    assert "".join(record.target for record in order(records, draw)) == expected
    assert list(left) == []


def first_of(records: Sequence[SrvRecord]) -> Mapping[str, float]:
    """How often each target comes first, of 10,000 orders."""
    chance = random.Random(2782)
    firsts = Counter(
        order(records, lambda total: chance.randint(0, total))[0].target
        for _ in range(10_000)
    )
    return {target: count / 10_000 for target, count in firsts.items()}


def test_first_targets_are_in_proportion_to_their_weights() -> None:
    """A target of 10, 30 or 60 per cent of the weight comes first as often."""
    proportions = first_of([C, A, LAST, B])
    assert proportions == pytest.approx({"a": 0.1, "b": 0.3, "c": 0.6}, abs=0.03)


def test_a_target_of_weight_0_seldom_comes_first() -> None:
    """A target of weight 0 has a small chance beside others: RFC 2782's one in N+1."""
    proportions = first_of([C, ZERO, B, A])
    assert proportions["z"] == pytest.approx(1 / 101, abs=0.005)


records_of_few_priorities = st.lists(
    st.builds(
        SrvRecord,
        st.integers(0, 3),
        st.integers(0, 3) | st.integers(0, 65535),
        st.integers(1, 65535),
        st.sampled_from("abcdef"),
    )
)


@given(records=records_of_few_priorities, chance=st.randoms())
@settings(deadline=None)
def test_priorities_are_never_mixed(
    records: list[SrvRecord], chance: random.Random
) -> None:
    """Every record is tried once, and those of a lower priority number first."""
    ordered = order(records, lambda total: chance.randint(0, total))
    assert Counter(ordered) == Counter(records)
    priorities = [record.priority for record in ordered]
    assert priorities == sorted(priorities)


# m.server, SRV records, what is connected to, what Host says, the certificate's name.
DELEGATED: list[tuple[str, Mapping[str, Sequence[SrvRecord]], str, str, str]] = [
    ("b.org:7", {}, "b.org:7", "b.org:7", "b.org"),
    ("5.6.7.8", {}, "5.6.7.8:8448", "5.6.7.8", "5.6.7.8"),
    ("[2001:db8::1]:9", {}, "[2001:db8::1]:9", "[2001:db8::1]:9", "2001:db8::1"),
    ("b.org", {"_matrix-fed._tcp.b.org": [S_NET]}, "s.net:9", "b.org", "b.org"),
    ("b.org", {"_matrix._tcp.b.org": [S_NET]}, "s.net:9", "b.org", "b.org"),
    ("b.org", {FED: [S_NET]}, "b.org:8448", "b.org", "b.org"),
    ("b.org", {}, "b.org:8448", "b.org", "b.org"),
]


@pytest.mark.parametrize(
    ("delegated", "records", "target", "host_header", "certificate_name"), DELEGATED
)
def test_a_delegation_is_followed_once(
    delegated: str,
    records: Mapping[str, Sequence[SrvRecord]],
    target: str,
    host_header: str,
    certificate_name: str,
) -> None:
    """The name delegated to is resolved in place of the first, less its well-known."""
    zone = Zone(records, delegating={"a.org": delegated, "b.org": "c.org"})
    resolution = resolved("a.org", zone, TODAY)
    (route,) = resolution.routes
    assert str(route) == target
    assert (route.host_header, route.certificate_name) == (
        host_header,
        certificate_name,
    )
    assert zone.well_knowns == ["a.org"]
    assert resolution.server_name == ServerName.parse("a.org")
    assert resolution.steps[0] == Step(
        "well-known",
        "https://a.org/.well-known/matrix/server",
        f"delegates to {delegated}",
    )


def test_a_well_known_that_fails_is_passed_over() -> None:
    """Whatever is wrong with the well-known, the name's own SRV records come next."""
    zone = Zone({FED: [S_NET]})
    resolution = resolved("a.org", zone, TODAY)
    assert [str(route) for route in resolution.routes] == ["s.net:9"]
    assert resolution.steps[0].found == "no delegation: status 404"


def test_the_algorithm_of_2014_asks_for_no_well_known() -> None:
    """Without well-known in the algorithm, a delegation is not seen."""
    zone = Zone({}, delegating={"a.org": "b.org"})
    (route,) = resolved("a.org", zone, OF_2014).routes
    assert route.host_header == "a.org"
    assert zone.well_knowns == []
