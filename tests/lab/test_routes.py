"""The lab's part of the control API, over HTTP in memory."""

import json
from typing import Any

import msgspec
import pytest
from cryptography import x509
from twisted.internet.task import Clock

from homeserver.control.openapi import build_document, described
from homeserver.http.router import Router
from homeserver.lab.authority.authority import Authority
from homeserver.lab.record.record import Record
from homeserver.lab.routes.authority import LabView, authority_routes
from homeserver.lab.routes.exchanges import record_routes
from homeserver.lab.seed import Seed
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.identifiers import ServerName
from tests.support.exchanges import exchange
from tests.support.har import check_har
from tests.support.http_connection import Answer, Connection, request, site

VIEW = LabView("127.0.0.1:1", "127.0.0.1:2", "lab.test", "PEM", "1")


A, B = map(ServerName.parse, ["a.test", "b.test"])


class Panel:
    """The routes of a record and of an authority."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.record = Record(self.clock)
        self.authority = Authority(Seed("tests"))
        self.table = [
            *record_routes(self.record, self.clock, [A, B]),
            *authority_routes(self.authority, VIEW),
        ]
        self.site = site(Router(described(self.table, ())), clock=self.clock)

    def begin(self, method: str, target: str, content: Any = None) -> Connection:
        """Ask; the connection on which the answer will come."""
        connection = Connection(self.site)
        body = None if content is None else encode(content)
        connection.send(request(method, target, ["Host: 127.0.0.1"], body))
        return connection

    def ask(self, method: str, target: str, content: Any = None) -> Answer:
        """Ask; the answer, which is there at once."""
        [answer] = self.begin(method, target, content).answers()
        return answer


@pytest.fixture
def panel() -> Panel:
    """With three exchanges of two servers."""
    panel = Panel()
    panel.record.add(exchange(b'{"pdus":[{"room_id":"!a:x"}]}'))
    panel.record.add(exchange(server="b.test", status=401, reason="bad_signature"))
    panel.record.add(exchange(kind="dns", path="a.test", method="A", txn_id=None))
    return panel


def ids(answer: Answer) -> list[int]:
    """The IDs in a list."""
    assert answer.status == 200
    return [each["id"] for each in json.loads(answer.body)["exchanges"]]


QUERIES: list[tuple[str, list[int], int]] = [
    ("", [1, 2, 3], 3),
    ("?server=a.test", [1, 3], 3),
    ("?server=*.test&status=4*", [2], 2),
    ("?kind=dns&method=A&path=a.test", [3], 3),
    ("?reason=bad_signature", [2], 2),
    ("?room_id=!a:x", [1], 1),
    ("?direction=out", [], 0),
    ("?direction=out&after=2", [], 2),
    ("?after=1&before=3", [2], 2),
    ("?limit=2", [1, 2], 2),
    ("?after=2&limit=2", [3], 3),
]


@pytest.mark.parametrize(("query", "found", "next_id"), QUERIES)
def test_exchanges_are_listed_by_their_members(
    panel: Panel, query: str, found: list[int], next_id: int
) -> None:
    """Each parameter filters, and `next` goes on where the page ended."""
    answer = panel.ask("GET", f"/v1/exchanges{query}")
    assert ids(answer) == found
    assert json.loads(answer.body)["next"] == next_id


def test_a_list_waits_for_its_first_exchange(panel: Panel) -> None:
    """With `wait`, the answer comes with the first exchange that matches."""
    connection = panel.begin("GET", "/v1/exchanges?after=3&server=c.test&wait=30")
    panel.record.add(exchange())
    assert connection.answers() == []
    panel.record.add(exchange(server="c.test"))
    [answer] = connection.answers()
    assert ids(answer) == [5]


def test_an_exchange_is_shown_alone(panel: Panel) -> None:
    """Its ID leads to everything that is known of it; an unknown one says so."""
    shown = json.loads(panel.ask("GET", "/v1/exchanges/1").body)
    assert shown["request"]["body"] == '{"pdus":[{"room_id":"!a:x"}]}'
    unknown = panel.ask("GET", "/v1/exchanges/4")
    assert unknown.error == (404, "M_NOT_FOUND")
    assert "the latest one is 3" in str(unknown.json["error"])


def test_exports_take_the_filters(panel: Panel) -> None:
    """The archive and the lines have the exchanges that are asked for."""
    archive = panel.ask("GET", "/v1/exchanges.har?server=a.test")
    assert len(check_har(json.loads(archive.body)).log.entries) == 1
    lines = panel.ask("GET", "/v1/exchanges.jsonl?after=1").body.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [2, 3]


def test_exchanges_are_forgotten(panel: Panel) -> None:
    """DELETE takes the filters, too."""
    assert panel.ask("DELETE", "/v1/exchanges?server=a.test&before=3").json == {
        "forgotten": 1
    }
    assert ids(panel.ask("GET", "/v1/exchanges")) == [2, 3]
    assert panel.ask("DELETE", "/v1/exchanges").json == {"forgotten": 2}


def test_an_expectation_is_met(panel: Panel) -> None:
    """What matches is answered with."""
    body = {"match": {"server": "a.test", "kind": "request"}, "count": 2}
    connection = panel.begin("POST", "/v1/expect", body)
    assert connection.answers() == []
    panel.record.add(exchange())
    [answer] = connection.answers()
    assert answer.status == 200
    assert [each["id"] for each in json.loads(answer.body)["matched"]] == [1, 4]


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("expect", {"match": {"method": "POST"}, "never": True}),
        ("expect", {"match": {"method": "POST"}}),
        ("quiet", {}),
    ],
)
def test_a_wait_that_the_end_cuts_short(
    panel: Panel, route: str, body: dict[str, object]
) -> None:
    """503 says that nothing is decided."""
    connection = panel.begin("POST", f"/v1/{route}", body)
    assert connection.answers() == []
    panel.record.end_waits()
    [answer] = connection.answers()
    assert answer.status == 503
    assert "the process ends before" in str(answer.json["error"])


def test_a_missed_expectation_says_what_was_nearest(panel: Panel) -> None:
    """408 has the nearest exchanges, and in what they differ."""
    body = {"match": {"server": "b.test", "status": 200}, "within": 3}
    connection = panel.begin("POST", "/v1/expect", body)
    panel.clock.advance(3)
    [answer] = connection.answers()
    assert answer.status == 408
    missed = json.loads(answer.body)
    assert missed["matched"] == []
    assert [(miss["exchange"]["id"], miss["differs"]) for miss in missed["nearest"]][
        :2
    ] == [
        (3, {"server": {"wanted": "b.test", "seen": "a.test"}}),
        (2, {"status": {"wanted": "200", "seen": "401"}}),
    ]


@pytest.mark.parametrize(("server", "status"), [("a.test", 408), ("c.test", 200)])
def test_what_must_never_happen(panel: Panel, server: str, status: int) -> None:
    """`never` is met when nothing matched for all of its time."""
    body = {"match": {"server": server}, "never": True, "within": 1}
    connection = panel.begin("POST", "/v1/expect", body)
    panel.clock.advance(1)
    [answer] = connection.answers()
    assert answer.status == status


def test_silence(panel: Panel) -> None:
    """200 comes after the silence, 408 with the last arrivals."""
    body = {"servers": ["a.test"], "for": 1, "within": 3}
    connection = panel.begin("POST", "/v1/quiet", body)
    panel.clock.advance(1)
    [answer] = connection.answers()
    assert json.loads(answer.body) == {"seconds": 1.0}
    noisy = panel.begin("POST", "/v1/quiet", body)
    for _ in range(6):
        panel.clock.advance(0.5)
        panel.record.add(exchange())
    panel.clock.advance(0.5)
    [answer] = noisy.answers()
    assert answer.status == 408
    assert [each["id"] for each in json.loads(answer.body)["latest"]] == [4, 5, 6, 7, 8]


def test_silence_of_no_server(panel: Panel) -> None:
    """A name that is not a server's would be quiet at once: it is refused."""
    answer = panel.ask("POST", "/v1/quiet", {"servers": ["b.test", "x.test"]})
    why = "'x.test' is not a server here; there is a.test, b.test"
    assert (answer.status, answer.json["error"]) == (404, why)


