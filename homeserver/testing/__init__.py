"""A lab for test suites: homeservers that another homeserver is tested against.

Rules: nothing of the rest of the package is imported, and no Twisted: a suite talks to
a process by HTTP. `Lab` blocks, `AsyncLab` is for asyncio.

    with Lab() as lab:
        server = lab.server()
        answer = server.request("hs.test:8448", "/_matrix/federation/v1/version")
        lab.expect(server=server.name, direction="out", status=200)
"""

from homeserver.testing.asyncio_lab import AsyncLab, AsyncServer
from homeserver.testing.lab import Lab
from homeserver.testing.link import LabError
from homeserver.testing.server import Server
from homeserver.testing.values import Exchange, ExpectationFailed, Response, Sent

__all__ = [
    "AsyncLab",
    "AsyncServer",
    "Exchange",
    "ExpectationFailed",
    "Lab",
    "LabError",
    "Response",
    "Sent",
    "Server",
]
