"""How an exchange is shown: in a list, and alone with its headers and bodies."""

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from homeserver.lab.record.har import build_har
from homeserver.lab.record.match import Match
from homeserver.lab.record.views import view, view_details
from homeserver.net.http_message import MAX_RECORDED_BYTES, Message
from homeserver.protocol.remarks import Remark
from tests.support.exchanges import SEND, exchange
from tests.support.har import (
    check_har,
)
from tests.support.lab_records import PDUS, recorded


def to_json(value: object) -> Any:
    """A view as a client reads it."""
    return json.loads(msgspec.json.encode(value))


def test_an_exchange_in_a_list() -> None:
    """A list has what one looks for, and neither headers nor bodies."""
    [entry] = recorded(
        exchange(PDUS, reason="signature", remarks=[Remark("other", "odd")])
    ).find()
    assert to_json(view(entry)) == {
        "id": 1,
        "kind": "request",
        "direction": "in",
        "server": "a.test",
        "peer": "peer.test",
        "address": "127.0.0.1",
        "started_ts": 1_700_000_000_000,
        "seconds": 0.5,
        "method": "PUT",
        "path": "/_matrix/federation/v1/send/1",
        "route": SEND,
        "status": 200,
        "reason": "signature",
        "txn_id": "1",
        "room_id": "!a:x",
        "remarks": [{"code": "other", "text": "odd"}],
        "hints": [],
    }


def test_an_exchange_alone() -> None:
    """Alone it has everything: TLS, stages, headers and bodies."""
    [entry] = recorded(exchange(PDUS, b"{}", is_proven=True)).find()
    shown = to_json(view_details(entry))
    assert shown["tls"] == {
        "version": "TLSv1.3",
        "cipher": "AES",
        "sni": "a.test",
        "alpn": None,
        "client_certificate": sha256(b"certificate").hexdigest(),
    }
    assert shown["stages"] == {"arrival": 0.25}
    assert shown["request"] == {
        "headers": [["Content-Type", "application/json"]],
        "body": PDUS.decode(),
        "body_cut": False,
        "body_bytes": len(PDUS),
        "is_whole": True,
        "interim": [],
    }
    assert shown["response"]["body"] == "{}"
    assert (shown["is_proven"], shown["is_gone"]) == (True, False)


BODIES: list[tuple[bytes, dict[str, object]]] = [
    (b"\xff\xfe", {"body_base64": "//4=", "body_bytes": 2}),
    ("é".encode(), {"body": "é", "body_bytes": 2}),
    (b"", {"body": "", "body_bytes": 0}),
]


@pytest.mark.parametrize(("body", "shown"), BODIES)
def test_bodies_are_text_or_base64(body: bytes, shown: dict[str, object]) -> None:
    """What is no UTF-8 is encoded, so that each byte can be seen."""
    [entry] = recorded(exchange(body)).find()
    request = to_json(view_details(entry))["request"]
    bodies = {name: each for name, each in request.items() if name.startswith("body")}
    assert bodies == {**shown, "body_cut": False}


def test_no_response() -> None:
    """What was not sent has no status, whatever the server would have said."""
    silent = exchange(status=503, is_gone=True)
    assert silent.details is not None
    silent.details.response = None
    record = recorded(silent)
    [entry] = record.find()
    shown = to_json(view_details(entry))
    assert "status" not in to_json(view(entry))
    assert "status" not in shown
    assert "response" not in shown
    assert shown["is_gone"] is True
    assert list(record.find(Match(status=503))) == []
    [archived] = check_har(build_har([entry])).log.entries
    assert archived.response.status == 0


def test_a_message_as_it_passed() -> None:
    """It has its first line, what came before it, and whether that was all."""
    cut = exchange()
    assert cut.details is not None
    headers = [("content-length", "9")]
    cut.details.response = Message.of(
        headers, b"ab", "HTTP/1.0 200 Yes", [100], is_whole=False
    )
    [entry] = recorded(cut).find()
    assert to_json(view_details(entry))["response"] == {
        "headers": [["content-length", "9"]],
        "body": "ab",
        "body_cut": False,
        "body_bytes": 2,
        "start_line": "HTTP/1.0 200 Yes",
        "is_whole": False,
        "interim": [100],
    }


def test_a_body_is_cut_at_its_limit() -> None:
    """A long body is cut, which it says, even inside a character."""
    body = b"x" * (MAX_RECORDED_BYTES - 1) + "é".encode()
    [entry] = recorded(exchange(body)).find()
    request = to_json(view_details(entry))["request"]
    assert request["body"] == "x" * (MAX_RECORDED_BYTES - 1)
    assert (request["body_cut"], request["body_bytes"]) == (True, len(body))


@pytest.mark.parametrize(
    "members",
    [
        {"details": None},
        {"status": None},
        {"kind": "dns", "method": "SRV", "path": "_matrix._tcp.a.test", "peer": None},
        {"kind": "connection", "method": "", "path": "", "reason": "timeout"},
        {"direction": "out", "peer": None, "server": "", "address": ""},
    ],
)
def test_every_kind_can_be_shown(members: dict[str, Any]) -> None:
    """Whatever an exchange lacks, it has a view, a line and a place in an archive."""
    [entry] = recorded(exchange(**members)).find()
    shown = to_json(view_details(entry))
    assert shown.items() >= to_json(view(entry)).items()
    check_har(build_har([entry]))
