"""Faults of connections and of TLS, met by clients that others wrote."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from homeserver.testing import Lab, Server
from tests.support.eventually import HANGING_SECONDS
from tests.support.foreign_clients import Client, curl, run
from tests.support.lab_rules import acted, asked, put, rule

SECONDS = 5.0  # that a client waits in vain; its first bytes take less anywhere


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab for all tests: each has servers of its own."""
    with Lab() as running:
        running.servers(2)  # so that no test has the only server of the shared port
        yield running


IN_VAIN = r"timed out|Timeout exceeded|TLS handshake timeout|TIME"
RESET = r"\((7|35|56)\)|connection reset|broken pipe|ECONNRESET|EPIPE"
CLOSED = r"\((35|52|56)\)|EOF|reset by peer|ECONNRESET"

ENDS: list[tuple[dict[str, object], str]] = [
    ({"connection.refuse": True}, RESET),
    ({"connection.reset": True}, RESET),
    ({"connection.hang": True}, IN_VAIN),
    ({"connection.slow": 100}, IN_VAIN),
    ({"connection.delay": 30}, IN_VAIN),
    ({"connection.close-after": 0}, CLOSED),
    ({"connection.close-after": 100}, CLOSED),
    ({"tls.stall": True}, IN_VAIN),
    ({"tls.alert": True}, "handshake failure"),
    ({"tls.alert": 112}, "unrecognized.name"),
    ({"tls.no-alpn": True}, "no application protocol"),
    ({"tls.version": "1.0"}, "internal error|protocol version|legacy sigalg"),
    ({"tls.version": 1.1}, "internal error|protocol version|legacy sigalg"),
    ({"tls.certificate": "expired"}, "expired|EXPIRED"),
    ({"tls.certificate": "not-yet-valid"}, "not yet valid|NOT_YET_VALID"),
    ({"tls.certificate": "other-name"}, r"\(60\)|valid for|ALTNAME_INVALID"),
    ({"tls.certificate": "unknown-authority"}, "issuer|unknown authority|UNABLE_TO"),
    ({"tls.certificate": "self-signed"}, "self.signed|unknown authority|SELF_SIGNED"),
    ({"tls.certificate": "ip-as-dns"}, r"\(60\)|valid for|ALTNAME_INVALID"),
    ({"tls.certificate": "client-only"}, "purpose|incompatible key usage|PURPOSE"),
    ({"tls.certificate": "name-constraints"}, "permitted|not permitted|PERMITTED"),
    ({"tls.certificate": "chain-missing"}, "issuer|unknown authority|UNABLE_TO"),
]


# On a port of its own, a server is known before the ClientHello.
CASES = [("shared", *row) for row in ENDS]
CASES += [("own", {"connection.refuse": True}, RESET)]
CASES += [("own", {"tls.alert": True}, "handshake failure")]


@pytest.mark.parametrize(("listen", "do", "error"), CASES, ids=str)
def test_a_client_gets_no_answer(
    lab: Lab, client: Client, listen: str, do: dict[str, object], error: str
) -> None:
    """It says why; a later connection, and that of another server, are right."""
    server, other = lab.server(listen=listen), lab.server(listen=listen)
    put(lab, server, do, times=1)
    got = client(
        asked(lab, server, Seconds=SECONDS if error is IN_VAIN else HANGING_SECONDS)
    )
    assert got.status == 0, got
    assert re.search(error, got.error), got.error
    for unharmed in (other, server):
        assert client(asked(lab, unharmed)).status == 200
    assert acted(lab, server) == [(2, 1)]
    if "tls.certificate" not in do:  # clients may look at it after the handshake
        [failed] = server.expect(kind="connection", reason="handshake_failed")
        assert failed.error


GOES_ON: list[dict[str, object]] = [
    {"connection.delay": 0.5},
    {"connection.close-after": 100_000},
    {"connection.slow": 20_000},
    {"tls.version": "1.2"},
    {"tls.version": "1.3"},
    {"tls.certificate": "wildcard"},
    {"tls.certificate": "duplicate-entries"},
    {"connection.delay": 0.2, "connection.slow": 20_000, "tls.version": "1.2"},
]


@pytest.mark.parametrize("do", GOES_ON, ids=str)
def test_a_client_gets_an_answer(
    lab: Lab, client: Client, do: dict[str, object]
) -> None:
    """It takes what is slow, or only unusual."""
    server = lab.server()
    put(lab, server, do)
    began = time.monotonic()
    got = client(asked(lab, server))
    assert (got.status, got.error) == (200, "")
    assert time.monotonic() - began >= float(str(do.get("connection.delay", 0)))
    assert acted(lab, server) == [(1, 1)]


def test_a_weak_key(lab: Lab) -> None:
    """OpenSSL's usual settings refuse 1024 bits; clients of others may take them."""
    server = lab.server()
    put(lab, server, {"tls.certificate": "weak-key"})
    assert "too weak" in curl(asked(lab, server)).error


