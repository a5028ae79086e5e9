"""`homeserver report` says how a server repeats what was not accepted, and the rest."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from scripts.processes import Endpoint
from tests.planted.conftest import OURS, Planting


@contextmanager
def locked(ours: Endpoint) -> Iterator[Callable[[], None]]:
    """The daemon's store is locked, so that it answers 503, until this is called."""
    path = ours.folder / "homeserver.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield database.rollback


RETRIES = [
    (None, 1, "ok: retries"),
    ("retry-other-id", 1, "WRONG: retry_other_id"),
    ("retry-other-bytes", 1, "WRONG: retry_other_content"),
    ("retry-without-pause", 2, "WRONG: retry_without_pause"),
]


@pytest.mark.parametrize(("fault", "failing", "said"), RETRIES)
def test_retries(
    ours: Endpoint, planted: Planting, fault: str | None, failing: int, said: str
) -> None:
    """How a transaction was repeated after a 503 is told, with a time line."""
    with planted(*([fault] if fault else [])) as them:
        them.send(OURS, them.transaction(), "first")  # the keys are known then
        with locked(ours) as unlock:

            def answered(attempt: int) -> None:
                if attempt == failing:
                    unlock()

            made = them.deliver(OURS, them.transaction(), answered)
        assert [status for _, status in made] == [503] * failing + [200]
        done = ours.call("report", them.name)
        assert f"{said}: " in done.stdout
    assert "r0: 503" in done.stdout
    assert done.returncode == (0 if fault is None else 1)


def test_no_retry(ours: Endpoint, planted: Planting) -> None:
    """A transaction that was never repeated after a 503 is told after a minute."""
    with planted("no-retry") as them:
        them.send(OURS, them.transaction(), "first")
        edu = {"edu_type": "m.x", "content": {}}
        with locked(ours):
            made = them.deliver(OURS, them.transaction(edus=[edu]))
        assert made == [("r0", 503)]
        refusals(ours, them.name)
    assert ours.call("report", them.name).returncode == 0
    path = ours.folder / "homeserver.db"
    with closing(sqlite3.connect(path, timeout=30)) as database:
        database.execute(
            "UPDATE refusals SET refusal = json_set(refusal, '$.refused_ts',"
            " json_extract(refusal, '$.refused_ts') - 61000) WHERE origin = ?",
            (them.name,),
        )
        database.commit()
    done = ours.call("report", them.name)
    assert "WRONG: no_retry: 'r0' was answered with 503 and never repeated" in (
        done.stdout
    )
    assert done.returncode == 1


def refusals(ours: Endpoint, name: str) -> list[Any]:
    """The refused requests of a server, of which there are some."""
    found = ours.ask("refused", "--origin", name)
    assert found
    return found


def test_mistakes(ours: Endpoint, planted: Planting) -> None:
    """Refused requests are told with the hint on the first of them."""
    with planted("path-decoded") as them:
        assert them.send(OURS, them.transaction()).status == 401
        [refused] = refusals(ours, them.name)
        assert [hint["code"] for hint in refused["hints"]] == ["uri-decoded"]
        done = ours.call("report", them.name, "--format", "tap")
    assert done.returncode == 1
    assert " - bad_signature: 1 request was refused" in done.stdout
    assert "not ok " in done.stdout
    assert "hint: the signature is over the decoded target" in done.stdout


def test_unknown(ours: Endpoint) -> None:
    """A server of which nothing is known is not right."""
    done = ours.call("report", "unknown.test", "--json")
    assert done.returncode == 1
    assert '"checks": []' in done.stdout


def test_certificate(ours: Endpoint, planted: Planting) -> None:
    """How a server was reached is told, and that its certificate proves nothing."""
    with planted() as them:
        assert them.send(OURS, them.transaction()).status == 200
        done = ours.call("report", them.name)
    said = f"ok: discovery: its name leads to {them.name}; it was reached at 127.0.0.1"
    assert said in done.stdout
    assert "ok: TLS: TLSv1.3, TLS_" in done.stdout
    assert "remark: certificate: the certificate is self-signed" in done.stdout
    assert done.returncode == 0


REPLIES = [
    ("id-standard", "is in the alphabet of room version 3"),
    ("id-padded", "the event ID has padding"),
    ("id-of-unredacted", "the whole event was signed or hashed; redact it first"),
]
MEMBER = (
    '{"type": "m.room.member", "room_id": "!r:ours.test", "sender": "@a:ours.test", '
    '"state_key": "@a:ours.test", "content": {"membership": "join", "displayname": '
    '"x"}, "origin_server_ts": 1, "depth": 1, "prev_events": [], "auth_events": []}'
)


@pytest.mark.parametrize(("fault", "sentence"), REPLIES)
def test_event_ids(
    ours: Endpoint, planted: Planting, fault: str, sentence: str
) -> None:
    """A wrong event ID in a reply is explained where the transaction was sent."""
    with planted(fault) as them:
        done = ours.call("send", them.name, "--pdu", MEMBER, "--room-version", "10")
        assert done.returncode == 0
        assert sentence in done.stdout
