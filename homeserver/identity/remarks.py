"""Oddities of an identity that works: for the log and for `/health`.

Rules: pure. A server with a remark runs all the same; the sentence says which other
servers will have trouble with it.

Specification: Appendices, "Server Name"; RFC 5280, section 4.1.2.5.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from cryptography import x509
from OpenSSL import crypto

from homeserver.identity.identity import Identity
from homeserver.net.tls.certificate_names import check_name
from homeserver.protocol.identifiers import ServerName

_BY_CERTIFICATE = "servers that verify by certificate refuse it"


def find_remarks(
    identity: Identity, delegate_to: ServerName | None, now: float
) -> Iterator[str]:
    """A sentence for each; `now` is in seconds since 1970.

    With `delegate_to`, other servers expect a certificate for that name.
    """
    name = identity.server_name
    if name.name != name.name.lower():
        yield (
            f"the server name {name} has capitals; other servers take "
            f"{name.name.lower()} for another server"
        )
    leaf = identity.certificate.chain[0]
    yield from _validity(leaf, datetime.fromtimestamp(now, UTC))
    expected = name if delegate_to is None else delegate_to
    why = check_name(crypto.X509.from_cryptography(leaf), expected.host)
    if why is not None:
        yield f"{why}; {_BY_CERTIFICATE}"


def _validity(leaf: x509.Certificate, now: datetime) -> Iterator[str]:
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now > end:
        yield f"the certificate has expired on {end:%Y-%m-%d}; {_BY_CERTIFICATE}"
    elif now < begin:
        yield f"the certificate is valid only from {begin:%Y-%m-%d}; {_BY_CERTIFICATE}"
