"""The page about faults."""

import json

import pytest

from homeserver.control.openapi import described
from homeserver.http.router import Router
from homeserver.lab.faults.registry import FAULTS
from homeserver.lab.routes.faults import fault_routes
from scripts.faults_page import PAGE, build_page
from tests.support.http_connection import Connection, request, site


def test_the_page_is_current() -> None:
    """The page is what the code makes of it; `scripts/faults_page` renews it."""
    assert PAGE.read_text("utf-8") == build_page(), "run scripts/faults_page"


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_says_what_it_is(name: str) -> None:
    """Sentences say what the answer is, and what a right server does."""
    fault = FAULTS[name]
    assert fault.summary.endswith(".")
    assert fault.right.endswith(".")


def test_the_route_lists_every_fault() -> None:
    """`GET /v1/faults` has each fault, with its argument and both sentences."""
    connection = Connection(site(Router(described(fault_routes(), ()))))
    connection.send(request("GET", "/v1/faults", ["Host: 127.0.0.1"]))
    [answer] = connection.answers()
    listed = json.loads(answer.body)["faults"]
    assert [each["name"] for each in listed] == list(FAULTS)
    for each in listed:
        assert each["argument"]
        assert each["answer"].endswith(".")
        assert each["right"].endswith(".")
