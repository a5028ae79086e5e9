"""Other servers, all in one process: they serve their keys, and accept transactions.

Rules: they do only what delivery needs. Their cost is not measured.

Standard input: a line with the paths of certificate and private key, then one for
each server with its port and its key documents, versions 1 and 2; all as JSON lists.
"""

import json
import sys

from twisted.internet import reactor as global_reactor  # noqa: TID251 - a program
from twisted.internet.interfaces import IReactorCore, IReactorSSL
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

HOST = "127.0.0.2"
"""Where all of them are: no connection that others make begins at one of its ports."""

DELIVERED = "/delivered"
"""The path of the number of transactions that all have accepted."""


class Other(Resource):
    """The resource of one server, for any path."""

    isLeaf = True
    taken = 0

    def __init__(self, v1: str, v2: str) -> None:
        super().__init__()
        self._v1 = v1.encode("ascii")
        self._v2 = v2.encode("ascii")

    def render_GET(self, request: Request) -> bytes:
        """A key document, or the number of accepted transactions."""
        request.setHeader(b"Content-Type", b"application/json")
        if request.path == DELIVERED.encode("ascii"):
            return str(Other.taken).encode("ascii")
        return self._v1 if request.path.startswith(b"/_matrix/key/v1") else self._v2

    def render_PUT(self, _: Request) -> bytes:
        """Accept a transaction."""
        Other.taken += 1
        return b'{"pdus":{}}'


class QuietSite(Site):
    """A site without an access log."""

    noisy = False

    def log(self, request: object) -> None:
        """Write no access log."""


def main() -> None:
    """Listen until the process is ended."""
    reactor = global_reactor
    lines = [json.loads(line) for line in sys.stdin]
    certificate, private_key = lines[0]
    tls = DefaultOpenSSLContextFactory(private_key, certificate)
    for port, v1, v2 in lines[1:]:
        IReactorSSL(reactor).listenSSL(
            port, QuietSite(Other(v1, v2)), tls, interface=HOST
        )
    print("listening", flush=True)
    IReactorCore(reactor).run()


if __name__ == "__main__":
    main()
