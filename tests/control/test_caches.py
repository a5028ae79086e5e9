"""What discovery and the keyring remember is shown and forgotten."""

from collections.abc import Sequence

import pytest
from twisted.internet.defer import Deferred
from twisted.names import dns

from homeserver.net.cause import OURSELVES
from homeserver.outbound.discovery.well_known import Delegation
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.discovery import (
    LookupFailed,
    NotResolvable,
    Resolution,
    Route,
    Step,
)
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import build_v2
from tests.support.control_side import NOW, Panel
from tests.support.coroutines import result_of
from tests.support.dns_records import a, cname, srv
from tests.support.manual_sender import US
from tests.support.signed_requests import THEM

NOW_TS = int(NOW * 1000)
HOST = "them.example"
WELL_KNOWN = f"https://{HOST}/.well-known/matrix/server"
SERVICE = f"_matrix._tcp.{HOST}"


def keep_document(panel: Panel, host: str, value: Delegation | LookupFailed) -> None:
    """Have something kept of a host's well-known document for 300 seconds."""

    async def look_up() -> tuple[Delegation | LookupFailed, float]:
        return value, 300.0

    result_of(panel.routes.documents.answers.fetch(host, look_up))


def keep_srv(panel: Panel, name: str, *targets: str, ttl: int = 60) -> None:
    """Have the SRV records at `name` kept."""
    asked = Deferred.fromCoroutine(panel.routes.lookups.srv(name, OURSELVES))
    records = [srv(target, name, (0, 5, 8448), ttl) for target in targets]
    panel.routes.dns.answer("SRV", name, records)
    assert asked.called


def keep_alias(panel: Panel, host: str, *records: dns.RRHeader) -> None:
    """Have what an alias stands for kept."""
    asked = Deferred.fromCoroutine(panel.routes.lookups.alias(host, OURSELVES))
    panel.routes.dns.answer("CNAME", host, list(records))
    assert asked.called


def keep_addresses(panel: Panel, host: str, *records: dns.RRHeader) -> None:
    """Have the addresses of a host kept; it has none of IPv6."""
    asked = Deferred.fromCoroutine(panel.routes.lookups.addresses(host, OURSELVES))
    panel.routes.dns.answer("AAAA", host, [])
    panel.routes.dns.answer("A", host, list(records))
    assert asked.called


def pause(panel: Panel, name: ServerName = THEM.server_name) -> None:
    """Have the keys of a server fetched just now, which fails unless they are there."""
    result_of(panel.keyring.refresh(name, OURSELVES))


def shown(panel: Panel, query: str = "") -> Sequence[Json]:
    """The entries of `/v1/caches`."""
    answer = panel.ask("GET", f"/v1/caches{query}")
    assert answer.status == 200
    entries = answer.json["caches"]
    assert isinstance(entries, list)
    return entries


def asked(panel: Panel, query: str = "") -> list[tuple[object, object]]:
    """Of each entry, which cache it is of and what was asked."""
    return [(each["cache"], each["asked"]) for each in shown(panel, query)]


def delegation(name: str, *, is_kept_longer: bool = False) -> Delegation:
    """What a document says."""
    return Delegation(ServerName.parse(name), is_kept_longer)


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


def keep_everything(panel: Panel) -> None:
    """Have answers kept that the routes to one server rest on, and two of others."""
    keep_document(panel, HOST, delegation("m.example"))
    keep_document(panel, "b.example", delegation("m.example"))
    keep_srv(panel, "_matrix._tcp.m.example", "s.example")
    keep_srv(panel, "_matrix._tcp.b.example", "t.example")
    keep_addresses(panel, "s.example", a("192.0.2.1", "s.example", 30))
    keep_alias(panel, "s.example", cname("s.example", "u.example", 40))
    pause(panel)
    pause(panel, ServerName.parse("b.example"))


THEIRS = [
    ("well-known", WELL_KNOWN),
    ("SRV", "_matrix._tcp.m.example"),
    ("A", "s.example"),
    ("CNAME", "s.example"),
    ("keys", HOST),
]
OTHERS = [
    ("well-known", "https://b.example/.well-known/matrix/server"),
    ("SRV", "_matrix._tcp.b.example"),
    ("keys", "b.example"),
]


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


def test_forget_one_server() -> None:
    """What concerns one server is forgotten, and nothing else."""
    panel = Panel()
    keep_everything(panel)
    other = ServerName.parse("other.example")
    panel.failed_routes |= {ServerName.parse(HOST), other}
    assert panel.ask("DELETE", f"/v1/caches?server={HOST}").json == {}
    assert asked(panel) == OTHERS
    assert panel.failed_routes == {other}


