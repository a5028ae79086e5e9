"""Faults of TLS: of our side of a handshake.

Rules: those of `connections`. A session that began before is not resumed while a fault
of the certificate or the version is in force.

Specification: RFC 8446, section 6 for alerts; RFC 7301 for ALPN.
"""

from collections.abc import Mapping
from typing import cast

from homeserver.lab.authority.faults import CERTIFICATE_FAULTS
from homeserver.lab.faults.connections import ConnectionAct, Plan, connection_fault
from homeserver.lab.faults.fault import Fault, flag
from homeserver.protocol.errors import BadJson
from homeserver.protocol.shapes import not_one_of

CLIENT_CERTIFICATE = "tls.client-certificate"

OTHER_HOST = "other.invalid"  # RFC 6761: a name without an owner

_SHOWN = ("none", "other", "expired")

VERSIONS = ("1.0", "1.1", "1.2", "1.3")

_HANDSHAKE_FAILURE = 40
_NO_APPLICATION_PROTOCOL = 120


def _check_certificate(value: object) -> object:
    if not isinstance(value, str) or value not in CERTIFICATE_FAULTS:
        why = not_one_of(str(value), CERTIFICATE_FAULTS)
        raise BadJson(f"`tls.certificate` is {why}")
    return value


def _check_shown(value: object) -> object:
    if value not in _SHOWN:
        raise BadJson(f"`{CLIENT_CERTIFICATE}` is {not_one_of(str(value), _SHOWN)}")
    return value


def _check_version(value: object) -> object:
    # A command line has a number where a text is meant.
    if str(value) not in VERSIONS or isinstance(value, bool):
        raise BadJson(f"`tls.version` is {not_one_of(str(value), VERSIONS)}")
    return str(value)


def _check_alert(value: object) -> object:
    if value is True:
        return _HANDSHAKE_FAILURE
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        raise BadJson("`tls.alert` is true, or the number of an alert: 0 to 255")
    return value


def _certificate(value: object, plan: Plan) -> None:
    plan.certificate = cast("str", value)


def _version(value: object, plan: Plan) -> None:
    plan.version = cast("str", value)


def _alert(value: object, plan: Plan) -> None:
    plan.ending, plan.alert = "alert", cast("int", value)


def _stall(_: object, plan: Plan) -> None:
    plan.is_stalled = True


def _no_alpn(_: object, plan: Plan) -> None:
    plan.has_no_alpn, plan.alert = True, _NO_APPLICATION_PROTOCOL


_CERTIFICATES = " ".join(
    f"`{name}`: {fault.summary}" for name, fault in CERTIFICATE_FAULTS.items()
)
_UNREACHABLE = "It takes the server as unreachable, says why, and retries later."

TLS_FAULTS: Mapping[str, Fault[ConnectionAct]] = {
    "tls.certificate": connection_fault(
        f"The certificate has this fault. {_CERTIFICATES}",
        "It sends no request to the server, unless the certificate is only unusual "
        "(`wildcard`, `duplicate-entries`).",
        _check_certificate,
        _certificate,
        "name of a certificate",
    ),
    "tls.version": connection_fault(
        "The server speaks this version of TLS alone: 1.0, 1.1, 1.2 or 1.3.",
        "It refuses versions before 1.2.",
        _check_version,
        _version,
        "version",
    ),
    "tls.alert": connection_fault(
        "The handshake ends with this alert, by default `handshake_failure`.",
        _UNREACHABLE,
        _check_alert,
        _alert,
        "true, or the number of an alert",
    ),
    "tls.stall": connection_fault(
        "The handshake stops after the first bytes of the server.",
        "It gives up after its time-out, serves others meanwhile, and retries later.",
        flag("tls.stall"),
        _stall,
    ),
    "tls.no-alpn": connection_fault(
        "The handshake of a client that offers protocols by ALPN ends with the alert "
        "`no_application_protocol`; other clients get in.",
        "It offers nothing, as HTTP/1.1 needs no name, or takes the server as "
        "unreachable.",
        flag("tls.no-alpn"),
        _no_alpn,
    ),
    CLIENT_CERTIFICATE: Fault(
        "A connection that the server makes shows no client certificate, one of "
        "another host, or an expired one.",
        "It goes by the signature of a request: no certificate is demanded.",
        _check_shown,
        lambda _, __: None,
        "none, other or expired",
        kind="connection",
        directions=("out",),
    ),
}
"""In the order in which they are listed; those of one rule act together."""
