"""Faults of what our servers send, met by Node's server of HTTP and TLS."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.testing import Lab, Server
from scripts.processes import first_line, running
from tests.support.lab_rules import acted, put, rule

SEND = "/_matrix/federation/v1/send/1"
CONTENT = {"origin_server_ts": 1, "pdus": [], "edus": [{"edu_type": "m.x"}]}
PROGRAM = Path(__file__).parent / "node" / "echo.mjs"


@pytest.fixture(scope="module")
def echo(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a server that answers with what it gets."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    folder = tmp_path_factory.mktemp("echo")
    certificate, key = lab.certificate("localhost")
    (folder / "crt").write_text(certificate)
    (folder / "key").write_text(key)
    command = [node, str(PROGRAM), str(folder / "crt"), str(folder / "key")]
    with running(command, folder / "log") as process:
        yield f"localhost:{first_line(process)}"


def send(server: Server, echo: str) -> dict[str, Any]:
    """What came of a transaction."""
    response = server.request(echo, SEND, method="PUT", content=CONTENT)
    assert response.status == 200, response
    found: dict[str, Any] = response.content
    return found


def names(got: dict[str, Any]) -> list[str]:
    """The names of the headers, as they came."""
    return list(got["headers"][::2])


VARIANTS: list[tuple[str, str]] = [
    ("vary.white-space", "\t : "),
    ("vary.escapes", r'"\u0065\u0064'),
    ("vary.member-order", '{"pdus":[]'),
]


@pytest.mark.parametrize(("name", "text"), VARIANTS)
def test_a_body(lab: Lab, echo: str, name: str, text: str) -> None:
    """It means the same, in other bytes."""
    server = lab.server()
    right = send(server, echo)
    put(lab, server, {name: True}, match={"direction": "out"}, times=1)
    got = send(server, echo)
    assert got["body"] != right["body"]
    assert json.loads(got["body"]) == json.loads(right["body"])
    assert text in got["body"]
    assert send(server, echo)["body"] == right["body"]
    assert acted(lab, server) == [(2, 1)]


def test_a_head(lab: Lab, echo: str) -> None:
    """Names in small letters, another order, more headers, chunks, HTTP/1.0."""
    server = lab.server()
    right = send(server, echo)
    with rule(lab, server, {"vary.header-case": True}):
        assert names(send(server, echo)) == [each.lower() for each in names(right)]
    with rule(lab, server, {"vary.header-order": True}):
        assert names(send(server, echo)) == names(right)[::-1]
    with rule(lab, server, {"vary.several-headers": True}):
        assert names(send(server, echo)).count("Vary") == 2
    with rule(lab, server, {"vary.chunked": True}):
        got = send(server, echo)
        assert "Transfer-Encoding" in names(got)
        assert got["body"] == right["body"]
    with rule(lab, server, {"vary.http-1.0": True, "vary.chunked": True}):
        got = send(server, echo)
        assert (got["version"], got["body"]) == ("1.0", right["body"])


def test_a_trailing_slash(lab: Lab, echo: str) -> None:
    """The path has it, and the signature; what is wrong on purpose stays as it is."""
    ours, theirs = lab.servers(2)
    put(lab, ours, {"vary.trailing-slash": True})
    assert send(ours, echo)["url"] == f"{SEND}/"
    content = CONTENT | {"origin": ours.name}
    taken = ours.request(theirs.name, SEND, method="PUT", content=content)
    assert (taken.status, taken.content) == (200, {"pdus": {}})
    assert theirs.exchanges(direction="in", path=f"{SEND}/", status=200)
    spoiled = ours.request(
        theirs.name, SEND, method="PUT", content=content, spoil=["signature"]
    )
    assert spoiled.status in {401, 403}


def test_client_certificates(lab: Lab, echo: str) -> None:
    """A new connection shows none, that of another host, or an expired one."""
    servers = {kind: lab.server() for kind in ("", "none", "other", "expired")}
    got = {}
    for kind, server in servers.items():
        if kind:
            put(lab, server, {"tls.client-certificate": kind})
        got[kind] = send(server, echo)
    assert got[""]["certificate"] == servers[""].name
    assert got["none"]["certificate"] is None
    assert got["other"]["certificate"] == "other.invalid"
    assert got["expired"]["certificate"] == servers["expired"].name
    assert got["expired"]["valid_to"].endswith("2019 GMT")
