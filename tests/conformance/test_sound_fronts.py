"""Servers that are odd and right pass: no check is red for what nothing forbids."""

import gzip
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from homeserver.lab.authority.authority import Authority, form_of
from homeserver.net.addresses import SocketAddress
from homeserver.net.tls.certificate import Certificate
from tests.support.conformance_stage import Behind, Stage
from tests.support.fronts import Change, Front, Passed
from tests.support.tables import cases

MANY = [
    *("K0[125]", "V01", "H0[1-7]", "H10", "H12", "T3[03]", "A0[1249]", "A14", "A24"),
    *("M0[12]", "X01", "X03", "X07", "Q0[3478]", "Q12", "Q19", "Q28", "N01c", "J01"),
    *("J20.v10", "J30", "G0[1-3]", "L01", "I01.v10", "I03", "P01.v10"),
]
"""Checks of each kind that wait for nothing."""


def _nothing(_: Passed) -> None:
    """An answer as it is."""


def _old(passed: Passed) -> None:
    passed.version, passed.has_length, passed.is_last = "HTTP/1.0", False, True


def _until_the_end(passed: Passed) -> None:
    passed.headers.append(("Connection", "Close"))
    passed.has_length, passed.is_last = False, True


def _closed(passed: Passed) -> None:
    passed.headers.append(("connection", "x, close"))
    passed.is_last = True


def _chunked(passed: Passed) -> None:
    passed.is_chunked = True


def _coded(passed: Passed) -> None:
    if b"accept-encoding:" not in passed.asked.lower():
        passed.body = gzip.compress(passed.body)
        passed.headers.append(("Content-Encoding", "gzip"))


def _decorated(passed: Passed) -> None:
    named = {"application/json": "Application/JSON ; Charset=UTF-8"}
    passed.headers = [(n, f" \t{named.get(v, v)} ") for n, v in passed.headers]
    passed.headers += [("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"), ("X-Empty", "")]
    passed.is_spelled = str.swapcase
    passed.before = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def _forbidding(passed: Passed) -> None:
    """What is not proven is forbidden, but for what is meant for another server."""
    is_wrong_name = b"destination" in passed.body
    if b'"M_UNAUTHORIZED"' in passed.body and not is_wrong_name:
        passed.status = 403
        passed.body = passed.body.replace(b"M_UNAUTHORIZED", b"M_FORBIDDEN")


def _limiting() -> Change:
    """The first request of each kind comes too soon."""
    known: set[bytes] = set()

    def limit(passed: Passed) -> None:
        kind = passed.asked.partition(b" HTTP")[0]
        # Invites of one user are limited for longer than a check waits.
        is_first = kind not in known and b"/invite/" not in kind
        known.add(kind)
        if is_first and passed.status != 400:
            passed.status, passed.body = 429, b"slowly"
            passed.headers = [("Content-Type", "text/plain"), ("Retry-After", "0")]

    return limit


def _verbose(passed: Passed) -> None:
    """Objects have members that nobody knows, where none are signed."""
    try:
        content = msgspec.json.decode(passed.body)
    except msgspec.DecodeError:
        return
    alone = {"verify_keys", "server_keys", "event", "auth_chain", "displayname"}
    if isinstance(content, dict) and content and not alone & content.keys():
        content["org.example.more"] = {"\u00e9": [None, 1.5]}
        passed.body = msgspec.json.format(msgspec.json.encode(content), indent=2)


def _written(certificate: Certificate, folder: Path) -> Path:
    """A file with a certificate, its chain and its key."""
    key = certificate.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    chain = [each.public_bytes(Encoding.PEM) for each in certificate.chain]
    path = folder / "front.pem"
    path.write_bytes(b"".join([key, *chain]))
    return path


def _find_nothing(on_stage: Stage, behind: Behind, only: Sequence[str] = MANY) -> None:
    """No check fails, warns or errs, and few are not testable."""
    results = on_stage.run(only, behind=behind)
    wrong = {
        each.id: f"{each.result}: {each.observed}"
        for each in results.values()
        if each.result not in {"pass", "info"} and each.id != "H10"
    }
    assert wrong == {}
    assert results["H10"].result in {"pass", "not-testable"}


CHANGES: list[tuple[str, Change]] = [
    ("HTTP/1.0", _old),
    ("a body up to the end", _until_the_end),
    ("one answer a connection", _closed),
    ("chunks", _chunked),
    ("gzip unless another coding is asked for", _coded),
    ("odd headers", _decorated),
    ("403 for what is not proven", _forbidding),
    ("a limit of requests", _limiting()),
    ("members that nobody knows", _verbose),
]


def _behind(on_stage: Stage, folder: Path, change: Change) -> Behind:
    pem = _written(on_stage.lab.authority.issue("localhost"), folder)

    @contextmanager
    def behind(where: SocketAddress) -> Iterator[SocketAddress]:
        with Front(where.port, pem, change).running() as front:
            yield SocketAddress("127.0.0.1", front.port)

    return behind


@cases("change", CHANGES)
def test_odd_answers(on_stage: Stage, tmp_path: Path, change: Change) -> None:
    """None of them is a failure."""
    _find_nothing(on_stage, _behind(on_stage, tmp_path, change))


def test_another_status_for_a_wrong_destination(
    on_stage: Stage, tmp_path: Path
) -> None:
    """It is the one refusal whose status is fixed."""

    def forbid(passed: Passed) -> None:
        passed.status = 403 if passed.status == 401 else passed.status

    behind = _behind(on_stage, tmp_path, forbid)
    results = on_stage.run(["A14", "A15", "A31"], behind=behind)
    assert {key: each.result for key, each in results.items()} == {
        "M01": "pass",
        "A14": "fail",
        "A15": "pass",
        "A31": "pass",
    }


def _rsa(authority: Authority) -> Certificate:
    key = rsa.generate_private_key(65537, 2048)
    return authority.issue_as(form_of("localhost"), key=key)


def _latest(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3


def _older(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def _by_name(context: ssl.SSLContext) -> None:
    """Serve only who names the host."""

    def choose(_: object, name: str | None, __: object) -> int | None:
        is_known = name == "localhost"
        return None if is_known else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = choose


def _usual(_: ssl.SSLContext) -> None:
    pass


def _ec(authority: Authority) -> Certificate:
    return authority.issue("a.invalid", "localhost", "127.0.0.1")


def _chain(authority: Authority) -> Certificate:
    return authority.issue_below("localhost")


Certify = Callable[[Authority], Certificate]
Set = Callable[[ssl.SSLContext], None]

HANDSHAKES: list[tuple[str, Certify, Set, str]] = [
    ("RSA", _rsa, _older, "127.0.0.1"),
    ("an intermediate authority", _chain, _usual, "127.0.0.1"),
    ("SNI needed", _ec, _by_name, "127.0.0.1"),
    ("TLS 1.3 alone, IPv6", _ec, _latest, "::1"),
]


@cases("certify set_up host", HANDSHAKES)
def test_odd_handshakes(
    on_stage: Stage, tmp_path: Path, certify: Certify, set_up: Set, host: str
) -> None:
    """None of them is a failure."""
    pem = _written(certify(on_stage.lab.authority), tmp_path)

    @contextmanager
    def behind(where: SocketAddress) -> Iterator[SocketAddress]:
        front = Front(where.port, pem, _nothing, host)
        set_up(front.context)
        with front.running():
            yield SocketAddress(host, front.port)

    _find_nothing(on_stage, behind, ["K", "V", "T3*", "H0*", "H10", "A0*"])
