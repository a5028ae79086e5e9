"""Exchanges in the JSON of the control API.

Rules: shapes only; nothing is decided here. Times in `_ts` are milliseconds since 1970,
durations are seconds. Bodies are text where they are UTF-8, else base64.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from homeserver.lab.record.entry import Entry
from homeserver.net.exchange import Exchange, TlsFacts
from homeserver.net.http_message import Message
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.remarks import Remark


class ExchangeView(Struct, frozen=True, kw_only=True):
    """An exchange in a list."""

    id: int
    kind: str
    direction: str
    server: str | None
    """Our server's name; null where it is unknown."""

    peer: str | None
    """The other server's name, proven or only claimed."""

    address: str | None
    started_ts: int | None
    seconds: float
    method: str | UnsetType = UNSET
    path: str | UnsetType = UNSET
    route: str | UnsetType = UNSET
    status: Annotated[
        int | UnsetType,
        Meta(description="Missing if no response was on the wire."),
    ] = UNSET
    reason: str | UnsetType = UNSET
    errcode: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    txn_id: str | UnsetType = UNSET
    room_id: str | UnsetType = UNSET
    """The first room of the path or of the PDUs."""

    verified_by: str | UnsetType = UNSET
    verdict: str | UnsetType = UNSET
    remarks: Sequence[Remark] = field(default_factory=list)
    hints: Sequence[Hint] = field(default_factory=list)


class TlsView(Struct, frozen=True):
    """The TLS of a connection."""

    version: str
    cipher: str | None
    sni: str | None
    alpn: str | None
    client_certificate: str | None
    """The SHA-256 of what the client presented, in hexadecimal."""


class MessageView(Struct, frozen=True, kw_only=True):
    """A request or a response."""

    headers: Sequence[tuple[str, str]]
    """In the order and case in which they were sent."""

    body: str | UnsetType = UNSET
    body_base64: str | UnsetType = UNSET
    """In place of `body`, for a body that is not UTF-8."""

    body_cut: bool = False
    """Whether the body is longer than what is recorded of it."""

    body_bytes: Annotated[
        int, Meta(description="Of the whole body, as far as it was on the wire.")
    ] = 0
    start_line: Annotated[
        str | UnsetType, Meta(description="The request line or the status line.")
    ] = UNSET
    is_whole: Annotated[
        bool,
        Meta(description="Whether as much of the body passed as the headers announce."),
    ] = True
    interim: Annotated[
        Sequence[int],
        Meta(description="The statuses of the interim responses before it."),
    ] = field(default_factory=list)


class ExchangeDetails(ExchangeView, frozen=True, kw_only=True):
    """An exchange alone: everything that is known of it."""

    is_proven: bool = False
    """Whether the other server has proven its name."""

    is_gone: Annotated[
        bool,
        Meta(description="Whether the client left before the end of the response."),
    ] = False

    is_reused: bool | UnsetType = UNSET
    """Whether a request went over a connection that was open."""

    via: str | UnsetType = UNSET
    """The route by which discovery led to the other server."""

    target: str | UnsetType = UNSET
    """The target of a request, with its query, as on the wire."""

    stages: Mapping[str, float] = field(default_factory=dict)
    """How many seconds each stage took, in order."""

    tls: TlsView | UnsetType = UNSET
    request: MessageView | UnsetType = UNSET
    response: Annotated[
        MessageView | UnsetType,
        Meta(description="As much of it as was on the wire; missing if nothing was."),
    ] = UNSET


def view(entry: Entry) -> ExchangeView:
    """An exchange as it stands in a list."""
    return ExchangeView(**_members(entry))


def view_details(entry: Entry) -> ExchangeDetails:
    """An exchange as it stands alone."""
    exchange = entry.exchange
    members = _members(entry)
    members |= {
        "is_proven": exchange.is_proven,
        "is_gone": exchange.is_gone,
        "is_reused": _set(exchange.is_reused),
        "via": _set(exchange.via),
    }
    details = exchange.details
    if details is not None:
        members["stages"] = details.stages
        members["target"] = details.target or UNSET
        if details.tls is not None:
            members["tls"] = _tls(exchange, details.tls)
        if exchange.kind == "request":
            members["request"] = _message(details.request)
        if details.response is not None:
            members["response"] = _message(details.response)
    return ExchangeDetails(**members)


def _members(entry: Entry) -> dict[str, Any]:
    exchange = entry.exchange
    details = exchange.details
    return {
        "id": entry.id,
        "kind": exchange.kind,
        "direction": exchange.direction,
        "server": exchange.server or None,
        "peer": exchange.peer,
        "address": exchange.address or None,
        "started_ts": None if details is None else details.started_ts,
        "seconds": exchange.seconds,
        "method": exchange.method or UNSET,
        "path": exchange.path or UNSET,
        "route": exchange.route if exchange.kind == "request" else UNSET,
        "status": _set(entry.status),
        "reason": _set(exchange.reason),
        "errcode": _set(exchange.errcode),
        "error": _set(exchange.error),
        "txn_id": _set(entry.txn_id),
        "room_id": next(iter(entry.rooms), UNSET),
        "verified_by": _set(exchange.verified_by),
        "verdict": _set(exchange.verdict),
        "remarks": exchange.remarks,
        "hints": exchange.hints,
    }


def _set(value: object) -> object:
    return UNSET if value is None else value


def _tls(exchange: Exchange, facts: TlsFacts) -> TlsView:
    shown = None
    if facts.certificate is not None and exchange.direction == "in":
        shown = sha256(facts.certificate).hexdigest()
    return TlsView(facts.version, facts.cipher, facts.sni, facts.alpn, shown)


def _message(message: Message) -> MessageView:
    is_cut = message.length > len(message.body)
    body: str | UnsetType = UNSET
    encoded: str | UnsetType = UNSET
    try:
        # A cut may go through a character.
        body = message.body.decode("utf-8", "ignore" if is_cut else "strict")
    except UnicodeDecodeError:
        encoded = b64encode(message.body).decode("ascii")
    return MessageView(
        headers=message.headers,
        body=body,
        body_base64=encoded,
        body_cut=is_cut,
        body_bytes=message.length,
        start_line=message.start_line or UNSET,
        is_whole=message.is_whole,
        interim=message.interim,
    )
