"""How an origin's own server is asked which certificate it shows.

What it shows now is the origin's. An origin is asked once in ten seconds, whatever is
shown, and so many origins are asked at once.
"""

from collections.abc import Sequence

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.tls.shown_certificate import ShownCertificate
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.identifiers import ServerName
from tests.support.certificate_inspection import (
    BETWEEN,
    FOREIGN,
    ORIGIN,
    OWN,
    OWN_SHA256,
    Inspection,
    link,
    shown,
)
from tests.support.certificates import Issued, authority, issue_for
from tests.support.outbound_stack import CA
from tests.support.signed_requests import OTHERS


@pytest.mark.parametrize("believes_authorities", [True, False])
@pytest.mark.parametrize("is_known", [True, False])
def test_renewed(
    is_known: bool,  # noqa: FBT001 - a parameter of the test
    believes_authorities: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A certificate that the origin's server shows now is the origin's."""
    inspection = Inspection(believes_authorities=believes_authorities)
    if is_known:
        inspection.know(OWN)
    renewed = issue_for(ORIGIN.host)
    inspection.client.found = link(renewed)
    assert inspection.is_taken(shown(renewed))
    assert inspection.client.asked == [ORIGIN]


def test_delegated() -> None:
    """A certificate may prove the name which the origin delegates to."""
    inspection = Inspection()
    inspection.client.found = link(OWN, "host.example")
    assert inspection.is_taken(shown(issue_for("host.example", BETWEEN)))
    assert inspection.client.asked == [ORIGIN]


@pytest.mark.parametrize(
    ("issued", "said"),
    [
        (issue_for("host.example"), "self-signed"),
        (issue_for("host.example", authority("Another CA")), "authority"),
        (issue_for("other.example", CA), "is not for them.example but"),
        (issue_for("srv.example", CA), "is not for them.example but"),
    ],
    ids=["self-signed", "other CA", "other name", "SRV target"],
)
def test_not_delegated(issued: Issued, said: str) -> None:
    """A certificate that does not prove the delegated name is not the origin's."""
    inspection = Inspection()
    inspection.client.found = link(OWN, "host.example", "srv.example")
    refusal = inspection.refusal(shown(issued))
    assert said in refusal
    assert f"its server presents another one (SHA-256 {OWN_SHA256})" in refusal


def test_unreachable() -> None:
    """Who cannot be reached is told so, and nothing of our own network."""
    inspection = Inspection()
    inspection.client.found = Unreachable(
        ORIGIN,
        ["them.example:8448: 10.0.0.1 is in the refused range 10.0.0.0/8"],
    )
    with pytest.raises(Forbidden) as caught:
        inspection.check(shown(OWN))
    public = str(caught.value)
    assert public.endswith("; and no connection to them.example could be verified")
    assert "10.0.0.1 is in the refused" in caught.value.explanation.in_full


def test_refused_again() -> None:
    """Who was refused is refused for ten seconds, and only then asked about again."""
    inspection = Inspection()
    inspection.client.found = link(OWN)
    renewed = issue_for(ORIGIN.host)
    first = inspection.refusal(shown(renewed))
    inspection.client.found = link(renewed)
    inspection.clock.advance(9.9)
    assert inspection.refusal(shown(renewed)) == first
    assert len(inspection.client.asked) == 1
    inspection.clock.advance(0.1)
    assert inspection.is_taken(shown(renewed))
    assert len(inspection.client.asked) == 2


def test_unreachable_again() -> None:
    """Neither is a server that was not reached asked again at once."""
    inspection = Inspection()
    assert not inspection.is_taken(shown(OWN))
    inspection.client.found = link(OWN)
    inspection.clock.advance(9.9)
    assert not inspection.is_taken(shown(OWN))
    assert len(inspection.client.asked) == 1
    inspection.clock.advance(0.1)
    assert inspection.is_taken(shown(OWN))


def several(count: int) -> Sequence[ShownCertificate]:
    """Certificates that are none of the origin's."""
    return [shown(issue_for(f"n{number}.example")) for number in range(count)]


@pytest.mark.parametrize("is_at_home", [True, False])
def test_refused_after_another(
    is_at_home: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The ten seconds of a refusal begin with it, whenever the origin was asked."""
    inspection = Inspection()
    if is_at_home:
        inspection.client.found = link(OWN)
    first, second = several(2)
    assert not inspection.is_taken(first)
    inspection.clock.advance(9)
    assert not inspection.is_taken(second)
    inspection.clock.advance(9.9)
    assert not inspection.is_taken(second)
    assert inspection.client.asked == [ORIGIN]
    inspection.clock.advance(0.1)
    assert not inspection.is_taken(second)
    assert inspection.client.asked == [ORIGIN, ORIGIN]


def test_many_certificates() -> None:
    """An origin is asked once in ten seconds, whatever certificates are shown."""
    inspection = Inspection()
    inspection.client.found = link(OWN)
    for certificate in several(3):
        assert not inspection.is_taken(certificate)
    assert inspection.is_taken(shown(OWN))
    assert inspection.client.asked == [ORIGIN]
    inspection.clock.advance(10)
    assert not inspection.is_taken(several(1)[0])
    assert inspection.client.asked == [ORIGIN, ORIGIN]


def test_many_certificates_of_the_unreachable() -> None:
    """Neither is one asked anew for each certificate that cannot be reached."""
    inspection = Inspection()
    for certificate in several(3):
        assert not inspection.is_taken(certificate)
    assert inspection.client.asked == [ORIGIN]


def test_each_origin_is_asked() -> None:
    """What one origin's server shows says nothing of another one."""
    inspection = Inspection()
    inspection.client.found = link(OWN)
    inspection.is_taken(shown(FOREIGN))
    inspection.is_taken(shown(FOREIGN), OTHERS.server_name)
    assert inspection.client.asked == [ORIGIN, OTHERS.server_name]


def test_so_many_origins_wait() -> None:
    """Fifty origins are asked at once and a thousand wait; the next is refused."""
    inspection = Inspection()
    waiting: list[Deferred[VerifiedConnection]] = []

    async def reach(_: ServerName, cause: Cause) -> VerifiedConnection:
        waiting.append(Deferred())
        return await waiting[-1]

    inspection.client.reach = reach  # type: ignore[method-assign,assignment]
    bound = inspection.limits.bound
    assert (bound.use(), bound.limit, bound.refusals) == (0, 1050, 0)
    for number in range(1050):
        name = ServerName.parse(f"n{number}.example")
        checking = inspection.certificates.check(name, shown(OWN), OURSELVES)
        Deferred.fromCoroutine(checking).addErrback(lambda _: None)
    assert (bound.use(), bound.refusals) == (1050, 0)
    assert "; and too many servers are being asked" in inspection.refusal(shown(OWN))
    assert (bound.use(), bound.refusals) == (1050, 1)
    assert len(waiting) == 50
    for each in waiting:  # which grows, as others have their turn
        each.callback(link(FOREIGN))
    assert (len(waiting), bound.use()) == (1050, 0)


@pytest.mark.parametrize("is_same", [True, False], ids=["same", "different"])
def test_at_once(
    is_same: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Ten requests at once cost one connection to their origin."""
    inspection = Inspection()
    inspection.client.found = link(OWN)
    inspection.client.waiting = Deferred()
    certificates = [shown(OWN)] * 10 if is_same else [shown(OWN), *several(9)]
    checks = [
        Deferred.fromCoroutine(
            inspection.certificates.check(ORIGIN, certificate, OURSELVES)
        )
        for certificate in certificates
    ]
    results: list[object] = []
    for check in checks:
        check.addBoth(results.append)
    assert results == []
    inspection.client.waiting.callback(None)
    taken = [result for result in results if not isinstance(result, Failure)]
    assert len(results) == 10
    assert taken == [OWN_SHA256] * (10 if is_same else 1)
    assert inspection.client.asked == [ORIGIN]
