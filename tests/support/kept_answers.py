"""Answers that an endpoint keeps, and how its control API shows them."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.names import dns

from homeserver.net.cause import OURSELVES
from homeserver.outbound.discovery.well_known import Delegation
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.identifiers import ServerName
from tests.support.control_side import Panel
from tests.support.coroutines import result_of
from tests.support.dns_records import a, cname, srv
from tests.support.signed_requests import THEM

HOST = "them.example"
WELL_KNOWN = f"https://{HOST}/.well-known/matrix/server"


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
