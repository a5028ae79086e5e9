"""One exchange with another server: a request, a connection or a DNS question.

Rules: each component writes what it finds about an exchange into this one value. Its
log line, its metrics, the list of refused requests and a record are made from it when
it is over. A line of the log has no header, no body and no query string, which may
contain secrets. What only a record shows is in `details`, and is not taken without one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field
from twisted.internet.interfaces import IReactorTime

from homeserver.net.http_message import Message, read_message
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.remarks import Remark

Kind = Literal["request", "connection", "dns"]
"""A connection is its TCP connection and its TLS handshake."""

Direction = Literal["in", "out"]

NO_ROUTE = "other"
"""The route of a request whose path is unknown."""


class TlsFacts(Struct, frozen=True):
    """The TLS of one connection."""

    version: str
    cipher: str | None
    sni: str | None
    """The server name that the client asked for."""

    alpn: str | None
    certificate: bytes | None
    """The DER of the certificate that the other side presented; None without one."""


class Details(Struct):
    """What only a record shows."""

    clock: IReactorTime
    started_ts: int
    """When the exchange began, in milliseconds since 1970."""

    marked: float
    """When the last stage ended, in seconds of `clock`."""

    stages: dict[str, float] = field(default_factory=dict)
    """How many seconds each stage took, in order."""

    tls: TlsFacts | None = None
    target: str = ""
    """Of a request: its path with the query, as on the wire."""

    request: Message = Message()
    response: Message | None = None
    """What was on the wire of it; None if that has not even a whole head."""

    sent: bytearray = field(default_factory=bytearray)
    """A copy of what we sent: of a request that goes out, or of our response."""

    received: bytearray = field(default_factory=bytearray)
    """A copy of what came as the response to a request that goes out."""

    def read_copies(self, exchange: "Exchange") -> None:
        """Replace the copies with the messages that they are."""
        if exchange.direction == "out":
            self._read_request(exchange)
        answer = self.sent if exchange.direction == "in" else self.received
        response = read_message(bytes(answer), exchange.method)
        if response is not None and response.status is not None:
            self.response, exchange.status = response, response.status
        self.sent, self.received = bytearray(), bytearray()

    def _read_request(self, exchange: "Exchange") -> None:
        request = read_message(bytes(self.sent))
        if request is not None:
            self.request = request
            exchange.method, self.target, _ = request.start_line.split(" ", 2)
            exchange.path = self.target.partition("?")[0]


class Exchange(Struct):
    """What is known of one exchange."""

    kind: Kind = "request"
    direction: Direction = "in"
    listener: str = ""
    """`federation` or `control`, of an inbound exchange."""

    method: str = ""
    """Of a request; of a DNS question, the type of the records."""

    path: str = ""
    """Of a request, without its query; of a DNS question, the name."""

    address: str = ""
    """The IP address of the other side, as far as it is known."""

    began: float = 0.0
    """When the whole request arrived, or the exchange began, by the reactor's clock."""

    closed: Callable[["Exchange"], object] | None = None
    """Takes the exchange when it is over."""

    details: Details | None = None
    """None without a record."""

    port: int = 0
    """Of ours, to which the client of an inbound request connected; 0 if unknown."""

    connected: float = 0.0
    """When that was, by the reactor's clock."""

    server: str = ""
    """Our name in it; empty until it is known."""

    peer: str | None = None
    """The name of the other server, proven or only claimed."""

    is_proven: bool = False
    """Whether the other server has proven its name."""

    verified_by: str | None = None
    """How the other server of an outbound connection has proven it."""

    route: str = NO_ROUTE
    """The template of the path, as in `/_matrix/federation/v1/send/{txnId}`."""

    via: str | None = None
    """The route by which discovery led to the other server."""

    is_reused: bool | None = None
    """Whether a request went over a connection that was open; None if unknown."""

    txn_id: str | None = None
    status: int | None = None
    """Of the response; None without one."""

    result: str | None = None
    """How an attempt to deliver ended, as a code."""

    reason: str | None = None
    """Why the exchange failed, as a code; None if it did not."""

    errcode: str | None = None
    """Of the response, if it is an error that has one."""

    error: str | None = None
    """Why the exchange failed, as a sentence."""

    verdict: str | None = None
    """What the exchange came to, as a sentence."""

    facts: Mapping[str, object] = field(default_factory=dict)
    """The numbers of the verdict."""

    remarks: Sequence[Remark] = ()
    """What was accepted although it is wrong or fragile."""

    hints: Sequence[Hint] = ()
    """What the other server has to change."""

    is_gone: bool = False
    """Whether the client disconnected before the end of the response."""

    is_by_rule: bool = False
    """Whether the operator's rules made the error, and not the request."""

    seconds: float = 0.0
    """From the arrival of a whole request, or the beginning, to the end."""

    def close(self, status: int | None = None) -> None:
        """Log and count the exchange: it is over."""
        self.status = status
        if self.closed is not None:
            self.closed(self)

    def mark(self, stage: str) -> None:
        """Note the end of a stage; only a record has stages."""
        details = self.details
        if details is not None:
            now = details.clock.seconds()
            details.stages[stage] = now - details.marked
            details.marked = now

    def __str__(self) -> str:
        """The text of its log line."""
        seconds = round(self.seconds, 4)
        verdict = "" if self.verdict is None else f": {self.verdict}"
        if self.direction == "out":
            who = f"{self.method} {self.path} to {self.peer}"
            return f"{who}: {self.result} in {seconds} s{verdict}"
        who = ""
        if self.peer is not None:
            who = f" of {self.peer}" + ("" if self.is_proven else " (not proven)")
        gone = " (client disconnected)" if self.is_gone else ""
        code = "" if self.errcode is None else f": {self.errcode}"
        why = "" if self.error is None else f"{code}: {self.error}"
        status = "no response" if self.status is None else self.status
        return (
            f"{self.listener}: {self.method} {self.path}{who} at {self.address}: "
            f"{status} in {seconds} s{gone}{verdict}{why}"
        )

    def members(self) -> dict[str, object]:
        """The parts of its log line, for a line of JSON."""
        shown: Sequence[str]
        named: dict[str, object] = {
            "path": self.path,
            "status": self.status,
            "seconds": round(self.seconds, 4),
        }
        if self.direction == "out":
            named["destination"] = self.peer
            shown = ("server", "txn_id", "result", "verdict", "reason", "errcode")
        else:
            named |= {"listener": self.listener, "method": self.method}
            named |= {"route": self.route, "address": self.address, **self.facts}
            if self.peer is not None:
                named |= {"origin": self.peer, "is_proven": self.is_proven}
            if self.is_gone:
                named["is_gone"] = True
            shown = ("server", "verdict", "reason", "errcode", "error")
        named |= {name: value for name in shown if (value := getattr(self, name))}
        if self.remarks:
            named["remarks"] = [each.text for each in self.remarks]
        return named
