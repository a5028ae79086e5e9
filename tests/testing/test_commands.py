"""The commands that ask a lab."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from homeserver.cli.main import main
from homeserver.testing import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab that commands ask."""
    with Lab() as running:
        yield running


def run(lab: Lab, *arguments: str) -> Result:
    """What a command does with a lab."""
    environment = {
        "HOMESERVER_LAB": lab.control,
        "HOMESERVER_LAB_TOKEN": lab.link.token,
    }
    return CliRunner(env=environment).invoke(main, arguments)


def test_servers_are_made_listed_and_deleted(lab: Lab) -> None:
    """Each server is a line, of JSON if asked for."""
    made = run(lab, "servers", "--make", "--count", "2", "--json")
    names = [json.loads(line)["server_name"] for line in made.output.splitlines()]
    assert len(names) == 2
    own = run(lab, "servers", "--make", "--own", "--name", "localhost:0")
    assert own.output.startswith("localhost:")
    listed = run(lab, "servers").output
    assert all(f"{name} at 127.0.0.1:" in listed for name in names)
    assert run(lab, "servers", "--delete", names[0], "--gone").exit_code == 0
    assert names[0] not in run(lab, "servers").output


def test_exchanges_are_listed_by_their_members(lab: Lab) -> None:
    """Filters choose, and the text has what happened."""
    ours, theirs = lab.servers(2)
    ours.request(theirs.name, "/_matrix/federation/v1/none")
    options = ["--server", theirs.name, "--status", "4*", "--path", "*/none"]
    text = run(lab, "exchanges", *options).output
    assert (
        f"request {theirs.name} <- {ours.name} GET /_matrix/federation/v1/none: 404"
        in (text)
    )
    [line] = run(lab, "exchanges", *options, "--json").output.splitlines()
    assert json.loads(line)["peer"] == ours.name
    assert run(lab, "exchanges", "--reason", "none").output == ""


@pytest.mark.parametrize(
    ("options", "status", "why"),
    [
        (["--make", "--delete", "a.test"], 2, "two commands"),
        (["--delete", "none.test"], 1, "there is no server"),
        (["--make", "--name", "a b"], 2, "not a server name"),
        (["--make", "--count", "0"], 2, "count"),
    ],
)
def test_mistakes(lab: Lab, options: list[str], status: int, why: str) -> None:
    """A mistake is one line that says what is wrong."""
    done = run(lab, "servers", *options)
    assert done.exit_code == status
    assert why in done.output


def test_faults_are_added_listed_and_removed(lab: Lab) -> None:
    """A fault acts on its server alone, until it is removed."""
    ours, theirs = lab.servers(2)
    path = "/_matrix/key/v2/server"
    at = ["--server", theirs.name]
    added = run(lab, "fault", "add", *at, "http.status", "503", "--method", "GET")
    said = ": http.status 503, method GET; matched 0, acted 0\n"
    assert added.output.endswith(said)
    assert ours.request(theirs.name, path).status == 503
    assert ours.request(ours.name, path).status == 200
    [line] = run(lab, "fault", "list", *at, "--json").output.splitlines()
    rule = json.loads(line)
    assert rule["do"] == {"http.status": 503}
    assert rule["acted"] >= 1
    assert run(lab, "fault", "remove", *at, str(rule["id"])).exit_code == 0
    assert ours.request(theirs.name, path).status == 200
    assert run(lab, "fault", "list", *at).output == ""
    everywhere = run(lab, "fault", "add", "http.errcode", "M_X", "--times", "1")
    assert everywhere.exit_code == 0
    assert everywhere.output.endswith('"M_X"; matched 0, acted 0 of 1\n')
    assert run(lab, "fault", "list").output.count("http.errcode") == 1
    assert run(lab, "fault", "remove").exit_code == 0
    assert run(lab, "fault", "list").output == ""


def test_a_fault_that_is_unknown(lab: Lab) -> None:
    """The error has the name that was meant."""
    done = run(lab, "fault", "add", "http.staus", "503")
    assert done.exit_code == 2
    assert "did you mean 'http.status'" in done.output
