"""Routes of the lab itself: where it is, and certificates for a server under test.

Rules: the root is for tests, so it certifies any name that it is asked for.
"""

from typing import Annotated

from msgspec import Meta, Struct

from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.lab.authority.authority import Authority, chain_pem, key_pem
from homeserver.protocol.identifiers import ServerName

_MAX_NAMES = 100  # a handshake carries them all


class CertificateBody(Struct, frozen=True, forbid_unknown_fields=True):
    """For what a certificate is wanted."""

    names: Annotated[
        list[str],
        Meta(
            min_length=1,
            max_length=_MAX_NAMES,
            description="Hosts or server names; a port is left out.",
        ),
    ]


class CertificateView(Struct, frozen=True):
    """A certificate with its key."""

    certificate: Annotated[str, Meta(description="The chain, leaf first, in PEM.")]
    private_key: Annotated[str, Meta(description="In PEM, without a password.")]


class LabView(Struct, frozen=True):
    """Where a server under test finds the lab, and what it has to trust."""

    listen: Annotated[str, Meta(description="HOST:PORT that servers share.")]
    dns: Annotated[str, Meta(description="HOST:PORT of the name server.")]
    zone: Annotated[str, Meta(description="Below which servers get their names.")]
    ca_pem: Annotated[str, Meta(description="The root of the authority.")]
    version: str


def authority_routes(authority: Authority, view: LabView) -> list[ControlRoute]:
    """The lab itself, and its authority."""

    def shown(_: Call[Nothing, Nothing]) -> LabView:
        """Where a server under test finds the lab, and what it has to trust."""
        return view

    def issue(call: Call[Nothing, CertificateBody]) -> CertificateView:
        """Issue a certificate of the lab's authority for a server under test."""
        hosts = [ServerName.parse(name).host for name in call.body.names]
        issued = authority.issue_to_others(list(dict.fromkeys(hosts)))
        return CertificateView(chain_pem(issued), key_pem(issued))

    return [
        route("GET", "/v1/lab", shown),
        route("POST", "/v1/ca/certificates", issue, status=201),
    ]
