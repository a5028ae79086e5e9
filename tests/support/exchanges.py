"""Exchanges as the components of an endpoint leave them."""

from typing import Any

from twisted.internet.task import Clock

from homeserver.net.exchange import Details, Exchange, TlsFacts
from homeserver.net.http_message import Message

SEND = "/_matrix/federation/v1/send/{txnId}"


def exchange(body: bytes = b"", reply: bytes = b"", **members: Any) -> Exchange:
    """A transaction that came to a.test from peer.test, unless members say else."""
    details = Details(Clock(), 1_700_000_000_000, 0.0)
    details.request = Message.of([("Content-Type", "application/json")], body)
    details.response = Message.of([("Server", "x"), ("Location", "/y")], reply)
    details.stages = {"arrival": 0.25}
    details.tls = TlsFacts("TLSv1.3", "AES", "a.test", None, b"certificate")
    given: dict[str, Any] = {
        "listener": "federation",
        "method": "PUT",
        "path": "/_matrix/federation/v1/send/1",
        "route": SEND,
        "server": "a.test",
        "peer": "peer.test",
        "address": "127.0.0.1",
        "status": 200,
        "txn_id": "1",
        "seconds": 0.5,
        "details": details,
    }
    return Exchange(**(given | members))
