"""What the lab's authority issues, judged by clients that verify."""

import contextlib
import ssl
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from OpenSSL import SSL
from twisted.protocols.tls import TLSMemoryBIOProtocol

from homeserver.lab.authority.authority import Authority, chain_pem, key_pem
from homeserver.lab.authority.faults import CERTIFICATE_FAULTS, Build, CertificateFault
from homeserver.lab.seed import Seed
from homeserver.net.tls.certificate import Certificate, load_certificate
from homeserver.net.tls.client import ClientTls, Handshake

AUTHORITY = Authority(Seed("tests"))
HOSTS = ["a.lab.test", "localhost", "127.0.0.1", "::1"]


def server_side(certificate: Certificate) -> SSL.Connection:
    """A server that presents a certificate, even one with a weak key."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    certificate.present_in(context)
    server = SSL.Connection(context, None)
    server.set_accept_state()
    return server


def python_accepts(certificate: Certificate, host: str) -> bool:
    """Whether Python's own client, as strict as it can be, accepts a server."""
    context = ssl.create_default_context(cadata=AUTHORITY.pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=host)
    server = server_side(certificate)
    for _ in range(3):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError:
            return False
        else:
            return True
        server.bio_write(outgoing.read())
        with contextlib.suppress(SSL.WantReadError):
            server.do_handshake()
        incoming.write(server.bio_read(65536))
    raise AssertionError("the handshake does not end")


def homeserver_problem(certificate: Certificate, host: str, folder: Path) -> str | None:
    """Why our own client does not accept a server; None if it does."""
    (folder / "ca.pem").write_text(AUTHORITY.pem)
    context = ClientTls(folder / "ca.pem", system_roots=False).context()
    handshake = Handshake(context, host, must_be_trusted=False)
    client = handshake.clientConnectionForTLS(cast("TLSMemoryBIOProtocol", None))
    client.set_connect_state()
    server = server_side(certificate)
    for _ in range(3):
        for ours, theirs in [(client, server), (server, client)]:
            with contextlib.suppress(SSL.WantReadError):
                ours.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                theirs.bio_write(ours.bio_read(65536))
    return handshake.problem


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "certify", [Authority.issue, Authority.issue_below], ids=["alone", "in a chain"]
)
def test_strict_clients_accept_a_good_certificate(
    certify: Build, host: str, tmp_path: Path
) -> None:
    """Clients that trust the root accept a certificate for the host."""
    certificate = certify(AUTHORITY, host)
    assert python_accepts(certificate, host)
    assert homeserver_problem(certificate, host, tmp_path) is None


@pytest.mark.parametrize("name", CERTIFICATE_FAULTS)
@pytest.mark.parametrize("host", ["a.lab.test", "127.0.0.1"])
def test_clients_judge_each_fault_as_the_table_says(
    name: str, host: str, tmp_path: Path
) -> None:
    """Both clients refuse what is wrong and accept what is only unusual."""
    fault = CERTIFICATE_FAULTS[name]
    if name == "wildcard" and host == "127.0.0.1":
        return
    certificate = fault.build(AUTHORITY, host)
    assert python_accepts(certificate, host) is not fault.is_refused
    problem = homeserver_problem(certificate, host, tmp_path)
    assert (problem is not None) is fault.is_refused


PROBLEMS = {
    "expired": "the certificate has expired",
    "not-yet-valid": "the certificate is not valid yet",
    "other-name": "is not for a.lab.test but for 'other.invalid'",
    "no-name": "no usable name",
    "unknown-authority": "authority that is not known",
    "self-signed": "self-signed",
    "ip-as-dns": "no usable name in it: '127.0.0.1'",
    "client-only": "not meant for servers",
    "name-constraints": "check number 47",  # X509_V_ERR_PERMITTED_VIOLATION
    "chain-missing": "authority that is not known",
    "weak-key": "check number 66",  # X509_V_ERR_EE_KEY_TOO_SMALL
}


@pytest.mark.parametrize(("name", "problem"), PROBLEMS.items())
def test_a_fault_is_the_only_one(name: str, problem: str, tmp_path: Path) -> None:
    """What is found wrong with a certificate is what its name says."""
    certificate = CERTIFICATE_FAULTS[name].build(AUTHORITY, "a.lab.test")
    found = homeserver_problem(certificate, "a.lab.test", tmp_path)
    assert found is not None
    assert problem in found


def test_the_missing_chain_would_complete_the_certificate(tmp_path: Path) -> None:
    """With the intermediate certificate, the one of `chain-missing` is good."""
    certificate = CERTIFICATE_FAULTS["chain-missing"].build(AUTHORITY, "a.lab.test")
    whole = Certificate(
        (*certificate.chain, AUTHORITY.intermediate.certificate),
        certificate.private_key,
    )
    assert homeserver_problem(whole, "a.lab.test", tmp_path) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "a.test"])
def test_a_wildcard_needs_three_labels(host: str) -> None:
    """No client accepts a wildcard for a whole top-level domain or an address."""
    with pytest.raises(ValueError, match="three labels or more"):
        CERTIFICATE_FAULTS["wildcard"].build(AUTHORITY, host)


BUILDERS: dict[str, CertificateFault] = {
    **CERTIFICATE_FAULTS,
    "valid": CertificateFault("", lambda authority, host: authority.issue(host)),
    "below": CertificateFault("", lambda authority, host: authority.issue_below(host)),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_certificates_follow_from_the_seed(name: str) -> None:
    """The same seed gives the same bytes; another seed gives others."""
    build = BUILDERS[name].build
    one = build(Authority(Seed("tests")), "a.lab.test")
    again = build(Authority(Seed("tests")), "a.lab.test")
    other = build(Authority(Seed("others")), "a.lab.test")
    assert (chain_pem(one), key_pem(one)) == (chain_pem(again), key_pem(again))
    assert chain_pem(one) != chain_pem(other)


def test_certificates_have_serial_numbers_of_their_own() -> None:
    """No two certificates of an authority share a serial number (RFC 5280)."""
    numbers = [
        build(AUTHORITY, host).chain[0].serial_number
        for host in ["a.lab.test", "b.lab.test"]
        for build in [fault.build for fault in BUILDERS.values()]
    ]
    numbers.append(AUTHORITY.issue("a.lab.test", label="again").chain[0].serial_number)
    assert len(numbers) == len(set(numbers))


def test_a_certificate_for_others_has_a_key_of_its_own(tmp_path: Path) -> None:
    """A server under test gets a certificate for its names, and no key of the lab."""
    certificate = AUTHORITY.issue_to_others(["hs.test", "127.0.0.1"])
    (tmp_path / "crt").write_text(chain_pem(certificate))
    (tmp_path / "key").write_text(key_pem(certificate))
    load_certificate(tmp_path / "crt", tmp_path / "key")
    assert python_accepts(certificate, "hs.test")
    assert python_accepts(certificate, "127.0.0.1")
    assert key_pem(certificate) != key_pem(AUTHORITY.issue("hs.test"))


def test_the_root_issues_nothing_for_the_world() -> None:
    """Whoever finds the root in a trust store reads that it is for tests."""
    subject = x509.load_pem_x509_certificate(AUTHORITY.pem.encode()).subject
    assert "tests only" in subject.rfc4514_string()
