"""A remark on a request that came by fallback although there are SRV records.

Rules: in doubt there is none.

Specification: Server-server API, "Resolving server names"; RFC 2782.
"""

from collections.abc import Sequence

from homeserver.protocol.discovery import SrvRecord
from homeserver.protocol.identifiers import DEFAULT_PORT, ServerName
from homeserver.protocol.remarks import Remark


def remark_on_fallback(
    asked: ServerName, port: int, records: Sequence[SrvRecord]
) -> Remark | None:
    """What is wrong with a request for `asked`, its `Host`, that came to our `port`.

    `records` are all SRV records of that name. None of them leads to the default port,
    and there are some: then it is not the next step, also not if a target failed
    (RFC 2782, "Usage rules").
    """
    if asked.is_ip or asked.port is not None or port != DEFAULT_PORT:
        return None
    usable = [record for record in records if record.problem is None]
    if not usable or any(record.port == DEFAULT_PORT for record in usable):
        return None
    text = (
        f"the request came to port {DEFAULT_PORT} although the SRV record of {asked} "
        f"leads to port {usable[0].port}; ask for SRV records first, and use the "
        "default port only where there is none"
    )
    return Remark("fallback", text)
