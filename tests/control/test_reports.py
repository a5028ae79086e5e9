"""What a report says of a server."""

import pytest
from msgspec.structs import replace

from homeserver.control.peer_views import PeerView, StoredKeyView
from homeserver.control.reports import _peer_checks
from homeserver.net.exchange import TlsFacts
from homeserver.outbound.transport.sightings import Sighting
from homeserver.protocol.canonical_json import Json, as_list, as_object
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.discovery import Route
from homeserver.protocol.remarks import Remark
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.received import ReceivedTransaction
from homeserver.storage.refusals import Refusal, RefusalStore
from tests.support.control_side import Panel
from tests.support.coroutines import result_of
from tests.support.manual_sender import US
from tests.support.signed_requests import THEM

NOW_TS = 1_800_000_000_000
SEND = "/_matrix/federation/v1/send/"
NAME = THEM.server_name


def report(panel: Panel) -> tuple[dict[str, Json], list[Json], bool]:
    """The checks by name, the attempts, and whether anything is wrong."""
    found = panel.ask("GET", f"/v1/peers/{NAME}/report").json
    checks = [as_object(each, "a check") for each in as_list(found["checks"], "checks")]
    attempts = as_list(found["attempts"], "attempts")
    return (
        {str(each["name"]): each for each in checks},
        [as_object(each, "an attempt") for each in attempts],
        found["is_wrong"] is True,
    )


def receive(panel: Panel, txn_id: str, ts: int, *verdicts: str, **more: object) -> None:
    """Let a transaction have been accepted."""
    pdus = [JudgedPdu(None, None, verdict, b"{}") for verdict in verdicts]
    transaction = ReceivedTransaction(
        origin=NAME,
        txn_id=txn_id,
        received_ts=NOW_TS + ts,
        key_id=THEM.key.key_id,
        client_certificate=None,
        pdus=pdus,
        edus=[],
        reply=b"{}",
        digest=b"\xaa",
        **{"problems": [], **more},  # type: ignore[arg-type]
    )
    result_of(panel.received.record(transaction))


def refuse(panel: Panel, ts: int, **changes: object) -> None:
    """Let a request have been refused."""
    members = {
        "refused_ts": NOW_TS + ts,
        "address": "192.0.2.1",
        "origin": NAME.name,
        "proven": False,
        "method": "PUT",
        "path": f"{SEND}1",
        "status": 401,
        "errcode": "M_UNAUTHORIZED",
        "error": "why",
        "reason": "bad_signature",
    }
    refusal = Refusal(**{**members, **changes})  # type: ignore[arg-type]
    result_of(RefusalStore(panel.database, US).record([refusal]))


def test_unknown() -> None:
    """Of a server of which nothing is known, nothing is said."""
    assert report(Panel()) == ({}, [], False)


def test_right() -> None:
    """A server that made no mistake passes each check."""
    panel = Panel()
    receive(panel, "1", 0, "accepted", "accepted")
    checks, attempts, is_wrong = report(panel)
    assert {name: each["outcome"] for name, each in checks.items()} == {
        "transactions": "passed",
        "PDUs accepted": "passed",
    }
    assert checks["PDUs accepted"]["count"] == 2
    assert [each["txn_id"] for each in attempts] == ["1"]
    assert not is_wrong


def test_wrong() -> None:
    """Each mistake is told with how often it was seen, and the first time."""
    panel = Panel()
    odd = Remark("no_sni", "no name")
    receive(panel, "1", 0, "rejected: so", "rejected: otherwise", remarks=[odd])
    receive(panel, "2", 1, "redacted: content hash", problems=["EDU 0"], remarks=[odd])
    hint = Hint("method", "sign it", "put", "PUT")
    refuse(panel, 2, hints=(hint,))
    refuse(panel, 3)
    checks, _, is_wrong = report(panel)
    assert is_wrong
    assert {
        name: (each["outcome"], each["count"], each["example"])
        for name, each in checks.items()
    } == {
        "transactions": ("passed", 2, ""),
        "PDUs rejected": ("failed", 2, "rejected: so"),
        "PDUs redacted": ("failed", 1, "redacted: content hash"),
        "problems": ("failed", 1, "EDU 0"),
        "no_sni": ("remarked", 2, "no name"),
        "bad_signature": (
            "failed",
            2,
            f"PUT {SEND}1: 401 why; hint: sign it: it has 'put', and should have 'PUT'",
        ),
    }


def test_time_line() -> None:
    """Attempts are told with their pauses, and what is wrong with them."""
    panel = Panel()
    for ts, content in ((0, "aa"), (50, "bb")):
        refuse(panel, ts, status=503, path=f"{SEND}1/", reason="limit", content=content)
    refuse(panel, 60, path="/_matrix/other", status=503, reason="limit")
    receive(panel, "1", 1050)
    checks, attempts, is_wrong = report(panel)
    assert is_wrong
    assert checks.keys() == {
        "transactions",
        "retry_other_content",
        "retry_without_pause",
    }
    assert checks["retry_other_content"]["count"] == 2
    assert [
        (each["status"], each["pause"], each["same_content"]) for each in attempts
    ] == [(503, None, None), (503, 0.05, False), (200, 1.0, False)]


def test_right_retries() -> None:
    """A server that repeats as it should passes that, too."""
    panel = Panel()
    refuse(panel, 0, status=503, reason="limit", content="aa")
    checks, _, is_wrong = report(panel)
    assert checks["retries"]["outcome"] == "remarked"
    assert checks["retries"]["text"] == (
        "'1' was answered with 503 and is not repeated yet; it is waited for 60 s"
    )
    assert not is_wrong
    receive(panel, "1", 2000)
    checks, _, is_wrong = report(panel)
    assert checks["retries"]["outcome"] == "passed"
    assert not is_wrong


