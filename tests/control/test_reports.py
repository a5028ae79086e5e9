"""What a report says of a server."""

from homeserver.protocol.canonical_json import Json, as_list, as_object
from homeserver.protocol.diagnosis.hint import Hint
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
