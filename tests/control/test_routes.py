"""The control API as a whole: its health, its bounds, and paths that lead nowhere.

What is no name of a server is refused, and no request makes an answer of 500.
"""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from homeserver.protocol.discovery import Resolution
from homeserver.protocol.identifiers import ServerName
from tests.support.control_side import AUTHORIZATION, HOST, Panel
from tests.support.http_connection import Connection, request


def test_healthy() -> None:
    """`/health` says that all is well."""
    answer = Panel().ask("GET", "/health")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_unhealthy() -> None:
    """`/health` is a 503 where something is not well."""
    panel = Panel()
    panel.is_healthy = False
    assert panel.ask("GET", "/health").status == 503


def test_bounds() -> None:
    """Each bound is listed with its use at this moment and what it has refused."""
    panel = Panel()
    panel.bound.refuse()
    assert panel.ask("GET", "/v1/bounds").json == {
        "bounds": [
            {
                "name": "doors",
                "what": "open doors",
                "use": 3,
                "limit": 5,
                "refusals": 1,
            }
        ]
    }


NOT_NAMED = [
    *(("GET", f"resolve/{x}") for x in ("a_b", "%ff", "a.org:http", "127.1", "a%2Fb")),
    ("GET", "keys/a_b"),
    ("GET", "peers/a_b"),
    ("POST", "peers/a_b/retry"),
    ("DELETE", "peers/a_b/pin"),
]


@pytest.mark.parametrize(("method", "path"), NOT_NAMED)
def test_what_is_no_name(method: str, path: str) -> None:
    """What is no server name is not looked for, and nothing is changed of it."""
    assert Panel().ask(method, f"/v1/{path}").error == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("route", ["resolve", "keys"])
def test_no_name(route: str) -> None:
    """A path without a name leads nowhere."""
    for path in (route, f"{route}/", f"{route}//"):
        answer = Panel().ask("GET", f"/v1/{path}")
        assert answer.error == (404, "M_UNRECOGNIZED")


FRAGMENTS = [
    *[
        "",
        "/",
        "v1",
        "send",
        "received",
        "resolve",
        "keys",
        "peers",
        "pin",
        "health",
        "a.org",
        "1",
        "%",
        "%ff",
    ],
    *["?", "&", "wait=", "after=", "limit=", "origin=", "=", "nan", "-1", "1e9", "%00"],
]


class GarbageTests(SynchronousTestCase):
    """Requests of any kind, by who has the token."""

    @settings(max_examples=150)
    @given(
        st.sampled_from(["GET", "POST", "HEAD", "DELETE"]),
        st.lists(st.sampled_from(FRAGMENTS), max_size=8),
        st.none() | st.binary(max_size=30) | st.just(b'{"pdus":[{}],"edus":5}'),
    )
    def test_garbage(self, method: str, steps: list[str], body: bytes | None) -> None:
        """Whatever is asked, no answer is a 500 and nothing breaks."""
        panel = Panel()
        panel.routes.outcomes["a.org"] = Resolution(ServerName.parse("a.org"), [], [])
        connection = Connection(panel.site)
        target = "/" + "/".join(steps[:4]) + "".join(steps[4:])
        connection.send(request(method, target, [HOST, AUTHORIZATION], body))
        panel.clock.advance(60)
        said = connection.transport.value()
        statuses = re.findall(rb"HTTP/1\.[01] ([0-9]{3})", said)
        self.assertEqual(len(statuses), 1)
        self.assertNotIn(b"500", statuses)
        self.assertEqual(self.flushLoggedErrors(), [])
