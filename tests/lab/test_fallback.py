"""When a client could not know of the SRV records that it does not follow."""

from types import SimpleNamespace
from typing import cast

from msgspec.structs import replace
from twisted.names import dns

from homeserver.http.reply import Reply as HttpReply
from homeserver.http.request import Request
from homeserver.lab.dns_server.server import Answered
from homeserver.lab.dns_server.zone import Question, Reply, Zone
from homeserver.lab.seed import Seed
from homeserver.lab.servers.description import Description
from homeserver.lab.servers.fallback import Fallback
from homeserver.lab.servers.server import LabServer, Place
from homeserver.net.addresses import SocketAddress
from homeserver.net.exchange import Exchange
from homeserver.protocol.identifiers import ServerName

NAME = ServerName.parse("s1.lab.test")
SRV = "_matrix-fed._tcp.s1.lab.test"
PLACE = Place(SocketAddress("127.1.1.1", 9000), "127.1.1.1")


class Ground:
    """A server, and the requests to it."""

    def __init__(self) -> None:
        self.zone = Zone("lab.test")
        self.server = LabServer.build(NAME, Seed("x"), PLACE, Description())
        self.zone.add(self.server.dns)
        self.fallback = Fallback(
            self.zone, lambda name: self.server if name == NAME.name else None
        )

    def codes(self, *, connected: float = 5.0, port: int = 8448) -> list[str]:
        """The remarks on a request."""
        exchange = Exchange(server=NAME.name, port=port, connected=connected)
        request = SimpleNamespace(
            exchange=exchange, getHeader=lambda _: NAME.name.encode()
        )
        reply = HttpReply(b"{}")
        answer = self.fallback.wrap(lambda _: reply)
        assert answer(cast("Request", request)) is reply
        return [each.code for each in exchange.remarks]

    def ask(self, reply: Reply | None) -> None:
        """Let a client be told something of the SRV record."""
        question = Question(SRV, SRV.encode(), dns.SRV, "127.1.1.2:5", by_tcp=False)
        self.fallback.note(Answered(question, reply, 0.0, 0.0))


def test_remark() -> None:
    """A request that came to the default port is remarked, and to another one not."""
    ground = Ground()
    assert ground.codes() == ["fallback"]
    assert ground.codes(port=9000) == []


def test_open_connection() -> None:
    """A connection that was there before the records is no mistake."""
    ground = Ground()
    ground.server = replace(ground.server, records_since=4.0)
    assert ground.codes(connected=3.0) == []
    assert ground.codes(connected=5.0) == ["fallback"]


def test_silence() -> None:
    """Who was told nothing could not know, until the next answer."""
    ground = Ground()
    ground.ask(None)
    assert ground.codes() == []
    [record] = ground.zone.records(SRV)
    ground.ask(Reply([record.header(b"")]))
    assert ground.codes() == ["fallback"]


def test_truncated() -> None:
    """A truncated answer tells nothing, and takes nothing back."""
    ground = Ground()
    ground.ask(Reply(is_truncated=True))
    assert ground.codes() == ["fallback"]


def test_document() -> None:
    """Who keeps the name as `Host` where a document leads to that port is let be."""
    ground = Ground()
    delegated = ServerName.parse("s1.lab.test:8448")
    ground.server = replace(ground.server, delegate_to=delegated)
    assert ground.codes() == []