def test_forget_all() -> None:
    """Everything is forgotten, and looked up when it is asked for."""
    panel = Panel()
    keep_everything(panel)
    panel.failed_routes.add(ServerName.parse(HOST))
    assert panel.ask("DELETE", "/v1/caches").json == {}
    assert shown(panel) == []
    assert not panel.failed_routes


def test_retry_forgets() -> None:
    """A retry forgets what was looked up to reach a peer, who may be a new one."""
    panel = Panel()
    keep_everything(panel)
    assert panel.ask("POST", f"/v1/peers/{HOST}/retry", {}).status == 200
    assert asked(panel) == OTHERS
    again = panel.ask("POST", f"/v1/peers/{HOST}/retry", {})
    assert again.error == (404, "M_NOT_FOUND")


@pytest.mark.parametrize("only", ["pause", "document", "failed route"])
def test_retry_of_who_is_hardly_known(only: str) -> None:
    """It is enough that one thing was remembered."""
    panel = Panel()
    if only == "pause":
        pause(panel)
    elif only == "failed route":
        panel.failed_routes.add(ServerName.parse(HOST))
    else:
        keep_document(panel, HOST, LookupFailed("no answer"))
    assert panel.ask("POST", f"/v1/peers/{HOST}/retry", {}).status == 200


@pytest.mark.parametrize("path", ["/v1/caches", f"/v1/caches?server={HOST}"])
def test_failures_begin_again(path: str) -> None:
    """After forgetting, keys that cannot be fetched pause as long as at first."""
    panel = Panel()
    pause(panel)
    panel.clock.advance(31)
    pause(panel)
    assert (
        shown(panel)[0]["kept_until_ts"] == int(panel.clock.seconds() * 1000) + 60_000
    )
    panel.ask("DELETE", path)
    pause(panel)
    assert (
        shown(panel)[0]["kept_until_ts"] == int(panel.clock.seconds() * 1000) + 30_000
    )


RESOLUTION = Resolution(
    THEM.server_name,
    [
        Step("well-known", WELL_KNOWN, "delegates to m.example"),
        Step("srv", "_matrix._tcp.m.example", "0 5 8448 s.example"),
        Step("srv", "s.example", "is an alias"),
        Step("fallback", "s.example", "connect to it"),
    ],
    [Route("192.0.2.1", 8448, HOST, HOST)],
)


def marks(panel: Panel) -> list[Json]:
    """What the steps of resolving the server say beside what was found."""
    steps = panel.ask("GET", f"/v1/resolve/{HOST}").json["steps"]
    assert isinstance(steps, list)
    plain = {"step", "asked", "found"}
    return [{k: v for k, v in step.items() if k not in plain} for step in steps]


def test_steps_on_kept_answers() -> None:
    """A step that rests on an answer of before says until when that is kept."""
    panel = Panel()
    panel.routes.outcomes[HOST] = RESOLUTION
    assert marks(panel) == [{}] * 4
    keep_document(panel, HOST, delegation("m.example", is_kept_longer=True))
    keep_srv(panel, "_matrix._tcp.m.example", "s.example")
    keep_alias(panel, "s.example", cname("s.example", "u.example", 40))
    assert marks(panel) == [{}] * 4, "they are of this moment"
    panel.clock.advance(10)
    assert marks(panel) == [
        {"kept_until_ts": NOW_TS + 300_000, "floor_seconds": 300.0},
        {"kept_until_ts": NOW_TS + 60_000},
        {"kept_until_ts": NOW_TS + 40_000},
        {},
    ]
    panel.clock.advance(35)
    assert marks(panel)[1:] == [{"kept_until_ts": NOW_TS + 60_000}, {}, {}]


def test_steps_that_lead_nowhere() -> None:
    """The steps of a failed resolution are marked as well."""
    panel = Panel()
    panel.routes.outcomes[HOST] = NotResolvable("no way", RESOLUTION.steps)
    keep_document(panel, HOST, LookupFailed("status 404"))
    panel.clock.advance(10)
    assert marks(panel) == [{"kept_until_ts": NOW_TS + 300_000}, {}, {}, {}]


def test_keys_beside_what_is_remembered() -> None:
    """Beside a server's keys stands what was remembered of it before they came."""
    panel = Panel()
    assert panel.ask("GET", f"/v1/keys/{HOST}").json["kept"] == []
    keep_everything(panel)
    kept = panel.ask("GET", f"/v1/keys/{HOST}").json["kept"]
    assert kept == shown(panel, f"?server={HOST}")
    assert len(kept) == len(THEIRS)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_server(method: str) -> None:
    """Of a server that nothing is remembered of, only one of ours is no mistake."""
    panel = Panel()
    answer = panel.ask(method, "/v1/caches?server=x.test")
    why = "nothing is remembered of 'x.test', and it is not a server here"
    assert (answer.status, answer.json["error"]) == (404, why)
    assert panel.ask(method, f"/v1/caches?server={US}").status == 200
