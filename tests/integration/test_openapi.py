"""What a running daemon says of its own control API."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from homeserver.config.reader import load
from homeserver.testing import Lab
from scripts.processes import Endpoint, first_line, make_endpoint
from tests.support.eventually import HANGING_SECONDS


@pytest.fixture(scope="module")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A daemon that runs."""
    folder: Path = tmp_path_factory.mktemp("alpha")
    endpoint = make_endpoint(folder / "alpha", "alpha.test", "")
    with endpoint.running() as process:
        first_line(process)
        yield endpoint


def ask(endpoint: Endpoint, method: str, target: str) -> tuple[int, Any]:
    """The status and the JSON that a request gets."""
    listen = load(endpoint.configuration).control.listen
    assert listen is not None
    token = (endpoint.folder / "control.token").read_text().strip()
    connection = http.client.HTTPConnection(
        listen.host, listen.port, timeout=HANGING_SECONDS
    )
    with closing(connection):
        headers = {"Authorization": f"Bearer {token}"}
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def check(document: Any) -> None:
    """Fail unless a document is valid, and each operation has an ID and a summary."""
    OpenAPIV31SpecValidator(document).validate()
    operations = [
        operation
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["summary"].endswith(".") for each in operations)


def test_valid(alpha: Endpoint) -> None:
    """The whole table of a daemon is a valid OpenAPI document."""
    status, document = ask(alpha, "GET", "/v1/openapi.json")
    assert status == 200
    check(document)
    assert "/v1/servers/{server}/received" in document["paths"]


def test_valid_in_a_lab() -> None:
    """So is that of a lab, which has more routes."""
    with Lab() as lab:
        document = lab.link.call("GET", "v1", "openapi.json")
    check(document)
    methods = document["paths"]["/v1/servers/{server}"].keys()
    assert methods == {"get", "patch", "delete"}
    assert document["paths"]["/v1/servers"].keys() == {"get", "post"}
    assert "/v1/servers/{server}/send/{destination}" in document["paths"]


SERVERS = [
    ("POST", "/v1/servers"),
    ("PATCH", "/v1/servers/alpha.test"),
    ("DELETE", "/v1/servers/alpha.test"),
]


@pytest.mark.parametrize(("method", "target"), SERVERS)
def test_servers_of_a_daemon_are_configured(
    alpha: Endpoint, method: str, target: str
) -> None:
    """A daemon has the servers of its configuration: no request changes them."""
    status, reply = ask(alpha, method, target)
    assert (status, reply["errcode"]) == (405, "M_UNRECOGNIZED")
    assert ask(alpha, "GET", "/v1/servers/alpha.test")[0] == 200


def test_unknown_parameter(alpha: Endpoint) -> None:
    """What the document does not have is refused by its name."""
    status, reply = ask(alpha, "GET", "/v1/received?orgin=a.test")
    assert (status, reply["errcode"]) == (400, "M_INVALID_PARAM")
    assert "did you mean 'origin'?" in reply["error"]
