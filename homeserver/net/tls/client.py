"""The client's side of a TLS handshake, and the verification of the certificate.

Rules: Twisted's connection creator is not used, because it accepts certificates without
a usable name. A certificate is accepted only if the verify callback saw it, found no
problem, and the name matches; an exception, or no call at all, rejects it. Connections
share a context, because loading the system's roots costs more than a handshake; the
client certificate and the result of a handshake belong to its connection.

Specification: Server-server API, "TLS".
"""

from collections.abc import Sequence
from pathlib import Path

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from homeserver.net.addresses import is_ip
from homeserver.net.bounded_map import BoundedMap
from homeserver.net.tls.certificate import Certificate
from homeserver.net.tls.certificate_names import check_name

# The common codes of OpenSSL's X509_V_ERR_...
_PROBLEMS = {
    7: "has a signature that does not verify",
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed and not trusted",
    19: "is a root that is not trusted",
    20: "was issued by an authority that is not known",
    21: "was issued by an authority that is not known",
    26: "is not meant for servers",
    32: "may not issue certificates",
    79: "is not an authority's",
}


# Contexts of client certificates with a chain; each has the system's roots, a megabyte.
_MAX_CHAINS = 16


class ClientTls:
    """The trusted authorities of all handshakes."""

    def __init__(self, ca_file: Path | None, *, system_roots: bool) -> None:
        """Trust the authorities in `ca_file` (PEM) and, if wanted, the system's.

        Raises `ValueError` if `ca_file` contains no certificate.
        """
        self._ca_file = ca_file
        self._system_roots = system_roots
        self._lacks_system_roots = system_roots
        self._context = self._build()
        self._chains: BoundedMap[Certificate, SSL.Context] = BoundedMap(_MAX_CHAINS)

    def context(self, certificate: Certificate | None = None) -> SSL.Context:
        """The context of a connection that shows `certificate` to a server that asks.

        All connections share it, unless the certificate needs one of its own.
        """
        if certificate is not None and certificate.needs_context:
            return self._context_of(certificate)
        if self._lacks_system_roots:
            # Loaded for the first connection: they take a megabyte and the time of
            # several handshakes, which start-up and the commands can do without.
            self._context.set_default_verify_paths()
            self._lacks_system_roots = False
        return self._context

    def _context_of(self, certificate: Certificate) -> SSL.Context:
        context = self._chains.get(certificate)
        if context is None:
            context = self._build()
            if self._system_roots:
                context.set_default_verify_paths()
            for each in certificate.chain[1:]:
                context.add_extra_chain_cert(each)
            self._chains[certificate] = context
        return context

    def _build(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        # A renegotiation could replace the certificate that was verified.
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        # An idle connection has no buffers then: 15 KB of memory less.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        # A resumed session skips the verification of the certificate.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        if self._ca_file is not None:
            try:
                context.load_verify_locations(str(self._ca_file))
            except SSL.Error:
                why = f"{self._ca_file} has no PEM certificates in it"
                raise ValueError(why) from None
        return context


@implementer(IOpenSSLClientConnectionCreator)
class Handshake:
    """One handshake with a peer that must prove `name`, and its result."""

    def __init__(
        self,
        context: SSL.Context,
        name: str,
        *,
        must_be_trusted: bool,
        certificate: Certificate | None = None,
        sni: str | None = None,
    ) -> None:
        """With `must_be_trusted`, a certificate with a problem ends the handshake.

        A server that asks for a client certificate gets `certificate`. `sni` is the
        host that is asked for; by default `name`, unless that is an address.
        """
        self._context = context
        self._name = name
        self._must_be_trusted = must_be_trusted
        self._certificate = certificate
        self._sni = None if sni is None and is_ip(name) else sni or name
        self._problems: list[str] = []
        self._is_named = False

    @property
    def problem(self) -> str | None:
        """Why the certificate does not prove `name`; None if it does.

        Before the handshake is over, it is never None.
        """
        if self.refusal is not None:
            return self.refusal
        return None if self._is_named else "no certificate was checked"

    @property
    def refusal(self) -> str | None:
        """The problem found with the certificate; None if there is none."""
        return self._problems[0] if self._problems else None

    def clientConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """As `IOpenSSLClientConnectionCreator`: the connection to shake hands on."""
        connection = SSL.Connection(self._context, None)
        connection.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify
        )
        if self._certificate is not None:
            self._certificate.present_on(connection)
        if self._sni is not None:
            connection.set_tlsext_host_name(self._sni.encode("ascii"))
        return connection

    def _verify(
        self,
        connection: SSL.Connection,
        certificate: crypto.X509,
        error: int,
        depth: int,
        is_good: int,
    ) -> bool:
        """Verify one certificate of the chain; whether the handshake may go on.

        pyOpenSSL ends the handshake on an exception, as it must.
        """
        if not is_good:
            self._problems.append(_describe(error, depth))
        elif depth == 0:
            problem = check_name(certificate, self._name)
            if problem is not None:
                self._problems.append(problem)
            self._is_named = problem is None
        return not (self._problems and self._must_be_trusted)


def check_certificate(
    context: SSL.Context,
    leaf: crypto.X509,
    chain: Sequence[crypto.X509],
    name: str,
) -> str | None:
    """Why a certificate that was presented elsewhere does not prove `name`.

    None if it does: `chain` leads from it to a root that `context` trusts, and it is
    for `name`, a host or an IP address.
    """
    store = context.get_cert_store()
    if store is None:
        return "no authority is trusted"
    try:
        crypto.X509StoreContext(store, leaf, chain).verify_certificate()
    except crypto.X509StoreContextError as error:
        # Its arguments: OpenSSL's code, the depth, and a text.
        return _describe(error.errors[0], error.errors[1])
    return check_name(leaf, name)


def _describe(error: int, depth: int) -> str:
    """The problem that OpenSSL found with the certificate at `depth` of a chain."""
    why = _PROBLEMS.get(error, f"fails OpenSSL's check number {error}")
    return f"{'the certificate' if depth == 0 else 'an issuer certificate'} {why}"
