"""Which handshakes with servers go on, and what our side of them shows."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from OpenSSL import SSL, crypto
from twisted.protocols.tls import TLSMemoryBIOProtocol

from homeserver.net.tls.certificate import Certificate
from homeserver.net.tls.client import ClientTls, Handshake
from tests.support.certificates import Issued, authority, issue, issue_for
from tests.support.tables import cases
from tests.support.unreadable_certificate import unreadable
from tests.support.wrong_certificates import CA, WRONG_CERTIFICATES


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
