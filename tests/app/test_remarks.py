"""When remarks are computed, and which are shown."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from twisted.internet.task import Clock

from homeserver.app.remarks import Remarks
from homeserver.app.server import Server
from homeserver.identity.identity import Identity
from homeserver.net.tls.certificate import Certificate
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import issue_for
from tests.support.signed_requests import signing_key


class Servers:
    """Our servers, and how often their identities were looked at."""

    def __init__(self, *names: str) -> None:
        self.looks = 0
        self.servers = [self._server(name) for name in names]

    def _server(self, name: str) -> Server:
        issued = issue_for(name.lower())
        certificate = Certificate([issued.certificate], issued.key)
        keys = [signing_key("a", b"1")]
        own = Identity(ServerName.parse(name), keys, [], certificate)

        def identity() -> Identity:
            self.looks += 1
            return own

        credentials = SimpleNamespace(identity=identity)
        server = SimpleNamespace(
            name=own.server_name, credentials=credentials, delegate_to=None
        )
        return cast("Server", server)


def made(*names: str) -> tuple[Remarks, Servers, Clock]:
    """The remarks on servers of some names."""
    servers, time = Servers(*names), Clock()
    time.advance(datetime.now(UTC).timestamp())  # at which the certificates are valid
    return Remarks(lambda: servers.servers, time), servers, time


def test_of_one_server() -> None:
    """The only server is not named before each remark."""
    found, _, _ = made("A.org")
    [remark] = found.shown()
    assert remark.startswith("the server name A.org has capitals; ")


def test_of_several_servers() -> None:
    """Each of several servers is named before its remark."""
    found, _, _ = made("A.org", "b.org", "C.org")
    first, second = found.shown()
    assert first.startswith("A.org: the server name A.org has capitals; ")
    assert second.startswith("C.org: the server name C.org has capitals; ")


def test_once_a_minute() -> None:
    """Health that is asked for often makes nothing be computed."""
    found, servers, time = made("A.org")
    for _ in range(9):
        found.shown()
    assert servers.looks == 1
    time.advance(59)
    found.shown()
    assert servers.looks == 1
    time.advance(1)
    found.shown()
    assert servers.looks == 2


def test_by_a_clock_that_begins() -> None:
    """They are computed for the first look, whatever the clock shows then."""
    servers = Servers("A.org")
    found = Remarks(lambda: servers.servers, Clock())
    assert "capitals" in found.shown()[0]


def test_expires_meanwhile() -> None:
    """A certificate that expires while the process runs is remarked within a minute."""
    found, _, time = made("a.org")
    assert found.shown() == ()
    time.advance(2 * 86_400)
    [remark] = found.shown()
    assert "has expired" in remark


def test_bounded() -> None:
    """So many remarks are shown and no more."""
    found, _, _ = made(*[f"A{number}.org" for number in range(25)])
    assert len(found.renew()) == 25
    assert len(found.shown()) == 20


def test_changes() -> None:
    """Changed settings come first, until they are as they were."""
    found, _, _ = made("A.org")
    found.note_changes(["listen", "network.allow"])
    first, second = found.renew()
    assert first == "a restart is needed to take up what changed: listen, network.allow"
    assert "capitals" in second
    found.note_changes([])
    assert len(found.renew()) == 1
