"""What a person is shown of peers, and may change of them."""

from typing import cast

import pytest

from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.outbound.transport.sightings import Sighting
from homeserver.protocol.canonical_json import Json, as_list, as_object, encode_base64
from homeserver.protocol.discovery import Route
from homeserver.protocol.key_documents import OldVerifyKey
from homeserver.storage.peers import Peer
from tests.support.control_side import NOW, Panel
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document
from tests.support.signed_requests import OTHERS, THEM

NOW_TS = int(NOW * 1000)
SEEN = Sighting(Route("them.example", 8448, "", ""), "192.0.2.9", None, None)
THEIRS, SEND = "/v1/peers/them.example", "/v1/send/them.example"


def verified(panel: Panel) -> Json:
    """Let a peer have been verified; what is shown of it."""
    pins = {THEM.key.key_id: THEM.key.verify_key}
    result_of(
        panel.peers.record_verified(
            Peer(THEM.server_name, "key-document", "ab" * 32, pins, NOW_TS, NOW_TS),
            None,
            None,
        )
    )
    return {
        "server_name": "them.example",
        "verified_by": "key-document",
        "pinned_keys": {"ed25519:t_1": encode_base64(THEM.key.verify_key.key)},
        "certificate_sha256": "ab" * 32,
        "first_verified_ts": NOW_TS,
        "last_verified_ts": NOW_TS,
        "pinned_certificate_sha256": None,
        "keys": {},
        "queued": 0,
        "oldest_id": None,
        "failures": 0,
        "next_attempt_ts": None,
        "last_error": None,
        "rejected": 0,
        "dropped": 0,
    }


def failed(panel: Panel) -> None:
    """Let an attempt to deliver something have been in vain."""
    panel.ask("POST", SEND, {})
    panel.start()
    panel.clock.advance(0)
    panel.carrier.lose(Unreachable(THEM.server_name, ["no route"]))


def test_peer_that_was_verified() -> None:
    """A peer is shown with how it was verified, and with its pin."""
    panel = Panel()
    peer = verified(panel)
    assert panel.ask("GET", THEIRS).json == peer
    assert panel.ask("GET", "/v1/peers").json == {"peers": [peer], "next": None}


def test_peer_that_was_never_reached() -> None:
    """A peer that is owed something is shown with what hinders it."""
    panel = Panel()
    panel.ask("POST", SEND, {})
    failed(panel)
    peer = panel.ask("GET", THEIRS).json
    assert peer["verified_by"] is None
    assert peer["pinned_keys"] == {}
    assert (peer["queued"], peer["failures"]) == (2, 1)
    assert "no route" in str(peer["last_error"])
    assert isinstance(peer["next_attempt_ts"], int)
    assert panel.ask("GET", "/v1/peers").json == {"peers": [peer], "next": None}


def test_unknown_peer() -> None:
    """Of a peer that is not known, nothing is shown and nothing can be changed."""
    panel = Panel()
    for method, path in (
        ("GET", THEIRS),
        ("POST", f"{THEIRS}/retry"),
        ("DELETE", f"{THEIRS}/pin"),
    ):
        assert panel.ask(method, path).error == (404, "M_NOT_FOUND")


def test_forget() -> None:
    """A pin is cleared once."""
    panel = Panel()
    verified(panel)
    answer = panel.ask("DELETE", f"{THEIRS}/pin")
    assert (answer.status, answer.json) == (200, {"queued": 0})
    assert panel.ask("GET", THEIRS).status == 404
    assert panel.ask("DELETE", f"{THEIRS}/pin").status == 404


def test_forget_ends_what_hinders_a_peer() -> None:
    """What is remembered of a forgotten peer's failures is forgotten everywhere."""
    panel = Panel()
    verified(panel)
    failed(panel)
    assert len(panel.carrier.sent) == 1
    assert panel.ask("DELETE", f"{THEIRS}/pin").status == 200
    panel.clock.advance(0)
    assert len(panel.carrier.sent) == 2
    assert panel.forgotten == [THEM.server_name]


