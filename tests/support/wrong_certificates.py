"""One table of the certificates that prove nothing for `peer.test`.

Which names a certificate proves has a table of its own, with `certificate_names`.
"""

from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.certificates import Issued, authority, dns, issue, issue_for

CA = authority()
"""The authority that is trusted."""


def _named(
    names: Sequence[x509.GeneralName] | None = (x509.DNSName("peer.test"),),
    days: tuple[int, int] = (-1, 1),
    purposes: Sequence[x509.ObjectIdentifier] = (),
) -> Issued:
    return issue("peer.test", names, issuer=CA, days=days, purposes=purposes)


def below(issuer: Issued = CA, days: tuple[int, int] = (-1, 1)) -> Issued:
    """A certificate of an authority below another one."""
    between = issue("Between", None, issuer=issuer, is_authority=True, days=days)
    return issue_for("peer.test", between)


def _without_its_issuers() -> Issued:
    issued = below()
    return Issued(issued.certificate, issued.key)


FOR_CLIENTS = "for clients"

_NO_NAME = "the certificate has no usable name in it"
_OTHER = "the certificate was issued by an authority that is not known"

# What is wrong with the certificate, the certificate, how the problem begins.
WRONG_CERTIFICATES: list[tuple[str, Callable[[], Issued], str]] = [
    ("no names", lambda: _named(None), _NO_NAME),
    ("e-mail only", lambda: _named([x509.RFC822Name("a@peer.test")]), _NO_NAME),
    ("malformed name", lambda: _named(dns("*.*.test")), _NO_NAME),
    (
        "wrong name",
        lambda: _named(dns("other.test")),
        "the certificate is not for peer.test but for 'other.test'",
    ),
    ("expired", lambda: _named(days=(-9, -2)), "the certificate has expired"),
    ("early", lambda: _named(days=(2, 9)), "the certificate is not valid yet"),
    (
        "self-signed",
        lambda: issue_for("peer.test"),
        "the certificate is self-signed and not trusted",
    ),
    ("other CA", lambda: issue_for("peer.test", authority("Another CA")), _OTHER),
    ("CA of the same name", lambda: issue_for("peer.test", authority()), "the certi"),
    (
        "issued by a leaf",
        lambda: issue_for("peer.test", issue("Leaf", dns("x.test"), issuer=CA)),
        "an issuer certificate is not an authority's",
    ),
    ("old issuer", lambda: below(days=(-9, -2)), "an issuer certificate has expired"),
    ("issuer not shown", _without_its_issuers, _OTHER),
    (
        FOR_CLIENTS,
        lambda: _named(purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]),
        "the certificate is not meant for servers",
    ),
]
