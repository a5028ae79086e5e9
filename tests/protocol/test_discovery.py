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
    MAX_TARGETS,
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
from homeserver.protocol.identifiers import ServerName
from tests.support.tables import cases

TODAY = Algorithm(well_known=True, services=["_matrix-fed._tcp", "_matrix._tcp"])
BY_SRV = Algorithm(well_known=False, services=TODAY.services)
OF_2014 = Algorithm(well_known=False, services=["_matrix._tcp"])

FED = "_matrix-fed._tcp.a.org"
OLD = "_matrix._tcp.a.org"

S_NET = SrvRecord(10, 5, 9, "s.net")
T_NET = SrvRecord(20, 5, 7, "t.net")
NOT_HERE = SrvRecord(0, 0, 0, ".")

NO_HOST = "unusable: the target is not a host name"
NO_PORT = "unusable: port 0 is not a port"


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
        """The name that `host`, which is noted in `well_knowns`, delegates to."""
        self.well_knowns.append(host)
        if host not in self.delegating:
            raise LookupFailed("status 404")
        return ServerName.parse(self.delegating[host])

    async def srv(self, name: str) -> Sequence[SrvRecord]:
        """The records at `name`, which is noted in `asked`."""
        self.asked.append(name)
        if name in self.failing:
            raise LookupFailed("SERVFAIL", "too_many_aliases")
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


# A target, whether it is a host's name, how it is shown.
TARGETS: list[tuple[str, bool, str]] = [
    ("a.net", True, "a.net"),
    ("A.Net", True, "A.Net"),
    ("a", True, "a"),
    ("_a-b_.c-.net", True, "_a-b_.c-.net"),
    ("1.2.3.4", True, "1.2.3.4"),
    ("a" * 63 + ".net", True, "a" * 63 + ".net"),
    ("a." * 126 + "b", True, "a." * 126 + "b"),
    (".", False, "."),
    ("", False, "''"),
    ("a.net.", False, "'a.net.'"),
    (".a.net", False, "'.a.net'"),
    ("a..net", False, "'a..net'"),
    ("..", False, "'..'"),
    ("a" * 64 + ".net", False, repr("a" * 64 + ".net")),
    ("net." + "a" * 64, False, repr("net." + "a" * 64)),
    ("a." * 126 + "bc", False, repr("a." * 126)[:77] + "..."),
    ("a b.net", False, "'a b.net'"),
    ("a.net\n", False, "'a.net\\n'"),
    ("\x1b[31ma.net", False, "'\\x1b[31ma.net'"),
    ("\\xff.net", False, "'\\\\xff.net'"),
    ("caf\xe9.net", False, "'caf\xe9.net'"),
    ("\u0663.net", False, "'\u0663.net'"),
    ("a.net:8448", False, "'a.net:8448'"),
    ("::1", False, "'::1'"),
    ("[::1]", False, "'[::1]'"),
    ("a/b", False, "'a/b'"),
    ("*.net", False, "'*.net'"),
]


@pytest.mark.parametrize(("target", "is_host", "shown"), TARGETS)
def test_targets(target: str, is_host: bool, shown: str) -> None:  # noqa: FBT001
    """Only what may be a host's name is connected to; the rest is shown in quotes."""
    record = SrvRecord(1, 2, 3, target)
    assert record.problem == (None if is_host else "the target is not a host name")
    assert str(record) == f"1 2 3 {shown}"
    resolving = Zone({FED: [record, S_NET]})
    routes = resolved("a.org", resolving).routes
    assert [route.host for route in routes] == ([target] if is_host else []) + ["s.net"]


ODD = SrvRecord(1, 1, 1, "a b")
PORTLESS = SrvRecord(2, 2, 0, "p.net")

