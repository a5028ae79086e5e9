"""Which certificates prove a name where they are shown outside of our handshakes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto

from homeserver.net.tls.client import ClientTls, check_certificate
from tests.support.certificates import Issued, authority, dns, ip, issue, issue_for
from tests.support.tables import cases
from tests.support.unreadable_certificate import unreadable
from tests.support.wrong_certificates import CA, FOR_CLIENTS, WRONG_CERTIFICATES, below


def shown(certificate: x509.Certificate) -> crypto.X509:
    """A certificate as OpenSSL has it."""
    return crypto.X509.from_cryptography(certificate)


class ShownCertificates:
    """What is thought of certificates that are shown outside of our handshakes."""

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def problem(
        self,
        issued: Issued,
        name: str = "peer.test",
        chain: Sequence[x509.Certificate] | None = None,
    ) -> str | None:
        """What is wrong with one, shown with what it is issued with or a `chain`."""
        leaf, *others = issued.value.chain
        chain = others if chain is None else chain
        return check_certificate(
            self.context, shown(leaf), [shown(each) for each in chain], name
        )


@pytest.fixture
def certificates(tmp_path: Path) -> ShownCertificates:
    """Certificates among which the test authority is the only one to be trusted."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(CA.pem)
    return ShownCertificates(ClientTls(ca_file, system_roots=False).context())


FOR_CLIENTS_ALONE = next(
    issued() for name, issued, _ in WRONG_CERTIFICATES if name == FOR_CLIENTS
)

SHOWN_GOOD: list[tuple[str, str, Issued]] = [
    ("DNS", "peer.test", issue_for("peer.test", CA)),
    ("wildcard", "a.peer.test", issue_for("*.peer.test", CA)),
    ("IPv4", "192.0.2.1", issue("x", [ip("192.0.2.1")], issuer=CA)),
    ("IPv6", "2001:db8::1", issue("x", [ip("2001:db8::1")], issuer=CA)),
    ("intermediate", "peer.test", below()),
    (
        "two intermediates",
        "peer.test",
        below(issue("Below", None, issuer=CA, is_authority=True)),
    ),
    ("for clients", "peer.test", FOR_CLIENTS_ALONE),
    (
        "for servers",
        "peer.test",
        issue(
            "x", dns("peer.test"), issuer=CA, purposes=[ExtendedKeyUsageOID.SERVER_AUTH]
        ),
    ),
]


@cases("name issued", SHOWN_GOOD)
def test_shown_certificate_is_good(
    certificates: ShownCertificates, name: str, issued: Issued
) -> None:
    """A certificate that leads to a trusted root proves its names, for any purpose."""
    assert certificates.problem(issued, name) is None


@cases("issued said", [row for row in WRONG_CERTIFICATES if row[0] != FOR_CLIENTS])
def test_shown_certificate_is_bad(
    certificates: ShownCertificates, issued: Callable[[], Issued], said: str
) -> None:
    """What is wrong with a certificate is the same as in a handshake."""
    problem = certificates.problem(issued())
    assert problem is not None
    assert problem.startswith(said)


def test_shown_chain_is_needed(certificates: ShownCertificates) -> None:
    """What is between a certificate and its root has to be shown each time."""
    issued = below()
    assert certificates.problem(issued) is None
    problem = certificates.problem(issued, chain=[])
    assert problem == "the certificate was issued by an authority that is not known"


def test_shown_chain_is_in_any_order(certificates: ShownCertificates) -> None:
    """What else is shown, and in which order, is of no account."""
    issued = below(issue("Below", None, issuer=CA, is_authority=True))
    others = [FOREIGN.certificate, *reversed(issued.issuers), issued.certificate]
    assert certificates.problem(issued, chain=others) is None


FOREIGN = issue_for("peer.test")

NOT_AN_AUTHORITY = issue("Nobody", dns("nobody.test"), issuer=CA)


@pytest.mark.parametrize(
    "issued",
    [
        FOREIGN,
        issue_for("peer.test", authority("Another CA")),
        below(authority()),
        issue_for("peer.test", NOT_AN_AUTHORITY),
        issue_for("peer.test", below()),
    ],
    ids=["self-signed", "own root", "root of the same name", "leaf", "deeper leaf"],
)
def test_shown_chain_is_not_trusted(
    certificates: ShownCertificates, issued: Issued
) -> None:
    """Nothing is trusted because it is shown, neither a root nor another's leaf."""
    chain = [issued.certificate, *issued.issuers]
    assert certificates.problem(issued, chain=chain) is not None


def test_shown_certificate_without_roots() -> None:
    """Where no authority is trusted, no certificate proves anything."""
    certificates = ShownCertificates(ClientTls(None, system_roots=False).context())
    for issued in (issue_for("peer.test", CA), FOREIGN):
        assert certificates.problem(issued) is not None


def test_shown_certificate_without_a_store() -> None:
    """A context without any place for roots trusts no certificate."""

    class Storeless:
        """As `SSL.Context` may be."""

        def get_cert_store(self) -> None:
            """There is none."""

    certificates = ShownCertificates(cast("SSL.Context", Storeless()))
    problem = certificates.problem(issue_for("peer.test", CA))
    assert problem == "no authority is trusted"


def test_shown_certificate_is_unreadable(certificates: ShownCertificates) -> None:
    """A certificate that cannot be read proves nothing, whatever its issuer."""
    der, _ = unreadable("peer.test", CA)
    leaf = crypto.load_certificate(crypto.FILETYPE_ASN1, der)
    assert check_certificate(certificates.context, leaf, [], "peer.test") is not None
