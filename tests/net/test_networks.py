"""Which names and addresses are taken to belong together."""

import pytest

from homeserver.net.networks import domain_of, domain_of_host, network_of, site_of
from homeserver.protocol.identifiers import ServerName

# (server name, what it belongs to)
DOMAINS = [
    ("example.org", "example.org"),
    ("a.b.example.org", "example.org"),
    ("a.example.org:8448", "example.org"),
    ("A.EXAMPLE.org", "example.org"),
    ("localhost", "localhost"),
    ("192.0.2.77", "192.0.2.0/24"),
    ("192.0.2.78:1", "192.0.2.0/24"),
    ("[2001:db8::1]:8448", "2001:db8::/64"),
    ("[2001:db8:0:1::1]", "2001:db8:0:1::/64"),
    ("[::ffff:192.0.2.1]", "192.0.2.0/24"),
]


@pytest.mark.parametrize(("name", "domain"), DOMAINS)
def test_domains(name: str, domain: str) -> None:
    """Names of one domain belong together, and literals of one network."""
    assert domain_of(ServerName.parse(name)) == domain


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.255", "192.0.2.0/24"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::ffff:192.0.2.1", "192.0.2.0/24"),
        ("::1", "::/64"),
    ],
)
def test_networks(address: str, network: str) -> None:
    """Addresses of one network belong together."""
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.255", "192.0.2.255"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:ffff::1", "2001:db8::/48"),
        ("2001:db8:1::1", "2001:db8:1::/48"),
    ],
)
def test_sites(address: str, site: str) -> None:
    """IPv6 addresses of one site belong together."""
    assert site_of(address) == site


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.example.org", "example.org"),
        ("host1", "host1"),
        ("a.b.example1", "b.example1"),
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8::a", "2001:db8::/64"),
        ("[2001:db8::a]", "2001:db8::/64"),
        ("", ""),
    ],
)
def test_domains_of_hosts(host: str, domain: str) -> None:
    """A host name is none of an address, though it may end with a digit."""
    assert domain_of_host(host) == domain
