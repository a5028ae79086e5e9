"""Builds and judges events as Synapse does, asked by lines of JSON.

It runs in Synapse's virtual environment. Questions and answers are those of
`gomatrixserverlib/main.go`, but for "signers" of "judge": the servers that have to have
signed.
"""

import json
import sys
from typing import Any

from signedjson.key import decode_signing_key_base64, decode_verify_key_bytes
from signedjson.sign import verify_signed_json
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS, RoomVersion
from synapse.crypto.event_signing import (
    add_hashes_and_signatures,
    check_event_content_hash,
)
from synapse.events import make_event_from_dict
from synapse.events.utils import prune_event
from synapse.federation.federation_base import event_from_pdu_json
from unpaddedbase64 import decode_base64

_Json = dict[str, Any]


def build(version: RoomVersion, asked: _Json) -> _Json:
    """An event with its hash and signature, and its ID."""
    made = asked["event"]
    if version.identifier in {"1", "2"}:
        made["event_id"] = f"$theirs:{asked['server']}"
        for name in ("prev_events", "auth_events"):
            made[name] = [[each, {"sha256": "AAAA"}] for each in made[name]]
    algorithm, key_version = asked["key_id"].split(":")
    key = decode_signing_key_base64(algorithm, key_version, asked["seed"])
    add_hashes_and_signatures(version, made, asked["server"], key)
    return {"event": made, "event_id": make_event_from_dict(made, version).event_id}


def judge(version: RoomVersion, asked: _Json) -> _Json:
    """Its ID, and whether it was changed where that only redacts it."""
    event = event_from_pdu_json(asked["event"], version)
    redacted = prune_event(event).get_pdu_json()
    for server in asked["signers"]:
        for key_id, key in asked["keys"][server].items():
            verify_key = decode_verify_key_bytes(key_id, decode_base64(key))
            verify_signed_json(redacted, server, verify_key)
    return {"event_id": event.event_id, "redacted": not check_event_content_hash(event)}


def main() -> None:
    """Answer each line."""
    for line in sys.stdin:
        asked = json.loads(line)
        version = KNOWN_ROOM_VERSIONS[asked["version"]]
        try:
            answer = {"build": build, "judge": judge}[asked["do"]](version, asked)
        except Exception as problem:  # noqa: BLE001 - whatever Synapse raises is a no
            answer = {"error": repr(problem)}
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
