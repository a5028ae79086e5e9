"""Checks the commands that ask a lab, without one."""

from pathlib import Path

import pytest

from homeserver.cli.lab_ask import exchanges
from homeserver.lab.record.entry import MEMBERS
from tests.support.canned_control import CannedControl
from tests.support.commands import failed, run


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
