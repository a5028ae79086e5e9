"""Certificates with one fault each, and unusual ones that are right.

Rules: a builder changes one thing of a good certificate for the host. Each fault says
whether a right client refuses it. All of them can be presented in a handshake.

Specification: RFC 5280, section 6 (paths); RFC 9525, section 6 (names).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import ip_network

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct
from msgspec.structs import replace
from OpenSSL import SSL

from homeserver.lab.authority.authority import (
    VALID_FROM,
    VALID_UNTIL,
    Authority,
    form_of,
    general_name,
)
from homeserver.lab.authority.weak_key import build_weak_key
from homeserver.net.tls.certificate import Certificate

_OVER = VALID_FROM.replace(year=2018), VALID_FROM.replace(year=2019)
_TO_COME = VALID_UNTIL.replace(year=2048), VALID_UNTIL

# RFC 6761, section 6.4: a name without an owner.
_OTHER_HOST = "other.invalid"

# A limit on names says nothing of addresses, and RFC 5737 and RFC 3849 reserve these
# for documentation.
_PERMITTED = [
    x509.DNSName(_OTHER_HOST),
    x509.IPAddress(ip_network("192.0.2.0/24")),
    x509.IPAddress(ip_network("2001:db8::/32")),
]

Build = Callable[[Authority, str], Certificate]
"""Builds the certificate of a host, a DNS name or an IP address.

Raises `ValueError` for a host that there is no such certificate for.
"""


class CertificateFault(Struct, frozen=True):
    """A kind of certificate that a server of the lab can present on demand."""

    summary: str
    """What is unusual about it, in a sentence."""

    build: Build
    is_refused: bool = True
    """Whether a right client refuses it; otherwise it is right, though unusual."""


def _dated(dates: tuple[datetime, datetime]) -> Build:
    def build(authority: Authority, host: str) -> Certificate:
        form = replace(form_of(host), dates=dates, label=str(dates[0].year))
        return authority.issue_as(form)

    return build


def _other_name(authority: Authority, host: str) -> Certificate:
    return authority.issue_as(
        replace(form_of(_OTHER_HOST), common_name=host, label="other-name")
    )


def _no_name(authority: Authority, host: str) -> Certificate:
    return authority.issue_as(replace(form_of(host), names=None))


def _unknown_authority(authority: Authority, host: str) -> Certificate:
    return Authority(authority.seed, "unknown").issue(host)


def _self_signed(authority: Authority, host: str) -> Certificate:
    return authority.self_signed(replace(form_of(host), label="self-signed"))


def _wildcard(authority: Authority, host: str) -> Certificate:
    _, _, parent = host.partition(".")
    if "." not in parent or isinstance(general_name(host), x509.IPAddress):
        raise ValueError(f"a wildcard covers hosts of three labels or more, not {host}")
    return authority.issue_as(replace(form_of(f"*.{parent}"), common_name=host))


def _ip_as_dns(authority: Authority, host: str) -> Certificate:
    form = form_of(host)
    [name] = form.names or ()
    if isinstance(name, x509.IPAddress):
        return authority.issue_as(replace(form, names=[x509.DNSName(host)]))
    return authority.issue_as(replace(form, names=[x509.DNSName("127.0.0.1")]))


def _client_only(authority: Authority, host: str) -> Certificate:
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    return authority.issue_as(
        replace(form_of(host), purposes=purposes, label="client-only")
    )


def _name_constraints(authority: Authority, host: str) -> Certificate:
    issuer = authority.certify("limited", x509.NameConstraints(_PERMITTED, None))
    leaf = authority.issue_as(form_of(host, label="name-constraints"), issuer)
    return Certificate((*leaf.chain, issuer.certificate), leaf.private_key)


def _chain_missing(authority: Authority, host: str) -> Certificate:
    below = authority.issue_below(host, label="chain-missing")
    return Certificate(below.chain[:1], below.private_key)


class _WeakCertificate(Certificate):
    """A certificate whose key OpenSSL presents only where its settings allow it."""

    @property
    def needs_context(self) -> bool:
        """Its settings are those of a context."""
        return True

    def present_in(self, context: SSL.Context) -> None:
        """As `Certificate`, at OpenSSL's lowest level of security."""
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        Certificate.present_in(self, context)


def _weak_key(authority: Authority, host: str) -> Certificate:
    key = build_weak_key(authority.seed.numbers("weak key"))
    issued = authority.issue_as(form_of(host, label="weak-key"), key=key)
    return _WeakCertificate(issued.chain, issued.private_key)


def _duplicate_entries(authority: Authority, host: str) -> Certificate:
    form = form_of(host)
    [name] = form.names or ()
    return authority.issue_as(replace(form, names=[name, name]))


CERTIFICATE_FAULTS: Mapping[str, CertificateFault] = {
    "expired": CertificateFault("It expired in 2019.", _dated(_OVER)),
    "not-yet-valid": CertificateFault("It is valid from 2048.", _dated(_TO_COME)),
    "other-name": CertificateFault(
        f"It is for {_OTHER_HOST}; the host is only in its subject.", _other_name
    ),
    "no-name": CertificateFault(
        "It has no subjectAltName; the host is only in its subject.", _no_name
    ),
    "unknown-authority": CertificateFault(
        "An authority that is not trusted issued it.", _unknown_authority
    ),
    "self-signed": CertificateFault("No authority issued it.", _self_signed),
    "wildcard": CertificateFault(
        "A wildcard covers the left-most label of the host.",
        _wildcard,
        is_refused=False,
    ),
    "ip-as-dns": CertificateFault(
        "It names an IP address, written as a DNS name.", _ip_as_dns
    ),
    "client-only": CertificateFault("It is meant for clients alone.", _client_only),
    "name-constraints": CertificateFault(
        "Its issuer may not issue certificates for the host.", _name_constraints
    ),
    "chain-missing": CertificateFault(
        "The intermediate certificate that issued it is not presented.",
        _chain_missing,
    ),
    "weak-key": CertificateFault("Its RSA key has 1024 bits.", _weak_key),
    "duplicate-entries": CertificateFault(
        "Its subjectAltName has the host twice.",
        _duplicate_entries,
        is_refused=False,
    ),
}
"""By the names that rules and requests use."""