def test_a_certificate_for_a_server_under_test(panel: Panel) -> None:
    """The chain is for the hosts of the names, and the key is its key."""
    names = ["hs.test:8448", "127.0.0.1", "[::1]:8448", "hs.test"]
    answer = panel.ask("POST", "/v1/ca/certificates", {"names": names})
    assert answer.status == 201
    shown = answer.json
    certificate = x509.load_pem_x509_certificate(str(shown["certificate"]).encode())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [str(each.value) for each in found.value] == ["hs.test", "127.0.0.1", "::1"]
    assert "PRIVATE KEY" in str(shown["private_key"])


BAD: list[tuple[str, str, Any, str]] = [
    ("GET", "/v1/exchanges?sever=a.test", None, "did you mean 'server'?"),
    ("GET", "/v1/exchanges?kind=requests", None, "did you mean 'request'?"),
    ("GET", "/v1/exchanges?wait=-1", None, "not a number of seconds"),
    ("GET", "/v1/exchanges.har?limit=1", None, "no query parameter 'limit' here"),
    ("POST", "/v1/expect", {}, "the body lacks `match`"),
    ("POST", "/v1/expect", {"match": {"sever": "a"}}, "`match` has no member 'sever'"),
    ("POST", "/v1/expect", {"match": {}, "count": 0}, "`count` is less than 1"),
    ("POST", "/v1/expect", {"match": {}, "within": 601}, "`within` is more than"),
    ("POST", "/v1/expect", {"match": {"kind": "x"}}, "`match.kind` is 'x', which is"),
    ("POST", "/v1/expect", {"match": {"status": {}}}, "`match.status` is not"),
    ("POST", "/v1/quiet", {"for_": 1}, "did you mean 'for'?"),
    ("POST", "/v1/quiet", {"servers": ["a b"]}, "not a server name"),
    ("POST", "/v1/ca/certificates", {"names": []}, "`names` has less than 1 item"),
    ("POST", "/v1/ca/certificates", {"names": ["a b"]}, "not a server name"),
    ("POST", "/v1/ca/certificates", {"name": "a"}, "did you mean 'names'?"),
]


@pytest.mark.parametrize(("method", "target", "content", "reason"), BAD)
def test_bad_input_is_named(
    panel: Panel, method: str, target: str, content: Any, reason: str
) -> None:
    """The error names the member or parameter, and what is allowed."""
    answer = panel.ask(method, target, content)
    assert answer.status == 400
    assert reason in str(answer.json["error"])


def test_the_routes_are_described(panel: Panel) -> None:
    """Every route is in the OpenAPI document, those of 408 with their shape."""
    document = json.loads(msgspec.json.encode(build_document(panel.table)))
    expect = document["paths"]["/v1/expect"]["post"]
    assert expect["responses"]["408"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Missed"
    }
    schemas = document["components"]["schemas"]
    assert schemas["QuietBody"]["properties"].keys() == {"servers", "for", "within"}
    assert {"Missed", "Noisy", "ExchangeDetails"} <= schemas.keys()
