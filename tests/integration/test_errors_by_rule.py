"""Errors that the rules of a lab make: they say so, and blame no other server."""

from typing import Any

import pytest

from homeserver.testing import Lab, Server
from tests.support.lab_rules import put

SEND = "/_matrix/federation/v1/send/1"
EMPTY: dict[str, object] = {"origin_server_ts": 1, "pdus": []}


def refused(server: Server) -> list[tuple[str, str, str]]:
    """Reason, error code and error of the transactions that a server has refused.

    Where the lab has port 443, questions for a well-known document are there, too.
    """
    found = [each for each in server.refused() if each["path"] == SEND]
    return [(each["reason"], each["errcode"], each["error"]) for each in found]


def report(lab: Lab, server: Server, peer: Server) -> dict[str, Any]:
    """The report of a server on another one."""
    found: dict[str, Any] = lab.link.call(
        "GET", "v1", "servers", server.name, "report", peer.name
    )
    return found


FAULTS: dict[str, tuple[dict[str, object], tuple[str, str, str]]] = {
    "status": (
        {"http.status": 403},
        ("rule", "M_UNKNOWN", "a rule of the lab: http.status"),
    ),
    "code": (
        {"http.errcode": "M_ODD", "vary.chunked": True},
        ("rule", "M_ODD", "a rule of the lab: vary.chunked, http.errcode"),
    ),
    "body without a code": (
        {"http.status": 400, "http.body": {"error": "none"}},
        ("rule", "M_UNKNOWN", "a rule of the lab: http.body, http.status"),
    ),
    "body that is no JSON": (
        {"http.status": 400, "http.bad-json": True},
        ("rule", "M_UNKNOWN", "a rule of the lab: http.bad-json, http.status"),
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_error_of_a_fault(lab: Lab, case: str) -> None:
    """The list of refused requests and the record name the fault; no peer is wrong."""
    do, expected = FAULTS[case]
    ours, peer = lab.server(), lab.server()
    put(lab, ours, do, match={"method": "PUT"})
    peer.request(ours.name, SEND, method="PUT", content=EMPTY)
    [exchange] = lab.expect(server=ours.name, direction="in", route="*/send/*")
    assert (exchange.json["reason"], exchange.json["error"]) == expected[::2]
    assert exchange.json.get("errcode") == (None if "body" in case else expected[1])
    assert refused(ours) == [expected]
    assert report(lab, ours, peer)["is_wrong"] is False


@pytest.mark.parametrize("name", ["http.drop-request", "http.drop-reply"])
def test_no_answer(lab: Lab, name: str) -> None:
    """The record names the fault; nothing was refused, as nothing was sent."""
    ours, peer = lab.server(), lab.server()
    put(lab, ours, {name: True}, match={"method": "PUT"})
    peer.request(ours.name, SEND, method="PUT", content=EMPTY)
    [exchange] = lab.expect(server=ours.name, direction="in", route="*/send/*")
    assert (exchange.status, exchange.json.get("errcode")) == (None, None)
    named = f"a rule of the lab: {name}"
    assert (exchange.json["reason"], exchange.json["error"]) == ("rule", named)
    assert refused(ours) == []
    assert report(lab, ours, peer)["is_wrong"] is False


EVENT = "/_matrix/federation/v1/event/$none"

CODES: list[tuple[dict[str, object], str | None]] = [
    ({"http.errcode": "M_FOO"}, "M_FOO"),
    ({"vary.white-space": True}, "M_NOT_FOUND"),
    ({"http.delay": 0}, "M_NOT_FOUND"),
    ({"http.bad-json": True}, None),
    ({"http.body": {"error": "none"}}, None),
    ({"http.body": {"errcode": 1}}, None),
]


@pytest.mark.parametrize(("do", "code"), CODES)
def test_code_of_an_answer(lab: Lab, do: dict[str, object], code: str | None) -> None:
    """The record has the code that was sent; that of the request is listed, too."""
    ours, peer = lab.server(), lab.server()
    put(lab, ours, do)
    peer.request(ours.name, EVENT)
    [exchange] = lab.expect(server=ours.name, direction="in", route="*/event/*")
    assert (exchange.status, exchange.json.get("errcode")) == (404, code)
    [listed] = [each for each in ours.refused() if each["path"] == EVENT]
    assert (listed["reason"], listed["errcode"]) == ("content", "M_NOT_FOUND")


def test_error_of_the_request(lab: Lab) -> None:
    """A request that is wrong itself is refused for that, whatever a rule adds."""
    ours, peer = lab.server(), lab.server()
    put(lab, ours, {"vary.white-space": True, "http.errcode": "M_ODD"})
    peer.request(ours.name, SEND, method="PUT", content=EMPTY, spoil=["signature"])
    [(reason, errcode, error)] = refused(ours)
    assert (reason, errcode) == ("bad_signature", "M_UNAUTHORIZED")
    assert error.startswith("signature does not verify")
    assert report(lab, ours, peer)["is_wrong"] is True