def test_both_paths() -> None:
    """A report is below its peer, and has a path of its own."""
    panel = Panel()
    receive(panel, "first", 0)
    short = panel.ask("GET", f"/v1/report/{NAME}").json
    assert short["attempts"]
    assert short == panel.ask("GET", f"/v1/peers/{NAME}/report").json


def test_requests_are_counted_by_kind() -> None:
    """Each kind of request that a server made is a line, with its number."""
    panel = Panel()
    template = "/_matrix/federation/v1/query/{queryType}"
    for _ in range(2):
        panel.counts.add(NAME, "GET", template)
    panel.counts.add(NAME, "PUT", f"{SEND}{{txnId}}")
    checks, _, is_wrong = report(panel)
    found = {name: (each["count"], each["text"]) for name, each in checks.items()}
    assert found == {
        f"GET {template}": (2, "2 requests were authenticated since the start"),
        f"PUT {SEND}{{txnId}}": (1, "1 request was authenticated since the start"),
    }
    assert not is_wrong


ROUTE = Route("192.0.2.9", 8448, "b.test", "b.test")
SEEN = Sighting(
    route=ROUTE,
    address="192.0.2.9:8448",
    tls=TlsFacts("TLSv1.3", "AES", "b.test", None, None),
    problem=None,
)
BY_NAME = "its name leads to 192.0.2.9:8448; it was reached at 192.0.2.9:8448"
FOUND = ("discovery", "passed", BY_NAME)
TLS = ("TLS", "passed", "TLSv1.3, AES")
SIGHTINGS: list[tuple[Sighting, list[tuple[str, str, str]]]] = [
    (SEEN, [FOUND, TLS, ("certificate", "passed", "it proves the name by itself")]),
    (
        replace(
            SEEN, problem="self-signed", tls=TlsFacts("SSL", None, None, None, None)
        ),
        [
            FOUND,
            ("TLS", "passed", "SSL"),
            (
                "certificate",
                "remarked",
                "self-signed; servers that know no key documents refuse it",
            ),
        ],
    ),
    (
        replace(SEEN, tls=None, problem="self-signed", failure="no key document"),
        [FOUND, ("identity", "failed", "not verified: no key document")],
    ),
    (
        replace(SEEN, route=replace(ROUTE, srv_priority=0)),
        [
            ("discovery", "passed", BY_NAME.replace("name", "SRV record")),
            TLS,
            ("certificate", "passed", "it proves the name by itself"),
        ],
    ),
]


@pytest.mark.parametrize(("seen", "told"), SIGHTINGS)
def test_last_connection(seen: Sighting, told: list[tuple[str, str, str]]) -> None:
    """The way to a server and its certificate are checks, each seen once."""
    panel = Panel()
    panel.sightings[NAME] = seen
    checks, _, is_wrong = report(panel)
    assert [
        (each["name"], each["outcome"], each["text"]) for each in checks.values()
    ] == (told)
    assert {each["count"] for each in checks.values()} == {1}
    assert is_wrong == (seen.failure is not None)


PEER = PeerView(
    server_name="b.test",
    verified_by=None,
    pinned_keys={},
    certificate_sha256=None,
    first_verified_ts=None,
    last_verified_ts=None,
    pinned_certificate_sha256=None,
    keys={},
    queued=0,
    oldest_id=None,
    failures=0,
    next_attempt_ts=None,
    last_error=None,
    rejected=0,
    dropped=0,
)
OLD = StoredKeyView("key", None, None)
HOUR_MS = 3_600_000
PEERS: list[tuple[PeerView | None, list[tuple[str, str, str, int, str]]]] = [
    (None, []),
    (PEER, []),
    (
        replace(PEER, verified_by="certificate", keys={"ed25519:0": OLD}),
        [("verification", "passed", "verified by certificate", 1, "")],
    ),
    (
        replace(
            PEER,
            keys={
                "ed25519:0": OLD,
                "ed25519:1": StoredKeyView("key", None, NOW_TS - 3 * HOUR_MS),
                "ed25519:2": StoredKeyView("key", None, NOW_TS - HOUR_MS * 3 // 2),
            },
        ),
        [("keys", "failed", "every key expired; the last one 1.5 h ago", 1, "")],
    ),
    (
        replace(
            PEER,
            keys={
                "ed25519:0": OLD,
                "ed25519:1": StoredKeyView("key", None, NOW_TS - 1),
                "ed25519:2": StoredKeyView("key", None, NOW_TS),
                "ed25519:3": StoredKeyView("key", None, NOW_TS + 1),
            },
        ),
        [("keys", "passed", "2 current keys are known", 1, "")],
    ),
    (
        replace(PEER, keys={"ed25519:1": StoredKeyView("key", None, NOW_TS)}),
        [("keys", "passed", "1 current key is known", 1, "")],
    ),
    (
        replace(PEER, failures=1, last_error="answers 503"),
        [("deliveries", "failed", "the last 1 delivery failed", 1, "answers 503")],
    ),
    (
        replace(PEER, failures=3, rejected=2),
        [
            ("deliveries", "failed", "the last 3 deliveries failed", 3, ""),
            ("rejections", "failed", "2 transactions of ours were rejected", 2, ""),
        ],
    ),
]


@pytest.mark.parametrize(("peer", "told"), PEERS)
def test_known_peer(
    peer: PeerView | None, told: list[tuple[str, str, str, int, str]]
) -> None:
    """What is stored of a server is checked: its keys, and how deliveries went."""
    assert [
        (each.name, each.outcome, each.text, each.count, each.example)
        for each in _peer_checks(peer, NOW_TS)
    ] == told
