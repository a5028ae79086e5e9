"""What is left of servers of a lab that cannot be made: nothing."""

from types import SimpleNamespace
from typing import cast

import pytest
from twisted.internet.task import Clock

from homeserver.app.endpoint import Endpoint
from homeserver.config.values import ServerConfig
from homeserver.lab.authority.authority import Authority
from homeserver.lab.dns_server.records import Record
from homeserver.lab.dns_server.zone import Zone
from homeserver.lab.seed import Seed
from homeserver.lab.servers.description import NewServers
from homeserver.lab.servers.server import Place
from homeserver.lab.servers.servers import Ground, LabServers
from homeserver.net.addresses import SocketAddress
from homeserver.net.cooperate import Pace
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import ServerName
from tests.support.coroutines import result_of

LISTEN = SocketAddress("127.0.0.1", 7)


class Parts:
    """In place of the parts of the process: servers are added to it and removed."""

    def __init__(self) -> None:
        self.servers: list[ServerName] = []
        self.left = 1000
        """How many more can be added."""

        pace = Pace(Clock())
        self.parts = SimpleNamespace(shared=SimpleNamespace(pace=pace))

    async def add(self, config: ServerConfig, *_: object, **__: object) -> None:
        """As `Endpoint`."""
        if not self.left:
            raise OSError("no more")
        self.left -= 1
        self.servers.append(config.server_name)

    async def remove(self, name: ServerName) -> None:
        """As `Endpoint`."""
        self.servers.remove(name)


def lab(parts: Parts, zone: Zone) -> LabServers:
    """Servers of a lab that stand on nothing."""
    seed = Seed("x")
    ground = Ground(
        cast("Endpoint", parts),
        Authority(seed),
        zone,
        seed,
        Place(LISTEN, "127.0.0.1"),
    )
    return LabServers(ground, Clock())


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_is_left(count: int) -> None:
    """Neither names, nor records, nor servers are left of a request that fails."""
    parts = Parts()
    zone = Zone("lab.test")
    servers = lab(parts, zone)
    [first] = result_of(servers.make(NewServers()))
    records = len(zone)
    parts.left = count - 1
    with pytest.raises(OSError, match="no more"):
        result_of(servers.make(NewServers(count=count)))
    assert parts.servers == [first.name] == list(servers.names)
    assert len(zone) == records
    assert servers.owner("s2.lab.test") is None
    parts.left = 1000
    made = result_of(servers.make(NewServers(count=count + 1)))
    expected = [f"s{number}.lab.test" for number in range(2, count + 3)]
    assert [each.name.name for each in made] == expected


def test_a_name_that_was_chosen() -> None:
    """What fails with a name of the caller's choice gives back no name of ours."""
    parts = Parts()
    servers = lab(parts, Zone("lab.test"))
    parts.left = 0
    with pytest.raises(OSError, match="no more"):
        result_of(servers.make(NewServers(name="s7.lab.test")))
    parts.left = 1
    [made] = result_of(servers.make(NewServers()))
    assert made.name.name == "s1.lab.test"


def test_what_is_described_wrongly() -> None:
    """A server that cannot be described so takes no name."""
    servers = lab(Parts(), Zone("lab.test"))
    wrong = NewServers(dns=[Record("x.test", "A", "bad")])
    with pytest.raises(InvalidParam):
        result_of(servers.make(wrong))
    [made] = result_of(servers.make(NewServers()))
    assert made.name.name == "s1.lab.test"
