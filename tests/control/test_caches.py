"""What is remembered of other servers, as the control API shows it.

An entry says what was asked, what was found, and until when that is kept.
"""

import pytest

from homeserver.protocol.canonical_json import encode
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import build_v2
from tests.support.control_side import NOW_TS, Panel
from tests.support.dns_records import a, cname
from tests.support.kept_answers import (
    HOST,
    OTHERS,
    THEIRS,
    WELL_KNOWN,
    asked,
    delegation,
    keep_addresses,
    keep_alias,
    keep_document,
    keep_everything,
    keep_srv,
    pause,
    shown,
)
from tests.support.manual_sender import US
from tests.support.signed_requests import THEM


def test_nothing() -> None:
    """Where nothing was looked up, nothing is remembered."""
    answer = Panel().ask("GET", "/v1/caches")
    assert answer.json == {"caches": [], "total": 0}


def test_documents() -> None:
    """A delegation, or why there is none, is shown with the end of its time."""
    panel = Panel()
    keep_document(panel, HOST, delegation("m.example:443"))
    panel.clock.advance(100)
    keep_document(panel, "b.example", delegation("c.example", is_kept_longer=True))
    keep_document(panel, "d.example", LookupFailed("status 404"))
    assert shown(panel) == [
        {
            "cache": "well-known",
            "asked": WELL_KNOWN,
            "found": "delegates to m.example:443",
            "kept_until_ts": NOW_TS + 300_000,
        },
        {
            "cache": "well-known",
            "asked": "https://b.example/.well-known/matrix/server",
            "found": "delegates to c.example",
            "kept_until_ts": NOW_TS + 400_000,
            "floor_seconds": 300.0,
        },
        {
            "cache": "well-known",
            "asked": "https://d.example/.well-known/matrix/server",
            "found": "no delegation: status 404",
            "kept_until_ts": NOW_TS + 400_000,
        },
    ]
    panel.clock.advance(200)
    assert len(shown(panel)) == 2


SERVICE = f"_matrix._tcp.{HOST}"


def test_records() -> None:
    """Records are shown as they stand in a zone, and so is that there are none."""
    panel = Panel()
    keep_srv(panel, SERVICE, "s.example", "t.example", ttl=60)
    keep_addresses(panel, "s.example", a("192.0.2.1", "s.example", 30))
    keep_alias(panel, "c.example", cname("c.example", "x\x1b.example", 40))
    until = {"SRV": 60_000, "A": 30_000, "CNAME": 40_000}
    found = {
        "SRV": "0 5 8448 s.example, 0 5 8448 t.example",
        "A": "192.0.2.1",
        "CNAME": "x\\x1b.example",
    }
    names = {"SRV": SERVICE, "A": "s.example", "CNAME": "c.example"}
    assert shown(panel) == [
        {
            "cache": kind,
            "asked": names[kind],
            "found": found[kind],
            "kept_until_ts": NOW_TS + until[kind],
        }
        for kind in ("SRV", "A", "CNAME")
    ]


def test_many_records() -> None:
    """Of very many records, as many are shown as are tried."""
    panel = Panel()
    keep_srv(panel, SERVICE, *(f"s{number}.example" for number in range(25)))
    [entry] = shown(panel)
    records = str(entry["found"]).split(", ")
    assert (len(records), records[0], records[-1]) == (
        21,
        "0 5 8448 s0.example",
        "5 more",
    )


def test_pauses() -> None:
    """A fetch of keys a moment ago is shown with what came of it."""
    panel = Panel()
    pause(panel)
    panel.carrier.documents["/_matrix/key/v2/server"] = (
        200,
        encode(build_v2(ServerName.parse("b.example"), [THEM.key], [], NOW_TS + 10**9)),
    )
    for _ in range(2):  # the first success has no pause
        pause(panel, ServerName.parse("b.example"))
    failed, fetched = shown(panel)
    assert failed["cache"] == fetched["cache"] == "keys"
    assert (failed["asked"], fetched["asked"]) == (HOST, "b.example")
    assert str(failed["found"]).startswith("fetching them failed: ")
    assert fetched["found"] == "fetched"
    assert failed["kept_until_ts"] == NOW_TS + 30_000
    assert fetched["kept_until_ts"] == NOW_TS + 10_000


def test_one_server() -> None:
    """What is remembered of a server leads from its document to its addresses."""
    panel = Panel()
    keep_everything(panel)
    assert asked(panel, f"?server={HOST}") == THEIRS
    assert sorted(map(str, asked(panel))) == sorted(map(str, THEIRS + OTHERS))
    assert asked(panel, "?server=THEM.example") == THEIRS[:-1], "another name"


def test_a_name_with_a_port() -> None:
    """Of a name with a port, no document is asked for."""
    panel = Panel()
    keep_document(panel, HOST, delegation("m.example"))
    keep_addresses(panel, HOST, a("192.0.2.1", HOST, 30))
    assert asked(panel, f"?server={HOST}:8448") == [("A", HOST)]


def test_limit() -> None:
    """So many are shown at most, and how many there are in all."""
    panel = Panel()
    keep_everything(panel)
    answer = panel.ask("GET", "/v1/caches?limit=2").json
    assert (answer["total"], len(shown(panel, "?limit=2"))) == (8, 2)


@pytest.mark.parametrize("query", ["?server=a_b", "?limit=x"])
def test_mistake(query: str) -> None:
    """What is no name of a server and no number is refused, and nothing forgotten."""
    panel = Panel()
    keep_everything(panel)
    answer = panel.ask("GET", f"/v1/caches{query}")
    assert answer.error == (400, "M_INVALID_PARAM")
    panel.ask("DELETE", "/v1/caches?server=a_b")
    assert len(shown(panel)) == 8


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_server(method: str) -> None:
    """Of a server that nothing is remembered of, only one of ours is no mistake."""
    panel = Panel()
    answer = panel.ask(method, "/v1/caches?server=x.test")
    why = "nothing is remembered of 'x.test', and it is not a server here"
    assert (answer.status, answer.json["error"]) == (404, why)
    assert panel.ask(method, f"/v1/caches?server={US}").status == 200
