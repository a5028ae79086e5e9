"""When a server is found at the name that its well-known delegates to.

Rules: a delegation is followed once; without one, the name itself is resolved.
"""

import pytest

from homeserver.protocol.discovery import NotResolvable, Step
from homeserver.protocol.identifiers import ServerName
from tests.support.discovery_zones import (
    FED,
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
