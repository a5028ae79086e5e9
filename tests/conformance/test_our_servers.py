"""Servers of ours that a check makes."""

import socket
import ssl
from http.client import HTTPSConnection

import pytest

from homeserver.conformance.facts import Facts
from homeserver.conformance.ours import Ours
from homeserver.conformance.target import Target
from tests.support.conformance_stage import SOUND, Stage
from tests.support.eventually import HANGING_SECONDS
from tests.support.waiting import wait, wait_for_thread


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_matrix/key/v1"),
        ("GET", "/_matrix/key/v2/query/NAME"),
        ("POST", "/_matrix/key/v2/query"),
    ],
)
def test_the_document_of_a_check_is_the_only_one(
    on_stage: Stage, method: str, path: str
) -> None:
    """Some targets ask a server about itself where its own document proves nothing."""

    async def make() -> Ours:
        endpoint, ground = await on_stage.target(SOUND)
        await endpoint.stop()
        return Target(ground, Facts()).server(keys=lambda ours: ours.document())

    ours = wait(make())
    listen = on_stage.lab.servers.shared.listen
    context = ssl.create_default_context(cafile=on_stage.lab.where.ca_file)

    def ask() -> int:
        raw = socket.create_connection((listen.host, listen.port), HANGING_SECONDS)
        connection = HTTPSConnection(ours.name.host, timeout=HANGING_SECONDS)
        connection.sock = context.wrap_socket(raw, server_hostname=ours.name.host)
        headers = {"Host": ours.name.name}
        target = path.replace("NAME", ours.name.name)
        body = (
            f'{{"server_keys": {{"{ours.name}": {{}}}}}}' if method == "POST" else None
        )
        connection.request(method, target, body, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    assert wait_for_thread(ask) == 404
