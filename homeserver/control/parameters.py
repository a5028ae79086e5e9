"""Parameters and bodies of requests to the control API, read and checked.

Rules: a query parameter is given at most once. An invalid value raises
`InvalidParam`, which names the parameter.
"""

from homeserver.control.client import MAX_WAIT_SECONDS
from homeserver.http.request import Request
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.identifiers import ServerName

MAX_LIMIT = 1000  # entries in one answer


def server_parameter(request: Request, name: str) -> ServerName:
    """A server's name in the path."""
    return ServerName.parse(request.parameters[name].decode("utf-8", "replace"))


def server_argument(request: Request, name: str) -> ServerName | None:
    """A server's name in the query; None if there is none."""
    value = _argument(request, name)
    return None if value is None else ServerName.parse(value.decode("latin-1"))


def position_argument(request: Request) -> int:
    """`after`: the ID of the last entry that the client has; 0 by default."""
    return integer("`after`", _argument(request, "after") or b"0")


def limit_argument(request: Request, default: int) -> int:
    """`limit`: how many entries to answer with, at most `MAX_LIMIT`."""
    text = _argument(request, "limit") or b"%d" % default
    return min(integer("`limit`", text), MAX_LIMIT)


def wait_argument(request: Request) -> float:
    """`wait`: for how many seconds to wait, at most `MAX_WAIT_SECONDS`."""
    text = _argument(request, "wait") or b"0"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0.0:
        raise InvalidParam(f"`wait` is not a number of seconds: {quote(text)}")
    return min(seconds, MAX_WAIT_SECONDS)


def flag_argument(request: Request, name: str) -> bool:
    """`true` or `false`; false by default."""
    value = _argument(request, name) or b"false"
    if value not in {b"true", b"false"}:
        raise InvalidParam(f"`{name}` is neither true nor false: {quote(value)}")
    return value == b"true"


def json_body(request: Request) -> Json:
    """The JSON object in the body; raises `ProtocolError` if there is none."""
    return parse_object(b"" if request.content is None else request.content.read())


def integer(what: str, text: bytes) -> int:
    """A number that fits into 64 bits, which 18 digits do."""
    if not (text.isdigit() and len(text) <= 18):
        raise InvalidParam(f"{what} is not a number: {quote(text)}")
    return int(text)


def _argument(request: Request, name: str) -> bytes | None:
    values = request.args.get(name.encode("ascii"), [])
    if len(values) > 1:
        raise InvalidParam(f"`{name}` is given more than once")
    return values[0] if values else None