# What there is, the records, what is connected to, what is told of them.
UNUSABLE: list[tuple[str, list[SrvRecord], list[str], str]] = [
    (
        "port 0",
        [PORTLESS, S_NET],
        ["s.net:9"],
        f"2 2 0 p.net ({NO_PORT}), 10 5 9 s.net",
    ),
    ("odd", [S_NET, ODD], ["s.net:9"], f"10 5 9 s.net, 1 1 1 'a b' ({NO_HOST})"),
    ("`.`", [NOT_HERE, S_NET], ["s.net:9"], f"0 0 0 . ({NO_HOST}), 10 5 9 s.net"),
    (
        "`.` twice",
        [NOT_HERE, S_NET, NOT_HERE],
        ["s.net:9"],
        f"0 0 0 . ({NO_HOST}), 10 5 9 s.net, 0 0 0 . ({NO_HOST})",
    ),
    (
        "between",
        [S_NET, ODD, PORTLESS, T_NET],
        ["s.net:9", "t.net:7"],
        f"10 5 9 s.net, 1 1 1 'a b' ({NO_HOST}), 2 2 0 p.net ({NO_PORT}), 20 5 7 t.net",
    ),
]


@cases("records targets found", UNUSABLE)
def test_records_that_cannot_be_used_are_left_out(
    records: list[SrvRecord], targets: list[str], found: str
) -> None:
    """A record that leads nowhere is told with what is wrong, and not tried."""
    zone = Zone({FED: records, OLD: [T_NET]})
    resolution = resolved("a.org", zone)
    assert [str(route) for route in resolution.routes] == targets
    assert resolution.steps == [Step("srv", FED, found)]
    assert zone.asked == [FED]


NONE_USABLE: list[tuple[list[SrvRecord], str]] = [
    ([PORTLESS], f"2 2 0 p.net ({NO_PORT})"),
    ([ODD, PORTLESS], f"1 1 1 'a b' ({NO_HOST}), 2 2 0 p.net ({NO_PORT})"),
    ([NOT_HERE, NOT_HERE], f"0 0 0 . ({NO_HOST}), 0 0 0 . ({NO_HOST})"),
    ([NOT_HERE, PORTLESS], f"0 0 0 . ({NO_HOST}), 2 2 0 p.net ({NO_PORT})"),
]


@pytest.mark.parametrize(("records", "found"), NONE_USABLE)
def test_no_record_can_be_used(records: list[SrvRecord], found: str) -> None:
    """Where every record leads nowhere, neither the next service nor 8448 is tried."""
    zone = Zone({FED: records, OLD: [S_NET]})
    with pytest.raises(NotResolvable) as caught:
        resolved("a.org", zone)
    assert str(caught.value) == f"SRV {FED}: {found}"
    assert caught.value.reason == "no_usable_record"
    assert caught.value.steps == [Step("srv", FED, found)]
    assert zone.asked == [FED]


def test_the_weight_of_what_cannot_be_used_does_not_count() -> None:
    """A record that is left out takes no part in the drawing of lots."""
    totals = []

    def draw(total: int) -> int:
        totals.append(total)
        return 0

    records = [SrvRecord(10, 1000, 0, "p.net"), S_NET, SrvRecord(10, 1000, 1, "a b")]
    resolved("a.org", Zone({FED: records}), draw=draw)
    assert totals == [5]


def test_twenty_targets_are_tried() -> None:
    """Of many records, those that come first by priority are tried and told."""
    many = [SrvRecord(each, 0, 1, f"h{each}.net") for each in reversed(range(25))]
    resolution = resolved("a.org", Zone({FED: many}))
    assert MAX_TARGETS == 20
    assert [route.host for route in resolution.routes] == [
        f"h{each}.net" for each in range(20)
    ]
    told = resolution.steps[0].found.split(", ")
    assert told == [*map(str, many[:20]), "5 more"]


def test_as_many_records_as_are_tried_are_all_told() -> None:
    """Of twenty records none is left untold."""
    many = [SrvRecord(each, 0, 1, f"h{each}.net") for each in range(20)]
    (step,) = resolved("a.org", Zone({FED: many})).steps
    assert step.found == ", ".join(map(str, many))


