"""Which certificates prove a name, and which handshakes go on."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto
from twisted.protocols.tls import TLSMemoryBIOProtocol

from homeserver.net.tls.certificate import Certificate
from homeserver.net.tls.client import ClientTls, Handshake, check_certificate
from tests.support.certificates import Issued, authority, issue, issue_for
from tests.support.tables import cases
from tests.support.wrong_certificates import (
    CA,
    FOR_CLIENTS,
    WRONG_CERTIFICATES,
    below,
    dns,
    ip,
)


class Handshakes:
    """Handshakes with servers, in memory."""

    def __init__(self, ca_file: Path) -> None:
        ca_file.write_bytes(CA.pem)
        self.context = ClientTls(ca_file, system_roots=False).context()
        self.server_name: bytes | None = None
        """What the client asked for by SNI."""

    def shake_hands(self, handshake: Handshake, server: SSL.Context) -> SSL.Connection:
        """Take all steps of a handshake; the server's side. Raises `SSL.Error`."""
        protocol = cast("TLSMemoryBIOProtocol", None)
        client = handshake.clientConnectionForTLS(protocol)
        client.set_connect_state()
        connection = SSL.Connection(server, None)
        connection.set_accept_state()
        for _ in range(3):
            for ours, theirs in [(client, connection), (connection, client)]:
                _step(ours)
                _carry(ours, theirs)
        return connection

    def server(self, issued: Issued) -> SSL.Context:
        """A server that shows a certificate."""
        context = SSL.Context(SSL.TLS_METHOD)
        issued.value.present_in(context)
        context.set_tlsext_servername_callback(self._ask)
        return context

    def _ask(self, connection: SSL.Connection) -> None:
        self.server_name = connection.get_servername()


def _step(connection: SSL.Connection) -> None:
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()


def _carry(source: SSL.Connection, to: SSL.Connection) -> None:
    with contextlib.suppress(SSL.WantReadError):
        to.bio_write(source.bio_read(65536))


@pytest.fixture
def handshakes(tmp_path: Path) -> Handshakes:
    """Handshakes of which the test authority is the only one to be trusted."""
    return Handshakes(tmp_path / "ca.pem")


