"""Remarks on the head of a request that was authenticated.

Rules: a few look-ups, as each accepted request pays for them.

Specification: Server-server API, "Request Authentication" and "TLS".
"""

from collections.abc import Iterator

from homeserver.net.tls.server import connection_of
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.remarks import Remark
from homeserver.protocol.xmatrix_headers import XMatrixHeaders


def remarks_on_head(
    headers: XMatrixHeaders,
    own_name: ServerName,
    transport: object,
) -> Iterator[Remark]:
    """What is accepted but wrong in the head of a request over `transport`."""
    first = headers.readable[0]
    if first.destination is None:
        text = "the X-Matrix header has no `destination`; send the name that you sign"
        yield Remark("no_destination", text)
    origin = first.origin.name
    if origin != origin.lower():
        text = "the origin has capitals; names that differ in them are other servers"
        yield Remark("capitals", text)
    if any('=="' in header or header.endswith("==") for header in headers.texts):
        text = "the header's sig is padded; base64 has no padding in Matrix"
        yield Remark("padded_base64", text)
    if (
        not own_name.is_ip
        and (connection := connection_of(transport)) is not None
        and connection.sni is None
    ):
        text = (
            f"the TLS handshake named no server (SNI); name {own_name.host}, or the "
            "host that it delegates to"
        )
        yield Remark("no_sni", text)
