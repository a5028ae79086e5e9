"""A server that ignores SRV records is told so where it arrives by fallback."""

import secrets
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from homeserver.testing import Lab, Server
from tests.planted.dns import look_up
from tests.planted.server import PlantedServer
from tests.support.eventually import HANGING_SECONDS

SENTENCE = "came to port 8448 although the SRV record of"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab at an address of its own, where it has port 8448 as well."""
    address = ".".join(["127", *(str(secrets.randbelow(253) + 2) for _ in range(3))])
    try:
        with socket.create_server((address, 8448)):
            pass
    except OSError:
        pytest.skip("only Linux has all of 127.0.0.0/8")
    with Lab("--listen", f"{address}:0") as running:
        yield running


def remarks(lab: Lab, ours: Server, folder: Path, *faults: str) -> list[str]:
    """What is remarked of a transaction, in all places where remarks are."""
    host, _, port = lab.listen.rpartition(":")
    addresses = {ours.name: int(port)}
    planted = PlantedServer(folder, frozenset(faults), addresses, host=host)
    with planted.running() as them:
        assert them.send(ours.name, them.transaction()).status == 200
        [seen] = ours.expect(kind="request", method="PUT")
    [transaction] = ours.received(wait=10)
    told = transaction["remarks"]
    assert seen.json["remarks"] == told
    report = lab.link.call("GET", "v1", "servers", ours.name, "report", them.name)
    remarked = [c for c in report["checks"] if c["outcome"] == "remarked"]
    assert [c["name"] for c in remarked if c["name"] != "certificate"] == [
        each["code"] for each in told
    ]
    return [each["text"] for each in told]


def test_srv_ignored(lab: Lab, tmp_path: Path) -> None:
    """One sentence says which record leads where."""
    ours = lab.server()
    [told] = remarks(lab, ours, tmp_path, "srv-ignored")
    port = lab.listen.rpartition(":")[2]
    assert f"{SENTENCE} {ours.name} leads to port {port}; ask for SRV" in told


def test_srv_followed(lab: Lab, tmp_path: Path) -> None:
    """A right server is told nothing."""
    assert remarks(lab, lab.server(), tmp_path) == []


def records(lab: Lab, name: str, *ports: int) -> list[dict[str, Any]]:
    """The address of a server, and SRV records that lead to some of its ports."""
    host = lab.listen.rpartition(":")[0]
    srv = {"name": f"_matrix-fed._tcp.{name}", "type": "SRV"}
    return [
        {"name": name, "type": "A", "value": host},
        *({**srv, "value": f"10 0 {port} {name}"} for port in ports),
    ]


RIGHT = [
    ("no record", [], None),
    ("a record with that port", [8448], None),
    ("one of two records has that port", [9000, 8448], None),
    ("a document with that port", [9000], "{}:8448"),
]


@pytest.mark.parametrize(
    ("ports", "document"), [c[1:] for c in RIGHT], ids=[c[0] for c in RIGHT]
)
def test_other_ways(
    lab: Lab, tmp_path: Path, ports: list[int], document: str | None
) -> None:
    """Whatever else leads to the default port is no mistake."""
    ours = lab.server()
    changes: dict[str, Any] = {"dns": records(lab, ours.name, *ports)}
    if document is not None:
        changes["well_known"] = {"m.server": document.format(ours.name)}
    ours.change(**changes)
    assert remarks(lab, ours, tmp_path, "srv-ignored") == []


def test_rule(lab: Lab, tmp_path: Path) -> None:
    """A server that was told by a rule that there is no record is right."""
    ours = lab.server()
    ours.rule({"dns.nxdomain": True}, match={"method": "SRV"})
    look_up(ours.name, lab.dns)
    assert remarks(lab, ours, tmp_path, "srv-ignored") == []


def test_later_record(lab: Lab, tmp_path: Path) -> None:
    """A server that asked before there was a record is right."""
    ours = lab.server()
    ours.change(dns=records(lab, ours.name))
    look_up(ours.name, lab.dns)
    ours.change(dns=records(lab, ours.name, 9000))
    assert remarks(lab, ours, tmp_path, "srv-ignored") == []


def test_asked_and_ignored(lab: Lab, tmp_path: Path) -> None:
    """To ask for a record and not to follow it is a mistake as well."""
    ours = lab.server()
    look_up(ours.name, lab.dns)
    [told] = remarks(lab, ours, tmp_path, "srv-ignored")
    assert SENTENCE in told


def test_open_connection(lab: Lab) -> None:
    """Records that are younger than the connection are no reason for a remark."""
    ours = lab.server()
    ours.change(dns=records(lab, ours.name))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection(
        (lab.listen.rpartition(":")[0], 8448), HANGING_SECONDS
    )
    with closing(HTTPSConnection(ours.name)) as connection:
        connection.sock = context.wrap_socket(raw, server_hostname=ours.name)
        for dns in ([], [9000]):
            ours.change(dns=records(lab, ours.name, *dns))
            connection.request("GET", "/_matrix/key/v2/server")
            assert connection.getresponse().read()
    found = ours.expect(kind="request", method="GET", count=2)
    assert [each.json["remarks"] for each in found] == [[], []]
