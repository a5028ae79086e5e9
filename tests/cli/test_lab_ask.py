"""Checks the commands that ask a lab, without one."""

from homeserver.cli.lab_ask import exchanges
from homeserver.lab.record.entry import MEMBERS


def test_exchanges_has_an_option_for_each_member_of_the_record() -> None:
    """Whatever filters the record over HTTP filters it in the shell."""
    options = {option for each in exchanges.params for option in each.opts}
    assert {f"--{member.replace('_', '-')}" for member in MEMBERS} <= options
