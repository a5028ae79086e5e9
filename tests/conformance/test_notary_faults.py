"""N: each check has a fault that turns it red."""

from collections.abc import Callable
from typing import Any

import msgspec

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.net.wall_clock import wall_seconds
from tests.conformance.faulty import (
    Row,
    changed_json,
    changed_reply,
    fault_test,
    patched,
)
from tests.support.conformance_stage import Fault
from tests.support.waiting import reactor

_QUERY = "/_matrix/key/v2/query"
_BY_NAME = "/_matrix/key/v2/query/{serverName}"
_DOCUMENTS = "homeserver.protocol.key_documents"
_NOTARY = "homeserver.inbound.notary"

_GIVEN = {"N01", "N01c", "N01d", "N01e", "N02", "N13"}
"""Those that want a document under both signatures."""

_OLD = {"N05", "N06", "N06b", "N08", "N18"}
"""Those that want a document, whatever its signatures."""

Document = dict[str, Any]


def _documents(change: Callable[[list[Document]], list[Document]]) -> Fault:
    return changed_json(
        _QUERY,
        lambda content: (
            {"server_keys": change(content["server_keys"])}
            if "server_keys" in content
            else content
        ),
    )


def _not_countersigned(documents: list[Document]) -> list[Document]:
    def change(document: Document) -> Document:
        name = document["server_name"]
        return {**document, "signatures": {name: document["signatures"][name]}}

    return [change(each) for each in documents]


def _valid(documents: list[Document]) -> list[Document]:
    now_ts = wall_seconds(reactor) * 1000
    return [each for each in documents if each["valid_until_ts"] > now_ts]


def _known_members(documents: list[Document]) -> list[Document]:
    return [
        {name: value for name, value in each.items() if "." not in name}
        for each in documents
    ]


def _asked(request: Request) -> dict[str, Any]:
    """The `server_keys` of a query; empty where it is malformed."""
    assert request.content is not None
    request.content.seek(0)
    try:
        content = msgspec.json.decode(request.content.read())
    except msgspec.DecodeError:
        return {}
    finally:
        request.content.seek(0)
    found = content.get("server_keys", {})
    return found if isinstance(found, dict) else {}


def _body(request: Request) -> bytes:
    assert request.content is not None
    request.content.seek(0)
    body: bytes = request.content.read()
    return body


def _is_post(request: Request) -> bool:
    return request.method == b"POST"


def _lacks_minimum(request: Request) -> bool:
    return _is_post(request) and any(
        "minimum_valid_until_ts" not in criteria
        for keys in _asked(request).values()
        for criteria in keys.values()
    )


def _answer(status: int, when: Callable[[Request], bool], body: bytes = b"{}") -> Fault:
    return changed_reply(_QUERY, lambda _, __: Reply(body, status), when)


def _failing_without_documents(reply: Reply, request: Request) -> Reply:
    is_empty = reply.body == b'{"server_keys":[]}'
    return Reply(b"{}", 500) if is_empty and _asked(request) else reply


ROWS: list[Row] = [
    ("no documents", _documents(lambda _: []), _GIVEN | _OLD),
    ("no signature of the notary", _documents(_not_countersigned), _GIVEN),
    (
        "no query by GET",
        changed_reply(_BY_NAME, lambda _, __: Reply(b"{}", 404)),
        {"N01", "N06b"},
    ),
    (
        "no query with a minimum",
        _answer(400, lambda r: _is_post(r) and b'{"minimum' in _body(r)),
        {"N01c", "N02", "N04", "N13", "N17"}
        | {"N05", "N06", "N08", "N09", "N10", "N11", "N18"},
    ),
    (
        "no query without key IDs",
        _answer(400, lambda r: _is_post(r) and {} in _asked(r).values()),
        {"N01d"},
    ),
    ("no query without a minimum", _answer(400, _lacks_minimum), {"N01e"}),
    ("one document at most", _documents(lambda documents: documents[:1]), {"N02"}),
    (
        "no query without names",
        _answer(400, lambda r: _is_post(r) and b'"server_keys":{}' in _body(r)),
        {"N03"},
    ),
    (
        "an error in place of no documents",
        changed_reply(_QUERY, _failing_without_documents),
        {"N04", "N09", "N10", "N11", "N17"},
    ),
    ("no document that is over", _documents(_valid), {"N05", "N18"}),
    (
        "no look at signatures",
        patched({f"{_DOCUMENTS}._check_signatures": lambda *_: {}}),
        {"N09", "N10"},
    ),
    (
        "no look at names",
        patched({f"{_DOCUMENTS}._parse": lambda data, _: msgspec.json.decode(data)}),
        {"N11"},
    ),
    ("no minimum by POST", patched({f"{_NOTARY}._minimum": lambda _: 0}), {"N06"}),
    (
        "no minimum by GET",
        patched({f"{_NOTARY}._parse_minimum": lambda _: 0}),
        {"N06b"},
    ),
    (
        "no cache",
        patched({f"{_NOTARY}.Notary._is_enough": lambda *_: False}),
        {"N07"},
    ),
    ("no unknown members", _documents(_known_members), {"N13"}),
    (
        "no server_keys is no mistake",
        _answer(200, lambda r: _is_post(r) and _body(r) == b"{}"),
        {"N15"},
    ),
    (
        "no JSON is bad JSON",
        changed_reply(
            _QUERY,
            lambda _, __: Reply(b'{"errcode":"M_BAD_JSON"}', 400),
            lambda r: _is_post(r) and not _body(r).endswith(b"}"),
        ),
        {"N16"},
    ),
    (
        "no more than ten names",
        _answer(500, lambda r: _is_post(r) and len(_asked(r)) > 10),
        {"N17"},
    ),
]

# It waits for two seconds.
test_a_fault_turns_its_checks_red = fault_test(ROWS, ["N"], ["N05"])
