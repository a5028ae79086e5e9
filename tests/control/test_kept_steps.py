"""What was remembered, beside the steps of a resolution and the keys of a server.

A step that rests on an answer of before says until when that is kept.
"""

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.discovery import (
    LookupFailed,
    NotResolvable,
    Resolution,
    Route,
    Step,
)
from tests.support.control_side import NOW_TS, Panel
from tests.support.dns_records import cname
from tests.support.kept_answers import (
    HOST,
    THEIRS,
    WELL_KNOWN,
    delegation,
    keep_alias,
    keep_document,
    keep_everything,
    keep_srv,
    shown,
)
from tests.support.signed_requests import THEM

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
