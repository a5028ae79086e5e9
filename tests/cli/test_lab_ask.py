"""Checks the commands that ask a lab, without one."""

from pathlib import Path

import pytest

from homeserver.cli.lab_ask import exchanges
from homeserver.lab.record.entry import MEMBERS
from tests.support.canned_control import CannedControl
from tests.support.commands import failed, run
from tests.support.tables import cases


@pytest.mark.parametrize("words", [["--make"], ["--delete", "a.test"]])
def test_a_daemon_makes_no_servers(
    path: Path, control: CannedControl, words: list[str]
) -> None:
    """It has those of its configuration, which the error says."""
    refusal = {"errcode": "M_UNRECOGNIZED", "error": "method not allowed"}
    control.answers["POST /v1/servers"] = 405, refusal
    control.answers["DELETE /v1/servers/a.test"] = 405, refusal
    status, said = failed(run("servers", "-c", path, *words))
    assert (status, "those of its configuration" in said) == (1, True)


def test_exchanges_has_an_option_for_each_member_of_the_record() -> None:
    """Whatever filters the record over HTTP filters it in the shell."""
    options = {option for each in exchanges.params for option in each.opts}
    assert {f"--{member.replace('_', '-')}" for member in MEMBERS} <= options


@cases(
    "members ending",
    [
        ("answered", {"status": 200}, ": 200, 1.5 ms"),
        ("silence", {"reason": "rule"}, ": no response, rule, 1.5 ms"),
        ("connection", {"kind": "connection"}, ": 1.5 ms"),
    ],
)
def test_a_line_of_an_exchange(
    path: Path, control: CannedControl, members: dict[str, object], ending: str
) -> None:
    """A request without a response says so."""
    exchange = {"id": 1, "kind": "request", "direction": "in", "server": "a.test"}
    shown = {**exchange, "peer": None, "seconds": 0.0015, **members}
    control.answers["GET /v1/exchanges"] = 200, {"exchanges": [shown], "next": 1}
    assert run("exchanges", "-c", path).output.endswith(f"{ending}\n")
