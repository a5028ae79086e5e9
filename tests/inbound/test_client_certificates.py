"""Whose a client certificate is, and who is refused for showing it.

It is the origin's if the origin's own server has shown it, or if it proves the origin's
name. The origin's server is asked only where neither is known.
"""

from collections.abc import Callable

import pytest

from homeserver.inbound.client_certificates import Demand
from homeserver.protocol.identifiers import ServerName
from tests.support.certificate_inspection import (
    CLIENT_AUTH,
    FOREIGN,
    ORIGIN,
    OWN,
    OWN_SHA256,
    PROVING,
    SERVER_AUTH,
    Inspection,
    link,
    resumed,
    shown,
)
from tests.support.certificates import Issued, authority, dns, ip, issue, issue_for
from tests.support.outbound_stack import CA
from tests.support.signed_requests import OTHERS


@pytest.mark.parametrize("issued", [OWN, PROVING, FOREIGN], ids=["own", "CA", "wrong"])
def test_ignored(issued: Issued) -> None:
    """Where certificates are ignored, none is looked at, right or wrong."""
    inspection = Inspection("ignore")
    inspection.know(OWN)
    assert inspection.check(shown(issued)) is None
    assert inspection.client.asked == []


@pytest.mark.parametrize("demand", ["ignore", "if-presented"])
def test_none_is_enough(demand: Demand) -> None:
    """Where none is demanded, nothing is recorded of who shows none."""
    inspection = Inspection(demand)
    inspection.know(OWN)
    assert inspection.check(None) is None
    assert inspection.client.asked == []


def test_none_is_not_enough() -> None:
    """Where one is demanded, who shows none is refused and told so."""
    inspection = Inspection("required")
    inspection.know(OWN)
    said = inspection.refusal(None)
    assert ORIGIN.name in said
    assert "requires a TLS client certificate" in said
    assert inspection.client.asked == []