def test_a_certificate_without_a_name(lab: Lab, client: Client) -> None:
    """Go's client looks for a name; those of OpenSSL go by the subject, wrongly."""
    server = lab.server()
    put(lab, server, {"tls.certificate": "no-name"})
    got = client(asked(lab, server))
    assert got.status == 200 or "legacy Common Name" in got.error


def s_client(lab: Lab, server: Server, *options: str) -> str:
    """What OpenSSL's own client says of a handshake."""
    connect = ["-connect", server.listen, "-servername", server.name]
    assert lab.ca_file is not None
    verify = ["-CAfile", lab.ca_file, "-verify_hostname", server.name]
    ran = run("openssl", "s_client", *connect, *verify, *options)
    return ran.out + ran.err


HANDSHAKES: list[tuple[dict[str, object], list[str], str]] = [
    ({}, [], "Verify return code: 0 (ok)"),
    ({"tls.version": "1.2"}, [], "New, TLSv1.2"),
    ({"tls.version": "1.3"}, [], "New, TLSv1.3"),
    (
        {"tls.version": "1.1"},
        ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
        "Protocol  : TLSv1.1",
    ),
    (
        {"tls.version": "1.0"},
        ["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"],
        "Protocol  : TLSv1\n",
    ),
    ({"tls.version": "1.1"}, ["-tls1_3"], "alert protocol version"),
    ({"tls.certificate": "expired"}, [], "certificate has expired"),
    ({"tls.certificate": "other-name"}, [], "hostname mismatch"),
    ({"tls.certificate": "chain-missing"}, [], "unable to get local issuer"),
    ({"tls.alert": 80}, [], "alert internal error"),
    ({"tls.no-alpn": True}, ["-alpn", "h2"], "no application protocol"),
    ({"tls.no-alpn": True}, [], "Verify return code: 0 (ok)"),
]


@pytest.mark.parametrize(("do", "options", "said"), HANDSHAKES, ids=str)
def test_a_handshake_of_openssl(
    lab: Lab, do: dict[str, object], options: list[str], said: str
) -> None:
    """`openssl s_client` sees the version, the certificate and the alert."""
    server = lab.server()
    if do:
        put(lab, server, do)
    text = s_client(lab, server, *options)
    assert said.lower() in text.lower()


def test_a_session_of_before_is_not_resumed(lab: Lab, tmp_path: Any) -> None:
    """A ticket of the right certificate brings no handshake past a wrong one."""
    server = lab.server()
    ticket = str(tmp_path / "ticket")
    assert "New, TLSv1.2" in s_client(lab, server, "-tls1_2", "-sess_out", ticket)
    assert "Reused, TLSv1.2" in s_client(lab, server, "-tls1_2", "-sess_in", ticket)
    put(lab, server, {"tls.certificate": "expired"})
    text = s_client(lab, server, "-tls1_2", "-sess_in", ticket)
    assert "New, TLSv1.2" in text
    assert "certificate has expired" in text


def test_open_connections_are_left_alone(lab: Lab) -> None:
    """Requests go on over a connection that began before the rule."""
    ours, theirs = lab.servers(2)
    version = "/_matrix/federation/v1/version"
    assert ours.request(theirs.name, version).status == 200
    put(lab, theirs, {"connection.reset": True})
    assert ours.request(theirs.name, version).status == 200
    assert lab.server().request(theirs.name, version).reason == "not_verified"


def test_a_certificate_that_cannot_be(lab: Lab) -> None:
    """The record says why the handshake failed: there is no wildcard of an address."""
    server = lab.server(listen="own")
    put(lab, server, {"tls.certificate": "wildcard"})
    assert "internal error" in curl(asked(lab, server)).error
    [failed] = server.expect(kind="connection", reason="handshake_failed")
    assert "a wildcard covers hosts of three labels" in str(failed.error)


def test_counts_and_chance(lab: Lab) -> None:
    """`skip`, `every` and `times` count connections; `chance` is the seed's."""
    server = lab.server()
    put(lab, server, {"tls.alert": True}, skip=1, every=2, times=2)
    seen = [curl(asked(lab, server)).status for _ in range(6)]
    assert seen == [200, 0, 200, 0, 200, 200]

    def chosen() -> list[int]:
        with Lab("--seed", "tests") as seeded:
            server = seeded.server()
            put(seeded, server, {"connection.reset": True}, chance=0.5)
            return [curl(asked(seeded, server)).status for _ in range(10)]

    first = chosen()
    assert set(first) == {0, 200}
    assert chosen() == first


def test_what_is_no_tls(lab: Lab) -> None:
    """Bytes that are no ClientHello, or part of one, cost one connection each."""
    server, other = lab.servers(2)
    host, _, port = server.listen.rpartition(":")
    with rule(lab, server, {"tls.alert": True}), ExitStack() as stack:
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00", b"\x00" * 70_000):
            plain = socket.create_connection((host, int(port)), HANGING_SECONDS)
            stack.enter_context(plain).sendall(sent)
        assert curl(asked(lab, other)).status == 200
        assert "handshake failure" in curl(asked(lab, server)).error