@cases("issued said", WRONG_CERTIFICATES)
@pytest.mark.parametrize("must_be_trusted", [True, False])
def test_problem(
    handshakes: Handshakes,
    issued: Callable[[], Issued],
    said: str,
    must_be_trusted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """What is wrong with a certificate is known, and ends the handshake if it must."""
    handshake = Handshake(
        handshakes.context, "peer.test", must_be_trusted=must_be_trusted
    )
    server = handshakes.server(issued())
    if must_be_trusted:
        with pytest.raises(SSL.Error):
            handshakes.shake_hands(handshake, server)
    else:
        handshakes.shake_hands(handshake, server)
    assert handshake.problem is not None
    assert handshake.problem == handshake.refusal
    assert handshake.problem.startswith(said)


@pytest.mark.parametrize("must_be_trusted", [True, False])
def test_no_problem(
    handshakes: Handshakes,
    must_be_trusted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A certificate that is trusted and names the peer has no problem."""
    handshake = Handshake(
        handshakes.context, "peer.test", must_be_trusted=must_be_trusted
    )
    handshakes.shake_hands(handshake, handshakes.server(issue_for("peer.test", CA)))
    assert handshake.problem is None
    assert handshake.refusal is None


def test_before_the_handshake(handshakes: Handshakes) -> None:
    """Before a handshake nothing is proven, and nothing is found to be wrong."""
    handshake = Handshake(handshakes.context, "peer.test", must_be_trusted=False)
    handshake.clientConnectionForTLS(cast("TLSMemoryBIOProtocol", None))
    assert handshake.problem == "no certificate was checked"
    assert handshake.refusal is None


class _Failing(Handshake):
    def _verify(
        self,
        connection: SSL.Connection,
        certificate: crypto.X509,
        error: int,
        depth: int,
        is_good: int,
    ) -> bool:
        if depth == 0:
            raise ZeroDivisionError
        return True


@pytest.mark.parametrize("must_be_trusted", [True, False])
def test_exception_refuses(
    handshakes: Handshakes,
    must_be_trusted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """An exception while a certificate is judged ends the handshake."""
    handshake = _Failing(
        handshakes.context, "peer.test", must_be_trusted=must_be_trusted
    )
    server = handshakes.server(issue_for("peer.test", CA))
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        handshakes.shake_hands(handshake, server)
    assert handshake.problem is not None


def unreadable(name: str, issuer: Issued | None) -> tuple[bytes, Issued]:
    """A certificate of version 6, which OpenSSL reads and cryptography does not.

    Its DER, and the one that it was made from.
    """
    good = issue_for(name, issuer)
    signer = (issuer or good).key
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    [before, after] = good.certificate.tbs_certificate_bytes.split(
        b"\xa0\x03\x02\x01\x02"
    )
    signed = before + b"\xa0\x03\x02\x01\x05" + after
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    signature = b"\0" + signer.sign(signed, ec.ECDSA(hashes.SHA256()))
    der = signed + ecdsa_with_sha256 + bytes([3, len(signature)]) + signature
    return b"\x30\x82" + len(der).to_bytes(2, "big") + der, good


@pytest.mark.parametrize("must_be_trusted", [True, False])
@pytest.mark.parametrize("issuer", [CA, None], ids=["issued", "self-signed"])
def test_unreadable_certificate_proves_nothing(
    tmp_path: Path,
    handshakes: Handshakes,
    issuer: Issued | None,
    must_be_trusted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A certificate that cannot be read has a problem, whatever its issuer."""
    der, good = unreadable("peer.test", issuer)
    (tmp_path / "shown.der").write_bytes(der)
    server = handshakes.server(good)
    server.use_certificate_file(tmp_path / "shown.der", crypto.FILETYPE_ASN1)
    server.use_privatekey(good.key)
    handshake = Handshake(
        handshakes.context, "peer.test", must_be_trusted=must_be_trusted
    )
    if must_be_trusted:
        with pytest.raises(SSL.Error, match="certificate verify failed"):
            handshakes.shake_hands(handshake, server)
    else:
        handshakes.shake_hands(handshake, server)
    assert handshake.problem is not None


@pytest.mark.parametrize(
    ("name", "asked"),
    [("peer.test", b"peer.test"), ("192.0.2.1", None), ("2001:db8::1", None)],
)
def test_server_name_indication(
    handshakes: Handshakes, name: str, asked: bytes | None
) -> None:
    """A server is asked for by its DNS name, and by no name if it is an address."""
    handshake = Handshake(handshakes.context, name, must_be_trusted=False)
    handshakes.shake_hands(handshake, handshakes.server(issue_for("peer.test")))
    assert handshakes.server_name == asked


def test_no_session_is_kept(handshakes: Handshakes) -> None:
    """No handshake is shortened to one in which no certificate is shown."""
    assert handshakes.context.get_session_cache_mode() == SSL.SESS_CACHE_OFF


def test_old_tls(handshakes: Handshakes) -> None:
    """Nothing older than TLS 1.2 is spoken, whatever OpenSSL would allow."""
    handshakes.context.set_cipher_list(b"ALL:@SECLEVEL=0")
    server = handshakes.server(issue_for("peer.test", CA))
    server.set_cipher_list(b"ALL:@SECLEVEL=0")
    server.set_max_proto_version(SSL.TLS1_1_VERSION)
    server.set_min_proto_version(SSL.TLS1_VERSION)
    handshake = Handshake(handshakes.context, "peer.test", must_be_trusted=False)
    with pytest.raises(SSL.Error, match="unsupported protocol"):
        handshakes.shake_hands(handshake, server)


def test_contexts_are_shared(handshakes: Handshakes) -> None:
    """What one handshake finds is not known to another one over the same context."""
    bad = Handshake(handshakes.context, "peer.test", must_be_trusted=False)
    good = Handshake(handshakes.context, "peer.test", must_be_trusted=True)
    handshakes.shake_hands(bad, handshakes.server(issue_for("peer.test")))
    handshakes.shake_hands(good, handshakes.server(issue_for("peer.test", CA)))
    assert bad.problem is not None
    assert good.problem is None


BETWEEN = issue("Between", None, issuer=authority(), is_authority=True)


@pytest.mark.parametrize(
    "ours",
    [None, issue_for("origin.test").value, issue_for("origin.test", BETWEEN).value],
    ids=["none", "leaf", "chain"],
)
def test_client_certificate(
    tmp_path: Path, handshakes: Handshakes, ours: Certificate | None
) -> None:
    """A server that asks gets our certificate with its chain, if there is one."""
    tls = ClientTls(tmp_path / "ca.pem", system_roots=False)
    server = handshakes.server(issue_for("peer.test", CA))
    server.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    connection = handshakes.shake_hands(
        Handshake(
            tls.context(ours), "peer.test", must_be_trusted=True, certificate=ours
        ),
        server,
    )
    leaf = connection.get_peer_certificate(as_cryptography=True)
    # On a server's side, this is without the leaf.
    others = connection.get_peer_cert_chain(as_cryptography=True) or []
    expected = [None] if ours is None else list(ours.chain)
    assert [leaf, *others] == expected


def test_shared_context(handshakes: Handshakes, tmp_path: Path) -> None:
    """Two client certificates over one context do not get into each other's way."""
    tls = ClientTls(tmp_path / "ca.pem", system_roots=False)
    server = handshakes.server(issue_for("peer.test", CA))
    server.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    shown = []
    for ours in (issue_for("a.test").value, None, issue_for("b.test").value):
        connection = handshakes.shake_hands(
            Handshake(
                tls.context(ours), "peer.test", must_be_trusted=True, certificate=ours
            ),
            server,
        )
        leaf = connection.get_peer_certificate(as_cryptography=True)
        shown.append(leaf == (None if ours is None else ours.chain[0]))
    assert shown == [True, True, True]


@pytest.mark.parametrize("are_trusted", [True, False])
def test_system_roots(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    handshakes: Handshakes,
    are_trusted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The system's authorities are trusted if they are to be, and not otherwise."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ClientTls(None, system_roots=are_trusted).context()
    handshake = Handshake(context, "peer.test", must_be_trusted=False)
    handshakes.shake_hands(handshake, handshakes.server(issue_for("peer.test", CA)))
    assert (handshake.problem is None) == are_trusted


def test_system_roots_are_loaded_once_for_the_first_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handshakes: Handshakes
) -> None:
    """The system's authorities are loaded at the first connection."""
    client_tls = ClientTls(None, system_roots=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = handshakes.server(issue_for("peer.test", CA))
    for _ in range(2):
        handshake = Handshake(client_tls.context(), "peer.test", must_be_trusted=True)
        handshakes.shake_hands(handshake, server)
        assert handshake.problem is None


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "has no PEM"), ("no certificate", "has no PEM"), (None, "has no PEM")],
    ids=["empty", "something else", "missing"],
)
def test_roots_that_cannot_be_loaded(
    tmp_path: Path, text: str | None, said: str
) -> None:
    """A file of authorities without any in it is a mistake that is said."""
    path = tmp_path / "roots.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=said):
        ClientTls(path, system_roots=False)


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
def certificates(handshakes: Handshakes) -> ShownCertificates:
    """Certificates among which the test authority is the only one to be trusted."""
    return ShownCertificates(handshakes.context)


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


def test_shown_certificate_is_unreadable(
    tmp_path: Path, certificates: ShownCertificates
) -> None:
    """A certificate that cannot be read proves nothing, whatever its issuer."""
    der, _ = unreadable("peer.test", CA)
    leaf = crypto.load_certificate(crypto.FILETYPE_ASN1, der)
    assert check_certificate(certificates.context, leaf, [], "peer.test") is not None
