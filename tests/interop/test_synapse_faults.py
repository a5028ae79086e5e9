"""Ten faults of a lab, met by Synapse, with its attempts as a time line."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.testing import Lab, Server
from scripts.synapse import Synapse
from tests.support.lab_rules import acted, put
from tests.support.synapse_in_lab import synapse_in_lab
from tests.support.synapse_users import User

_numbers = itertools.count()

SECONDS = 60.0  # that one message may take, with two pauses of a second


@dataclass(frozen=True)
class Stage:
    """A lab, a Synapse that trusts its authority, and a user of that."""

    lab: Lab
    synapse: Synapse
    alice: User


@pytest.fixture(scope="module")
def stage(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Both run on the loopback interface; each test has servers of its own."""
    with synapse_in_lab(tmp_path_factory.mktemp("synapse")) as (lab, synapse, alice):
        yield Stage(lab, synapse, alice)


def say(stage: Stage, server: Server, text: str) -> None:
    """Have Synapse send something to a server: a message to a device there."""
    content = {"messages": {f"@bob:{server.name}": {"*": {"said": text}}}}
    steps = "sendToDevice", "m.test", f"t{next(_numbers)}"
    stage.alice.do("PUT", *steps, content=content)


@dataclass(frozen=True)
class Attempt:
    """A request of Synapse with a transaction."""

    began: float
    """Milliseconds since 1970."""

    txn_id: str
    body: str
    status: int | None


def time_line(stage: Stage, server: Server) -> list[Attempt]:
    """The attempts that have reached HTTP, in their order."""
    found = []
    for each in server.exchanges(direction="in", kind="request", method="PUT"):
        whole: dict[str, Any] = stage.lab.exchange(each.id)
        found.append(
            Attempt(
                whole["started_ts"],
                whole["txn_id"],
                whole["request"]["body"],
                whole.get("status"),
            )
        )
    return found


def said(server: Server) -> list[str]:
    """What has arrived, in its order."""
    texts = []
    for transaction in server.received():
        for edu in transaction["edus"]:
            content = edu["edu"]["content"] if "edu" in edu else edu["content"]
            for messages in content["messages"].values():
                texts += [each["said"] for each in messages.values()]
    return texts


RETRIED: list[dict[str, object]] = [
    {"http.status": 503},
    {"http.status": 429, "http.retry-after": 1},
    {"http.drop-request": True},
    {"http.drop-reply": True},
    {"connection.refuse": True},
    {"connection.reset": True},
    {"connection.close-after": 100},
    {"tls.alert": True},
    {"tls.version": "1.1"},
    {"tls.certificate": "expired"},
]


@pytest.mark.parametrize("do", RETRIED, ids=str)
def test_synapse_tries_again(stage: Stage, do: dict[str, object]) -> None:
    """The transaction comes, after pauses, with the same ID and the same bytes."""
    server = stage.lab.server(listen="own")
    is_http = any(name.startswith("http.") for name in do)
    match = {"method": "PUT"} if is_http else {}
    put(stage.lab, server, do, match=match, times=2)
    say(stage, server, "first")
    # The record has the work that was done before a reply was dropped, too.
    count = 3 if is_http else 1
    server.expect(
        direction="in", kind="request", method="PUT", count=count, within=SECONDS
    )
    assert acted(stage.lab, server)[0][1] == 2
    attempts = time_line(stage, server)
    assert len({(each.txn_id, each.body) for each in attempts}) == 1
    pauses = [
        after.began - before.began for before, after in itertools.pairwise(attempts)
    ]
    assert len(attempts) == count, attempts
    assert all(pause > 100 for pause in pauses), pauses
    if not is_http:
        failed = server.exchanges(kind="connection", direction="in")
        assert [each.reason for each in failed][:2] == ["handshake_failed"] * 2
    assert said(server) == ["first"]
    say(stage, server, "second")
    server.expect(
        direction="in",
        kind="request",
        method="PUT",
        count=count + 1,
        within=SECONDS,
    )
    assert said(server) == ["first", "second"]


TAKEN: list[dict[str, object]] = [
    {"http.100-continue": True},
    {"http.delay": 0.5},
    {"http.delay-body": 0.5},
    {"connection.slow": 20_000},
    {"federation.no-pdus": True},
    {"federation.unknown-members": True},
    {"tls.certificate": "duplicate-entries"},
    {"tls.version": "1.2"},
    {
        "vary.white-space": True,
        "vary.escapes": True,
        "vary.member-order": True,
        "vary.header-case": True,
        "vary.header-order": True,
        "vary.several-headers": True,
        "vary.chunked": True,
        "vary.extra-members": True,
    },
    {"vary.http-1.0": True},
]


@pytest.mark.parametrize("do", TAKEN, ids=lambda do: next(iter(do)))
def test_synapse_takes_it(stage: Stage, do: dict[str, object]) -> None:
    """One attempt is enough, and the next transaction has another ID."""
    server = stage.lab.server(listen="own")
    put(stage.lab, server, do)
    for number, text in enumerate(("first", "second"), 1):
        say(stage, server, text)
        server.expect(
            direction="in",
            kind="request",
            method="PUT",
            status=200,
            count=number,
            within=SECONDS,
        )
    attempts = time_line(stage, server)
    assert len({each.txn_id for each in attempts}) == len(attempts) == 2
    assert said(server) == ["first", "second"]
