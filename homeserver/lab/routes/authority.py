"""The route of the lab's authority: certificates for a server under test.

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


def authority_routes(authority: Authority) -> list[ControlRoute]:
    """The authority."""

    def issue(call: Call[Nothing, CertificateBody]) -> CertificateView:
        """Issue a certificate of the lab's authority for a server under test."""
        hosts = [ServerName.parse(name).host for name in call.body.names]
        issued = authority.issue_to_others(list(dict.fromkeys(hosts)))
        return CertificateView(chain_pem(issued), key_pem(issued))

    return [
        route(
            "POST",
            "/v1/ca/certificates",
            issue,
            Nothing,
            CertificateBody,
            CertificateView,
            status=201,
        )
    ]