def test_what_cannot_be_used_takes_no_place() -> None:
    """However many records lead nowhere, the others are tried."""
    odd = [SrvRecord(0, 0, 0, f"p{each}.net") for each in range(100)]
    resolution = resolved("a.org", Zone({FED: [*odd, S_NET]}))
    assert [str(route) for route in resolution.routes] == ["s.net:9"]
    assert len(resolution.steps[0].found) < 2000


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
    ([ZERO, ZERO_2], [(0, 1), (0, 0), (0, 0)], "zy"),
    ([ZERO, ZERO_2], [(1, 1), (0, 0), (0, 0)], "yz"),
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


# Weights by target, of one priority.
WEIGHTS: list[Mapping[str, int]] = [
    {"a": 10, "b": 30, "c": 60},
    {"c": 60, "b": 30, "a": 10},
    {"a": 100, "b": 100},
    {"a": 1000, "b": 2000, "c": 3000, "d": 4000},
    {"a": 65535, "b": 65535, "c": 65535},
    {"a": 9900, "b": 100, "c": 0},
]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_first_targets_are_in_proportion_to_their_weights(
    weights: Mapping[str, int],
) -> None:
    """Of 10,000 orders, a target comes first as often as its weight says, or nearly."""
    records = [SrvRecord(10, weight, 1, target) for target, weight in weights.items()]
    proportions = {**dict.fromkeys(weights, 0.0), **first_of([*records, LAST])}
    total = sum(weights.values())
    assert proportions == pytest.approx(
        {target: weight / total for target, weight in weights.items()}, abs=0.03
    )


def test_second_targets_are_in_proportion_to_the_weights_that_are_left() -> None:
    """Whichever comes first, the others are drawn by their own weights."""
    chance = random.Random(2782)
    seconds = Counter(
        orders[1].target
        for _ in range(10_000)
        if (orders := order([A, B, C], lambda total: chance.randint(0, total)))[0] == C
    )
    drawn = sum(seconds.values())
    assert {target: count / drawn for target, count in seconds.items()} == (
        pytest.approx({"a": 10 / 40, "b": 30 / 40}, abs=0.03)
    )


@pytest.mark.parametrize("others", [[], [A, B]], ids=["alone", "beside others"])
def test_targets_of_weight_0_come_in_any_order(others: list[SrvRecord]) -> None:
    """Of targets of weight 0, each order is as likely as any other."""
    zeros = [SrvRecord(10, 0, 1, target) for target in "xyz"]
    chance = random.Random(2782)
    orders = Counter(
        "".join(
            record.target
            for record in order([*zeros, *others], lambda most: chance.randint(0, most))
            if record.weight == 0
        )
        for _ in range(10_000)
    )
    assert {each: count / 10_000 for each, count in orders.items()} == pytest.approx(
        dict.fromkeys(["xyz", "xzy", "yxz", "yzx", "zxy", "zyx"], 1 / 6), abs=0.02
    )


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


B_FED = "_matrix-fed._tcp.b.org"
B_OLD = "_matrix._tcp.b.org"

