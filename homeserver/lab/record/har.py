"""Requests as a HAR archive, which browsers and proxies open.

Rules: an entry for each request; connections and DNS questions have no place in it.
What the archive demands and the record lacks is `-1` or empty, as it provides.

Specification: HTTP Archive 1.2.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import parse_qsl

from homeserver import __version__
from homeserver.lab.record.entry import Entry
from homeserver.lab.record.views import ExchangeDetails, MessageView, view_details
from homeserver.net.http_message import Message

_UNKNOWN = -1

_CREATOR = {"name": "homeserver lab", "version": __version__}


def build_har(entries: Iterable[Entry]) -> Mapping[str, object]:
    """The archive of some exchanges, those that are requests."""
    return {
        "log": {
            "version": "1.2",
            "creator": _CREATOR,
            "entries": [
                _entry(view_details(entry))
                for entry in entries
                if entry.exchange.kind == "request"
            ],
        }
    }


def _entry(seen: ExchangeDetails) -> Mapping[str, object]:
    # A reader may refuse an address that is none.
    has_address = seen.direction == "out" and seen.address
    address = {"serverIPAddress": seen.address} if has_address else {}
    milliseconds = seen.seconds * 1000
    started = datetime.fromtimestamp((seen.started_ts or 0) / 1000, UTC)
    host = (seen.server if seen.direction == "in" else seen.peer) or "unknown.invalid"
    return {
        "startedDateTime": started.isoformat(timespec="milliseconds"),
        "time": milliseconds,
        "request": _request(seen, host),
        "response": _response(seen),
        "cache": {},
        "timings": {"send": 0, "wait": milliseconds, "receive": 0},
        **address,
        "comment": seen.error or "",
        # Members of others begin with an underscore.
        "_id": seen.id,
        "_direction": seen.direction,
        "_server": seen.server,
        "_peer": seen.peer,
        "_reason": seen.reason or None,
    }


def _request(seen: ExchangeDetails, host: str) -> dict[str, object]:
    message = seen.request or MessageView(headers=())
    target = seen.target or seen.path or "/"
    request: dict[str, object] = {
        "method": seen.method or "",
        "url": f"https://{host}{target}",
        "httpVersion": _version(message),
        "cookies": [],
        "headers": _headers(message),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(
                target.partition("?")[2], keep_blank_values=True, encoding="latin-1"
            )
        ],
        "headersSize": _UNKNOWN,
        "bodySize": message.body_bytes,
    }
    if message.body_bytes:
        request["postData"] = {
            "mimeType": _type(message),
            "params": [],
            "text": message.body or message.body_base64 or "",
        }
    return request


def _response(seen: ExchangeDetails) -> Mapping[str, object]:
    message = seen.response or MessageView(headers=())
    status = seen.status or 0  # 0: there is no response
    content: dict[str, object] = {
        "size": message.body_bytes,
        "mimeType": _type(message),
        "text": message.body or message.body_base64 or "",
    }
    if message.body_base64:
        content["encoding"] = "base64"
    return {
        "status": status,
        "statusText": _phrase(message, status),
        "httpVersion": _version(message),
        "cookies": [],
        "headers": _headers(message),
        "content": content,
        "redirectURL": _header(message, "location"),
        "headersSize": _UNKNOWN,
        "bodySize": message.body_bytes,
    }


def _headers(message: MessageView) -> list[Mapping[str, str]]:
    return [{"name": name, "value": value} for name, value in message.headers]


def _header(message: MessageView, wanted: str) -> str:
    named = (value for name, value in message.headers if name.lower() == wanted)
    return next(named, "")


def _type(message: MessageView) -> str:
    return _header(message, "content-type") or "application/octet-stream"


def _version(message: MessageView) -> str:
    return Message.of((), start_line=message.start_line or "").version


def _phrase(message: MessageView, status: int) -> str:
    """What the status line says beside the status; the usual words without one."""
    if message.start_line:
        return "".join(message.start_line.split(" ", 2)[2:])
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
