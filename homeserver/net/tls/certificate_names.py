"""The names in a certificate, and whether one of them is the expected one.

Rules: an invalid name in the subjectAltName is dropped and never matches; the other
entries count. An entry that cannot be read at all, such as an address of five bytes,
rejects the certificate. Names are compared without regard to case and are not trimmed.
A wildcard is the whole left-most label, above at least two labels, and covers any one
label, A-labels (`xn--`) included. A DNS name proves no address and an address no name;
URIs, SRV names and the subject prove nothing. service-identity compares the valid
entries. Any exception rejects the certificate.

Specification: RFC 9525, section 6.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from msgspec import Struct
from OpenSSL import crypto
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import (
    DNS_ID,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    verify_service_identity,
)

from homeserver.net.addresses import is_ip
from homeserver.protocol.errors import quote

_DNS_NAME = re.compile(
    r"(?=.{1,253}\Z)"
    r"(?: [0-9a-z_-]{1,63} (?: \.[0-9a-z_-]{1,63} )*"
    # Under a wildcard, only labels that OpenSSL accepts as those of a host.
    r"| \* (?: \.[0-9a-z] (?: [0-9a-z-]{0,61}[0-9a-z] )? ){2,} )",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)

Pattern = DNSPattern | IPAddressPattern


def check_name(certificate: crypto.X509, name: str) -> str | None:
    """Why `certificate` is not for `name`, a host or an IP address; None if it is.

    A certificate that cannot be read is for no name.
    """
    try:
        entries = _Entries.read(certificate.to_cryptography())
        return entries.problem(name)
    except Exception as error:  # noqa: BLE001 - any exception rejects it
        return f"the certificate's names cannot be read: {quote(str(error))}"


class _Entries(Struct, frozen=True):
    """The DNS names and IP addresses of a subjectAltName."""

    names: Sequence[str]
    """DNS names, valid or not."""

    addresses: Sequence[IPv4Address | IPv6Address]

    @classmethod
    def read(cls, certificate: x509.Certificate) -> "_Entries":
        """Read a certificate; raises what `cryptography` raises."""
        try:
            names = certificate.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            ).value
        except x509.ExtensionNotFound:
            return cls([], [])
        return cls(
            names.get_values_for_type(x509.DNSName),
            [
                each
                for each in names.get_values_for_type(x509.IPAddress)
                if isinstance(each, IPv4Address | IPv6Address)
            ],
        )

    def problem(self, name: str) -> str | None:
        """Why no entry matches `name`; None if one does."""
        patterns: list[Pattern] = [IPAddressPattern(each) for each in self.addresses]
        patterns += [p for each in self.names if (p := _pattern(each, name))]
        if not patterns:
            shown = f": {quote(', '.join(self.names))}" if self.names else ""
            return f"the certificate has no usable name in it{shown}"
        try:
            verify_service_identity(
                patterns, [IPAddress_ID(name) if is_ip(name) else DNS_ID(name)], []
            )
        except VerificationError:
            entries = ", ".join([*map(str, self.addresses), *self.names])
            return f"the certificate is not for {name} but for {quote(entries)}"
        return None


def _pattern(entry: str, name: str) -> DNSPattern | None:
    """The pattern to compare with `name`; None for an invalid DNS name."""
    if not _DNS_NAME.fullmatch(entry):
        return None
    if entry.startswith("*."):
        label, _, rest = name.lower().partition(".")
        # Wildcards of service-identity cover no A-labels. That is right for a part of
        # a label; here a wildcard is a whole label (RFC 9525, section 6.3).
        if label.startswith("xn--") and entry[2:].lower() == rest:
            entry = name
    try:
        return DNSPattern.from_bytes(entry.encode("ascii"))
    except CertificateError:
        return None  # an IP address as a DNS name