# The specification's step, `m.server`, SRV records, what is connected to, what `Host`
# says, what the certificate is for, what SRV records are asked for.
DELEGATED: list[tuple[str, str, Records, str, str, str, list[str]]] = [
    ("3.1", "5.6.7.8", {}, "5.6.7.8:8448", "5.6.7.8", "5.6.7.8", []),
    ("3.1", "5.6.7.8:9", {}, "5.6.7.8:9", "5.6.7.8:9", "5.6.7.8", []),
    (
        "3.1",
        "[2001:db8::1]",
        {},
        "[2001:db8::1]:8448",
        "[2001:db8::1]",
        "2001:db8::1",
        [],
    ),
    (
        "3.1",
        "[2001:db8::1]:9",
        {},
        "[2001:db8::1]:9",
        "[2001:db8::1]:9",
        "2001:db8::1",
        [],
    ),
    ("3.2", "b.org:7", {B_FED: [S_NET]}, "b.org:7", "b.org:7", "b.org", []),
    ("3.3", "b.org", {B_FED: [S_NET]}, "s.net:9", "b.org", "b.org", [B_FED]),
    (
        "3.3 before 3.4",
        "b.org",
        {B_FED: [S_NET], B_OLD: [T_NET]},
        "s.net:9",
        "b.org",
        "b.org",
        [B_FED],
    ),
    ("3.4", "b.org", {B_OLD: [S_NET]}, "s.net:9", "b.org", "b.org", [B_FED, B_OLD]),
    ("3.5", "b.org", {}, "b.org:8448", "b.org", "b.org", [B_FED, B_OLD]),
    (
        "3.5, not 4",
        "b.org",
        {FED: [S_NET], OLD: [S_NET]},
        "b.org:8448",
        "b.org",
        "b.org",
        [B_FED, B_OLD],
    ),
    ("itself", "a.org", {FED: [S_NET]}, "s.net:9", "a.org", "a.org", [FED]),
]


@cases("delegated records target host_header certificate_name asked", DELEGATED)
def test_a_delegation_is_followed_once(
    delegated: str,
    records: Records,
    target: str,
    host_header: str,
    certificate_name: str,
    asked: list[str],
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
    assert zone.asked == asked
    assert resolution.server_name == ServerName.parse("a.org")
    assert resolution.steps[0] == Step(
        "well-known",
        "https://a.org/.well-known/matrix/server",
        f"delegates to {delegated}",
    )


# The specification's step, SRV records, what is connected to, what is asked for.
NOT_DELEGATED: list[tuple[str, Records, list[str], list[str]]] = [
    ("4", {FED: [S_NET]}, ["s.net:9"], [FED]),
    ("4 before 5", {FED: [S_NET], OLD: [T_NET]}, ["s.net:9"], [FED]),
    ("4, all targets", {FED: [S_NET, T_NET]}, ["s.net:9", "t.net:7"], [FED]),
    ("5", {OLD: [S_NET]}, ["s.net:9"], [FED, OLD]),
    ("6", {}, ["a.org:8448"], [FED, OLD]),
]


@cases("records targets asked", NOT_DELEGATED)
def test_a_name_that_does_not_delegate_is_resolved_itself(
    records: Records, targets: list[str], asked: list[str]
) -> None:
    """Whatever is wrong with the well-known, the name's own SRV records come next."""
    zone = Zone(records)
    resolution = resolved("a.org", zone, TODAY)
    assert [str(route) for route in resolution.routes] == targets
    for route in resolution.routes:
        assert (route.host_header, route.certificate_name) == ("a.org", "a.org")
    assert zone.well_knowns == ["a.org"]
    assert zone.asked == asked


@pytest.mark.parametrize("records", [{FED: [NOT_HERE], OLD: [S_NET]}, {}])
def test_a_well_known_does_not_mend_what_the_dns_says(records: Records) -> None:
    """Without a delegation, a refusal or a failure of the DNS is the end as ever."""
    zone = Zone(records, failing=[] if records else [FED])
    with pytest.raises(NotResolvable) as caught:
        resolved("a.org", zone, TODAY)
    assert [step.step for step in caught.value.steps] == ["well-known", "srv"]
    assert zone.asked == [FED]


def test_a_well_known_that_fails_is_told() -> None:
    """What is wrong with the well-known stands among the steps."""
    steps = resolved("a.org", Zone({FED: [S_NET]}), TODAY).steps
    assert steps[0] == Step(
        "well-known",
        "https://a.org/.well-known/matrix/server",
        "no delegation: status 404",
        "no_answer",
    )


def test_the_algorithm_of_2014_asks_for_no_well_known() -> None:
    """Without well-known in the algorithm, a delegation is not seen."""
    zone = Zone({}, delegating={"a.org": "b.org"})
    (route,) = resolved("a.org", zone, OF_2014).routes
    assert route.host_header == "a.org"
    assert zone.well_knowns == []
