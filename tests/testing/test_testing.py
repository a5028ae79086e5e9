"""The client for test suites: what it asks of a lab, and what it says of failures."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.testing import AsyncLab, ExpectationFailed, Lab, LabError
from homeserver.testing.link import Link

VERSION = "/_matrix/federation/v1/version"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab for all tests."""
    with Lab() as running:
        yield running


def test_nothing_of_the_rest_is_loaded() -> None:
    """A suite that imports the client loads no Twisted and no other folder of ours."""
    program = (
        "import sys, homeserver.testing.plugin; "
        "print([n for n in sys.modules if n.split('.')[0] in ('twisted', 'OpenSSL', "
        "'msgspec') or n.startswith('homeserver.') and "
        "not n.startswith('homeserver.testing')])"
    )
    found = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert found.strip() == "[]"


def test_a_transaction_is_sent_and_received(lab: Lab) -> None:
    """What one server sends, another one has, and both records say so."""
    ours, theirs = lab.servers(2)
    sent = ours.send(theirs.name, edus=[{"edu_type": "m.typing", "content": {}}])
    assert (sent.state, sent.reply) == ("delivered", {"pdus": {}})
    [received] = theirs.received()
    assert (received["origin"], received["txn_id"]) == (ours.name, sent.txn_id)
    [arrived] = theirs.expect(txn_id=sent.txn_id, status=200)
    assert (arrived.peer, arrived.direction) == (ours.name, "in")
    assert [each for each in theirs.refused() if each["origin"] == ours.name] == []
    assert ours.keys(theirs.name)["verified_by"] == "certificate"
    assert ours.resolve(theirs.name)["routes"]


def test_a_fault_is_retried_with_the_same_bytes(lab: Lab) -> None:
    """After a 503, the same transaction comes again."""
    ours, theirs = lab.servers(2)
    theirs.rule({"http.status": 503}, match={"method": "PUT"}, times=1)
    ours.send(theirs.name, edus=[{"edu_type": "m.typing", "content": {}}])
    first, second = theirs.expect(method="PUT", count=2)
    assert (first.status, second.status) == (503, 200)
    assert first.txn_id == second.txn_id
    bodies = [lab.exchange(each.id)["request"]["body"] for each in (first, second)]
    assert bodies[0] == bodies[1]


def test_a_failed_expectation_says_what_was_nearest(lab: Lab) -> None:
    """The text of the failure has the exchange, and in what it differs."""
    ours, theirs = lab.servers(2)
    answer = ours.request(theirs.name, VERSION)
    assert answer.status == 200
    with pytest.raises(ExpectationFailed) as raised:
        theirs.expect(path=VERSION, status=404, within=0)
    said = str(raised.value)
    assert said.startswith(f"exchanges with path='{VERSION}', status=404, server=")
    assert ": 0 seen, 1 wanted\n" in said
    assert "status is '200', not '404'" in str(raised.value)


def test_silence_is_waited_for(lab: Lab) -> None:
    """A noisy server's last arrivals are in the text of the failure."""
    ours, theirs = lab.servers(2)
    theirs.quiet(seconds=0.1)
    theirs.expect(never=True, within=0.1)
    ours.request(theirs.name, VERSION)
    with pytest.raises(LabError, match="it was not quiet within 0 seconds"):
        theirs.quiet(seconds=5, within=0)


def test_all_pages_of_the_record_are_read(lab: Lab) -> None:
    """A suite sees more exchanges than a page has, or as many as it asks for."""
    ours, theirs = lab.servers(2)
    for _ in range(3):
        ours.request(theirs.name, VERSION)
    seen = theirs.exchanges(path=VERSION, direction="in")
    assert len(seen) == 3
    assert [each.id for each in theirs.exchanges(path=VERSION, limit=1)] == [seen[0].id]
    assert lab.forget(server=theirs.name) >= 3
    assert theirs.exchanges() == []


def test_a_lab_is_not_quiet(lab: Lab) -> None:
    """What has just arrived at a server is in the text of the failure."""
    ours, theirs, other = lab.servers(3)
    assert ours.request(theirs.name, VERSION).status == 200
    lab.quiet(other, seconds=0.1)
    with pytest.raises(LabError, match="it was not quiet within 0 seconds"):
        lab.quiet(other, theirs, seconds=30, within=0)


def test_the_authority_is_in_a_file(lab: Lab) -> None:
    """It is that of the lab that was started; one that is joined has the text."""
    assert lab.ca_file is not None
    assert Path(lab.ca_file).read_text("utf-8") == lab.ca_pem
    joined = Lab(url=lab.control, token=lab.link.token)
    joined.start()
    assert (joined.ca_file, joined.ca_pem) == (None, lab.ca_pem)
    joined.stop()


def test_a_certificate_for_a_server_under_test(lab: Lab) -> None:
    """The chain and its key are PEM."""
    certificate, key = lab.certificate("hs.test", "127.0.0.1")
    assert certificate.startswith("-----BEGIN CERTIFICATE")
    assert "PRIVATE KEY" in key


def test_a_suite_on_asyncio(lab: Lab) -> None:
    """Calls are awaited, and several wait at the same time."""

    async def run() -> None:
        async with AsyncLab(url=lab.control, token=lab.link.token) as joined:
            ours, theirs = await joined.servers(2)
            waiting = asyncio.create_task(theirs.expect(path=VERSION))
            answer = await ours.request(theirs.name, VERSION)
            assert answer.status == 200
            [arrived] = await waiting
            assert arrived.peer == ours.name

    asyncio.run(run())


def test_a_lab_that_cannot_be_joined() -> None:
    """The error has the address, or what is wrong with it."""
    with pytest.raises(LabError, match=r"no lab answers at http://127\.0\.0\.1:1"):
        Lab(url="http://127.0.0.1:1", token="x").start()
    with pytest.raises(ValueError, match="not the URL"):
        Link("127.0.0.1:1", "x")


def test_a_lab_that_does_not_start(capfd: pytest.CaptureFixture[str]) -> None:
    """The error names the command, and standard error has the reason."""
    with pytest.raises(LabError, match=r"lab --json --zone a\.\.b` ended with 2"):
        Lab("--zone", "a..b").start()
    assert "--zone" in capfd.readouterr().err


def test_the_state_of_one_server_is_forgotten(lab: Lab) -> None:
    """Exchanges and transactions of a server go; those of others stay."""
    ours, theirs = lab.servers(2)
    ours.send(theirs.name, edus=[{"edu_type": "m.typing", "content": {}}])
    query = {"of": "exchanges,received", "server": theirs.name}
    forgotten = lab.link.call("DELETE", "v1", "state", query=query)["forgotten"]
    assert forgotten["received"] == 1
    assert forgotten["exchanges"] >= 1
    assert (theirs.received(), theirs.exchanges()) == ([], [])
    assert ours.exchanges()


def test_a_deleted_server_sends_nothing_more(lab: Lab) -> None:
    """What it still owed is given up."""
    ours = lab.server()
    sent = ours.send(
        "nowhere.lab.test", edus=[{"edu_type": "x", "content": {}}], wait=0
    )
    assert sent.state != "delivered"
    ours.delete()
    query = {"of": "queue", "server": ours.name}
    forgotten = lab.link.call("DELETE", "v1", "state", query=query)["forgotten"]
    assert forgotten == {"queue": 0}
