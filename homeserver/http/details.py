"""What a record shows of an inbound request: its TLS, headers and bodies.

Rules: called only while a record is attached. Headers stand as they came, with their
case and in their order.
"""

from collections.abc import Iterable

from homeserver.http.arriving import Body
from homeserver.http.reply import SERVER, Reply
from homeserver.http.request import Request
from homeserver.net.exchange import Details, Exchange, Message
from homeserver.net.tls.facts import facts_of


def take_request(details: Details, request: Request) -> None:
    """Take what has arrived of a request: its head, and a complete body."""
    body = request.content.peek() if isinstance(request.content, Body) else b""
    details.tls = facts_of(request.channel.transport)
    details.target = request.uri.decode("latin-1")
    details.request = Message.of(_headers(request.header_lines), body)


def take_response(exchange: Exchange, reply: Reply) -> None:
    """Take a response, if the exchange has details. `Date` is not in it."""
    if exchange.details is not None:
        replaced = {name.lower() for name in reply.headers}
        usual = [
            ("Server", SERVER),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(reply.body))),
        ]
        kept = [each for each in usual if each[0].lower() not in replaced]
        headers = [*kept, *reply.headers.items()]
        exchange.details.response = Message.of(headers, reply.body)


def _headers(lines: Iterable[bytes]) -> list[tuple[str, str]]:
    """The headers of lines, as text that keeps each byte."""
    split = [line.decode("latin-1").partition(":") for line in lines]
    return [(name, value.strip()) for name, _, value in split]
