"""What is odd about an identity, though it works."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509

from homeserver.identity.identity import Identity
from homeserver.identity.remarks import find_remarks
from homeserver.net.tls.certificate import Certificate
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import issue
from tests.support.signed_requests import signing_key

NOW = datetime.now(UTC)
REFUSED = "; servers that verify by certificate refuse it"


def remarks(
    name: str,
    in_certificate: str = "a.org",
    days: float = 0.0,
    delegate_to: str | None = None,
) -> list[str]:
    """The remarks on an identity so many days from now."""
    names: list[x509.GeneralName] = [x509.DNSName(in_certificate)]
    if in_certificate[0].isdigit():
        names = [x509.IPAddress(ip_address(in_certificate))]
    issued = issue("x", names, days=(-10, 10))
    certificate = Certificate([issued.certificate], issued.key)
    server_name = ServerName.parse(name)
    own = Identity(server_name, [signing_key("a", b"1")], [], certificate)
    now = (NOW + timedelta(days=days)).timestamp()
    delegated = None if delegate_to is None else ServerName.parse(delegate_to)
    return list(find_remarks(own, delegated, now))


@pytest.mark.parametrize(
    ("name", "in_certificate"),
    [("a.org", "a.org"), ("a.org:1", "a.org"), ("192.0.2.1:1", "192.0.2.1")],
)
def test_nothing(name: str, in_certificate: str) -> None:
    """A valid certificate for the name gives no reason for a remark."""
    assert remarks(name, in_certificate) == []
    assert remarks(name, in_certificate, days=9.9) == []
    assert remarks(name, in_certificate, days=-9.9) == []


def test_capitals() -> None:
    """A name with capitals is another server's to those that write it small."""
    [remark] = remarks("A.org:1", "a.org")
    assert remark == (
        "the server name A.org:1 has capitals; other servers take a.org:1 for another "
        "server"
    )


def test_validity() -> None:
    """A certificate that is over, or not valid yet, is told with its day."""
    end, begin = NOW + timedelta(days=10), NOW - timedelta(days=10)
    assert remarks("a.org", days=11) == [
        f"the certificate has expired on {end:%Y-%m-%d}{REFUSED}"
    ]
    assert remarks("a.org", days=-11) == [
        f"the certificate is valid only from {begin:%Y-%m-%d}{REFUSED}"
    ]


def test_other_name() -> None:
    """A certificate of another name is told with the name that is expected."""
    why = "the certificate is not for b.org but for 'a.org'"
    assert remarks("b.org:8449") == [why + REFUSED]
    assert remarks("a.org", delegate_to="b.org:443") == [why + REFUSED]
    assert remarks("b.org", delegate_to="a.org:443") == []
