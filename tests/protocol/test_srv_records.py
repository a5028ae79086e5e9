"""Which SRV records of a server lead to it, and which are told and left out.

Rules: a record that leads nowhere is told with what is wrong; where none can be used,
nothing else is tried. Of many records, twenty are.
"""

import pytest

from homeserver.protocol.discovery import MAX_TARGETS, NotResolvable, SrvRecord, Step
from tests.support.discovery_zones import (
    FED,
    NO_HOST,
    NOT_HERE,
    OLD,
    S_NET,
    T_NET,
    Zone,
    resolved,
)
from tests.support.tables import cases

NO_PORT = "unusable: port 0 is not a port"

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
