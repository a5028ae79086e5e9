"""How long it is known that a certificate is an origin's.

A proof is of one origin and one certificate, and holds for an hour, or until the origin
is forgotten.
"""

import pytest

from homeserver.inbound.client_certificates import PROVEN_SECONDS
from homeserver.protocol.identifiers import ServerName
from tests.support.certificate_inspection import (
    BETWEEN,
    FOREIGN,
    ORIGIN,
    OWN,
    PROVING,
    Inspection,
    link,
    resumed,
    shown,
)
from tests.support.certificates import issue_for
from tests.support.coroutines import result_of
from tests.support.signed_requests import OTHERS


def test_kept_for_an_hour() -> None:
    """A proof holds for an hour; what it was made of is looked at again after it."""
    inspection = Inspection()
    assert inspection.is_taken(shown(PROVING))
    inspection.clock.advance(PROVEN_SECONDS - 0.1)
    assert inspection.is_taken(resumed(PROVING))
    assert inspection.client.asked == []
    inspection.clock.advance(0.1)
    inspection.certificates._chains.clear()
    assert not inspection.is_taken(resumed(PROVING))
    assert inspection.client.asked == [ORIGIN]


def test_kept_for_as_long_as_a_session() -> None:
    """A session that was begun in the hour of a proof can be resumed for its own."""
    inspection = Inspection()
    assert inspection.is_taken(shown(PROVING))
    inspection.clock.advance(PROVEN_SECONDS - 1)
    assert inspection.is_taken(shown(PROVING))
    inspection.clock.advance(2)
    assert inspection.is_taken(resumed(PROVING))


def test_chains_are_bounded() -> None:
    """Of very many chains, the oldest is forgotten, and its session proves nothing."""
    inspection = Inspection()
    assert inspection.is_taken(shown(PROVING))
    inspection.certificates._chains.update(
        (f"{number:064x}", ()) for number in range(199)
    )
    inspection.clock.advance(PROVEN_SECONDS)
    assert inspection.is_taken(resumed(PROVING))
    inspection.certificates._chains.update(
        (f"{number:064x}", ()) for number in range(200)
    )
    inspection.clock.advance(PROVEN_SECONDS)
    assert not inspection.is_taken(resumed(PROVING))


@pytest.mark.parametrize("is_delegated", [True, False])
def test_asked_for_is_kept_for_an_hour(
    is_delegated: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """What needed a connection to the origin needs none for an hour after it."""
    inspection = Inspection()
    issued = issue_for("host.example", BETWEEN) if is_delegated else OWN
    inspection.client.found = link(OWN, "host.example")
    assert inspection.is_taken(shown(issued))
    inspection.clock.advance(PROVEN_SECONDS - 0.1)
    assert inspection.is_taken(resumed(issued))
    assert len(inspection.client.asked) == 1
    inspection.clock.advance(0.1)
    assert inspection.is_taken(shown(issued))
    assert len(inspection.client.asked) == 2


def test_stored_is_kept_for_an_hour() -> None:
    """A stored certificate is looked at again after an hour, as all are."""
    inspection = Inspection()
    inspection.know(OWN)
    assert inspection.is_taken(shown(OWN))
    inspection.know(FOREIGN)
    inspection.clock.advance(PROVEN_SECONDS - 0.1)
    assert inspection.is_taken(shown(OWN))
    inspection.clock.advance(0.1)
    assert not inspection.is_taken(shown(OWN))


def test_kept_for_nobody_else() -> None:
    """A proof is of one origin and of one certificate."""
    inspection = Inspection()
    assert inspection.is_taken(shown(PROVING))
    assert not inspection.is_taken(shown(PROVING), OTHERS.server_name)
    assert not inspection.is_taken(shown(PROVING), ServerName.parse("a.them.example"))
    other = issue_for(ORIGIN.host, BETWEEN)
    assert not inspection.is_taken(resumed(other))
    assert not inspection.is_taken(shown(FOREIGN))


def test_what_was_proven_of_who_is_forgotten_is_judged_anew() -> None:
    """After an origin was forgotten, its certificate has to be proven again."""
    inspection = Inspection()
    inspection.know(OWN)
    assert inspection.is_taken(shown(OWN))
    assert result_of(inspection.peers.forget(ORIGIN))
    assert inspection.is_taken(shown(OWN))  # for an hour, as nobody forgot it here
    inspection.certificates.forget(ServerName.parse("other.example"))
    assert inspection.is_taken(shown(OWN))
    inspection.certificates.forget(ORIGIN)
    assert not inspection.is_taken(shown(OWN))
