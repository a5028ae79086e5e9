"""One request of a server of ours to another server, with each part open to change.

Rules: the request goes over a verified connection, as all requests do, and is an
exchange in the record. What came of it is a value: an unreachable server is one, too.
The signature is made over what `sign` says, and the request is sent as the rest says;
where they differ, a right server refuses it. `spoil` names mistakes that it has.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from homeserver.control.views import RemarkView, view_of
from homeserver.lab.spoil.draft import Draft
from homeserver.lab.spoil.request_body import RequestBody
from homeserver.lab.spoil.right import Right, accepts, is_met, same_as_before
from homeserver.lab.spoil.spoils import spoil
from homeserver.lab.spoil.transmission import Means, transmit
from homeserver.net.connection_errors import describe
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.time_limit import within
from homeserver.outbound.completion import TRANSPORT_ERRORS
from homeserver.outbound.transport.connection import text_of
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.identifiers import ServerName


class RequestView(Struct, frozen=True, kw_only=True):
    """The result of a request."""

    exchange: Annotated[int | None, Meta(description="Its ID in the record.")]
    status: Annotated[int | None, Meta(description="Null: there was no response.")]
    headers: list[tuple[str, str]] = []
    content: Annotated[
        object, Meta(description="The JSON of the response; a text if it is no JSON.")
    ] = None
    seconds: float = 0.0
    verified_by: str | None = None
    route: str | None = None
    remarks: Annotated[
        Sequence[RemarkView],
        Meta(description="What the server should change, though it was accepted."),
    ] = ()
    reason: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    expected: Annotated[
        list[str] | UnsetType,
        Meta(description="With `spoil`: what a right server does about each mistake."),
    ] = UNSET
    as_expected: Annotated[
        bool | UnsetType | None,
        Meta(
            description="Whether it did; null where that depends on more than the "
            "mistakes, or the server was not reached."
        ),
    ] = UNSET


async def send_request(
    body: RequestBody, means: Means, exchanges: Exchanges, clock: IReactorTime
) -> tuple[Exchange, RequestView]:
    """Send a request now; raises `InvalidParam` for one that cannot be written.

    `exchange` of the result is None: the caller knows the record.
    """
    destination = ServerName.parse(body.destination)
    identity = means.identity
    draft = body.draft(identity, means.spare_key)
    rights = spoil(draft, body.spoil)

    async def send() -> tuple[Exchange, RequestView]:
        exchange = exchanges.open("request", "out", body.method, body.path)
        exchange.server, exchange.peer = identity.server_name.name, destination.name
        return exchange, await _send_once(
            body.timeout, destination, draft, means, exchange, clock
        )

    exchange, view = await send()
    if draft.is_repeated:
        first = view.status
        exchange, view = await send()
        rights.append(same_as_before(first))
    if body.spoil:
        view = msgspec.structs.replace(
            view,
            expected=[right.text for right in rights],
            as_expected=_as_expected(rights, draft, view),
        )
    return exchange, view


def _as_expected(
    rights: Sequence[Right], draft: Draft, view: RequestView
) -> bool | None:
    if view.status is None:
        return None if view.verified_by is None else False
    reply = view.content
    content = msgspec.json.decode(reply) if isinstance(reply, Raw) else None
    return is_met(rights, view.status, accepts_pdu=accepts(content, draft.wrong_ids))


async def _send_once(
    timeout: float,
    destination: ServerName,
    draft: Draft,
    means: Means,
    exchange: Exchange,
    clock: IReactorTime,
) -> RequestView:
    async def call() -> RequestView:
        response, _ = await transmit(draft, destination, means, exchange)
        return RequestView(
            exchange=None,
            status=response.status,
            headers=text_of(response.headers),
            content=_content(response.body),
        )

    view = RequestView(exchange=None, status=None)
    try:
        view = await within(timeout, clock, call())
    except defer.TimeoutError:
        exchange.reason = "timeout"
        exchange.error = f"no answer within {timeout:g} seconds"
    except Unreachable as problem:
        exchange.reason, exchange.error = problem.reason, str(problem)
    except TRANSPORT_ERRORS as problem:
        exchange.reason, exchange.error = "no_answer", describe(problem)
    finally:
        exchange.close(exchange.status)
    details = exchange.details
    if view.status is not None and details is not None and details.response is not None:
        headers = list(details.response.headers)  # as they came
        view = msgspec.structs.replace(view, headers=headers)
    return msgspec.structs.replace(
        view,
        seconds=exchange.seconds,
        verified_by=exchange.verified_by,
        route=exchange.via,
        remarks=[view_of(RemarkView, each) for each in exchange.remarks],
        reason=UNSET if exchange.reason is None else exchange.reason,
        error=UNSET if exchange.error is None else exchange.error,
    )


def _content(data: bytes) -> object:
    """The JSON of a response, or its text."""
    if not data:
        return None
    try:
        msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return data.decode("utf-8", "replace")
    return Raw(data)
