"""What a record shows of an inbound request: its TLS, its headers and its body.

Rules: called only while a record is attached. Headers stand as they came, with their
case and in their order.
"""

from homeserver.http.arriving import Body
from homeserver.http.request import Request
from homeserver.net.exchange import Details
from homeserver.net.http_message import Message, read_headers
from homeserver.net.tls.facts import facts_of


def take_request(details: Details, request: Request) -> None:
    """Take what has arrived of a request: its head, and a complete body."""
    body = request.content.peek() if isinstance(request.content, Body) else b""
    details.tls = facts_of(request.channel.transport)
    start_line = request.start_line.decode("latin-1")
    details.target = next(iter(start_line.split(" ")[1:]), "")
    headers = read_headers([line.decode("latin-1") for line in request.header_lines])
    details.request = Message.of(headers, body, start_line)