def test_forget_why_a_peer_failed() -> None:
    """Nothing of a forgotten peer's failures is shown, also where nothing is queued."""
    panel = Panel()
    panel.ask("POST", SEND, {})
    panel.start()
    panel.clock.advance(0)
    panel.carrier.lose(Refused(THEM.server_name, 413, "M_TOO_LARGE", "not you"))
    panel.clock.advance(0)
    assert "not you" in str(panel.ask("GET", THEIRS).json["last_error"])
    panel.database.connection.execute(
        "UPDATE destinations SET slash = 1, not_before_ts = 5"
    )
    assert panel.ask("DELETE", f"{THEIRS}/pin").json == {"queued": 0}
    peer = panel.ask("GET", THEIRS).json
    assert (peer["failures"], peer["last_error"], peer["rejected"]) == (0, None, 1)
    row = panel.database.connection.execute(
        "SELECT slash, not_before_ts FROM destinations"
    ).fetchone()
    assert row == (0, 0)


def test_forget_how_a_peer_was_seen() -> None:
    """A server that was never verified may have been seen, which is forgotten."""
    panel = Panel()
    panel.sightings[THEM.server_name] = SEEN
    report = f"{THEIRS}/report"
    assert panel.ask("GET", report).json["checks"]
    assert panel.ask("DELETE", f"{THEIRS}/pin").json == {"queued": 0}
    assert panel.ask("GET", report).json["checks"] == []
    assert panel.ask("DELETE", f"{THEIRS}/pin").status == 404


def test_forget_stored_keys() -> None:
    """A server that was never verified may have keys, which are forgotten."""
    panel = Panel()
    stored = key_document(THEM.server_name, [THEM.key], NOW_TS)
    result_of(panel.peers.record_keys(stored, NOW_TS))
    assert panel.ask("DELETE", f"{THEIRS}/pin").status == 200
    assert result_of(panel.peers.keys(THEM.server_name)) == {}
    assert panel.ask("DELETE", f"{THEIRS}/pin").status == 404


def test_stored_keys_are_shown() -> None:
    """A peer is shown with its stored keys, since when and until when they are good."""
    panel = Panel()
    later = NOW_TS + 3_600_000
    old = OldVerifyKey(OTHERS.key.verify_key, NOW_TS - 5)
    stored = key_document(THEM.server_name, [THEM.key], later, [old])
    result_of(panel.peers.record_keys(stored, NOW_TS))
    shown = panel.ask("GET", THEIRS).json
    assert shown["verified_by"] is None
    assert shown["keys"] == {
        "ed25519:o_1": {
            "key": encode_base64(OTHERS.key.verify_key.key),
            "since_ts": NOW_TS,
            "valid_until_ts": None,
        },
        "ed25519:t_1": {
            "key": encode_base64(THEM.key.verify_key.key),
            "since_ts": NOW_TS,
            "valid_until_ts": later,
        },
    }
    panel.database.connection.execute("UPDATE server_keys SET since_ts = 0")
    keys = cast("Json", panel.ask("GET", THEIRS).json["keys"])
    assert cast("Json", keys["ed25519:t_1"])["since_ts"] is None


FINGERPRINT = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        FINGERPRINT,
        FINGERPRINT.upper(),
        ":".join(FINGERPRINT[n : n + 2] for n in range(0, 64, 2)),
    ],
)
def test_pin_a_certificate(text: str) -> None:
    """A certificate is trusted as an operator says, until the peer is forgotten."""
    panel = Panel()
    failed(panel)
    answer = panel.ask("PUT", f"{THEIRS}/pin", {"certificate_sha256": text})
    assert (answer.status, answer.json) == (200, {})
    shown = panel.ask("GET", THEIRS).json
    assert shown["pinned_certificate_sha256"] == FINGERPRINT
    assert panel.ask("GET", "/v1/peers").json == {"peers": [shown], "next": None}
    # Who was not trusted until now is tried at once.
    panel.clock.advance(0)
    assert len(panel.carrier.sent) == 2
    assert panel.ask("DELETE", f"{THEIRS}/pin").status == 200
    assert panel.ask("GET", THEIRS).json["pinned_certificate_sha256"] is None


