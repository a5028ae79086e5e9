"""T: each check has a fault that turns it red."""

from collections.abc import Callable

from cryptography import x509
from msgspec.structs import replace
from OpenSSL import SSL, crypto
from twisted.protocols.tls import TLSMemoryBIOProtocol

from homeserver.conformance.target import Target
from homeserver.lab.authority.authority import Authority
from homeserver.lab.seed import Seed
from homeserver.net.tls.certificate import Certificate
from homeserver.net.tls.certificate_names import check_name
from homeserver.net.tls.client import ClientTls, Handshake
from homeserver.net.tls.server import ServerTls, _Context
from homeserver.protocol.discovery import Route
from tests.conformance.faulty import Row, changed_json, fault_test, patched
from tests.support.conformance_stage import Fault

_verify = Handshake._verify
_build = ClientTls._build
_shake_hands = Handshake.clientConnectionForTLS

_FOREIGN = Authority(Seed("faults"), "foreign").issue("other.invalid")

# OpenSSL's codes of what is wrong with a certificate.
_NOT_YET, _EXPIRED, _SELF_SIGNED = 9, 10, 18
_UNKNOWN = (19, 20, 21)
_PURPOSE = 26
_NO_AUTHORITY = 79


def _overlooks(*codes: int, depth: int | None = None) -> Fault:
    """A verification that takes some problems for none, at one depth of a chain."""
    place = depth

    def verify(
        handshake: Handshake,
        connection: SSL.Connection,
        certificate: crypto.X509,
        error: int,
        depth: int,
        is_good: int,
    ) -> bool:
        is_overlooked = error in codes and place in {None, depth}
        good = 1 if is_overlooked else is_good
        return _verify(handshake, connection, certificate, error, depth, good)

    return patched({"homeserver.net.tls.client.Handshake._verify": verify})


def _deeper_is_wrong(
    handshake: Handshake,
    connection: SSL.Connection,
    certificate: crypto.X509,
    error: int,
    depth: int,
    is_good: int,
) -> bool:
    good = 0 if depth > 1 else is_good
    return _verify(handshake, connection, certificate, error, depth, good)


def _names(look: Callable[[x509.Certificate, str, str | None], str | None]) -> Fault:
    """Another judgement of names; it has the right one, None for a match."""

    def check(certificate: crypto.X509, name: str) -> str | None:
        right = check_name(certificate, name)
        return look(certificate.to_cryptography(), name, right)

    return patched({"homeserver.net.tls.client.check_name": check})


def _dns_names(certificate: x509.Certificate) -> list[str]:
    return Certificate((certificate,), _FOREIGN.private_key).names


def _by_subject(
    certificate: x509.Certificate, name: str, right: str | None
) -> str | None:
    return None if f"CN={name}" in certificate.subject.rfc4514_string() else right


def _wide_wildcard(
    certificate: x509.Certificate, name: str, right: str | None
) -> str | None:
    ends = [each[1:] for each in _dns_names(certificate) if each.startswith("*")]
    return None if any(map(name.endswith, ends)) else right


def _no_wildcard(
    certificate: x509.Certificate, _: str, right: str | None
) -> str | None:
    return "a wildcard" if "*" in str(_dns_names(certificate)) else right


def _as_written(certificate: x509.Certificate, _: str, right: str | None) -> str | None:
    names = "".join(_dns_names(certificate))
    return "capitals" if names != names.lower() else right


def _first_alone(
    certificate: x509.Certificate, name: str, right: str | None
) -> str | None:
    names = _dns_names(certificate)
    return "not the first" if len(names) > 1 and names[0] != name else right


def _target_of_srv(
    certificate: x509.Certificate, name: str, right: str | None
) -> str | None:
    """Any host that begins as targets of SRV records do here proves the name."""
    is_target = any(each.startswith("s") for each in _dns_names(certificate))
    return None if is_target else right


def _latest_alone(tls: ClientTls) -> SSL.Context:
    context = _build(tls)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    return context


def _shows_another(
    handshake: Handshake, protocol: TLSMemoryBIOProtocol
) -> SSL.Connection:
    connection = _shake_hands(handshake, protocol)
    shown = handshake._certificate
    if shown is not None and "localhost" in shown.names:
        _FOREIGN.present_on(connection)
    return connection


_serve = ServerTls._build


def _old_versions(tls: ServerTls) -> SSL.Context:
    context = _serve(tls)
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    return context


class _Weak(_Context):
    """A context that has the ciphers of old versions."""

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(certificate)
        self.context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")


_TLS = "homeserver.net.tls.client"

_OWN_TLS = "homeserver.conformance.checks.own_tls"


async def _one_and_another(t: Target) -> list[Route]:
    """The address of a target, and the same as that of another name."""
    return [t.route, replace(t.route, certificate_name="another.invalid")]


ROWS: list[Row] = [
    (
        "names not compared",
        _names(lambda *_: None),
        {"T01", "T06", "T08", "T17", "T18", "T19"},
    ),
    ("expired accepted", _overlooks(_EXPIRED), {"T02"}),
    ("not yet valid accepted", _overlooks(_NOT_YET), {"T03"}),
    (
        "self-signed accepted",
        _overlooks(_SELF_SIGNED, *_UNKNOWN),
        {"T04", "T05", "T10"},
    ),
    ("any authority accepted", _overlooks(*_UNKNOWN), {"T05", "T10"}),
    (
        "its own certificate is another's",
        _names(lambda _, name, right: "another" if name == "localhost" else right),
        {"T30"},
    ),
    ("subject compared", _names(_by_subject), {"T01", "T06", "T08", "T19"}),
    ("no wildcard", _names(_no_wildcard), {"T07"}),
    ("wildcard for several labels", _names(_wide_wildcard), {"T08"}),
    (
        "no chain",
        patched({f"{_TLS}.Handshake._verify": _deeper_is_wrong}),
        {"T09"},
    ),
    ("leaf as an authority", _overlooks(_NO_AUTHORITY, _PURPOSE, depth=1), {"T11"}),
    ("purpose not compared", _overlooks(_PURPOSE), {"T12"}),
    ("capitals compared", _names(_as_written), {"T13"}),
    ("first name alone", _names(_first_alone), {"T14", "D05"}),
    ("TLS 1.3 alone", patched({f"{_TLS}.ClientTls._build": _latest_alone}), {"T15"}),
    ("target of SRV proves", _names(_target_of_srv), {"T17"}),
    (
        "slower than the limit",
        patched({"homeserver.conformance.checks.our_handshakes.SECONDS": 1.0}),
        {"T20"},
    ),
    (
        "another's client certificate",
        patched({f"{_TLS}.Handshake.clientConnectionForTLS": _shows_another}),
        {"T21"},
    ),
    (
        "old versions served",
        patched(
            {
                "homeserver.net.tls.server.ServerTls._build": _old_versions,
                "homeserver.net.tls.server._Context": _Weak,
            }
        ),
        {"T31"},
    ),
    (
        "no keys",
        changed_json(
            "/_matrix/key/v2/server", lambda each: {**each, "verify_keys": {}}
        ),
        {"T33"},
    ),
    (
        "a second address with another's certificate",
        patched({f"{_OWN_TLS}._addresses": _one_and_another}),
        {"T33"},
    ),
]

# A stalled handshake takes ten seconds.
test_a_fault_turns_its_checks_red = fault_test(ROWS, ["T"], ["T20"])
