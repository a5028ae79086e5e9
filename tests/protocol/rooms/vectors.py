"""The reader of the vectors in `tests/vectors/rooms`; its README has the format."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.events.event import Event, content_hash, redact
from homeserver.protocol.events.room_versions import (
    ROOM_VERSIONS,
    IdFormat,
    RoomVersion,
)

_FOLDER = Path(__file__).parent.parent.parent / "vectors" / "rooms"


def reference(event: Event) -> object:
    """What another event of the room has in `prev_events` or `auth_events`."""
    if event.room_version.id_format is not IdFormat.SENT:
        return event.event_id
    redacted = redact(event.pdu, event.room_version)
    del redacted["signatures"]
    digest = hashlib.sha256(encode(redacted)).digest()
    return [event.event_id, {"sha256": encode_base64(digest)}]


class Vectors:
    """One file: the events by their labels, and the cases."""

    def __init__(self, name: str) -> None:
        document = json.loads((_FOLDER / name).read_text("utf-8"))
        self.room_version: RoomVersion = ROOM_VERSIONS[document["room_version"]]
        self.cases: list[dict[str, Any]] = document["cases"]
        self.base: list[str] = document.get("base", [])
        self._tip: list[str] = document.get("tip", [])
        self._entries: dict[str, dict[str, Any]] = document["events"]
        self.pdus: dict[str, Json] = {}
        """{label: PDU}; the event of a case that has its own: {name of the case: PDU}.
        Some are of no valid form."""

        self.events: dict[str, Event] = {}
        """{label: event}, of those that the file lists."""

        for label, entry in self._entries.items():
            self.pdus[label] = self._pdu(entry)
            self.events[label] = Event.parse(self.pdus[label], self.room_version)
            assert self.events[label].event_id == entry["id"], label
        for case in self.cases:
            if isinstance(case.get("event"), dict):
                self.pdus[case["name"]] = self._pdu(case["event"])

    def _pdu(self, entry: dict[str, Any]) -> Json:
        prev = entry.get("prev", self._tip)
        depth = 1 + max((self._depth(label) for label in prev), default=0)
        pdu: Json = {
            "type": entry["type"],
            "sender": entry["sender"],
            "content": self._content(entry),
            "origin_server_ts": entry.get("ts", 1_000_000),
            "depth": entry.get("depth", depth),
            "auth_events": [reference(self.events[label]) for label in entry["auth"]],
            "prev_events": [reference(self.events[label]) for label in prev],
            **{key: entry[key] for key in ("state_key", "redacts") if key in entry},
            **self._room_id(entry),
        }
        if self.room_version.id_format is IdFormat.SENT:
            pdu["event_id"] = entry["id"]
        hashes = {"sha256": encode_base64(content_hash(pdu))}
        return pdu | {"hashes": hashes, "signatures": {}}

    def _depth(self, label: str) -> int:
        depth = self.pdus[label]["depth"]
        assert isinstance(depth, int)
        return depth

    def _content(self, entry: dict[str, Any]) -> Json:
        if "like" not in entry:
            own: Json = entry["content"]
            return own
        content: dict[str, Any] = copy.deepcopy(self.events[entry["like"]].pdu)
        content = content["content"]
        for member, value in entry.get("with", {}).items():
            if isinstance(value, dict) and isinstance(content.get(member), dict):
                content[member].update(value)
            else:
                content[member] = value
        for path in entry.get("without", []):
            (content if len(path) == 1 else content[path[0]]).pop(path[-1])
        return content

    def _room_id(self, entry: dict[str, Any]) -> Json:
        if "room_id" in entry:
            return {"room_id": entry["room_id"]}
        if not self.room_version.has_hash_room_id:
            return {"room_id": "!room:a.example"}
        if entry["type"] == "m.room.create":
            return {}
        return {"room_id": "!" + self._entries["create"]["id"][1:]}
