"""The answers of the planted homeserver: its keys, and transactions of others.

Rules: as in `server`. A request is refused by an exception that knows its status.
"""

import json
import re
import threading
from typing import Any

from tests.planted.keys import Keys, Unproven, verifies
from tests.planted.listener import Answer, Request
from tests.planted.signing import Object, event_id, request_message

SEND = "/_matrix/federation/v1/send/"
_PROFILE = "/_matrix/federation/v1/query/profile"
_VERSION = "/_matrix/federation/v1/version"
_KEYS = "/_matrix/key/v2/server"
_OLD_KEYS = "/_matrix/key/v1"

_MAX_PDUS, _MAX_EDUS = 50, 100

_PARAMETER = re.compile(
    r'\s*([0-9A-Za-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?:,|$)'
)


class Refused(Exception):
    """A request is refused."""

    def __init__(self, status: int, errcode: str, error: str) -> None:
        super().__init__(error)
        self.answer = Answer(status, {"errcode": errcode, "error": error})


class Answers:
    """Answers the requests of other servers to one of ours."""

    def __init__(self, server: Any, keys: Keys) -> None:
        """`server` has `name`, `faults`, `key_document` and `received`."""
        self._server = server
        self._faults: frozenset[str] = server.faults
        self._keys = keys
        self._seen: dict[tuple[str, str], Object] = {}
        self._lock = threading.Lock()

    def respond(self, request: Request) -> Answer | None:
        """The answer to a request; None for none."""
        try:
            return self._respond(request)
        except Refused as refused:
            return refused.answer

    def _respond(self, request: Request) -> Answer | None:
        path = request.target.partition("?")[0]
        method = "PUT" if path.startswith(SEND) else "GET"
        known = {_KEYS, _VERSION, _PROFILE}
        if "no-v1" not in self._faults:
            known.add(_OLD_KEYS)
        if path not in known and not path.startswith(SEND):
            raise Refused(404, "M_UNRECOGNIZED", "there is no such path")
        if request.method != method:
            raise Refused(405, "M_UNRECOGNIZED", f"this path has {method} alone")
        if path == _VERSION:
            return Answer(200, {"server": {"name": "planted", "version": "1"}})
        if path in {_KEYS, _OLD_KEYS}:
            version = 2 if path == _KEYS else 1
            return Answer(200, self._server.key_document(version))
        content = self._read(request.body)
        origin = self._authenticate(request, content)
        if path == _PROFILE:
            if "user_id=" not in request.target:
                raise Refused(400, "M_MISSING_PARAM", "user_id is missing")
            raise Refused(404, "M_NOT_FOUND", "there is no such user")
        return self._take(origin, request.target, content)

    def _read(self, body: bytes) -> Any:
        """The content of a request; None where it has none."""
        try:
            return json.loads(body) if body else None
        except (ValueError, RecursionError):
            raise Refused(400, "M_NOT_JSON", "the body is no JSON") from None

    def _authenticate(self, request: Request, content: Any) -> str:
        """The origin that a request proves."""
        sent = _parameters(request.authorization)
        named = sent.get("destination", self._server.name)
        if named != self._server.name and "destination-unchecked" not in self._faults:
            raise Refused(401, "M_UNAUTHORIZED", "not for us")
        try:
            origin, key_id, signature = sent["origin"], sent["key"], sent["sig"]
        except KeyError as missing:
            raise Refused(401, "M_UNAUTHORIZED", f"{missing} is missing") from None
        if origin == self._server.name:
            raise Refused(401, "M_UNAUTHORIZED", "it is from us")
        signed: Object = {
            "method": request.method,
            "uri": request.target,
            "origin": origin,
            "destination": named,
        }
        if content is not None:
            signed["content"] = content
        try:
            key = self._keys.find(origin, key_id)
            # Who signs in a wrong way verifies in the same way.
            message = request_message(signed, self._faults)
        except Unproven as problem:
            raise Refused(401, "M_UNAUTHORIZED", str(problem)) from None
        except ValueError:
            raise Refused(400, "M_BAD_JSON", "the body has half a character") from None
        is_signed = verifies(key, message, signature)
        if not is_signed and "signature-unchecked" not in self._faults:
            raise Refused(401, "M_UNAUTHORIZED", "not signed")
        return origin

    def _take(self, origin: str, uri: str, content: Any) -> Answer | None:
        """The answer to a transaction; None for none."""
        pdus, edus = _items(content, "pdus"), _items(content, "edus")
        if len(pdus) > _MAX_PDUS and "pdus-unlimited" not in self._faults:
            raise Refused(400, "M_BAD_JSON", f"more than {_MAX_PDUS} PDUs")
        if len(edus) > _MAX_EDUS and "edus-unlimited" not in self._faults:
            raise Refused(400, "M_BAD_JSON", f"more than {_MAX_EDUS} EDUs")
        key = ("" if "id-of-all" in self._faults else origin, uri)
        with self._lock:
            if key in self._seen and "duplicate-unanswered" in self._faults:
                return None
            if key not in self._seen:
                self._server.received.append(content)
                self._seen[key] = {"pdus": self._verdicts(pdus)}
            return Answer(200, self._seen[key])

    def _verdicts(self, pdus: list[Any]) -> Object:
        """The verdict on each PDU by its ID; what is no event has no ID."""
        found: Object = {}
        for pdu in pdus:
            if not isinstance(pdu, dict) or not isinstance(pdu.get("content"), dict):
                if "item-fatal" in self._faults:
                    raise Refused(500, "M_UNKNOWN", "a PDU is no event")
                continue
            is_in_room = isinstance(pdu.get("room_id"), str)
            verdict = {} if is_in_room else {"error": "it has no room"}
            if isinstance(pdu.get("type"), str):
                found[event_id(pdu, self._faults)] = verdict
        return found


def _parameters(header: str | None) -> dict[str, str]:
    """The parameters of an X-Matrix header."""
    scheme, _, text = (header or "").strip().partition(" ")
    if scheme.lower() != "x-matrix" or not text.isascii():
        raise Refused(401, "M_UNAUTHORIZED", "there is no X-Matrix header")
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise Refused(401, "M_UNAUTHORIZED", "the X-Matrix header is malformed")
        quoted = match[2]
        value = match[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        found[match[1].lower()] = value
        position = match.end()
    return found


def _items(content: Any, name: str) -> list[Any]:
    items = content.get(name, []) if isinstance(content, dict) else None
    if not isinstance(items, list):
        raise Refused(400, "M_BAD_JSON", f"{name} is no list")
    return items
