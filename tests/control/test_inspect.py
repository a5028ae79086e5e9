"""What a person is shown of discovery and of another server's keys."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json, as_list, as_object, encode
from homeserver.protocol.discovery import (
    NotResolvable,
    NotResolvableReason,
    Resolution,
    Route,
    Step,
)
from homeserver.protocol.key_documents import build_v1, build_v2, parse_v2
from homeserver.protocol.signing import sign
from tests.support.control_side import Panel
from tests.support.coroutines import result_of
from tests.support.scripted_servers import LEAF
from tests.support.signed_requests import OTHERS, THEM, Peer, signing_key
from tests.support.tables import cases

V1, V2 = "/_matrix/key/v1", "/_matrix/key/v2/server"

STEP: dict[str, Any] = {
    "step": "srv",
    "asked": "_matrix._tcp.them.example",
    "found": "10 5 99 a.org",
}


def resolved(
    routes: list[Route], steps: Sequence[Step] = (), **hosts: list[str]
) -> Json:
    """What is shown of a name with these routes; `hosts` have addresses, `.` as `_`."""
    panel = Panel()
    panel.addresses |= {name.replace("_", "."): found for name, found in hosts.items()}
    panel.routes.outcomes["them.example"] = Resolution(
        THEM.server_name, list(steps), routes
    )
    answer = panel.ask("GET", "/v1/resolve/them.example")
    assert answer.status == 200
    return answer.json


def route_to(host: str, port: int = 1, *srv: int) -> Route:
    """A route of the name."""
    return Route(host, port, "them.example", "them.example", *srv)


def test_resolve() -> None:
    """Discovery is told with its steps and its routes, in their order."""
    routes = [route_to("a.org", 99, 10, 5), route_to("192.0.2.1", 8448)]
    assert resolved(routes, [Step(**STEP)]) == {
        "server_name": "them.example",
        "steps": [STEP],
        "routes": [
            {
                "host": "a.org",
                "port": 99,
                "host_header": "them.example",
                "certificate_name": "them.example",
                "srv_priority": 10,
                "srv_weight": 5,
                "addresses": ["192.0.2.9"],
            },
            {
                "host": "192.0.2.1",
                "port": 8448,
                "host_header": "them.example",
                "certificate_name": "them.example",
                "srv_priority": None,
                "srv_weight": None,
                "addresses": ["192.0.2.1"],
            },
        ],
    }


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("b.org", "b.org has no address"),
        ("10.0.0.1", "10.0.0.1 is in the refused range 10.0.0.0/8; to allow it, set "),
        ("all.org", "10.0.0.2 is in the refused range 10.0.0.0/8; to allow it, set "),
    ],
)
def test_route_without_an_address(host: str, problem: str) -> None:
    """A route that leads to no address that may be connected to says why."""
    answer = resolved([route_to(host)], all_org=["10.0.0.1", "10.0.0.2"])
    [shown] = as_list(answer["routes"], "routes")
    shown = as_object(shown, "a route")
    assert shown["addresses"] == []
    assert str(shown["problem"]).startswith(problem)
    name = answer["server_name"]
    assert answer["error"] == f"no route to {name} can be used: {shown['problem']}"


def test_hints() -> None:
    """What to change is told, at the name and at its routes."""
    panel = Panel()
    panel.routes.outcomes["[::1]:99"] = NotResolvable("no way", [], "no_service")
    found = [panel.ask("GET", "/v1/resolve/%5B::1%5D:99").json]
    found.append(resolved([route_to("10.0.0.1")] * 2))
    hints = [as_list(each["hints"], "hints") for each in found]
    codes = [as_object(hint, "a hint")["code"] for those in hints for hint in those]
    assert codes == ["srv-no-service", "address-refused"]


def test_allowed_addresses_of_a_route() -> None:
    """Refused addresses are left out where others are allowed."""
    addresses = ["10.0.0.1", "192.0.2.1", "192.0.2.1"]
    answer = resolved([route_to("a.org")], a_org=addresses)
    [shown] = as_list(answer["routes"], "routes")
    shown = as_object(shown, "a route")
    assert shown["addresses"] == ["192.0.2.1"]
    assert "problem" not in shown
    assert "error" not in answer


def test_one_route_that_can_be_used() -> None:
    """The others make no error of the whole."""
    answer = resolved([route_to("10.0.0.1"), route_to("a.org")], a_org=["192.0.2.1"])
    shown = [as_object(each, "a route") for each in as_list(answer["routes"], "routes")]
    assert ["problem" in each for each in shown] == [True, False]
    assert "error" not in answer


def test_aliases() -> None:
    """SRV targets that are aliases are told after the steps that led to them."""
    alias = {"step": "srv", "asked": "s.a.test", "found": "is an alias"}
    answer = resolved([route_to("s.a.test", 99, 10, 5)], [Step(**STEP)])
    assert answer["steps"] == [STEP, alias]


def test_not_resolvable() -> None:
    """A name that leads nowhere is told with the steps and the reason."""
    panel = Panel()
    reason: NotResolvableReason = "no_usable_record"
    problem = NotResolvable("no way", [Step(**STEP)], reason)
    panel.routes.outcomes["[::1]:99"] = problem
    answer = panel.ask("GET", "/v1/resolve/%5B::1%5D:99")
    assert (answer.status, answer.json) == (
        200,
        {"server_name": "[::1]:99", "steps": [STEP], "error": "no way"},
    )


def shown(v1: tuple[int, bytes] | None, v2: tuple[int, bytes] | None) -> Json:
    """What is shown of a server that answers so; None for nothing there."""
    panel = Panel()
    missing = (404, b'{"errcode":"M_UNRECOGNIZED","error":"?"}')
    panel.carrier.documents = {V1: v1 or missing, V2: v2 or missing}
    answer = panel.ask("GET", "/v1/keys/them.example")
    assert answer.status == 200
    return answer.json


GOOD_V1 = build_v1(THEM.server_name, LEAF, [THEM.key])
GOOD_V2 = build_v2(THEM.server_name, [THEM.key], [], 1_800_000_000_000)


def test_keys() -> None:
    """Both documents are shown, with the connection that they came on."""
    assert shown((200, encode(GOOD_V1)), (200, encode(GOOD_V2))) == {
        "server_name": "them.example",
        "verified_by": "certificate",
        "route": {
            "host": "192.0.2.9",
            "port": 8448,
            "host_header": "them.example",
            "certificate_name": "them.example",
            "srv_priority": None,
            "srv_weight": None,
        },
        "certificate_sha256": hashlib.sha256(LEAF).hexdigest(),
        "v1": {"document": GOOD_V1, "problems": [], "hints": []},
        "v2": {"document": GOOD_V2, "problems": [], "hints": []},
        "kept": [],
    }


def test_keys_of_version_2_alone() -> None:
    """With `v2_only`, version 1 is not asked for."""
    panel = Panel()
    panel.carrier.documents = {V2: (200, encode(GOOD_V2))}
    described = panel.ask("GET", "/v1/keys/them.example?v2_only=true").json
    assert (described["v2_only"], described["v1"]) == (True, None)
    assert described["v2"] == {"document": GOOD_V2, "problems": [], "hints": []}
    assert panel.ask("GET", "/v1/keys/them.example?v2_only=1").error == (
        400,
        "M_INVALID_PARAM",
    )


def test_keys_that_contradict_the_stored_ones() -> None:
    """A document with another key under a stored ID has that as its problem."""
    panel = Panel()
    stored = Peer(THEM.server_name, signing_key("t_1", b"8"))
    document = build_v2(THEM.server_name, [stored.key], [], 1_800_000_000_000)
    parsed = parse_v2(encode(document), THEM.server_name)
    result_of(panel.peers.record_keys(parsed, 1))
    panel.carrier.documents = {V1: (200, encode(GOOD_V1)), V2: (200, encode(GOOD_V2))}
    described = panel.ask("GET", "/v1/keys/them.example").json
    for version in "v1", "v2":
        [problem] = as_list(as_object(described[version], version)["problems"], "?")
        assert "`homeserver peers --forget them.example`" in str(problem)


def test_keys_with_an_entry_that_is_passed_over() -> None:
    """An entry that breaks a rule is named, and the document is shown."""
    members: Json = {
        **GOOD_V2,
        "old_verify_keys": {"ed25519:a-b": {"expired_ts": 1, "key": "AA"}},
        "signatures": {},
    }
    document = sign(members, THEM.server_name, [THEM.key])
    described = as_object(shown(None, (200, encode(document)))["v2"], "`v2`")
    assert described["document"] == document
    [problem] = as_list(described["problems"], "`problems`")
    assert str(problem).startswith("'ed25519:a-b' is ignored: not a key ID")


def test_keys_that_are_not_there() -> None:
    """A document that a server does not have is null."""
    described = shown(None, None)
    assert (described["v1"], described["v2"]) == (None, None)


def test_keys_of_nobody() -> None:
    """A server that cannot be reached is told with the reason."""
    answer = Panel().ask("GET", "/v1/keys/them.example")
    assert answer.status == 200
    assert answer.json["server_name"] == "them.example"
    assert "no route" in str(answer.json["error"])


FOREIGN = build_v1(OTHERS.server_name, LEAF, [OTHERS.key])

BAD: list[tuple[str, int, bytes, Json, str]] = [
    ("nonsense", 200, b"<html>", {}, "not JSON"),
    ("no object", 200, b"[]", {}, "not a JSON object"),
    ("an error", 500, b'{"x":1}', {"x": 1}, "status 500: '{\"x\":1}'"),
    ("of others", 200, encode(FOREIGN), FOREIGN, "has the server_name 'others"),
    (
        "changed",
        200,
        encode(GOOD_V1 | {"x": 1}),
        GOOD_V1 | {"x": 1},
        "signature does not verify",
    ),
    (
        "of another certificate",
        200,
        encode(build_v1(THEM.server_name, b"other", [THEM.key])),
        build_v1(THEM.server_name, b"other", [THEM.key]),
        "another TLS certificate",
    ),
]


@cases("status body document problem", BAD)
def test_bad_document(status: int, body: bytes, document: Json, problem: str) -> None:
    """A document with problems is shown as far as it is one, with the problems."""
    described = as_object(shown((status, body), None)["v1"], "`v1`")
    assert described["document"] == document
    assert isinstance(described["problems"], list)
    assert problem in described["problems"][0]
