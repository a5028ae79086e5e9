"""Which names a certificate proves, and which it does not."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import crypto

from homeserver.net.tls.certificate_names import check_name
from tests.support.certificates import dns, ip, issue
from tests.support.tables import cases

OTHER_NAME = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7"), b"\x04\x01x")
"""What says that it is an SRV name, and is not."""

SRV_NAME = x509.OtherName(
    x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7"), b"\x16\x11_matrix.peer.test"
)


# The name that is asked for, the names in the certificate.
GOOD_NAMES: list[tuple[str, str, Sequence[x509.GeneralName]]] = [
    ("DNS", "peer.test", dns("peer.test")),
    ("single label", "localhost", dns("localhost")),
    ("upper case in the certificate", "peer.test", dns("PEER.Test")),
    ("upper case in the name", "PEER.Test", dns("peer.test")),
    ("A-label", "xn--mnchen-3ya.test", dns("xn--mnchen-3ya.test")),
    ("underscore", "a_b.test", dns("a_b.test")),
    ("wildcard", "a.peer.test", dns("*.peer.test")),
    ("wildcard in other letters", "a.peer.test", dns("*.PEER.test")),
    ("wildcard over an A-label", "xn--mnchen-3ya.peer.test", dns("*.peer.test")),
    ("A-label in other letters", "XN--Mnchen-3ya.Peer.test", dns("*.peer.Test")),
    (
        "wildcard beside an A-label",
        "a.xn--mnchen-3ya.test",
        dns("*.xn--mnchen-3ya.test"),
    ),
    ("one of many", "peer.test", dns("a.test", "b.test", "peer.test")),
    ("beside an address", "peer.test", [ip("192.0.2.1"), *dns("peer.test")]),
    ("IPv4", "192.0.2.1", [ip("192.0.2.1")]),
    ("IPv4 beside a name", "192.0.2.1", [*dns("peer.test"), ip("192.0.2.1")]),
    ("IPv6", "2001:db8::1", [ip("2001:db8::1")]),
    ("IPv6 in another form", "2001:db8:0:0::1", [ip("2001:db8::1")]),
]

NOT_FOR = "the certificate is not for {} but for "
NO_NAME = "the certificate has no usable name in it"

BAD_NAMES: list[tuple[str, str, Sequence[x509.GeneralName] | None, str]] = [
    ("no subjectAltName", "peer.test", None, NO_NAME),
    ("no names in it", "peer.test", [], NO_NAME),
    ("no subjectAltName for an address", "192.0.2.1", None, NO_NAME),
    ("e-mail only", "peer.test", [x509.RFC822Name("a@peer.test")], NO_NAME),
    (
        "directory name only",
        "peer.test",
        [
            x509.DirectoryName(
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer.test")])
            )
        ],
        NO_NAME,
    ),
    ("two stars", "peer.test", dns("*.*.test"), NO_NAME),
    ("star in a label", "peer.test", dns("p*r.test"), NO_NAME),
    ("star alone", "test", dns("*"), NO_NAME),
    ("star over a top-level domain", "peer.test", dns("*.test"), NO_NAME),
    ("star in the middle", "a.b.peer.test", dns("a.*.peer.test"), NO_NAME),
    ("empty", "peer.test", dns(""), NO_NAME),
    ("NUL", "peer.test", dns("peer.test\0.evil.test"), NO_NAME),
    *(
        (f"{entry!r}, which is no name", "peer.test", dns(entry), NO_NAME)
        for entry in [
            *(" peer.test", "peer.test ", "\tpeer.test", "peer.test\n", "\npeer.test"),
            *("peer.test\r\n", "peer.test\0", "\0peer.test", "peer.test evil.test"),
            *(" ", "\n", ".", "peer.test.", ".peer.test", "peer..test", "peer.test,"),
            *("https://peer.test", "peer.test:8448", "a@peer.test", "peer.test/"),
            *("p*.test", "*eer.test", "* .peer.test", "*.peer.test ", "**.peer.test"),
            *("*peer.test", "peer.*", "peer.test*", f"{'a' * 64}.test"),
        ]
    ),
    *(
        (f"{entry!r}, which is no wildcard", "a.peer.test", dns(entry), NO_NAME)
        for entry in [
            *("*.peer.test\n", " *.peer.test", "*.peer.test.", "*..peer.test", "*."),
            *("a*.peer.test", "*a.peer.test", "*.*.test", "*.-peer.test", "*.*"),
            *("*.peer-.test", "*.p_r.test", "*.test"),
        ]
    ),
    ("part of an A-label", "xn--a.peer.test", dns("xn--*.peer.test"), NO_NAME),
    ("A-label one label long", "a.xn--b.peer.test", dns("*.peer.test"), NOT_FOR),
    ("star over a top-level domain, A-label", "xn--a.test", dns("*.test"), NO_NAME),
    ("A-label of another name", "xn--a.peer.test", dns("*.other.test"), NOT_FOR),
    ("A-label over nothing", "xn--a", dns("*.peer.test"), NOT_FOR),
    ("SRV name", "peer.test", [SRV_NAME], NO_NAME),
    ("another", "peer.test", dns("other.test"), NOT_FOR),
    ("longer", "peer.test", dns("a.peer.test"), NOT_FOR),
    ("shorter", "a.peer.test", dns("peer.test"), NOT_FOR),
    ("begins like it", "peer.test", dns("peer.test.evil.test"), NOT_FOR),
    ("ends like it", "peer.test", dns("evilpeer.test"), NOT_FOR),
    ("wildcard one label short", "peer.test", dns("*.peer.test"), NOT_FOR),
    ("wildcard one label long", "a.b.peer.test", dns("*.peer.test"), NOT_FOR),
    ("address as a DNS name", "192.0.2.1", dns("192.0.2.1"), NO_NAME),
    ("another address", "192.0.2.1", [ip("192.0.2.2")], NOT_FOR),
    ("IPv4 within IPv6", "192.0.2.1", [ip("::ffff:192.0.2.1")], NOT_FOR),
    ("IPv6 that holds IPv4", "::ffff:192.0.2.1", [ip("192.0.2.1")], NOT_FOR),
    ("address with a star", "192.0.2.1", dns("*.0.2.1"), NO_NAME),
    ("name for an address", "192.0.2.1", dns("peer.test"), NOT_FOR),
    ("address for a name", "peer.test", [ip("192.0.2.1")], NOT_FOR),
    (
        "URI of the name",
        "peer.test",
        [x509.UniformResourceIdentifier("https://peer.test")],
        NO_NAME,
    ),
]


# What is no name, or the name of something else, and does no harm.
ODD: dict[str, x509.GeneralName] = {
    **{repr(each): x509.DNSName(each) for each in ["", "*", "*.*", " ", " a.test"]},
    **{
        repr(each): x509.DNSName(each) for each in ["a.test\n", "192.0.2.1", "1", "a\0"]
    },
    "a malformed SRV name": OTHER_NAME,
    "an SRV name": SRV_NAME,
    "a URI": x509.UniformResourceIdentifier("::"),
    "an e-mail address": x509.RFC822Name("a@b.test"),
    "an ID": x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
}


def certificate(names: Sequence[x509.GeneralName] | None) -> crypto.X509:
    """A certificate with these names, called `peer.test` in its subject."""
    return crypto.X509.from_cryptography(issue("peer.test", names).certificate)


@cases("name names", GOOD_NAMES)
def test_good_name(name: str, names: Sequence[x509.GeneralName]) -> None:
    """A certificate is for the names that its subjectAltName has."""
    assert check_name(certificate(names), name) is None


@cases("name names said", BAD_NAMES)
def test_bad_name(
    name: str, names: Sequence[x509.GeneralName] | None, said: str
) -> None:
    """A certificate is for no other names, whatever its subject says."""
    problem = check_name(certificate(names), name)
    assert problem is not None
    assert problem.startswith(said.format(name))


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_entry_beside_a_good_one(odd: x509.GeneralName, is_first: bool) -> None:  # noqa: FBT001
    """An entry that is no name of a server is dropped, and those beside it count."""
    good = [*dns("peer.test"), ip("192.0.2.1")]
    shown = certificate([odd, *good] if is_first else [*good, odd])
    assert check_name(shown, "peer.test") is None
    assert check_name(shown, "192.0.2.1") is None
    problem = check_name(shown, "a.test")
    assert problem is not None
    assert problem.startswith(NOT_FOR.format("a.test"))


def raw(*entries: bytes) -> crypto.X509:
    """A certificate whose subjectAltName has these entries, in DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer.test")])
    now = datetime.now(UTC)
    content = b"".join(entries)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
        .add_extension(
            x509.UnrecognizedExtension(
                x509.SubjectAlternativeName.oid, bytes([0x30, len(content)]) + content
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return crypto.X509.from_cryptography(made)


def entry(tag: int, value: bytes) -> bytes:
    """An entry of a subjectAltName, in DER."""
    return bytes([tag, len(value)]) + value


GOOD_ENTRIES = entry(0x82, b"peer.test") + entry(0x87, bytes([192, 0, 2, 1]))


def test_raw_names() -> None:
    """What the next test puts beside unreadable entries is good by itself."""
    assert check_name(raw(GOOD_ENTRIES), "peer.test") is None
    assert check_name(raw(GOOD_ENTRIES), "192.0.2.1") is None


def test_name_in_utf_8() -> None:
    """An entry of other characters than ASCII is dropped, and those beside it count."""
    odd = entry(0x82, "a.p\u00e9.test".encode())
    assert check_name(raw(odd, GOOD_ENTRIES), "peer.test") is None
    assert check_name(raw(odd, GOOD_ENTRIES), "a.p\u00e9.test") is not None


@pytest.mark.parametrize(
    "unreadable",
    [
        *(entry(0x87, bytes([192, 0, 2, 1] * 5)[:n]) for n in (0, 3, 5, 15, 17)),
        entry(0x82, b"peer.test\xff"),
        b"\x82\x7fpeer",
        b"\x04\x05peer",
    ],
    ids=repr,
)
def test_unreadable_names(unreadable: bytes) -> None:
    """An entry that cannot be read rejects the certificate, with those beside it."""
    for shown in (raw(GOOD_ENTRIES, unreadable), raw(unreadable, GOOD_ENTRIES)):
        for name in ("peer.test", "192.0.2.1"):
            problem = check_name(shown, name)
            assert problem is not None
            assert problem.startswith("the certificate's names cannot be read: ")


@pytest.mark.parametrize("mask", [b"\xff" * 4, b"\x00" * 4, bytes([255, 255, 0, 0])])
def test_network_in_place_of_an_address(mask: bytes) -> None:
    """An address with a mask, as in name constraints, names no server."""
    network = bytes(x & y for x, y in zip(bytes([192, 0, 2, 1]), mask, strict=True))
    shown = raw(entry(0x87, network + mask))
    for name in ("192.0.2.1", "0.0.0.0"):
        problem = check_name(shown, name)
        assert problem is not None
        assert problem.startswith(NO_NAME)


def test_reason_is_bounded() -> None:
    """A certificate for a thousand names is refused in one line."""
    names = dns(*(f"a{number}.test" for number in range(1000)))
    problem = check_name(certificate(names), "peer.test")
    assert problem is not None
    assert "'a0.test, a1.test, " in problem
    assert len(problem) < 200
