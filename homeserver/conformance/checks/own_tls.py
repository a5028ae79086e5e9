"""T: the target's own certificate and handshakes.

Rules: each connection is ours, and closed at once; nothing is asked but key documents.
"""

import socket

from msgspec.structs import replace
from OpenSSL import SSL

from homeserver.conformance.check import check, info, must, should
from homeserver.conformance.connection import head
from homeserver.conformance.outcome import (
    NoAnswer,
    NotTestable,
    Outcome,
    each_of,
    expect,
    reported,
    unmet,
)
from homeserver.conformance.reply import unlimited
from homeserver.conformance.target import Target
from homeserver.net.addresses import AddressPolicy
from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.transport.budget import Allowance
from homeserver.outbound.transport.dialer import Dialer
from homeserver.outbound.transport.dialer import Target as DialTarget
from homeserver.outbound.transport.failures import NotDialled
from homeserver.protocol.discovery import LookupFailed, Route

_TLS = "Server-server API, TLS"
_RESOLVING = "Server-server API, Resolving server names"
_KEYS = "/_matrix/key/v2/server"


@check("T30", must, _TLS)
async def sound(t: Target) -> Outcome:
    """The target proves its name by a certificate, with TLS 1.2 or later."""
    connection = await t.connect()
    connection.close()
    version = "none" if connection.tls is None else connection.tls.version
    problem = connection.certificate_problem
    return expect(
        problem is None and version in {"TLSv1.2", "TLSv1.3"},
        version,
        problem or "the certificate proves the name",
        wanted="TLSv1.2 or later, and a certificate of the name",
    )


@check("T31", should, "RFC 8996, 5")
async def old_versions(t: Target) -> Outcome:
    """A client that has TLS 1.0 and 1.1 alone is refused."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_max_proto_version(SSL.TLS1_1_VERSION)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    problem = await _shake_hands(t, context)
    if problem is not None and "no protocols available" in problem:
        raise NotTestable("OpenSSL here has no TLS 1.0 and 1.1")
    return expect(
        problem is not None, problem or "the handshake succeeded", wanted="a refusal"
    )


@check("T32", info, _TLS)
async def no_sni(t: Target) -> Outcome:
    """A client that names no host (SNI) is served, or refused."""
    [address, *_] = await _addresses(t)
    try:
        # The name of an address is not sent.
        route = replace(address, certificate_name=address.host)
        connection = await t.connect(route=route)
    except NoAnswer as problem:
        return reported(problem)
    connection.close()
    return reported("it answers", connection.certificate_problem or "")


@check("T33", must, _RESOLVING, after=["T30"])
async def every_address(t: Target) -> Outcome:
    """Each address of the target serves the same keys, and proves the name."""
    found: list[tuple[str, Outcome]] = []
    first: object = None
    for each in await _addresses(t):
        label = f"{each.host}:{each.port}"
        if not _has_way(each):
            continue
        try:
            connection = await t.connect(route=each)
            connection.send(head("GET", _KEYS, t.complete([], None)))
            reply = unlimited(await connection.read())
            connection.close()
        except NoAnswer as problem:
            found.append((label, unmet(problem, wanted="a key document")))
            continue
        keys, unproven = reply.json.get("verify_keys"), connection.certificate_problem
        first = first or keys
        outcome = expect(
            bool(keys) and keys == first and unproven is None,
            reply,
            "other keys than the first one" if keys != first else "the same keys",
            unproven or "the certificate proves the name",
            wanted="the same keys, behind a certificate of the name",
        )
        found.append((label, outcome))
    if not found:
        raise NotTestable("this machine has no way to any address of the target")
    return each_of(found)


async def _addresses(t: Target) -> list[Route]:
    """A route to each address."""
    dialer = t.ground.lab.endpoint.parts.shared.dialer
    return [
        Route(address, route.port, route.host_header, route.certificate_name)
        for route in t.ground.routes
        for address in await dialer.addresses(route.host, OURSELVES)
    ]


def _has_way(route: Route) -> bool:
    """Whether this machine has a way to an address, as one without IPv6 has not."""
    family = socket.AF_INET6 if ":" in route.host else socket.AF_INET
    try:
        # It sends nothing.
        with socket.socket(family, socket.SOCK_DGRAM) as prober:
            prober.connect((route.host, route.port))
    except OSError:
        return False
    return True


async def _shake_hands(t: Target, context: SSL.Context) -> str | None:
    """Why a handshake fails; None if it succeeds."""
    route = (await _addresses(t))[0]
    dialer = Dialer(
        t.ground.lab.endpoint.parts.shared.reactor,
        _nowhere,
        AddressPolicy((), ()),
        lambda _: context,
    )
    aim = DialTarget(
        [route.host],
        route.port,
        t.route.certificate_name,
        must_be_trusted=False,
        peer=t.name.name,
    )
    try:
        dialled = await dialer.dial(aim, Allowance())
    except NotDialled as problem:
        if problem.reason != "handshake_failed":
            raise NoAnswer(str(problem)) from None
        return str(problem)
    dialled.connection.abort()
    return None


async def _nowhere(host: str, _: Cause) -> list[str]:
    raise LookupFailed(f"{host} is not looked up")