@pytest.mark.parametrize("demand", ["if-presented", "required"])
@pytest.mark.parametrize("believes_authorities", [True, False])
def test_stored(
    demand: Demand,
    believes_authorities: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The certificate that the origin's own server has shown is the origin's."""
    inspection = Inspection(demand, believes_authorities=believes_authorities)
    inspection.know(OWN)
    assert inspection.check(shown(OWN)) == OWN_SHA256
    assert inspection.client.asked == []


def test_fingerprint() -> None:
    """A certificate is known by the SHA-256 of its DER, as that of a server is."""
    assert shown(OWN).sha256 == link(OWN).peer.certificate_sha256


def test_stored_of_another_server() -> None:
    """The certificate of another server is not the origin's, whoever that is."""
    inspection = Inspection()
    inspection.know(OWN)
    inspection.know(FOREIGN, OTHERS.server_name)
    assert not inspection.is_taken(shown(FOREIGN))


# The origin, and a certificate that proves its name.
PROVEN: list[tuple[str, str, Issued]] = [
    ("name", "them.example", issue_for("them.example", CA)),
    ("one of many", "them.example", issue("x", dns("a.b", "them.example"), issuer=CA)),
    ("other letters", "THEM.example", issue_for("them.EXAMPLE", CA)),
    ("wildcard", "a.them.example", issue_for("*.them.example", CA)),
    ("origin with port", "them.example:8449", issue_for("them.example", CA)),
    ("intermediate", "them.example", PROVING),
    ("IPv4", "192.0.2.1", issue("x", [ip("192.0.2.1")], issuer=CA)),
    ("IPv4 with port", "192.0.2.1:8449", issue("x", [ip("192.0.2.1")], issuer=CA)),
    ("IPv6", "[2001:db8::1]", issue("x", [ip("2001:db8::1")], issuer=CA)),
    ("IPv6 with port", "[2001:db8:0::1]:1", issue("x", [ip("2001:db8::1")], issuer=CA)),
    (
        "for servers only",
        "them.example",
        issue("x", dns("them.example"), issuer=CA, purposes=[SERVER_AUTH]),
    ),
    (
        "for clients only",
        "them.example",
        issue("x", dns("them.example"), issuer=CA, purposes=[CLIENT_AUTH]),
    ),
]


@pytest.mark.parametrize(
    ("name", "issued"), [row[1:] for row in PROVEN], ids=[row[0] for row in PROVEN]
)
def test_proven(name: str, issued: Issued) -> None:
    """A certificate proves its owner as a server's does, and nobody is asked."""
    inspection = Inspection("required")
    assert inspection.is_taken(shown(issued), ServerName.parse(name))
    assert inspection.client.asked == []


# The origin, a certificate that does not prove its name, and what is said of it.
UNPROVEN: list[tuple[str, str, Callable[[], Issued], str]] = [
    (
        "wrong name",
        "them.example",
        lambda: issue_for("other.example", CA),
        "is not for them.example but for 'other.example'",
    ),
    (
        "name below",
        "them.example",
        lambda: issue_for("a.them.example", CA),
        "is not for them.example but",
    ),
    (
        "wildcard over it",
        "them.example",
        lambda: issue_for("*.them.example", CA),
        "is not for them.example but",
    ),
    (
        "no name",
        "them.example",
        lambda: issue("them.example", None, issuer=CA),
        "has no usable name",
    ),
    (
        "expired",
        "them.example",
        lambda: issue("x", dns("them.example"), issuer=CA, days=(-9, -2)),
        "the certificate has expired",
    ),
    (
        "not valid yet",
        "them.example",
        lambda: issue("x", dns("them.example"), issuer=CA, days=(2, 9)),
        "the certificate is not valid yet",
    ),
    (
        "other CA",
        "them.example",
        lambda: issue_for("them.example", authority("Another CA")),
        "by an authority that is not known",
    ),
    (
        "self-signed",
        "them.example",
        lambda: issue_for("them.example"),
        "is self-signed and not trusted",
    ),
    (
        "no authority in between",
        "them.example",
        lambda: issue_for("them.example", issue("x", dns("x.test"), issuer=CA)),
        "an issuer certificate",
    ),
    (
        "expired in between",
        "them.example",
        lambda: issue_for(
            "them.example",
            issue("x", None, issuer=CA, is_authority=True, days=(-9, -2)),
        ),
        "an issuer certificate has expired",
    ),
    (
        "address as a DNS name",
        "192.0.2.1",
        lambda: issue_for("192.0.2.1", CA),
        "has no usable name",
    ),
    (
        "another address",
        "192.0.2.1",
        lambda: issue("x", [ip("192.0.2.2")], issuer=CA),
        "is not for 192.0.2.1 but for '192.0.2.2'",
    ),
    (
        "name for an address",
        "192.0.2.1",
        lambda: issue_for("them.example", CA),
        "is not for 192.0.2.1 but",
    ),
    (
        "address for a name",
        "them.example",
        lambda: issue("x", [ip("192.0.2.1")], issuer=CA),
        "is not for them.example but",
    ),
]


@pytest.mark.parametrize("is_at_home", [True, False])
@pytest.mark.parametrize(
    ("name", "issued", "said"),
    [row[1:] for row in UNPROVEN],
    ids=[row[0] for row in UNPROVEN],
)
def test_unproven(
    name: str,
    issued: Callable[[], Issued],
    said: str,
    is_at_home: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A certificate that proves something else is not the origin's, and it is said why.

    It is told the origin's name, the fingerprint, what was wrong, and what came of
    asking its own server.
    """
    origin = ServerName.parse(name)
    inspection = Inspection()
    inspection.know(OWN, origin)
    if is_at_home:
        inspection.client.found = link(OWN, origin.host, origin.host)
    certificate = shown(issued())
    refusal = inspection.refusal(certificate, origin)
    assert refusal.startswith(
        f"the TLS client certificate (SHA-256 {certificate.sha256}) is not that of "
        f"{name}: "
    )
    assert said in refusal
    asked = f"(SHA-256 {OWN_SHA256})" if is_at_home else "it is not at home"
    assert asked in refusal
    assert inspection.client.asked == [origin]


def test_intermediate_is_needed() -> None:
    """A certificate whose chain was not shown proves nothing by itself."""
    assert "authority" in Inspection().refusal(resumed(PROVING))


def test_authorities_are_not_believed() -> None:
    """Where certificates are no way to verify a server, they prove no client either."""
    inspection = Inspection(believes_authorities=False)
    assert "no certificate authority is trusted here" in inspection.refusal(
        shown(PROVING)
    )
    inspection.client.found = link(OWN, "host.example")
    assert not inspection.is_taken(shown(issue_for("host.example", CA)))