def test_pin_an_unknown_peer() -> None:
    """A peer need not be known; it is known by its pin then."""
    panel = Panel()
    content: Json = {"certificate_sha256": FINGERPRINT}
    assert panel.ask("PUT", f"{THEIRS}/pin", content).status == 200
    [shown] = cast("list[Json]", panel.ask("GET", "/v1/peers").json["peers"])
    assert shown == panel.ask("GET", THEIRS).json
    assert shown["verified_by"] is None


@pytest.mark.parametrize(
    ("content", "errcode"),
    [
        ({}, "M_BAD_JSON"),
        ({"certificate_sha256": None}, "M_BAD_JSON"),
        ({"certificate_sha256": ""}, "M_INVALID_PARAM"),
        ({"certificate_sha256": FINGERPRINT[:-1]}, "M_INVALID_PARAM"),
        ({"certificate_sha256": FINGERPRINT + "00"}, "M_INVALID_PARAM"),
        ({"certificate_sha256": "g" * 64}, "M_INVALID_PARAM"),
        ({"certificate_sha256": f"{FINGERPRINT}\n"}, "M_INVALID_PARAM"),
        ({"certificate_sha256": "0:1" + FINGERPRINT[3:]}, "M_INVALID_PARAM"),
    ],
)
def test_pin_what_is_no_fingerprint(content: Json, errcode: str) -> None:
    """What is no SHA-256 is refused, and nothing is trusted."""
    panel = Panel()
    answer = panel.ask("PUT", f"{THEIRS}/pin", content)
    assert answer.error == (400, errcode)
    assert panel.ask("GET", THEIRS).status == 404


def test_forget_keeps_what_is_owed() -> None:
    """What a peer is owed does not depend on its pin."""
    panel = Panel()
    verified(panel)
    panel.ask("POST", SEND, {})
    assert panel.ask("DELETE", f"{THEIRS}/pin").json == {"queued": 1}
    peer = panel.ask("GET", THEIRS).json
    assert (peer["verified_by"], peer["queued"]) == (None, 1)


def test_retry() -> None:
    """A back-off that is ended is followed by an attempt at once."""
    panel = Panel()
    failed(panel)
    assert len(panel.carrier.sent) == 1
    answer = panel.ask("POST", f"{THEIRS}/retry")
    assert (answer.status, answer.json) == (200, {})
    panel.clock.advance(0)
    assert len(panel.carrier.sent) == 2


def test_retry_of_a_peer_that_does_not_fail() -> None:
    """There is nothing to end where nothing failed, and that is no error."""
    panel = Panel()
    verified(panel)
    assert panel.ask("POST", f"{THEIRS}/retry").status == 200


def test_pages_of_peers() -> None:
    """A page says where the next one begins; the last one has none after it."""
    panel = Panel()
    panel.ask("POST", f"/v1/send/{OTHERS.server_name}", {})
    verified(panel)
    first = panel.ask("GET", "/v1/peers?limit=1").json
    assert [peer["server_name"] for peer in listed_peers(first)] == [first["next"]]
    second = panel.ask("GET", f"/v1/peers?limit=1&after={first['next']}").json
    assert second["next"] == "them.example"
    last = panel.ask("GET", "/v1/peers?after=them.example").json
    assert last == {"peers": [], "next": None}


def listed_peers(page: Json) -> list[Json]:
    """The peers on a page."""
    return [as_object(peer, "a peer") for peer in as_list(page["peers"], "peers")]
