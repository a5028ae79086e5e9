"""Which of our servers a request is noted for, whatever its route."""

import pytest

from homeserver.http.router import Router
from homeserver.identity.local_names import LocalNames
from homeserver.inbound.local_servers import LocalServers
from homeserver.net.exchange import Exchange
from homeserver.protocol.identifiers import ServerName
from tests.support.http_connection import ask, site
from tests.support.one_server import OneServer

OURS = [ServerName.parse(name) for name in ("a.test", "b.test:8449")]
SIGNATURE = "A" * 86
AUTHORIZATION = 'Authorization: X-Matrix origin="c.test",{}key="ed25519:1",sig="{}"'


@pytest.mark.parametrize(
    ("names", "host", "destination", "noted"),
    [
        (OURS, "a.test", "", "a.test"),
        (OURS, "b.test:8449", "", "b.test:8449"),
        (OURS, "b.test", "", ""),
        (OURS, "a.test", 'destination="b.test:8449",', "b.test:8449"),
        (OURS, "a.test", 'destination="d.test",', "a.test"),
        (OURS, "d.test", 'destination="d.test",', ""),
        ([], "a.test", 'destination="a.test",', ""),
    ],
)
def test_noted(
    names: list[ServerName], host: str, destination: str, noted: str
) -> None:
    """The destination counts, if it is ours, and then `Host`; else there is none."""
    local = LocalNames()
    for name in names:
        local.add(name)
    refused: list[Exchange] = []
    servers: LocalServers[OneServer] = LocalServers(local, lambda _: OneServer())
    headers = [f"Host: {host}", AUTHORIZATION.format(destination, SIGNATURE)]
    answer = ask(
        site(Router([], servers.note_claim), refused=refused.append),
        "GET",
        "/unknown",
        headers,
    )
    [exchange] = refused
    assert (answer.status, exchange.peer, exchange.server) == (404, "c.test", noted)
